/*
 * fuzz_access - rules of accessflt, and what they decide
 */
#include <stdlib.h>
#include <string.h>

#include "urfs/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is understood decides, each time alike; what is not comes with a printable sentence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct access_rules *rules;
	char error[ACCESS_ERROR_SIZE];

	if (access_rules_parse((const char *)data, size, &rules, error) < 0) {
		for (const char *p = error; *p; p++)
			if (*p < ' ' || *p >= 0x7f)
				abort();
		return 0;
	}
	for (int op = 0; op < ACCESS_OPS; op++) {
		struct access_request request = { (uid_t)size, 5, "/usr/bin/a", "/srv/a/b/c",
						  (enum access_op)op };
		struct access_verdict one = access_decide(rules, &request),
				      two = access_decide(rules, &request);

		if (one.error != two.error || one.line != two.line || one.error < 0)
			abort();
	}
	access_rules_free(rules);
	return 0;
}
