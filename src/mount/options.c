/*
 * options - what -o understands
 *
 * Three kinds: ours (a number with a unit into struct pfs_mount_options), the kernel's (handed on),
 * and those that fstab lines carry for other programs (ignored).
 */
#include "mount/mount.h"

#include <stdio.h>

#include "base/name.h"

enum kind {
	KIND_SIZE,  /* bytes, k M G */
	KIND_COUNT, /* a number, k M */
	KIND_TIME,  /* ns us ms s m h; a bare number is seconds */
	KIND_TEXT,  /* what follows, up to the next comma */
	KIND_FLAG,
	KIND_FILE, /* an absolute path */
	KIND_KERNEL,
	KIND_IGNORED,
};

struct option {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
	const char *summary; /* NULL: not in the manual */
};

#define FIELD(f) offsetof(struct pfs_mount_options, f)
#define MSEC 1000000ULL
#define SEC 1000000000ULL

static const struct option options_table[] = {
	{ "ring", KIND_SIZE, FIELD(ring), 4 << 20, 1 << 30,
	  "memory of each source and each write-open (default 16M; 4M to 1G)" },
	{ "memory", KIND_SIZE, FIELD(memory), 16 << 20, 1ULL << 40,
	  "memory of all rings and queues together (default 2G): beyond it ENOMEM" },
	{ "nodes", KIND_COUNT, FIELD(nodes), 16, 1000000,
	  "directories in all (default 20000): beyond it ENOSPC" },
	{ "user_nodes", KIND_COUNT, FIELD(user_nodes), 1, 1000000,
	  "directories of one user (default a quarter of nodes=): beyond it EDQUOT" },
	{ "user_memory", KIND_SIZE, FIELD(user_memory), 1 << 20, 1ULL << 40,
	  "memory of one user's rings and queues (default a quarter of memory=): beyond it EDQUOT" },
	{ "user_opens", KIND_COUNT, FIELD(user_opens), 1, 1000000,
	  "pipes that one user may have open (default 256): beyond it EDQUOT" },
	{ "user_sockets", KIND_COUNT, FIELD(user_sockets), 1, 1000000,
	  "sockets that one user's directories may have, connections among them (default 1024): beyond it EDQUOT" },
	{ "user_processes", KIND_COUNT, FIELD(user_processes), 2, 1000000,
	  "processes that one user's commands may be, two for each exec (default 256): beyond it EDQUOT" },
	{ "latency", KIND_TIME, FIELD(latency), 0, SEC,
	  "how long packets of several CPUs may be held back to be put in order (default 1ms)" },
	{ "stall", KIND_TIME, FIELD(stall), 0, 86400 * SEC,
	  "end the mount when it has not answered for so long (default 10s; 0: never)" },
	{ "portals", KIND_FILE, FIELD(portals), 0, 0,
	  "rules of portals, portal.conf(5) (default /etc/pipesfs/portal.conf, if root mounts)" },
	{ "user_portals", KIND_COUNT, FIELD(user_portals), 1, 100000,
	  "portals that one user may have open (default 1024): beyond it EMFILE" },
	{ "user_commands", KIND_COUNT, FIELD(user_commands), 1, 100000,
	  "... of these, commands (default 256): beyond it EAGAIN" },
	{ "pipelines", KIND_TEXT, FIELD(pipelines), 0, 0,
	  "folder of *.pipe files to begin with (root: /etc/pipesfs/pipelines.d; empty: none)" },
	{ "redirections", KIND_TEXT, FIELD(redirections), 0, 0,
	  "folder of *.conf files of redirctl commands to begin with (root: /etc/pipesfs/redir.d; empty: none)" },
	{ "allow_other", KIND_FLAG, FIELD(allow_other), 0, 0,
	  "other users may enter too; the default when root mounts" },
	{ "ro", KIND_KERNEL, 0, 0, 0, "nothing can be made or written" },
	{ "rw", KIND_KERNEL, 0, 0, 0, NULL },
	{ "suid", KIND_KERNEL, 0, 0, 0, NULL },
	{ "nosuid", KIND_KERNEL, 0, 0, 0, NULL },
	{ "dev", KIND_KERNEL, 0, 0, 0, NULL },
	{ "nodev", KIND_KERNEL, 0, 0, 0, NULL },
	{ "exec", KIND_KERNEL, 0, 0, 0, NULL },
	{ "noexec", KIND_KERNEL, 0, 0, 0, NULL },
	{ "atime", KIND_KERNEL, 0, 0, 0, NULL },
	{ "noatime", KIND_KERNEL, 0, 0, 0, NULL },
	{ "sync", KIND_KERNEL, 0, 0, 0, NULL },
	{ "async", KIND_KERNEL, 0, 0, 0, NULL },
	{ "dirsync", KIND_KERNEL, 0, 0, 0, NULL },
	{ "defaults", KIND_IGNORED, 0, 0, 0, NULL },
	{ "auto", KIND_IGNORED, 0, 0, 0, NULL },
	{ "noauto", KIND_IGNORED, 0, 0, 0, NULL },
	{ "user", KIND_IGNORED, 0, 0, 0, NULL },
	{ "nouser", KIND_IGNORED, 0, 0, 0, NULL },
	{ "users", KIND_IGNORED, 0, 0, 0, NULL },
	{ "owner", KIND_IGNORED, 0, 0, 0, NULL },
	{ "group", KIND_IGNORED, 0, 0, 0, NULL },
	{ "nofail", KIND_IGNORED, 0, 0, 0, NULL },
	{ "_netdev", KIND_IGNORED, 0, 0, 0, NULL },
	{ "relatime", KIND_IGNORED, 0, 0, 0, NULL },
	{ "norelatime", KIND_IGNORED, 0, 0, 0, NULL },
	{ "default_permissions", KIND_IGNORED, 0, 0, 0, NULL }, /* always on */
	{ "comment", KIND_IGNORED, 0, 0, 0, NULL },
};

