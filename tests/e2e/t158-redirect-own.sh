#!/bin/sh
# A filter that uses its own tree in its callbacks waits for nobody: neither one in a process with one thread, nor one in a
# shared object that is called for more callers than the redirect process has threads. Nor is who the caller is looked for where
# that waits for him: in the middle of an exec, which closes files.
. "$T_LIB"
t_need_root
t_need cc python3

cat >own.c <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pipesfs/urfs.h>

static char other[4096], made[4096];

/* Reads one file of the tree and writes to another; who opens "/refused" gets what that told. */
static enum rfs_retv on_open(rfs_context context, struct rfs_args *args)
{
	char bytes[8] = "";
	int from = open(other, O_RDONLY | O_CLOEXEC), to = open(made, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int good = read(from, bytes, 6) == 6 && strcmp(bytes, "other\n") == 0 && write(to, "x", 1) == 1;

	(void)context;
	usleep(1000);
	close(from);
	close(to);
	if (good && !strstr(args->path, "/refused"))
		return RFS_CONTINUE;
	args->retv.rv_int = good ? -EACCES : -EBADF;
	return RFS_STOP;
}

static struct rfs_op_info ops[] = { { RFS_REG_FOP_OPEN, on_open, NULL }, { RFS_OP_END, NULL, NULL } };
static struct rfs_filter_info info = { .name = "own", .priority = 850000000, .active = 1 };

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_path_info path = { argv[argc - 1], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };
	rfs_filter filter;

	snprintf(other, sizeof(other), "%s/other", path.path);
	snprintf(made, sizeof(made), "%s/made", path.path);
	return urfs_set_threads(conn, 1) || urfs_filter_alloc(&filter, conn) || rfs_register_filter(&filter, &info) ||
	       rfs_set_operations(filter, ops) || rfs_set_path(filter, &path);
}
RFS_MAIN(start)
END
cc -shared -fPIC -DRFS_MODULE -I"$TOP/include" own.c -o own.so
# A program without the sanitizer would have to load it first.
[ ! -e "$T_BUILD/src/liburfs.so" ] || cc -I"$TOP/include" own.c -o own -L"$T_BUILD/src" -lurfs -Wl,-rpath,"$T_BUILD/src"

cat >many.py <<'END'
import sys, threading
top, n, wrong = sys.argv[1], int(sys.argv[2]), []
def opens():
    try:
        for i in range(5):
            with open(f"{top}/file") as f:
                assert f.read() == "file\n"
    except Exception as e:
        wrong.append(e)
threads = [threading.Thread(target=opens) for _ in range(n)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong, wrong[0]
END

mkdir tree
echo file >tree/file
echo refused >tree/refused
echo other >tree/other
t_cleanup sh -c "umount -l $TMPDIR/tree 2>/dev/null; :"

refused() {
	[ "$({ cat tree/refused 2>&1; } | sed 's/.*: //')" = "Permission denied" ]
}
uses() { # WHAT CALLERS
	t_wait_for 10 refused
	t_before=$(wc -c <tree/made)
	t_ok "$1: $2 callers" timeout 60 python3 many.py "$TMPDIR/tree" "$2"
	t_ok "$1: the filter was called for each" test "$(wc -c <tree/made)" -ge $((t_before + 5 * $2))
	umount tree
	rm tree/made
}

"$PIPESFS" redirect --load "own.so,$TMPDIR/tree" tree
uses "shared object" 100

# --- a file that is closed by exec: the filters, one in a process, are asked about that, and who it is has to be found out ---

cat >exec.c <<'END'
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	return argc != 2 || open(argv[1], O_WRONLY | O_CLOEXEC) < 0 || execl("/bin/true", "true", (char *)NULL);
}
END
cat >exe.c <<'END'
#include <pipesfs/urfs.h>

static enum rfs_retv on_flush(rfs_context context, struct rfs_args *args)
{
	char exe[4096];

	(void)context;
	if (rfs_caller_exe(args, exe, sizeof(exe)) != -ENOENT)
		args->retv.rv_int = -EIO;
	return RFS_CONTINUE;
}

static struct rfs_op_info ops[] = { { RFS_REG_FOP_FLUSH, on_flush, on_flush }, { RFS_OP_END, NULL, NULL } };
static struct rfs_filter_info info = { .name = "exe", .priority = 850000001, .active = 1 };

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_path_info path = { argv[argc - 1], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };
	rfs_filter filter;

	return urfs_filter_alloc(&filter, conn) || rfs_register_filter(&filter, &info) ||
	       rfs_set_operations(filter, ops) || rfs_set_path(filter, &path);
}
RFS_MAIN(start)
END
cc exec.c -o exec
cc -shared -fPIC -DRFS_MODULE -I"$TOP/include" exe.c -o exe.so
"$PIPESFS" redirect --listen socket --load "exe.so,$TMPDIR/tree" tree
PIPESFS_URFS=$TMPDIR/socket t_bg "$T_BUILD/src/udummyflt" -o "$TMPDIR/log" "$TMPDIR/tree"
t_wait_for 10 sh -c 'cat tree/file >/dev/null && test -s log'
for _ in 1 2 3 4 5; do
	t_ends 10 ./exec tree/file
done
t_ok "udummyflt has seen that it was closed" grep -q "^pre REG_FOP_FLUSH .*/tree/file" log
umount tree

[ -x own ] || exit 0
"$PIPESFS" redirect --listen socket tree
PIPESFS_URFS=$TMPDIR/socket t_bg ./own "$TMPDIR/tree"
uses "process" 20
