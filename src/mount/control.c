/*
 * control - .control: who serves this mount, and how to end it
 *
 *	keeper 4711
 *	streams 4712
 *
 * Writing `end` ends all streams (readers get EOF), detaches the mount and ends both processes:
 * what `pipesfs umount` does. Through the mount it works in any namespace that sees it, and needs
 * no file elsewhere that could be stale. Only who mounted it (and root, where root may enter) can
 * open it.
 */
#include "mount/mount_i.h"

static void control_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	st->st_mode = S_IFREG | 0600;
	st->st_uid = getuid();
	st->st_gid = getgid();
}

static void control_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
			 struct fuse_file_info *fi)
{
	struct pfs_buf text = { 0 };

	pfs_buf_printf(&text, "keeper %ld\nstreams %ld\n", (long)mount->keeper, (long)getpid());
	pfs_text_open(mount, req, fi, &pfs_kind_control, NULL, &text);
}

static void control_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size,
			  int flags)
{
	struct pfs_mount *mount = file->mount;
	size_t len = size;

	while (len && (bytes[len - 1] == '\n' || bytes[len - 1] == ' '))
		len--;
	if (len != 3 || memcmp(bytes, "end", 3) != 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	fuse_reply_write(req, size);
	eventfd_write(mount->end_fd, 1);
}

const struct pfs_kind pfs_kind_control = {
	.attr = control_attr,
	.open = control_open,
	.read = pfs_text_read,
	.write = control_write,
	.release = pfs_text_release,
};
