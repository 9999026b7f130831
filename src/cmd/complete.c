/*
 * complete - what may stand at the end of an unfinished command line, for the shells
 *
 * `pipesfs complete -- WORD...` gets the words behind `pipesfs`, as they were typed, the last one up to the cursor (or
 * empty), and prints a line for each thing that could stand in its place: the word, a tab, and what it is. Nothing
 * of it is written twice: commands and options come from the tables that make the help, filters and sources from
 * those that make the manuals, mount options from the one that reads them. Looking only: it may run at every key.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/name.h"
#include "cmd/cmd.h"
#include "cmd/complete_i.h"
#include "cmd/mounts.h"
#include "cmd/options.h"
#include "graph/tables.h"
#include "mount/mount.h"

/* What is being completed: `fixed` stays, the rest must begin with `part`. */
struct asked {
	const char *fixed;
	size_t fixed_len;
	const char *part;
};

static void offer(const struct asked *asked, const char *word, const char *summary)
{
	PFS_BUF struct pfs_buf clean = { 0 };

	if (strncmp(word, asked->part, strlen(asked->part)) != 0 || strpbrk(word, "\n\t"))
		return;
	printf("%.*s%s", (int)asked->fixed_len, asked->fixed, word);
	if (summary && *summary) {
		pfs_buf_clean(&clean, summary, strcspn(summary, "\n"));
		printf("\t%s", clean.data ? clean.data : "");
	}
	putchar('\n');
}

static void offer_choices(const struct asked *asked, const char *const *choices)
{
	for (; choices && *choices; choices++)
		offer(asked, *choices, NULL);
}

/* --- files ------------------------------------------------------------------------------------------ */

