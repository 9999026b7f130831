/* A configuration of scanflt: it is understood or refused with a sentence, and what was understood decides. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "urfs/scan_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct access_request requests[] = {
		{ 0, 0, "/usr/bin/cat", "/srv/a b/c", ACCESS_READ },
		{ 1000, 1000, "", "/srv/x", ACCESS_EXEC },
	};
	char error[ACCESS_ERROR_SIZE] = "";
	struct scan_conf conf;

	if (scan_conf_parse((const char *)data, size, &conf, error) < 0) {
		if (!error[0] || strlen(error) >= sizeof(error))
			abort();
		return 0;
	}
	if (conf.n_rules == 0 || conf.max_size == 0 || conf.max_size > SCAN_SIZE_MAX ||
	    conf.scans == 0 || conf.scans > SCAN_SCANS_MAX || conf.max_time == 0)
		abort();
	for (size_t i = 0; i < 2; i++)
		if (!scan_conf_wants(&conf, &requests[i], (uid_t)i * 1000) && conf.n_choices == 0)
			abort(); /* scanned is what nothing skips */
	scan_conf_release(&conf);
	return 0;
}
