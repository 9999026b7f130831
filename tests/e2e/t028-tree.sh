#!/bin/sh
# needs: user
# The tree as a filesystem: what find, ls, rm -r, test, stat and editors see, what happens
# to what is removed while it is open, and what stays the same.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_mount
t_pids
mkdir -p "$P/accept/unpcap/ip/tcp" "$P/accept/unpcap/udp"

# --- looking ---------------------------------------------------------------------------

t_eq "find sees each directory once" "$(cd "$P" && find accept -type d | sort | tr '\n' ' ')" \
	'accept accept/unpcap accept/unpcap/ip accept/unpcap/ip/tcp accept/unpcap/udp '
t_eq "find -links agrees" "$(cd "$P" && find accept -mindepth 1 -type d -links 1 | wc -l)" 4
t_eq "no name comes twice" "$(find "$P" | sort | uniq -d)" ''
t_eq "ls and readdir agree on inode numbers" "$(cd "$P/accept" && ls -i all)" "$(cd "$P/accept" && stat -c '%i all' all)"
t_eq "inode numbers are stable" "$(stat -c %i "$P/accept" "$P/accept/all" "$P/accept/.stats")" \
	"$(stat -c %i "$P/accept" "$P/accept/all" "$P/accept/.stats")"
t_eq "inode numbers differ" "$(find "$P" -printf '%i\n' | sort | uniq -d)" ''
t_eq "pipes are files of no size" "$(stat -c '%F %s' "$P/accept/all")" 'regular empty file 0'
t_eq "their block size is the largest request" "$(stat -c %o "$P/accept/all")" 1048576
t_ok "test -e, -d, -f, -r, -w" sh -c "test -e '$P/accept/all' -a -f '$P/accept/all' -a -d '$P/accept' -a -r '$P/accept/all' -a -w '$P/accept/all'"
t_fails "no such pipe" test -e "$P/accept/all,policy=maybe"
t_ok "a policy resolves though unlisted" test -e "$P/accept/all,policy=lossy"
t_ok "... also of a view" test -e "$P/accept/unpcap/all.json,policy=reliable"
t_fails "... and is not listed" sh -c "ls '$P/accept' | grep policy"
t_fails "views of packets are not listed for bytes" test -n "$(find "$P/accept" -maxdepth 1 -name all.pcapng)"
t_ok "... but of packets" test -n "$(find "$P/accept/unpcap" -maxdepth 1 -name all.pcapng)"
t_ok "df" df "$P"
t_eq "names may have 255 bytes" "$(stat -f -c %l "$P")" 255
t_eq "no extended attributes" "$(getfattr -d -m - "$P/accept" 2>/dev/null || true)" ''
t_ok "a manual" grep -q 'unpcap - ' "$P/.filters/unpcap"
t_eq "manuals are those of the filters" "$(cd "$P/.filters" && ls -d tcp accept)" "accept
tcp"

# --- text files --------------------------------------------------------------------------

t_ok "cat, grep, head, tail, wc, dd" sh -c "cd '$P/accept' && cat .stats >/dev/null && grep -q '^in ' .stats && head -n 1 .stats | grep -q . &&
	tail -n 1 .stats | grep -q . && wc -l .stats >/dev/null && dd if=.stats bs=3 status=none | cmp - .stats"
t_ok "cp of a text file has it all" sh -c "cp '$P/.filters/unpcap' copy && cmp copy '$P/.filters/unpcap' && test -s copy"
t_ok "seeking in a text file" python3 -c "
f = open('$P/.filters/unpcap', 'rb')
data = f.read()
f.seek(5)
assert f.read(10) == data[5:15]"
t_ok "an open text does not change" python3 -c "
import os
f = os.open('$P/accept/.stats', os.O_RDONLY)
a = os.pread(f, 100, 0)
w = os.open('$P/accept/all', os.O_WRONLY)
os.write(w, b'x')
os.close(w)
assert os.pread(f, 100, 0) == a"
cat "$P/accept/all" >/dev/null
t_eq "nobody writes statistics" "$(python3 "$TOP/tests/tools/call.py" write "$P/accept/.stats" x | sed 's/EPERM/EACCES/')" EACCES

# --- removing --------------------------------------------------------------------------------

t_read accept/unpcap/ip/all out
R=$BG
t_ok "rm of a pipe succeeds" rm -f "$P/accept/unpcap/ip/all"
t_ok "... and does nothing" test -e "$P/accept/unpcap/ip/all"
t_ok "rm -r of a running tree" rm -r "$P/accept/unpcap"
t_ok "its readers get end of file" t_done $R
t_fails "it is gone" test -e "$P/accept/unpcap"
mkdir -p "$P/accept/unpcap/ip"
t_eq "a new one is another" "$(ls "$P/accept/unpcap/ip/.stats" && grep '^in ' "$P/accept/unpcap/ip/.stats")" "$P/accept/unpcap/ip/.stats
in 0"

cd "$P/accept/unpcap/ip" || exit
rm -r "$P/accept/unpcap"
t_fails "a working directory that is gone: ls fails and does not hang" timeout 5 ls -l "$P/accept/unpcap/ip"
t_fails "... nothing can be made there" mkdir tcp
cd "$TMPDIR" || exit

# --- many --------------------------------------------------------------------------------------

t_ok "a thousand directories" python3 -c "
import os
for i in range(1000):
    os.mkdir('$P/accept/head:%d' % (i + 1))
assert len([n for n in os.listdir('$P/accept') if n.startswith('head')]) == 1000"
t_eq "find sees them all" "$(find "$P/accept" -name 'head:*' -type d | wc -l)" 1000
t_ok "listing while others make and remove" timeout 60 python3 -c "
import os, threading
stop = False
def churn(k):
    i = 0
    while not stop:
        i += 1
        os.mkdir('$P/accept/snap:%d' % (k * 100000 + i))
        os.rmdir('$P/accept/snap:%d' % (k * 100000 + i))
ts = [threading.Thread(target=churn, args=(k,)) for k in (1, 2)]
for t in ts: t.start()
try:
    for _ in range(20):
        names = os.listdir('$P/accept')
        assert len(names) == len(set(names)), 'twice'
        assert len([n for n in names if n.startswith('head:')]) == 1000, 'missing'
finally:
    stop = True
for t in ts: t.join()"
t_ok "rm -r of all that" rm -r "$P/accept"
t_fails "gone" test -e "$P/accept"
t_ok "nothing fell" t_alive "$STREAMS"