static bool is_dir(int dir, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
		return entry->d_type == DT_DIR;
	return fstatat(dir, entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static DIR *open_folder(const char *path, size_t len)
{
	const char *home = !strncmp(path, "~/", 2) ? getenv("HOME") : NULL;
	PFS_BUF struct pfs_buf name = { 0 };

	if (home)
		pfs_buf_str(&name, home);
	pfs_buf_add(&name, path + (home ? 1 : 0), len - (home ? 1 : 0));
	if (!len)
		pfs_buf_str(&name, ".");
	return name.failed ? NULL : opendir(name.data);
}

/* Names in the folder that the path begins with; hidden ones when a dot was typed. */
static void offer_paths(const struct asked *asked, bool dirs_only)
{
	const char *slash = strrchr(asked->part, '/');
	size_t folder_len = slash ? (size_t)(slash + 1 - asked->part) : 0;
	const char *part = asked->part + folder_len;
	DIR *folder = open_folder(asked->part, folder_len);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		bool dir = is_dir(dirfd(folder), entry);
		PFS_BUF struct pfs_buf path = { 0 };

		if ((entry->d_name[0] == '.' && *part != '.') || (dirs_only && !dir) ||
		    !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		pfs_buf_printf(&path, "%.*s%s%s", (int)folder_len, asked->part, entry->d_name,
			       dir ? "/" : "");
		if (!path.failed)
			offer(asked, path.data, NULL);
	}
	if (folder)
		closedir(folder);
}

static void offer_mounts(const struct asked *asked)
{
	MOUNTS struct mounts mounts = { 0 };

	if (mounts_read(&mounts) < 0)
		return;
	for (size_t i = 0; i < mounts.n; i++)
		offer(asked, mounts.entry[i].point, "a mounted pipesfs");
}

/* --- pipelines ---------------------------------------------------------------------------------------- */

static void offer_sources(const struct asked *asked)
{
	for (size_t i = 0; pfs_sources[i]; i++) {
		offer(asked, pfs_sources[i]->name, pfs_sources[i]->summary);
		if (pfs_sources[i]->alias)
			offer(asked, pfs_sources[i]->alias, pfs_sources[i]->summary);
	}
}

static void offer_filters(const struct asked *asked, const char *before)
{
	const struct pfs_filter *above = pfs_filter_find(before, strlen(before), false);

	for (size_t i = 0; above && above->classes && above->classes[i]; i++)
		offer(asked, above->classes[i], "class");
	for (size_t i = 0; pfs_filters[i]; i++) {
		if (pfs_filters[i]->flags & PFS_FILTER_VIEW)
			continue;
		offer(asked, pfs_filters[i]->name, pfs_filters[i]->summary);
		if (pfs_filters[i]->alias)
			offer(asked, pfs_filters[i]->alias, pfs_filters[i]->summary);
	}
}

static void offer_device(void *arg, const char *name)
{
	offer(arg, name, "network device");
}

static void offer_devices(struct asked *asked)
{
	for (size_t i = 0; pfs_sources[i]; i++)
		if ((pfs_sources[i]->flags & PFS_SOURCE_DEVICES) && pfs_sources[i]->devices)
			pfs_sources[i]->devices(NULL, offer_device, asked);
}

static void offer_params(const struct asked *asked, const struct pfs_param *params)
{
	for (; params && params->key; params++) {
		PFS_BUF struct pfs_buf word = { 0 };

		pfs_buf_printf(&word, "%s=", params->key);
		if (!word.failed)
			offer(asked, word.data, params->summary);
	}
}

/* Files for what opens files, devices for what speaks to one, and the parameters of the table. */
static void offer_arguments(struct asked *asked, const char *stage)
{
	static const char *const files[] = { "pcap", "pcapin", "file" }, *const devices[] = {
		"dev", "transmit"
	};
	const struct pfs_filter *filter = pfs_filter_find(stage, strlen(stage), false);
	const struct pfs_source *source = pfs_source_find(stage, strlen(stage));

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!strcmp(stage, files[i]))
			offer_paths(asked, false);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (!strcmp(stage, devices[i]))
			offer_devices(asked);
	offer_params(asked, filter ? filter->params : source ? source->params : NULL);
}

static void offer_pipeline(const struct asked *asked)
{
	struct complete_cursor cursor;
	struct asked word;

	complete_pipeline(asked->part, &cursor);
	word = (struct asked){
		.fixed = asked->part,
		.fixed_len = cursor.begin,
		.part = asked->part + cursor.begin,
	};
	switch (cursor.place) {
	case PLACE_SOURCE:
		offer_sources(&word);
		break;
	case PLACE_STAGE:
		offer_filters(&word, cursor.before);
		break;
	case PLACE_FILE:
		offer_paths(&word, false);
		break;
	case PLACE_ARGUMENT:
		offer_arguments(&word, cursor.stage);
		break;
	}
}

/* --- the command line ------------------------------------------------------------------------------------ */

static void offer_commands(const struct asked *asked)
{
	for (size_t i = 0; pfs_commands[i]; i++)
		offer(asked, pfs_commands[i]->name, pfs_commands[i]->summary);
	offer(asked, "help", "say what a command does");
}

/* The one behind the last comma. */
static void offer_mount_options(const struct asked *asked)
{
	const char *comma = strrchr(asked->part, ',');
	struct asked word = *asked;
	char name[PFS_MOUNT_OPTION_SIZE];
	const char *summary;

	if (comma) {
		word.fixed = asked->part;
		word.fixed_len = (size_t)(comma + 1 - asked->part);
		word.part = comma + 1;
	}
	for (size_t i = 0; pfs_mount_option(i, name, &summary); i++)
		offer(&word, name, summary);
}

static void offer_words(struct asked *asked, enum pfs_words words, const char *const *choices)
{
	switch (words) {
	case PFS_WORDS_NONE:
		break;
	case PFS_WORDS_CHOICE:
		offer_choices(asked, choices);
		break;
	case PFS_WORDS_DIR:
		offer_paths(asked, true);
		break;
	case PFS_WORDS_FILE:
		offer_paths(asked, false);
		break;
	case PFS_WORDS_MOUNT:
		offer_mounts(asked);
		break;
	case PFS_WORDS_TREE:
		if (!strchr(asked->part, '/') || !asked->part[1])
			offer_mounts(asked);
		if (asked->part[0])
			offer_paths(asked, false);
		break;
	case PFS_WORDS_OPTIONS:
		offer_mount_options(asked);
		break;
	case PFS_WORDS_PIPELINE:
		offer_pipeline(asked);
		break;
	case PFS_WORDS_COMMAND:
		offer_commands(asked);
		break;
	}
}

static void offer_options(const struct asked *asked, const struct pfs_command *cmd)
{
	for (size_t i = 0; i < pfs_options_count(cmd); i++) {
		const struct pfs_option *option = &cmd->options[i];
		PFS_BUF struct pfs_buf word = { 0 };

		if (!option->help)
			continue;
		if (option->name)
			pfs_buf_printf(&word, "--%s", option->name);
		else
			pfs_buf_printf(&word, "-%c", option->key);
		if (!word.failed)
			offer(asked, word.data, option->help);
	}
	offer(asked, "--help", "say what the command does");
}

/* The option whose value follows that word, or stands in it behind a '='. */
static const struct pfs_option *option_of(const struct pfs_command *cmd, const char *word)
{
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < pfs_options_count(cmd); i++) {
		const struct pfs_option *option = &cmd->options[i];

		if (!option->value)
			continue;
		if (option->name && !strncmp(word, "--", 2) && strlen(option->name) == len - 2 &&
		    !strncmp(word + 2, option->name, len - 2))
			return option;
		if (option->letter && word[0] == '-' && word[1] == option->key && !word[2])
			return option;
	}
	return NULL;
}

