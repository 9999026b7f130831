/*
 * options - what a command takes: for getopt(3), for its help, for its usage line
 */
#include "cmd/options.h"

#include <getopt.h>
#include <stdio.h>

#define OPTIONS_MAX 24
#define INDENT_MAX 26 /* columns; a longer option has its help on the next line */

size_t pfs_options_count(const struct pfs_command *cmd)
{
	size_t n = 0;

	while (cmd->options && cmd->options[n].key)
		n++;
	return n;
}

int pfs_getopt(const struct pfs_command *cmd, int argc, char **argv)
{
	char shorts[2 * OPTIONS_MAX + 3], *s = shorts;
	struct option longs[OPTIONS_MAX + 1] = { 0 }, *l = longs;
	size_t n = pfs_options_count(cmd);

	assert(n <= OPTIONS_MAX);
	if (cmd->options_first)
		*s++ = '+';
	for (size_t i = 0; i < n; i++) {
		const struct pfs_option *option = &cmd->options[i];

		if (option->letter)
			*s++ = option->key;
		if (option->letter && option->value)
			*s++ = ':';
		if (option->name)
			*l++ = (struct option){
				.name = option->name,
				.has_arg = option->value ? required_argument : no_argument,
				.val = option->key,
			};
	}
	*s = '\0';
	return getopt_long(argc, argv, shorts, longs, NULL);
}

void pfs_options_usage(const struct pfs_command *cmd, struct pfs_buf *out)
{
	const char *gap = "";

	if (cmd->usage) {
		pfs_buf_str(out, cmd->usage);
		return;
	}
	for (size_t i = 0; i < pfs_options_count(cmd); i++) {
		const struct pfs_option *option = &cmd->options[i];

		if (!option->help)
			continue;
		if (option->letter)
			pfs_buf_printf(out, "%s[-%c", gap, option->key);
		else
			pfs_buf_printf(out, "%s[--%s", gap, option->name);
		pfs_buf_printf(out, "%s%s]", option->value ? " " : "",
			       option->value ? option->value : "");
		gap = " ";
	}
	if (cmd->operands)
		pfs_buf_printf(out, "%s%s", gap, cmd->operands);
}

/* "  -i, --interval SECONDS" */
static void put_name(const struct pfs_option *option, struct pfs_buf *out)
{
	if (option->letter)
		pfs_buf_printf(out, "  -%c%s", option->key, option->name ? ", " : "");
	else
		pfs_buf_str(out, "      ");
	if (option->name)
		pfs_buf_printf(out, "--%s", option->name);
	if (option->value)
		pfs_buf_printf(out, " %s", option->value);
}

static size_t name_width(const struct pfs_option *option)
{
	PFS_BUF struct pfs_buf name = { 0 };

	put_name(option, &name);
	return name.len;
}

void pfs_options_help(const struct pfs_command *cmd, struct pfs_buf *out)
{
	size_t width = 0, n = pfs_options_count(cmd);

	for (size_t i = 0; i < n; i++)
		if (cmd->options[i].help && name_width(&cmd->options[i]) <= INDENT_MAX)
			width = pfs_max(width, name_width(&cmd->options[i]));
	for (size_t i = 0; i < n; i++) {
		const struct pfs_option *option = &cmd->options[i];
		size_t own = name_width(option);

		if (!option->help)
			continue;
		put_name(option, out);
		if (own > width)
			pfs_buf_printf(out, "\n%*s", (int)width, "");
		else
			pfs_buf_printf(out, "%*s", (int)(width - own), "");
		pfs_buf_str(out, "  ");
		for (const char *c = option->help; *c; c++) {
			pfs_buf_add(out, c, 1);
			if (*c == '\n')
				pfs_buf_printf(out, "%*s", (int)width + 2, "");
		}
		pfs_buf_str(out, "\n");
	}
}
