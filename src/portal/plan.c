/*
 * plan - what a portal path means
 */
#include <ctype.h>
#include <fcntl.h>
#include <time.h>

#include "base/name.h"
#include "portal/conf_i.h"

/* --- text ---------------------------------------------------------------------------------- */

static char *slashes_skip(const char *s)
{
	return (char *)s + strspn(s, "/");
}

/*
 * In place: %2f is a slash, %2e a dot, and %25 before one of these (and before itself) a percent sign. All other
 * percent signs are themselves: `date +%F` and URLs are full of them.
 */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (!strncasecmp(s, "%2f", 3) || !strncasecmp(s, "%2e", 3)) {
			*to++ = s[2] == 'e' || s[2] == 'E' ? '.' : '/';
			s += 2;
		} else if (!strncmp(s, "%25", 3) && s[3] == '2' && s[4] && strchr("fFeE5", s[4])) {
			*to++ = '%';
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* How many slashes the kernel has taken from a URL whose scheme is s[0..n); 0: it is none that we know. */
static unsigned slashes_lost(const char *s, size_t n)
{
	static const char *const schemes[] = { "http",	"https",  "ftp",    "ftps", "sftp",  "tftp",
					       "scp",	"ssh",	  "git",    "ws",   "wss",   "rtsp",
					       "rtmp",	"telnet", "gopher", "ldap", "ldaps", "smb",
					       "nfs",	"imap",	  "imaps",  "pop3", "pop3s", "smtp",
					       "smtps", "dict",	  "mqtt",   "s3",   "gs",    NULL };

	if (n == 4 && !strncasecmp(s, "file", 4))
		return 2;
	for (size_t i = 0; schemes[i]; i++)
		if (strlen(schemes[i]) == n && !strncasecmp(s, schemes[i], n))
			return 1;
	return 0;
}

static char *urls_restore(const char *s)
{
	PFS_BUF struct pfs_buf out = { 0 };

	for (const char *at = s; *at; at++) {
		const char *begin = at;
		unsigned lost;

		pfs_buf_add(&out, at, 1);
		if (at[0] != '/' || at == s || at[-1] != ':' || at[1] == '/')
			continue;
		for (begin--;
		     begin > s && (isalnum((unsigned char)begin[-1]) || strchr("+.-", begin[-1]));)
			begin--;
		for (lost = slashes_lost(begin, (size_t)(at - 1 - begin)); lost; lost--)
			pfs_buf_str(&out, "/");
	}
	pfs_buf_add(&out, "", 1);
	return out.failed ? NULL : TAKE_PTR(out.data);
}

/* --- which rule ------------------------------------------------------------------------------ */

static bool rule_matches(const struct pfs_portal_rule *rule, const char *collapsed)
{
	return rule->is_regex ? regexec(&rule->regex, collapsed, 0, NULL, 0) == 0
			      : pfs_portal_after(collapsed, rule->match) != NULL;
}

/* Could it match something below path, a whole number of components? */
static bool rule_may_match(const struct pfs_portal_rule *rule, const char *path)
{
	PFS_FREE char *below = NULL;
	size_t n = strlen(path);
	bool may;

	if (!rule->is_regex)
		return !strncmp(rule->match, path, n) && rule->match[n] == '/';
	below = malloc(n + 2);
	if (!below)
		return false;
	memcpy(below, path, n);
	memcpy(below + n, "/", 2);
	may = rule_matches(rule, below);
	return may;
}

static char *collapsed_copy(const char *path)
{
	char *copy = strdup(slashes_skip(path)), *to = copy;

	for (const char *s = copy; s && *s; s++)
		if (*s != '/' || s[1] != '/')
			*to++ = *s;
	if (!copy)
		return NULL;
	if (to > copy && to[-1] == '/')
		to--;
	*to = '\0';
	return copy;
}

static const char *rest_of(const struct pfs_portal_rule *rule, const char *path)
{
	const char *rest = pfs_portal_after(path, rule->strip);

	return slashes_skip(rest ? rest : path);
}

/* --- shape ------------------------------------------------------------------------------------ */

static enum pfs_portal_shape shape_of(const struct pfs_portal_rule *rule, const char *rest)
{
	unsigned components = *rest != '\0';

	for (const char *s = rest; *s; s++)
		components += *s == '/' && s[1];
	switch (rule->provider) {
	case PFS_PROVIDER_TCP:
		return components < 2	 ? PFS_SHAPE_DIR
		       : components == 2 ? PFS_SHAPE_EITHER
					 : PFS_SHAPE_FILE;
	case PFS_PROVIDER_TCPLISTEN:
	case PFS_PROVIDER_UDP:
		return components < 2 ? PFS_SHAPE_DIR : PFS_SHAPE_FILE;
	default:
		return components ? PFS_SHAPE_OPEN : PFS_SHAPE_DIR;
	}
}

/* tcp%2fHOST%2fPORT is one component, and all of it. */
static enum pfs_portal_shape shape_unescaped(const struct pfs_portal_rule *rule, const char *rest)
{
	PFS_FREE char *copy = strdup(rest);

	if (!copy)
		return PFS_SHAPE_NONE;
	unescape(copy);
	return shape_of(rule, copy);
}

enum pfs_portal_shape pfs_portal_shape(const struct pfs_portal_rules *rules, const char *path)
{
	PFS_FREE char *collapsed = collapsed_copy(path);

	for (size_t i = 0; collapsed && *collapsed && i < rules->n; i++) {
		const struct pfs_portal_rule *rule = &rules->rule[i];

		if (rule_matches(rule, collapsed))
			return shape_unescaped(rule, rest_of(rule, collapsed));
		if (rule_may_match(rule, collapsed))
			return PFS_SHAPE_DIR;
	}
	return PFS_SHAPE_NONE;
}

void pfs_portal_stat(bool directory, struct stat *st)
{
	st->st_mode = directory ? S_IFDIR | 0555 : S_IFREG | 0666;
	st->st_size = 0;
	st->st_blocks = 0;
	st->st_nlink = 1;
	/* What cat reads at a time: the kernel's largest request. */
	st->st_blksize = 1 << 20;
	clock_gettime(CLOCK_REALTIME, &st->st_mtim);
	st->st_atim = st->st_ctim = st->st_mtim;
}

/* --- parse -------------------------------------------------------------------------------------- */

static const struct pfs_param listen_params[] = { { "linger", "" }, { NULL, NULL } };

/* "PORT,linger=TIME" */
static int listen_options(struct pfs_portal_plan *plan, char *port, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	char *comma = strchr(port, ',');
	int r;

	if (!comma)
		return 0;
	r = pfs_args_parse(comma, listen_params, &args, diag);
	if (r < 0)
		return r;
	*comma = '\0';
	if (pfs_args_get(&args, "linger") &&
	    (pfs_time_parse(pfs_args_get(&args, "linger"), &plan->linger) < 0 ||
	     plan->linger > PFS_LINGER_MAX))
		return pfs_diag_set(diag, EINVAL, "linger=%.40s is no time up to a day",
				    pfs_args_get(&args, "linger"));
	return 0;
}

/* The first component, NULL: there is none. */
static char *component_cut(char **text)
{
	if (*text)
		*text = slashes_skip(*text);
	return *text && **text ? strsep(text, "/") : NULL;
}

int pfs_host_unwrap(const char **host, size_t *len, struct pfs_diag *diag)
{
	if (*len < 2 || (*host)[0] != '[' || (*host)[*len - 1] != ']')
		return 0;
	if (*len == 2)
		return pfs_diag_set(diag, EINVAL, "there is no address between the brackets");
	++*host;
	*len -= 2;
	return 0;
}

/* HOST/PORT[/priv]; text is ours to cut. */
static int socket_parse(struct pfs_portal_plan *plan, char *text, struct pfs_diag *diag)
{
	char *host = component_cut(&text), *port = component_cut(&text);
	const char *bare = host;
	size_t len;
	int r;

	if (!host || !port)
		return pfs_diag_set(diag, EISDIR, "a host and a port are needed: HOST/PORT");
	if (text && *slashes_skip(text)) {
		text = slashes_skip(text);
		if (plan->kind != PFS_PORTAL_TCP || strcmp(text, "priv") != 0)
			return pfs_diag_set(
				diag, EINVAL,
				"nothing but /priv (of tcp) may follow the port, not '%.60s'", text);
		plan->priv = true;
	}
	if (strlen(host) > 255 || strlen(port) > 255)
		return pfs_diag_set(diag, ENAMETOOLONG, "host and port have at most 255 bytes");
	if (plan->kind == PFS_PORTAL_TCPLISTEN) {
		r = listen_options(plan, port, diag);
		if (r < 0)
			return r;
	}
	len = strlen(host);
	r = pfs_host_unwrap(&bare, &len, diag);
	if (r < 0)
		return r;
	if (plan->kind == PFS_PORTAL_TCP || strcmp(host, "ANY") != 0) {
		plan->host = strndup(bare, len);
		if (!plan->host)
			return -ENOMEM;
	}
	plan->port = strdup(port);
	return plan->port ? 0 : -ENOMEM;
}

static int path_parse(struct pfs_portal_plan *plan, const char *text, struct pfs_diag *diag)
{
	size_t n = strlen(text);

	if (!n)
		return pfs_diag_set(diag, ENOENT, "a path is needed");
	plan->path = malloc(n + 2);
	if (!plan->path)
		return -ENOMEM;
	/* @NAME is a socket that is in no directory. */
	if (plan->kind == PFS_PORTAL_UNIX && *text == '@') {
		memcpy(plan->path, text, n + 1);
		return 0;
	}
	plan->path[0] = '/';
	memcpy(plan->path + 1, text, n + 1);
	return 0;
}

static int no_command(struct pfs_diag *diag)
{
	return pfs_diag_set(diag, ENOENT, "a command is needed: pipe/PATH ARGUMENTS");
}

static int pipe_parse(struct pfs_portal_plan *plan, const char *text, struct pfs_diag *diag)
{
	PFS_ARGV struct pfs_argv words = { 0 };
	PFS_BUF struct pfs_buf program = { 0 };
	int r = pfs_argv_split(text, &words, diag);

	if (r < 0)
		return r;
	if (!words.n || !*words.v[0])
		return no_command(diag);
	pfs_buf_printf(&program, "%s%s", words.v[0][0] == '/' ? "" : "/", words.v[0]);
	if (program.failed)
		return -ENOMEM;
	words.v[0] = program.data;
	return pfs_argv_make((const char *const *)words.v, words.n, &plan->argv);
}

/* One word of an rfilter's command, with the rest of the path in it. */
static int word_expand(const char *word, const char *rest, struct pfs_buf *out, struct pfs_diag *diag)
{
	if (!strncmp(word, "%s", 2) && *rest == '-')
		return pfs_diag_set(
			diag, EINVAL,
			"'%.60s' would be an option of the command (%%p in portal.conf puts a / in front)",
			rest);
	for (; *word; word++) {
		if (*word != '%') {
			pfs_buf_add(out, word, 1);
			continue;
		}
		word++;
		if (*word == '%')
			pfs_buf_str(out, "%");
		else
			pfs_buf_printf(out, "%s%s", *word == 'p' ? "/" : "", rest);
	}
	pfs_buf_add(out, "", 1);
	return out->failed ? -ENOMEM : 0;
}

static bool names_path(const struct pfs_argv *command)
{
	for (size_t i = 0; i < command->n; i++)
		for (const char *s = strchr(command->v[i], '%'); s; s = strchr(s + 2, '%'))
			if (s[1] != '%')
				return true;
	return false;
}

static int filter_parse(struct pfs_portal_plan *plan, const struct pfs_portal_rule *rule,
			const char *rest, struct pfs_diag *diag)
{
	size_t n = rule->command.n, at = 0;
	bool append = !names_path(&rule->command);
	PFS_FREE const char **words = pfs_zalloc(n + 1, sizeof(char *));
	PFS_BUF struct pfs_buf text = { 0 };
	int r = 0;

	if (!words)
		return -ENOMEM;
	if (!*rest)
		return pfs_diag_set(diag, ENOENT, "a path is needed after %.60s", rule->match);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = word_expand(rule->command.v[i], rest, &text, diag);
	if (r == 0 && append)
		r = word_expand("%p", rest, &text, diag);
	if (r < 0)
		return r;
	n += append;
	for (size_t i = 0; i < n; i++) {
		words[i] = text.data + at;
		at += strlen(words[i]) + 1;
	}
	plan->read_only = rule->provider == PFS_PROVIDER_RFILTER;
	plan->write_only = !plan->read_only;
	return pfs_argv_make(words, n, &plan->argv);
}

static int access_check(const struct pfs_portal_plan *plan, int access, struct pfs_diag *diag)
{
	if (plan->kind != PFS_PORTAL_COMMAND)
		return 0;
	if (access == O_RDWR)
		return pfs_diag_set(
			diag, EINVAL,
			"a command is read or written, not both: open it twice, or use exec:");
	if (plan->read_only && access == O_WRONLY)
		return pfs_diag_set(diag, EACCES, "portal.conf lets this be read only (rfilter)");
	if (plan->write_only && access == O_RDONLY)
		return pfs_diag_set(diag, EACCES, "portal.conf lets this be written only (wfilter)");
	return 0;
}

void pfs_portal_plan_release(struct pfs_portal_plan *plan)
{
	free(plan->path);
	free(plan->host);
	free(plan->port);
	pfs_argv_release(&plan->argv);
	*plan = (struct pfs_portal_plan){ 0 };
}

static const struct pfs_portal_rule *rule_of(const struct pfs_portal_rules *rules, const char *path)
{
	PFS_FREE char *collapsed = collapsed_copy(path);

	for (size_t i = 0; collapsed && i < rules->n; i++)
		if (rule_matches(&rules->rule[i], collapsed))
			return &rules->rule[i];
	return NULL;
}

static int plan_make(const struct pfs_portal_rule *rule, char *rest, struct pfs_portal_plan *plan,
		     struct pfs_diag *diag)
{
	static const enum pfs_portal_kind kinds[] = {
		[PFS_PROVIDER_FILE] = PFS_PORTAL_FILE,
		[PFS_PROVIDER_TCP] = PFS_PORTAL_TCP,
		[PFS_PROVIDER_TCPLISTEN] = PFS_PORTAL_TCPLISTEN,
		[PFS_PROVIDER_UDP] = PFS_PORTAL_UDP,
		[PFS_PROVIDER_UNIX] = PFS_PORTAL_UNIX,
		[PFS_PROVIDER_PIPE] = PFS_PORTAL_COMMAND,
		[PFS_PROVIDER_RFILTER] = PFS_PORTAL_COMMAND,
		[PFS_PROVIDER_WFILTER] = PFS_PORTAL_COMMAND,
	};

	plan->kind = kinds[rule->provider];
	plan->linger = rule->linger;
	switch (rule->provider) {
	case PFS_PROVIDER_TCP:
	case PFS_PROVIDER_TCPLISTEN:
	case PFS_PROVIDER_UDP:
		return socket_parse(plan, rest, diag);
	case PFS_PROVIDER_PIPE:
		return pipe_parse(plan, rest, diag);
	case PFS_PROVIDER_RFILTER:
	case PFS_PROVIDER_WFILTER:
		return filter_parse(plan, rule, rest, diag);
	default:
		return path_parse(plan, rest, diag);
	}
}

int pfs_portal_parse(const struct pfs_portal_rules *rules, const char *path, bool collapsed,
		     int access, struct pfs_portal_plan *ret_plan, struct pfs_diag *diag)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	const struct pfs_portal_rule *rule = rule_of(rules, path);
	PFS_FREE char *rest = NULL;
	int r;

	if (!rule)
		return pfs_diag_set(diag, ENOENT, "no rule of portal.conf matches '%.150s'", path);
	path = rest_of(rule, slashes_skip(path));
	rest = collapsed ? urls_restore(path) : strdup(path);
	if (!rest)
		return -ENOMEM;
	unescape(rest);
	r = plan_make(rule, rest, &plan, diag);
	if (r == 0)
		r = access_check(&plan, access, diag);
	if (r < 0)
		return r;
	*ret_plan = plan;
	plan = (struct pfs_portal_plan){ 0 };
	return 0;
}
