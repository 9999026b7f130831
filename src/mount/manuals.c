/*
 * manuals - .filters/<name>: one manual page per filter, source, sink and view
 */
#include "mount/mount_i.h"

#include "graph/tables.h"

#define MANUAL_INO ((uint64_t)9 << 59)

static void manuals_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	st->st_mode = S_IFDIR | 0555;
}

static int manuals_lookup(struct pfs_mount *mount, struct pfs_entry *dir, const char *name,
			  struct pfs_entry **ret_entry)
{
	struct pfs_entry like = { .kind = &pfs_kind_manual, .node = dir->node };

	for (int i = 0; pfs_manuals[i].name; i++)
		if (!strcmp(name, pfs_manuals[i].name)) {
			like.which = i;
			like.ino = MANUAL_INO + (unsigned)i;
			return pfs_inode_file(mount, &like, ret_entry);
		}
	return -ENOENT;
}

static int manuals_list(struct pfs_mount *mount, struct pfs_entry *dir, struct pfs_listing *listing)
{
	for (unsigned i = 0; pfs_manuals[i].name; i++)
		pfs_listing_add(listing, pfs_manuals[i].name, MANUAL_INO + i, S_IFREG);
	return 0;
}

static void manual_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	st->st_mode = S_IFREG | 0444;
}

static void manual_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
			struct fuse_file_info *fi)
{
	struct pfs_buf text = { 0 };

	pfs_buf_str(&text, pfs_manuals[entry->which].text);
	pfs_text_open(mount, req, fi, &pfs_kind_manual, NULL, &text);
}

const struct pfs_kind pfs_kind_manuals = {
	.directory = true,
	.attr = manuals_attr,
	.lookup = manuals_lookup,
	.list = manuals_list,
};

const struct pfs_kind pfs_kind_manual = {
	.attr = manual_attr,
	.open = manual_open,
	.read = pfs_text_read,
	.release = pfs_text_release,
};
