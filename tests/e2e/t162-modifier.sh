#!/bin/sh
# The modifier callback of a filter in a process of its own: redirctl asks it before it activates, deactivates or sets a path,
# hands back its errno, and may not change a filter that has none.
. "$T_LIB"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need cc
! t_sanitized || t_skip "a program without the sanitizer would have to load it first"

cat >flt.c <<'END'
#include <pipesfs/urfs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static rfs_filter filter;
static FILE *heard;
static int calls;

static enum rfs_retv on_open(rfs_context context, struct rfs_args *args)
{
	(void)context;
	(void)args;
	calls++;
	return RFS_CONTINUE;
}

/* Says what it is asked, refuses what has "no" in it, does the rest itself or leaves it to redirctl. */
static enum rfs_err modify(union rfs_mod *mod)
{
	const char *path = mod->id == RFS_SET_PATH ? mod->set_path.path_info.path : "";

	fprintf(heard, "%d %s %d\n", (int)mod->id, path, *path ? mod->set_path.path_info.flags : 0);
	fflush(heard);
	if (strstr(path, "/no"))
		return -EDQUOT;
	if (strstr(path, "/slow"))
		sleep(3600);
	return mod->id == RFS_SET_PATH ? rfs_set_path(filter, &mod->set_path.path_info) : RFS_ERR_OK;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	static struct rfs_op_info ops[] = { { RFS_REG_FOP_OPEN, on_open, NULL }, { RFS_OP_END, NULL, NULL } };
	struct rfs_filter_info info = { argv[1], argc > 2 ? 700 : 800, 1, 0, 2000 };

	heard = fopen("heard", "w");
	return urfs_filter_alloc(&filter, conn) || rfs_register_filter(&filter, &info) ||
	       rfs_set_operations(filter, ops) || (argc > 2 ? 0 : rfs_set_mod_cb(filter, modify));
}
RFS_MAIN(start)
END
cc -Wall -Wextra -Werror -I"$TOP/include" -o flt flt.c -L"$filters" -lurfs
export LD_LIBRARY_PATH="$filters"

mkdir -p yes no slow
t_cleanup sh -c "umount -l $TMPDIR/yes; :"
t_mount
start() {
	./flt "$@" &
	FILTER=$!
	t_cleanup sh -c "kill -9 $FILTER 2>/dev/null; :"
	t_wait_for 10 sh -c "./redirctl -m $P hooks $1 | grep -q 'pre REG_FOP_OPEN'"
}
heard() {
	tail -n 1 heard
}

start asked
t_eq "it hooks what it says, and no more" "$(ctl hooks asked)" "pre REG_FOP_OPEN"
t_wait_for 10 sh -c "./redirctl -m $P setpath asked $TMPDIR/yes include subtree"
t_eq "setpath: it was asked" "$(heard)" "2 $TMPDIR/yes 6"
t_ok "... and it is done" redirected yes
t_eq "... once" "$(ctl paths asked)" "$TMPDIR/yes 0x6"
t_errno EDQUOT ./redirctl -m "$P" setpath asked "$TMPDIR/no" include single
t_has "its errno is told in words" "$(ctl setpath asked "$TMPDIR/no" include single 2>&1)" "the filter 'asked' refuses: Disk quota exceeded"
t_has "... in .errors, too" "$(cat "$P/.errors")" "the filter 'asked' refuses: Disk quota exceeded"
t_eq "... and nothing has changed" "$(ctl paths asked)" "$TMPDIR/yes 0x6"
ctl deactivate asked
t_eq "deactivate: it was asked" "$(heard)" "1  0"
t_eq "... and it is done" "$(ctl list)" "asked 800 0 pid=$FILTER"
ctl deactivate asked
t_eq "what is so already is not asked for" "$(grep -c '^1' heard)" 1
ctl activate asked
t_eq "activate: it was asked" "$(heard)" "0  0"
ctl rempath asked "$TMPDIR/yes"
ctl priority asked 900
t_eq "paths that go, and priorities, are the administrator's" "$(ctl list)$(ctl paths asked)" "asked 900 1 pid=$FILTER"
ctl deadline asked 500ms
t_has "one that does not answer is told" "$(ctl setpath asked "$TMPDIR/slow" include subtree 2>&1)" "does not say whether it may be changed"
ctl deadline asked 5s
ctl setpath asked "$TMPDIR/yes" include single
t_eq "... and the next question is another" "$(ctl paths asked)" "$TMPDIR/yes 0x5"
kill -9 "$FILTER"
wait "$FILTER" 2>/dev/null || :
t_wait_for 10 sh -c "./redirctl -m $P list | grep -q gone"
t_ok "whose process has died is not asked" ./redirctl -m "$P" setpath asked "$TMPDIR/no" include single
ctl unload asked

start alone none
t_has "without a modifier" "$(ctl deactivate alone 2>&1)" "operation not permitted"
t_fails "... nor setpath" ./redirctl -m "$P" setpath alone "$TMPDIR/yes" include subtree
t_eq "... nothing has changed" "$(ctl list)$(ctl paths alone)" "alone 700 1 pid=$FILTER"