void pfs_mount_options_init(struct pfs_mount_options *options)
{
	*options = (struct pfs_mount_options){
		.latency = MSEC,
		.stall = 10 * SEC,
		.allow_other = geteuid() == 0,
	};
}

void pfs_mount_options_release(struct pfs_mount_options *options)
{
	free(options->portals);
	options->portals = NULL;
	free(options->dir);
	free(options->pipelines);
	free(options->redirections);
	options->dir = options->pipelines = options->redirections = NULL;
	pfs_buf_release(&options->kernel);
}

static int value_parse(const struct option *option, const char *text, uint64_t *ret_value)
{
	int r;

	if (option->kind != KIND_TIME)
		return pfs_number_parse(text, option->kind == KIND_SIZE, option->min, option->max,
					ret_value);
	r = pfs_time_parse(text, ret_value);
	if (r == 0 && (*ret_value < option->min || *ret_value > option->max))
		return -ERANGE;
	return r;
}

static int value_set(struct pfs_mount_options *options, const struct option *option,
		     const char *value, struct pfs_diag *diag)
{
	uint64_t number;
	int r;

	if (!value || !*value)
		return pfs_diag_set(diag, EINVAL, "option %s needs a value: %s=..., %s",
				    option->name, option->name, option->summary);
	r = value_parse(option, value, &number);
	if (r == -ERANGE)
		return pfs_diag_set(diag, EINVAL, "option %s=%s is out of range: %s", option->name,
				    value, option->summary);
	if (r < 0)
		return pfs_diag_set(diag, EINVAL, "option %s=%s is not a number: %s", option->name,
				    value, option->summary);
	memcpy((char *)options + option->offset, &number, sizeof(number));
	return 0;
}

/* The daemon changes its directory: absolute from here on. */
static int file_set(struct pfs_mount_options *options, const struct option *option,
		    const char *value, struct pfs_diag *diag)
{
	char **field = (char **)(void *)((char *)options + option->offset), *path;

	if (!value || !*value)
		return pfs_diag_set(diag, EINVAL, "option %s needs a file: %s=FILE", option->name,
				    option->name);
	path = realpath(value, NULL);
	if (!path)
		return pfs_diag_set(diag, EINVAL, "option %s=%s: %s", option->name, value,
				    strerror(errno));
	free(*field);
	*field = path;
	return 0;
}

static int text_set(struct pfs_mount_options *options, const struct option *option,
		    const char *value, struct pfs_diag *diag)
{
	char **field = (char **)(void *)((char *)options + option->offset);

	if (!value)
		return pfs_diag_set(diag, EINVAL, "option %s needs a value: %s=..., %s",
				    option->name, option->name, option->summary);
	free(*field);
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int one_parse(struct pfs_mount_options *options, char *word, struct pfs_diag *diag)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = '\0';
	if (!strncmp(word, "x-", 2) || !strncmp(word, "X-", 2))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++) {
		const struct option *option = &options_table[i];

		if (strcmp(option->name, word) != 0)
			continue;
		if (option->kind == KIND_IGNORED)
			return 0;
		if (option->kind == KIND_FILE)
			return file_set(options, option, value, diag);
		if (option->kind <= KIND_TIME)
			return value_set(options, option, value, diag);
		if (option->kind == KIND_TEXT)
			return text_set(options, option, value, diag);
		if (value)
			return pfs_diag_set(diag, EINVAL, "option %s takes no value", word);
		if (option->kind == KIND_FLAG)
			*(bool *)((char *)options + option->offset) = true;
		else
			pfs_buf_printf(&options->kernel, "%s%s", options->kernel.len ? "," : "", word);
		return options->kernel.failed ? -ENOMEM : 0;
	}
	return pfs_diag_set(diag, EINVAL,
			    "there is no mount option '%s'; `pipesfs help mount` lists them", word);
}

int pfs_mount_options_parse(struct pfs_mount_options *options, const char *text, struct pfs_diag *diag)
{
	PFS_FREE char *copy = strdup(text);
	char *rest = copy, *word;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ","))) {
		int r = *word ? one_parse(options, word, diag) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

bool pfs_mount_option(size_t index, char ret_name[PFS_MOUNT_OPTION_SIZE], const char **ret_summary)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++) {
		const struct option *option = &options_table[i];

		if (!option->summary || index--)
			continue;
		snprintf(ret_name, PFS_MOUNT_OPTION_SIZE, "%s%s", option->name,
			 option->kind <= KIND_TEXT ? "=" : "");
		*ret_summary = option->summary;
		return true;
	}
	return false;
}

void pfs_mount_options_help(struct pfs_buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++) {
		const struct option *option = &options_table[i];
		static const char *const values[] = { "=SIZE", "=N",	"=TIME", "=DIR",
						      "",      "=FILE", "",	 "" };
		char name[40];

		if (!option->summary)
			continue;
		snprintf(name, sizeof(name), "%s%s", option->name, values[option->kind]);
		pfs_buf_printf(out, "  %-16s %s\n", name, option->summary);
	}
}
