#!/bin/sh
# A filter's process that is told to end while many ask it: each of its callers has his answer, or goes on without it; nobody
# gets its policy, which is for those that die.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need python3

mkdir one
echo first >one/file
t_cleanup sh -c "umount -l $TMPDIR/one; :"
t_cleanup sh -c "umount -l $P; :"
t_start
"$filters/scrambleflt" "$TMPDIR/one" &
t_cleanup sh -c "kill -9 $! 2>/dev/null; :"
t_wait_for 10 redirected one

cat >openers.py <<'END'
import os, sys, threading, time
stop, failed, opened = False, [], 0
def work():
    global opened
    while not stop:
        try:
            os.close(os.open("one/file", os.O_RDONLY))
            opened += 1
        except OSError as e:
            failed.append(str(e))
threads = [threading.Thread(target=work) for _ in range(16)]
for t in threads:
    t.start()
for line in sys.stdin:
    before = opened
    while opened < before + 200 and not failed:
        time.sleep(0.001)
    print("opened", len(failed), failed[:3], flush=True)
stop = True
END
mkfifo ask
python3 openers.py <ask >told &
OPENERS=$!
exec 3>ask
asked() {
	ctl stat udummyflt | grep -q 'pres [1-9]'
}
N=0
more() { # ... have been opened by now
	N=$((N + 1))
	echo more >&3
	t_wait_for 20 sh -c "[ \$(wc -l <told) = $N ]"
}
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"$filters/udummyflt" -p closed -o /dev/null "$TMPDIR/one" &
	FILTER=$!
	t_wait_for 10 asked
	more
	kill "$FILTER"
	t_rc "$FILTER"
	[ "$RC" = 0 ] || t_fail "it ended with status $RC"
	more
done
t_eq "ten that end under load: nobody is refused" "$(sort -u told)" "opened 0 []"
"$filters/udummyflt" -p closed -o /dev/null "$TMPDIR/one" &
FILTER=$!
t_wait_for 10 asked
kill -9 "$FILTER"
exec 3>&-
wait "$OPENERS"
t_errno EPERM cat one/file
