/*
 * doctor - what this machine can do for pipesfs, what it cannot, and what to do about that
 */
#include "cmd/cmd.h"
#include "cmd/doctor_i.h"
#include "cmd/options.h"

#include "config.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static const struct check_group groups[] = {
	{ "Mounting", doctor_mount_checks },
	{ "Packets from the kernel", doctor_kernel_checks },
	{ "This process", doctor_process_checks },
};

static const char *const verdict_words[VERDICT_COUNT_] = {
	[VERDICT_YES] = "yes",
	[VERDICT_PART] = "part",
	[VERDICT_NO] = "no",
};

void finding_set(struct finding *finding, enum verdict verdict, const char *fmt, ...)
{
	va_list ap;

	finding->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(finding->value, sizeof(finding->value), fmt, ap);
	va_end(ap);
}

void finding_remedy(struct finding *finding, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(finding->remedy, sizeof(finding->remedy), fmt, ap);
	va_end(ap);
}

/* --- how the checks look ------------------------------------------------------------------ */

int doctor_line(const char *path, char *line, size_t size)
{
	PFS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, line, size - 1);
	if (n < 0)
		return -errno;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

long long doctor_number(const char *path)
{
	char line[64], *end;
	long long value;

	if (doctor_line(path, line, sizeof(line)) < 0)
		return -1;
	value = strtoll(line, &end, 10);
	return end == line || *end ? -1 : value;
}

bool doctor_capable(unsigned capability)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "CapEff:", 7))
			caps = strtoull(line + 7, NULL, 16);
	fclose(file);
	return caps >> capability & 1;
}

bool doctor_program(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH");

	/* Administrators' programs are often there and not on an ordinary user's PATH. */
	for (int round = 0; round < 2; round++) {
		for (const char *dir = dirs ? dirs : ""; *dir;) {
			int len = (int)strcspn(dir, ":");

			snprintf(path, size, "%.*s/%s", len, dir, name);
			if (len && !access(path, X_OK))
				return true;
			dir += len + (dir[len] == ':');
		}
		dirs = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
	}
	return false;
}

bool doctor_kernel(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned a = 0, b = 0;

	return !uname(&name) && sscanf(name.release, "%u.%u", &a, &b) == 2 &&
	       (a > major || (a == major && b >= minor));
}

int doctor_apart(int (*look)(void))
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return errno;
	if (!pid)
		_exit(look());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* --- the table ------------------------------------------------------------------------------ */

static void print_text(const struct check *check, const struct finding *finding)
{
	printf("  %-5s %-18s %s\n", verdict_words[finding->verdict], check->name, finding->value);
	if (finding->verdict == VERDICT_YES)
		return;
	if (check->without)
		printf("  %-5s %-18s %s\n", "", "", check->without);
	if (*finding->remedy)
		printf("  %-5s %-18s -> %s\n", "", "", finding->remedy);
}

static void print_json(const struct check *check, const struct finding *finding, bool first)
{
	const char *const pair[][2] = {
		{ "name", check->name },
		{ "verdict", verdict_words[finding->verdict] },
		{ "found", finding->value },
		{ "without", finding->verdict == VERDICT_YES || !check->without ? "" : check->without },
		{ "remedy", finding->remedy },
	};
	PFS_BUF struct pfs_buf out = { 0 };

	pfs_buf_printf(&out, "%s{\"vital\":%s", first ? "" : ",", check->vital ? "true" : "false");
	for (size_t i = 0; i < ARRAY_SIZE(pair); i++) {
		pfs_buf_printf(&out, ",\"%s\":\"", pair[i][0]);
		pfs_buf_json(&out, pair[i][1], strlen(pair[i][1]));
		pfs_buf_str(&out, "\"");
	}
	pfs_buf_str(&out, "}");
	if (!out.failed)
		fputs(out.data, stdout);
}

static void print_head(bool json)
{
	struct utsname name = { 0 };

	uname(&name);
	if (json)
		printf("{\"version\":\"%s\",\"libfuse\":\"%s\",\"kernel\":\"%s\",\"machine\":\"%s\","
		       "\"uid\":%u,\"checks\":[",
		       PIPESFS_VERSION, PIPESFS_FUSE, name.release, name.machine, geteuid());
	else
		printf("pipesfs %s, libfuse %s, Linux %s %s, user %u\n", PIPESFS_VERSION,
		       PIPESFS_FUSE, name.release, name.machine, geteuid());
}

static void print_tail(bool json, const unsigned count[VERDICT_COUNT_], const char *obstacle)
{
	if (json) {
		printf("],\"usable\":%s}\n", obstacle ? "false" : "true");
		return;
	}
	printf("\n%u yes, %u in part, %u no. ", count[VERDICT_YES], count[VERDICT_PART],
	       count[VERDICT_NO]);
	if (obstacle)
		printf("pipesfs cannot be mounted here: see \"%s\" above.\n", obstacle);
	else if (count[VERDICT_PART] || count[VERDICT_NO])
		puts("pipesfs works here, with the limits said above.");
	else
		puts("Everything is there.");
}

static int doctor_run(int argc, char **argv)
{
	unsigned count[VERDICT_COUNT_] = { 0 };
	bool json = false, first = true;
	const char *obstacle = NULL;
	int c;

	while ((c = pfs_getopt(&pfs_cmd_doctor, argc, argv)) != -1) {
		if (c != 'j')
			return pfs_usage(&pfs_cmd_doctor, NULL);
		json = true;
	}
	if (optind != argc)
		return pfs_usage(&pfs_cmd_doctor, "it takes no argument");
	print_head(json);
	fflush(stdout);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (!json)
			printf("\n%s\n", groups[i].title);
		for (const struct check *check = groups[i].checks; check->name; check++) {
			struct finding finding = { 0 };

			fflush(stdout); /* a check may fork */
			check->look(&finding);
			count[finding.verdict]++;
			if (check->vital && finding.verdict == VERDICT_NO && !obstacle)
				obstacle = check->name;
			if (json)
				print_json(check, &finding, first);
			else
				print_text(check, &finding);
			first = false;
		}
	}
	print_tail(json, count, obstacle);
	return obstacle ? PFS_EXIT_FAILED : 0;
}

static const struct pfs_option doctor_options[] = {
	{ .key = 'j', .name = "json", .help = "one JSON object" },
	{ 0 },
};

const struct pfs_command pfs_cmd_doctor = {
	.name = "doctor",
	.summary = "say what this machine can do, what it cannot, and what to do about that",
	.options = doctor_options,
	.help = "Exit status 0 unless nothing can be mounted here. It looks and changes nothing.\n",
	.run = doctor_run,
};
