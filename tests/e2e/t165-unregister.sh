#!/bin/sh
# A filter's process whose callbacks do not come back: rfs_unregister_filter() waits for them, and nobody else does. Changes
# of other filters go on at once, who was asked about gets his answer when it comes, and what the process had is kept until
# then, or until it is killed.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need cc
! t_sanitized || t_skip "a program without the sanitizer would have to load it first"

# Filters f0 to f4, each of the file of its name and of "probe"; f4 has a deadline. Callbacks about other files than probe
# come back on "go". What is done, and when, is told line by line.
cat >flt.c <<'END'
#include <pipesfs/urfs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define N 5
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int gone;
static rfs_filter filter[N];
static char name[N][8];

static enum rfs_retv on_open(rfs_context context, struct rfs_args *args)
{
	void *mine = "";

	rfs_get_context_flt_private_data(context, &mine);
	printf("%s begins %s\n", (char *)mine, strrchr(args->path, '/') + 1);
	if (strstr(args->path, "/probe"))
		return RFS_CONTINUE;
	pthread_mutex_lock(&lock);
	while (!gone)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	printf("%s ends\n", (char *)mine);
	args->retv.rv_int = -EDQUOT;
	return RFS_STOP;
}

static void *unregister(void *arg)
{
	int i = *(char *)arg - '0', r = rfs_unregister_filter(filter[i]);

	printf("%s unregistered %d\n", name[i], r);
	return NULL;
}

static void *hear(void *arg)
{
	static char word[N + 1][16];
	pthread_t thread;

	for (int i = 0; i <= N && scanf("%15s", word[i]) == 1; i++) {
		pthread_mutex_lock(&lock);
		gone = !strcmp(word[i], "go");
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		if (!gone)
			pthread_create(&thread, NULL, unregister, word[i]);
	}
	return arg;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	static struct rfs_op_info ops[] = { { RFS_REG_FOP_OPEN, on_open, NULL }, { RFS_OP_END, NULL, NULL } };
	char path[4096];
	struct rfs_path_info rule = { path, RFS_PATH_INCLUDE | RFS_PATH_SINGLE };
	pthread_t thread;
	int r = urfs_set_threads(conn, 2 * N);

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < N && r == 0 && argc == 2; i++) {
		struct rfs_filter_info info = { name[i], 700 + i, 1, RFS_FAIL_CLOSED, i == N - 1 ? 300 : 100000 };

		snprintf(name[i], sizeof(name[i]), "f%d", i);
		r = urfs_filter_alloc(&filter[i], conn) || rfs_register_filter(&filter[i], &info) ||
		    rfs_set_private_data(filter[i], name[i]) || rfs_set_operations(filter[i], ops);
		for (int j = 0; j < 2 && r == 0; j++) {
			snprintf(path, sizeof(path), "%s/%s", argv[1], j ? "probe" : name[i]);
			r = rfs_set_path(filter[i], &rule);
		}
	}
	return r || pthread_create(&thread, NULL, hear, NULL);
}
RFS_MAIN(start)
END
cc -Wall -Wextra -Werror -I"$TOP/include" -o flt flt.c -L"$filters" -lurfs
export LD_LIBRARY_PATH="$filters"

mkdir one two
touch one/probe one/f0 one/f1 one/f2 one/f3 one/f4 two/file
t_cleanup sh -c "umount -l $TMPDIR/one; umount -l $TMPDIR/two; :"
t_cleanup sh -c "umount -l $P; :"
t_start

# Keeps the tree redirected all the time.
"$filters/udummyflt" -o "$TMPDIR/log" "$TMPDIR/one" &
t_cleanup sh -c "kill -9 $! 2>/dev/null; :"
t_wait_for 10 redirected one

mkfifo words
start() {
	./flt "$TMPDIR/one" <words >told &
	FILTER=$!
	t_cleanup sh -c "kill -9 $FILTER 2>/dev/null; :"
	exec 3>words
	t_wait_for 10 probed
}
probed() {
	cat one/probe && [ "$(grep -c "begins probe" told)" -ge 5 ]
}
# Somebody opens what hangs; what becomes of it is in FILE.got.
opens() { # FILE...
	for file; do
		sh -c "cat one/$file 2>$file.got" &
		t_wait_for 10 grep -q "$file begins $file" told
	done
}
got() { # TEXT FILE...
	text=$1
	shift
	for file; do
		grep -q "$text" "$file.got" || return 1
	done
}
left() { # HOW MANY of f0 to f4 are in the list
	[ "$(ctl list | grep -c ^f)" = "$1" ]
}
# Redirect processes share memory with filters N times: one's, of one tree, is one.
shared() { # N
	n=0
	for cmdline in /proc/[0-9]*/cmdline; do
		if tr '\0' ' ' <"$cmdline" 2>/dev/null | grep -q -- '--link'; then
			n=$((n + $(grep -c memfd:urfs "${cmdline%/*}/maps" 2>/dev/null || :)))
		fi
	done
	[ $n = "$1" ]
}

# --- it answers at last ------------------------------------------------------------------------------------------

start
t_ok "two filter processes, one tree" shared 2
opens f0 f1 f2 f3
t_errno EPERM cat one/f4
t_ok "late: its caller has the policy, and its callback has begun" grep "f4 begins f4" told
t_fails "... and goes on" grep "f4 ends" told
echo 0 1 2 3 4 >&3
t_wait_for 5 left 0
echo "ok: five whose callbacks do not come back are out of the registry at once"
t_ends 5 ./redirctl -m "$P" setpath udummyflt "$TMPDIR/two" include subtree
t_ok "... and another's change is in force" redirected two
t_eq "who opens these files now is not asked about" "$(cat one/f0 one/f4)" ""
t_fails "none has returned while its callback runs" grep unregistered told
t_ok "... and its channel is there, beside those of two trees" shared 3
echo go >&3
t_wait_for 10 got "Disk quota exceeded" f0 f1 f2 f3
echo "ok: who was asked about gets the answer, though the filter has gone"
returned() {
	[ "$(grep -c 'unregistered 0' told)" = 5 ]
}
t_wait_for 10 returned
for i in 0 1 2 3 4; do
	t_eq "f$i: unregistered after its callback" "$(grep -E "^f$i (ends|unreg)" told | tail -n 1)" "f$i unregistered 0"
done
t_wait_for 10 shared 2
echo "ok: then its memory has gone"
kill "$FILTER"
t_rc "$FILTER"
t_eq "it ends properly" "$RC" 0

# --- it is killed ------------------------------------------------------------------------------------------------

exec 3>&-
start
opens f0 f1
echo 0 1 2 3 4 >&3
t_wait_for 5 left 0
t_ok "unregistered, and asked still" shared 3
kill -9 "$FILTER"
t_wait_for 10 got "Operation not permitted" f0 f1
echo "ok: killed: the policy, for those who waited"
t_wait_for 10 shared 2
echo "ok: ... and its memory has gone"
t_eq "no redirect process was ended" "$(cat "$P/.errors")" ""
