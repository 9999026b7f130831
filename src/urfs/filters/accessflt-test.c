/*
 * accessflt-test - what the rules of accessflt would decide, and which of them
 *
 *	accessflt-test RULES				are they right?
 *	accessflt-test RULES WHO EXE OP PATH		who: a user's name or number; EXE `-`: not known
 *
 * Prints the verdict and the rule. Status: 0 allowed (or right), 1 denied, 2 not understood.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "urfs/access.h"

static int find_user(const char *who, struct access_request *request)
{
	const struct passwd *entry = getpwnam(who);
	char *end;
	unsigned long uid = strtoul(who, &end, 10);

	if (!entry && *who >= '0' && *who <= '9' && !*end && uid < UINT32_MAX) {
		request->uid = (uid_t)uid;
		entry = getpwuid((uid_t)uid);
		request->gid = entry ? entry->pw_gid : (gid_t)uid;
		return 0;
	}
	if (!entry)
		return -ENOENT;
	request->uid = entry->pw_uid;
	request->gid = entry->pw_gid;
	return 0;
}

/* The line itself, so that nobody has to count. */
static void print_line(const char *file, unsigned number)
{
	FILE *f = fopen(file, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t n = 0;

	for (unsigned i = 0; f && i < number && n >= 0; i++)
		n = getline(&line, &size, f);
	for (ssize_t i = 0; f && i < n && line[i] != '\n'; i++)
		putchar(line[i] == '\t' || (line[i] >= ' ' && line[i] < 0x7f) ? line[i] : '?');
	putchar('\n');
	free(line);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct access_request request = { 0 };
	struct access_verdict verdict;
	struct access_rules *rules;
	char error[ACCESS_ERROR_SIZE];
	int r;

	if (argc != 2 && argc != 6) {
		fprintf(stderr, "usage: accessflt-test RULES [WHO EXE OP PATH]\n");
		return 2;
	}
	r = access_rules_load(argv[1], &rules, error);
	if (r < 0) {
		fprintf(stderr, "accessflt-test: %s: %s\n", argv[1], error[0] ? error : strerror(-r));
		return 2;
	}
	if (argc == 2) {
		printf("%zu rules\n", access_rules_count(rules));
		access_rules_free(rules);
		return 0;
	}
	if (find_user(argv[2], &request) < 0 || access_op_parse(argv[4], &request.op) < 0) {
		fprintf(stderr,
			"accessflt-test: %s is no user, or %s no operation: read write exec list create remove attr\n",
			argv[2], argv[4]);
		access_rules_free(rules);
		return 2;
	}
	request.exe = strcmp(argv[3], "-") != 0 ? argv[3] : "";
	request.path = argv[5];
	verdict = access_decide(rules, &request);
	access_rules_free(rules);
	printf("%s%s%s", verdict.error ? "deny" : "allow", verdict.error ? "=" : "",
	       verdict.error ? strerrorname_np(verdict.error) : "");
	if (verdict.line)
		printf(" line %u: ", verdict.line);
	else
		printf(" by the default\n");
	if (verdict.line)
		print_line(argv[1], verdict.line);
	return verdict.error ? 1 : 0;
}
