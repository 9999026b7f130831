/*
 * redirfs_change - what mkdir, rmdir and a write below /p/redirfs/ do
 */
#include <sys/stat.h>

#include "base/mountinfo.h"
#include "mount/redirfs_i.h"

static const struct pfs_param make_params[] = {
	{ "so", "shared object that holds the filter, an absolute path" },
	{ "args", "what it is started with, with %2c between: -r%2c%2fetc%2frules" },
	{ "priority", "a number, or the name of a group" },
	{ "active", "1: at once" },
	{ NULL, NULL },
};

bool pfs_redir_name(const char *text, char ret_name[RD_NAME_MAX])
{
	size_t n = strcspn(text, ",:");

	if (!n || n >= RD_NAME_MAX)
		return false;
	memcpy(ret_name, text, n);
	ret_name[n] = '\0';
	return true;
}

/* --- what is to be done where ------------------------------------------------------------------------ */

int pfs_redir_place(struct rd_rule_new *rule, struct pfs_diag *diag)
{
	PFS_FREE char *real = realpath(rule->desc.path, NULL);
	PFS_FREE char *tree = NULL;
	struct stat st;

	if (!real || stat(real, &st) < 0)
		return pfs_diag_set(diag, errno, "%.180s: %s", rule->desc.path, strerror(errno));
	tree = strdup(real);
	if (!tree)
		return -ENOMEM;
	if (!S_ISDIR(st.st_mode)) {
		char *slash = strrchr(tree, '/');

		slash[slash == tree] = '\0';
	}
	if (!strcmp(tree, "/") && rule->desc.include)
		return pfs_diag_set(diag, EINVAL,
				    "the root directory cannot be redirected; name directories in it");
	if (pfs_in_pipesfs_path(real))
		return pfs_diag_set(diag, EINVAL,
				    "%.180s is in a pipesfs, which cannot be redirected", real);
	free((char *)(uintptr_t)rule->desc.path);
	rule->desc.path = TAKE_PTR(real);
	rule->tree = TAKE_PTR(tree);
	return 0;
}

static int parse_rules(struct pfs_redir_change *change, struct pfs_diag *diag)
{
	const char *line = change->text, *end = change->text + change->len;
	size_t lines = 1;

	for (const char *p = line; p < end; p++)
		lines += *p == '\n';
	change->rule = pfs_zalloc(lines, sizeof(*change->rule));
	if (!change->rule)
		return -ENOMEM;
	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((next ? next : end) - line);
		struct rd_rule_new *rule = &change->rule[change->n_rules];
		char *path = NULL;
		int r = 0;

		if (len) {
			r = rd_rule_parse(line, len, &path, &rule->desc.subtree, diag);
			rule->desc.path = path;
			rule->desc.include = change->file == PFS_REDIR_INCLUDE;
			change->n_rules += r == 0;
		}
		/* What is taken away may be gone from the filesystem, too. */
		if (r == 0 && len && change->file != PFS_REDIR_REMOVE)
			r = pfs_redir_place(rule, diag);
		if (r < 0)
			return r;
		line = next ? next + 1 : end;
	}
	return change->n_rules ? 0
			       : pfs_diag_set(diag, EINVAL,
					      "a path is missing: PATH single, or PATH subtree");
}

/* Whoever loads a file into a process of root's lets its owner be root. */
static int check_object(const char *path, uid_t uid, struct pfs_diag *diag)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return pfs_diag_set(diag, errno, "%.180s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return pfs_diag_set(diag, EINVAL, "%.180s is no file", path);
	if (geteuid() == 0 && (uid != 0 || st.st_uid != 0 || (st.st_mode & 022)))
		return pfs_diag_set(diag, EPERM,
				    "%.150s must be root's, and writable by nobody else, to be loaded",
				    path);
	return 0;
}

static int parse_make(struct pfs_redir_change *change, struct pfs_diag *diag)
{
	const char *active;
	int r = pfs_args_parse(change->text, make_params, &change->args, diag);

	if (r < 0)
		return r;
	if (change->args.arg || !pfs_redir_name(change->text, change->name))
		return pfs_diag_set(
			diag, EINVAL,
			"a filter is made as NAME,so=FILE,priority=N, with %%2f for a slash");
	active = pfs_args_get(&change->args, "active");
	if (active && strcmp(active, "0") != 0 && strcmp(active, "1") != 0)
		return pfs_diag_set(diag, EINVAL, "active is 0 or 1");
	change->what = (struct rd_registering){
		.name = change->name,
		.priority = pfs_args_get(&change->args, "priority"),
		.object = pfs_args_get(&change->args, "so"),
		.args = pfs_args_get(&change->args, "args"),
		.active = active && active[0] == '1',
		.modifier = true,
		.uid = change->uid,
	};
	if (!change->what.object || !change->what.priority)
		return pfs_diag_set(
			diag, EINVAL,
			"a filter needs a shared object and a priority: NAME,so=%%2flib%%2fscan.so,priority=N");
	return check_object(change->what.object, change->uid, diag);
}

