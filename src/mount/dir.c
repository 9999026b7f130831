/*
 * dir - directories of the graph
 *
 * Every filter directory has its pipe files, its dot files and its children; the root has
 * `.filters`, `.errors`, `.graph`, `.metrics` and `.control` instead of pipes. Looking asks the
 * graph and changes nothing.
 */
#include "mount/mount_i.h"

#include <stdio.h>

enum {
	SLOT_ERRORS = 50,
	SLOT_CONTROL,
	SLOT_MANUALS,
	SLOT_RUN,
};

static const struct {
	const char *name;
	const struct pfs_kind *kind;
	unsigned slot;
} root_entries[] = {
	{ ".control", &pfs_kind_control, SLOT_CONTROL },
	{ ".errors", &pfs_kind_errors, SLOT_ERRORS },
	{ ".filters", &pfs_kind_manuals, SLOT_MANUALS },
	{ ".run", &pfs_kind_run, SLOT_RUN },
};

static void dir_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	struct pfs_node_info info;

	pfs_node_info(entry->node, &info);
	st->st_mode = S_IFDIR | (info.mode & 07777);
}

static int dir_setattr(struct pfs_mount *mount, struct pfs_entry *entry, const struct stat *st,
		       int which)
{
	int r = 0;

	(void)mount;
	if (which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		r = pfs_node_chown(entry->node, which & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1,
				   which & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1);
	if (r == 0 && (which & FUSE_SET_ATTR_MODE))
		r = pfs_node_chmod(entry->node, st->st_mode & 07777);
	return r;
}

static int root_name(const char *name, struct pfs_entry *like)
{
	for (size_t i = 0; i < ARRAY_SIZE(root_entries); i++)
		if (!strcmp(name, root_entries[i].name)) {
			like->kind = root_entries[i].kind;
			like->ino = pfs_file_ino(FUSE_ROOT_ID, root_entries[i].slot);
			return 0;
		}
	return -ENOENT;
}

static bool is_filter(const struct pfs_node_info *info)
{
	return info->kind != PFS_NODE_ROOT && info->kind != PFS_NODE_FOLDER &&
	       info->kind != PFS_NODE_RUN;
}

static int dir_lookup(struct pfs_mount *mount, struct pfs_entry *dir, const char *name,
		      struct pfs_entry **ret_entry)
{
	struct pfs_entry like = { .node = dir->node };
	struct pfs_node_info info;
	struct pfs_node *child;
	char short_name[PFS_NAME_MAX + 1];
	int r;

	pfs_node_info(dir->node, &info);
	r = info.kind == PFS_NODE_ROOT ? root_name(name, &like) : -ENOENT;
	if (r == -ENOENT)
		r = pfs_redirfs_name(dir->node, &info, name, &like);
	if (r == -ENOENT)
		r = pfs_text_name(&info, name, &like);
	if (r == -ENOENT)
		r = pfs_show_name(&info, name, &like);
	if (r == -ENOENT && is_filter(&info))
		r = pfs_pipe_name(&info, name, &like);
	if (r == 0)
		return pfs_inode_file(mount, &like, ret_entry);
	if (r != -ENOENT)
		return r;
	r = pfs_node_lookup(dir->node, pfs_redirfs_child(&info, name, short_name), &child);
	if (r == -ENOENT)
		return pfs_link_lookup(mount, dir->node, name, ret_entry);
	return r < 0 ? r : pfs_inode_dir(mount, child, ret_entry);
}

struct child_list {
	struct pfs_node *dir;
	struct pfs_listing *listing;
};

static int list_child(void *arg, const char *name, const struct pfs_node_info *info)
{
	struct child_list *list = arg;
	struct pfs_node_info found = *info;
	struct pfs_node *child;

	/* A device that nobody has looked at has no number yet; stat would give it one, so do we. */
	if (!found.id && pfs_node_lookup(list->dir, name, &child) == 0) {
		pfs_node_info(child, &found);
		pfs_node_unref(child);
	}
	if (found.id)
		pfs_listing_add(list->listing, name, found.id, S_IFDIR);
	return list->listing->names.failed ? -ENOMEM : 0;
}

static int dir_list(struct pfs_mount *mount, struct pfs_entry *dir, struct pfs_listing *listing)
{
	struct child_list list = { .dir = dir->node, .listing = listing };
	struct pfs_node_info info;

	pfs_node_info(dir->node, &info);
	if (info.kind == PFS_NODE_ROOT)
		for (size_t i = 0; i < ARRAY_SIZE(root_entries); i++)
			pfs_listing_add(listing, root_entries[i].name,
					pfs_file_ino(FUSE_ROOT_ID, root_entries[i].slot),
					root_entries[i].kind->directory ? S_IFDIR : S_IFREG);
	if (info.kind == PFS_NODE_ROOT)
		pfs_portal_names(mount, listing);
	pfs_redirfs_list(dir->node, &info, listing);
	pfs_text_list(&info, listing);
	pfs_show_list(&info, listing);
	if (is_filter(&info))
		pfs_pipe_list(&info, listing);
	pfs_links_list(mount, dir->node, listing);
	return pfs_node_list(dir->node, list_child, &list);
}

const struct pfs_kind pfs_kind_dir = {
	.directory = true,
	.attr = dir_attr,
	.setattr = dir_setattr,
	.lookup = dir_lookup,
	.list = dir_list,
};