static void offer_value(const struct pfs_option *option, const char *word, size_t fixed)
{
	struct asked asked = { .fixed = word, .fixed_len = fixed, .part = word + fixed };

	offer_words(&asked, option->words, option->choices);
}

/* The last of the words of a command, of which the first is its name. */
static void complete(const struct pfs_command *cmd, char **words, int n)
{
	const char *word = words[n - 1], *equal = strchr(word, '=');
	struct asked asked = { .fixed = "", .part = word };
	const struct pfs_option *before = n > 2 ? option_of(cmd, words[n - 2]) : NULL;

	if (before && !strchr(words[n - 2], '='))
		offer_value(before, word, 0);
	else if (!strncmp(word, "--", 2) && equal && option_of(cmd, word))
		offer_value(option_of(cmd, word), word, (size_t)(equal + 1 - word));
	else if (word[0] == '-')
		offer_options(&asked, cmd);
	else
		offer_words(&asked, cmd->words, cmd->choices);
}

static void complete_line(char **words, int n)
{
	const struct pfs_command *cmd = n > 1 ? pfs_command_find(words[0]) : NULL;
	struct asked asked = { .fixed = "", .part = words[n - 1] };

	if (cmd)
		complete(cmd, words, n);
	else if (n == 1 || (n == 2 && !strcmp(words[0], "help")))
		offer_commands(&asked);
	if (n == 1 && words[0][0] == '-')
		offer(&asked, "--version", "say which version this is");
}

static int complete_run(int argc, char **argv)
{
	int first = argc > 1 && !strcmp(argv[1], "--") ? 2 : 1, n = argc - first, made = 0;
	PFS_FREE char **words = pfs_zalloc(n > 0 ? (size_t)n : 1, sizeof(*words));
	struct pfs_buf word = { 0 };

	if (n < 1)
		return pfs_usage(&pfs_cmd_complete, "the words of a command line are needed");
	while (words && made < n) {
		complete_unquote(argv[first + made], &word);
		if (word.failed)
			break;
		words[made++] = word.data;
		word = (struct pfs_buf){ 0 };
	}
	pfs_buf_release(&word);
	if (words && made == n)
		complete_line(words, n);
	for (int i = 0; i < made; i++)
		free(words[i]);
	return made == n ? 0 : pfs_fail("not enough memory");
}

const struct pfs_command pfs_cmd_complete = {
	.name = "complete",
	.summary = "print what may stand at the end of a command line, for the shells",
	.usage = "-- WORD...",
	.help = "The shells' completion asks it; it can be asked by hand: pipesfs complete -- run 'pcapin t | tc'\n",
	.run = complete_run,
};
