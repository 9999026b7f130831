#!/bin/sh
# What a filter refuses when it has been done already is taken back: nothing is left below, no descriptor stays open; what
# was there before stays.
. "$T_LIB"
t_need_root
t_need cc

cat >refuse.c <<'END'
#include <stdlib.h>
#include <string.h>

#include <pipesfs/urfs.h>

static enum rfs_retv after(rfs_context context, struct rfs_args *args)
{
	(void)context;
	if (args->retv.rv_ssize >= 0 && (strstr(args->path, "/no") || strstr(args->path2, "/no")))
		args->retv.rv_ssize = -EACCES;
	return RFS_CONTINUE;
}

static struct rfs_op_info ops[] = {
	{ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, RFS_CREATE), NULL, after },
	{ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, RFS_OPEN), NULL, after },
	{ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, RFS_MKDIR), NULL, after },
	{ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, RFS_MKNOD), NULL, after },
	{ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, RFS_SYMLINK), NULL, after },
	{ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, RFS_LINK), NULL, after },
	{ RFS_OP_END, NULL, NULL },
};
static struct rfs_filter_info info = { .name = "refuse", .priority = 850000000, .active = 1 };

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_path_info path = { argv[argc - 1], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };
	rfs_filter filter;

	return urfs_filter_alloc(&filter, conn) || rfs_register_filter(&filter, &info) ||
	       rfs_set_operations(filter, ops) || rfs_set_path(filter, &path);
}
RFS_MAIN(start)
END
cc -shared -fPIC -DRFS_MODULE -I"$TOP/include" refuse.c -o refuse.so

mkdir tree below
echo there >tree/no-file
ln tree/no-file tree/yes
mount --bind tree below
t_cleanup umount -l below
"$PIPESFS" redirect --load "refuse.so,$TMPDIR/tree" tree
t_cleanup umount -l tree
echo x >tree/fine
server=$(pgrep -x pipesfs-redir)
fds() {
	find "/proc/$server/fd" -type l | wc -l
}
cat tree/fine >/dev/null
t_before=$(fds)

t_errno EACCES sh -c 'echo x >tree/no-create'
t_errno EACCES cat tree/no-file
t_errno EACCES mkdir tree/no-dir
t_errno EACCES mkfifo tree/no-fifo
t_errno EACCES ln -s fine tree/no-symlink
t_errno EACCES ln tree/fine tree/no-link
t_eq "nothing of it is below" "$(echo below/*)" "below/fine below/no-file below/yes"
t_eq "what was there stays" "$(cat below/no-file)" there
t_eq "a refused link takes no other name" "$(cat tree/fine)" x
closed() {
	[ "$(fds)" -le "$t_before" ]
}
t_wait_for 2 closed
echo "ok: no descriptor stays open"
t_ok "the names are free" sh -c 'umount tree && mkdir tree/no-dir && echo x >tree/no-create'
