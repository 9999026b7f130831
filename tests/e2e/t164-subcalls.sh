#!/bin/sh
# A filter in a process of its own whose callbacks do the operation themselves, in two trees at the same time: each sub-call
# gets its own result, though the two redirect processes number their calls alike.
. "$T_LIB"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need cc python3
! t_sanitized || t_skip "a program without the sanitizer would have to load it first"

cat >flt.c <<'END'
#include <pipesfs/urfs.h>
#include <pthread.h>

static pthread_barrier_t both; /* a call of each tree, which have the same number */

static enum rfs_retv on_rmdir(rfs_context context, struct rfs_args *args)
{
	enum rfs_err r;

	pthread_barrier_wait(&both);
	r = rfs_subcall(context, args);
	if (r < 0)
		args->retv.rv_int = r;
	return RFS_STOP;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	static struct rfs_op_info ops[] = { { RFS_DIR_IOP_RMDIR, on_rmdir, 0 }, { RFS_OP_END, 0, 0 } };
	struct rfs_filter_info info = { "twice", 700, 1, 0, 5000 };
	static rfs_filter filter;
	int r = pthread_barrier_init(&both, NULL, 2) || urfs_filter_alloc(&filter, conn) || rfs_register_filter(&filter, &info) || rfs_set_operations(filter, ops);

	for (int i = 1; i < argc && r == 0; i++) {
		struct rfs_path_info path = { argv[i], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };

		r = rfs_set_path(filter, &path);
	}
	return r;
}
RFS_MAIN(start)
END
cc -Wall -Wextra -I"$TOP/include" -o flt flt.c -L"$filters" -lurfs
export LD_LIBRARY_PATH="$filters"

# One that goes here, and one that is not empty and stays there.
cat >both.py <<'END'
import errno, os, threading
wrong = []
def empty():
    try:
        os.rmdir("one/empty")
    except OSError as e:
        wrong.append(str(e))
def full():
    try:
        os.rmdir("two/full")
        wrong.append("it went")
    except OSError as e:
        if e.errno != errno.ENOTEMPTY:
            wrong.append(str(e))
os.makedirs("two/full/below")
for i in range(50):
    os.mkdir("one/empty")
    threads = [threading.Thread(target=work) for work in (empty, full)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
print(len(wrong), wrong[:3])
END

mkdir -p one two
t_cleanup sh -c "umount -l $TMPDIR/one; umount -l $TMPDIR/two; :"
t_mount
./flt "$TMPDIR/one" "$TMPDIR/two" &
t_cleanup sh -c "kill -9 $! 2>/dev/null; :"
t_wait_for 10 redirected one
t_wait_for 10 redirected two
t_wait_for 10 sh -c "./redirctl -m $P hooks twice | grep -q 'pre .*RMDIR'"
t_eq "each sub-call has its own result" "$(python3 both.py)" "0 []"
t_has "they were asked" "$(ctl stat twice)" "pres 100"