static void change_release(struct pfs_redir_change *change)
{
	for (size_t i = 0; i < change->n_rules; i++) {
		free((char *)(uintptr_t)change->rule[i].desc.path);
		free((char *)(uintptr_t)change->rule[i].tree);
	}
	free(change->rule);
	pfs_args_release(&change->args);
}

/* --- to the registry ------------------------------------------------------------------------------------ */

static int write_rules(const struct pfs_redir_change *change, struct rd_registry *next,
		       struct pfs_diag *diag)
{
	int r = 0;

	for (size_t i = 0; i < change->n_rules && r == 0; i++)
		r = change->file == PFS_REDIR_REMOVE
			    ? rd_registry_rule_remove(next, change->name, change->rule[i].desc.path,
						      diag)
			    : rd_registry_rule_add(next, change->name, &change->rule[i], diag);
	return r;
}

static int change_do(void *arg, struct rd_registry *next, struct pfs_diag *diag)
{
	const struct pfs_redir_change *change = arg;

	if (change->kind == PFS_REDIR_MAKE)
		return rd_registry_add(next, &change->what, diag);
	if (change->kind == PFS_REDIR_DROP || change->file == PFS_REDIR_UNREGISTER)
		return rd_registry_remove(next, change->name, diag);
	if (change->file <= PFS_REDIR_DEADLINE)
		return rd_registry_set(next, change->name, (enum rd_setting)change->file,
				       change->text, diag);
	return write_rules(change, next, diag);
}

/* --- the modifier of a filter in another process ---------------------------------------------------------- */

struct asked {
	const struct pfs_redir_change *change;
	bool differs; /* it would become active, or inactive */
};

static void look_active(void *arg, const struct rd_registry *now)
{
	struct asked *asked = arg;
	const struct rd_registered *filter = rd_registry_find(now, asked->change->name);

	asked->differs = filter && filter->active != (asked->change->text[0] == '1');
}

/* Before the change is begun: what its callback does is one, too. */
static int ask(const struct pfs_redirfs *redirfs, const struct pfs_redir_change *change,
	       struct pfs_diag *diag)
{
	struct asked asked = { .change = change };
	union rfs_mod mod;
	int r = 0;

	memset(&mod, 0, sizeof(mod));
	if (change->file == PFS_REDIR_ACTIVE) {
		rd_herd_look(redirfs->herd, look_active, &asked);
		mod.id = change->text[0] == '1' ? RFS_ACTIVATE : RFS_DEACTIVATE;
		return asked.differs ? rd_join_modify(redirfs->join, change->name, &mod, diag) : 0;
	}
	if (change->file != PFS_REDIR_INCLUDE && change->file != PFS_REDIR_EXCLUDE)
		return 0;
	for (size_t i = 0; i < change->n_rules && r == 0; i++) {
		const struct rd_rule_desc *rule = &change->rule[i].desc;

		mod.set_path.id = RFS_SET_PATH;
		mod.set_path.path_info.path = rule->path;
		mod.set_path.path_info.flags = (rule->include ? RFS_PATH_INCLUDE : RFS_PATH_EXCLUDE) |
					       (rule->subtree ? RFS_PATH_SUBTREE : RFS_PATH_SINGLE);
		r = rd_join_modify(redirfs->join, change->name, &mod, diag);
	}
	return r;
}

/* Its directory goes with it: readers drain what there is, then get the end. */
static bool goes(const struct pfs_redir_change *change)
{
	return change->kind == PFS_REDIR_DROP ||
	       (change->kind == PFS_REDIR_WRITE && change->file == PFS_REDIR_UNREGISTER);
}

static int check_empty(struct pfs_mount *mount, const char *name, struct pfs_diag *diag)
{
	struct pfs_node_info info;
	struct pfs_node *node;

	if (pfs_node_lookup(mount->redirfs->folder, name, &node) < 0)
		return 0; /* the registry has the sentence */
	pfs_node_info(node, &info);
	pfs_node_unref(node);
	return info.children
		       ? pfs_diag_set(diag, ENOTEMPTY,
				      "there are directories in it, which work on its operations")
		       : 0;
}

int pfs_redir_change(struct pfs_mount *mount, struct pfs_redir_change *change, struct pfs_diag *diag)
{
	static const struct pfs_cred nobody = { .uid = 0 };
	int r = 0;

	if (change->kind == PFS_REDIR_MAKE)
		r = parse_make(change, diag);
	else if (change->kind == PFS_REDIR_WRITE && memchr(change->text, '\0', change->len))
		r = pfs_diag_set(diag, EINVAL, "there is a NUL byte in it");
	else if (change->kind == PFS_REDIR_WRITE && change->file >= PFS_REDIR_INCLUDE &&
		 change->file <= PFS_REDIR_REMOVE)
		r = parse_rules(change, diag);
	else if (goes(change))
		r = check_empty(mount, change->name, diag);
	if (r == 0 && change->kind == PFS_REDIR_WRITE)
		r = ask(mount->redirfs, change, diag);
	if (r == 0)
		r = rd_herd_change(mount->redirfs->herd, change_do, change, diag);
	if (r == 0 && goes(change))
		(void)pfs_node_remove(mount->redirfs->folder, change->name, &nobody, NULL);
	change_release(change);
	return r;
}
