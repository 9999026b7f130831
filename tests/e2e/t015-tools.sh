#!/bin/sh
# needs: user
# The table of tools in pipesfs-tools(7), each used as people use it. Reading: every byte,
# then the end. Writing: every byte. Tools that cannot work do what the table says they do.
# shellcheck disable=SC2016 # what is in single quotes is expanded by the sh that runs it
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need socat pv busybox perl

t_mount
mkdir "$P/accept"
capture spread in.pcap 5000 900
capture spread small.pcap 20 900
size=$(wc -c <in.pcap)
want=$(md5sum <in.pcap)
all=$P/accept/all
export all

# reads NAME COMMAND: a reader on $all, the file poured in, its output must be the file
reads() {
	name=$1
	: >out
	sh -c "exec $2" >out 2>err &
	reader=$!
	t_cleanup kill "$reader"
	t_wait_for 10 opened "$reader"
	cat in.pcap >"$all"
	t_done "$reader" || t_fail "$name: status $? $(cat err)"
	t_eq "read: $name" "$(md5sum <out)" "$want"
}

# tells NAME COMMAND WANT: the same, with a result on its output instead
tells() {
	sh -c "exec $2" >out 2>err &
	reader=$!
	t_cleanup kill "$reader"
	t_wait_for 10 opened "$reader"
	cat in.pcap >"$all"
	t_done "$reader" || t_fail "$1: status $? $(cat err)"
	t_eq "read: $1" "$(cat out)" "$3"
}

# The command, or a child of it, has the stream open for reading: opened PID [PATH]
opened() {
	for pid in $1 $(pgrep -P "$1" || true); do
		t_opened "$pid" "${2:-accept/all}" && return 0
	done
	return 1
}

# --- readers ------------------------------------------------------------------------------

reads 'cat' 'cat "$all"'
reads 'cat <' 'cat <"$all"'
reads 'dd' 'dd if="$all" status=none'
reads 'dd bs=1M' 'dd if="$all" bs=1M status=none'
reads 'dd bs=1000' 'dd if="$all" bs=1000 status=none'
reads 'cp to standard output' 'cp "$all" /dev/stdout'
reads 'tee' 'tee copy <"$all"'
t_eq "read: tee's other output" "$(md5sum <copy)" "$want"
reads 'pv' 'pv -q "$all"'
reads 'socat' 'socat -u "OPEN:$all" STDOUT'
reads 'tail -c +1' 'tail -c +1 "$all"'
reads 'head -c' "head -c $size \"\$all\""
reads 'python' "python3 -c 'import os, shutil, sys; shutil.copyfileobj(open(os.environ[\"all\"], \"rb\"), sys.stdout.buffer)'"
reads 'perl' "perl -e 'binmode STDOUT; open F, q(<), \$ENV{all} or die; binmode F; print while <F>'"
reads 'busybox dd' 'busybox dd if="$all"'
tells 'wc -c' 'wc -c <"$all"' "$size"
tells 'md5sum' 'md5sum <"$all"' "$want"
tells 'sha1sum FILE' 'sha1sum "$all"' "$(sha1sum <in.pcap | cut -d ' ' -f 1)  $all"
tells 'cmp' 'cmp "$all" in.pcap' ''
tells 'grep -c' 'grep -ac "00004999 " "$all"' "$(grep -ac '00004999 ' in.pcap)"
tells 'tail -c' 'tail -c 100 "$all" | od -c' "$(tail -c 100 in.pcap | od -c)"
tells 'od' "od -An -tx1 \"\$all\"" "$(od -An -tx1 in.pcap)"
tells 'tail -n' 'tail -n 2 "$all"' "$(tail -n 2 in.pcap)"
tells 'sed' "sed -n '\$=' \"\$all\"" "$(sed -n '$=' in.pcap)"
tells 'awk' "awk 'END { print NR }' \"\$all\"" "$(awk 'END { print NR }' in.pcap)"
tells 'sort' 'sort -o sorted "$all"' ''
t_eq "read: sort's output" "$(md5sum <sorted)" "$(sort in.pcap | md5sum)"

# A reader that has enough may leave; the writer and the others go on.
cat "$all" >out &
reader=$!
t_cleanup kill "$reader"
t_wait_for 10 t_opened "$reader" accept/all
head -c 10 "$all" >ten &
t_wait_for 10 t_opened $! accept/all
t_ends 20 sh -c 'cat in.pcap >"$all"'
t_done "$reader"
t_eq "a reader that leaves harms nobody" "$(md5sum <out)" "$want"

# --- writers ------------------------------------------------------------------------------

# writes NAME COMMAND: what it writes must come out
writes() {
	t_read accept/all out
	sh -c "$2" >/dev/null 2>err || t_fail "$1: status $? $(cat err)"
	t_done "$BG" || t_fail "$1: the reader failed"
	t_eq "write: $1" "$(md5sum <out)" "$want"
}

writes 'cat >' 'cat in.pcap >"$all"'
writes 'cat >>' 'cat in.pcap >>"$all"'
writes 'cp' 'cp in.pcap "$all"'
writes 'dd' 'dd if=in.pcap of="$all" bs=64k'
writes 'dd conv=notrunc' 'dd if=in.pcap of="$all" bs=1M conv=notrunc'
writes 'dd bs=1007' 'dd if=in.pcap of="$all" bs=1007'
writes 'tee' 'tee "$all" <in.pcap'
writes 'tee -a' 'tee -a "$all" <in.pcap'
writes 'pv' 'pv -q in.pcap >"$all"'
writes 'socat' 'socat -u OPEN:in.pcap "OPEN:$all"'
writes 'python' "python3 -c 'import os; open(os.environ[\"all\"], \"wb\").write(open(\"in.pcap\", \"rb\").read())'"
writes 'python r+b' "python3 -c 'import os
f = os.open(os.environ[\"all\"], os.O_RDWR)
d = memoryview(open(\"in.pcap\", \"rb\").read())
while d: d = d[os.write(f, d):]'"
writes 'perl' "perl -e 'open F, q(>), \$ENV{all} or die; open I, q(<), q(in.pcap); print F \$_ while <I>; close F or die'"
writes 'busybox cat' 'busybox cat in.pcap >"$all"'
writes 'a subshell with two commands' '{ head -c 1000 in.pcap; tail -c +1001 in.pcap; } >"$all"'

# Tiny reads of a small stream.
sh -c 'exec dd if="$all" bs=7 status=none >out' &
t_cleanup kill $!
t_wait_for 10 opened $!
cat small.pcap >"$all"
t_done $!
t_same "read: dd bs=7" out small.pcap

# --- packet tools ---------------------------------------------------------------------------

mkdir -p "$P/accept/unpcap"
packets() {
	sh -c "exec $2" >out 2>err &
	reader=$!
	t_cleanup kill "$reader"
	t_wait_for 10 opened "$reader" accept/unpcap/all.pcapng
	cat in.pcap >"$all"
	t_done "$reader" 40 || t_fail "$1: status $? $(cat err)"
	t_eq "read: $1" "$(eval "$3")" "$4"
}
export P
if command -v tcpdump >/dev/null; then
	packets 'tcpdump -r' 'tcpdump -nn -r "$P/accept/unpcap/all.pcapng"' 'grep -c "> 10.9.0.2.6000" out' 5000
	packets 'tcpdump -r with a filter' 'tcpdump -nn -r "$P/accept/unpcap/all.pcapng" src port 1030' \
		'grep -c 10.9.0.1.1030 out' 1
	packets 'tcpdump -r - from cat' 'tcpdump -w out.pcap -r "$P/accept/unpcap/all.pcapng"' 'capture count out.pcap' 5000
fi
if command -v tshark >/dev/null; then
	packets 'tshark -r' 'tshark -r "$P/accept/unpcap/all.pcapng" -T fields -e frame.len' 'sort -u out' 900
	packets 'tshark -i - behind cat' 'cat "$P/accept/unpcap/all.pcapng" | tshark -i - -w out.pcapng' \
		'capture count out.pcapng' 5000
fi
if command -v capinfos >/dev/null; then
	packets 'capinfos' 'capinfos -TmQc "$P/accept/unpcap/all.pcapng"' "grep -c 5000 out" 1
fi

# --- what does not work, and how it fails (documented) ------------------------------------------

# What nobody took of a stream waits for the next reader: a directory of its own for those
# that leave in the middle.
mkdir "$P/accept:left"
all=$P/accept:left/all

# splice and sendfile see a file of size 0. No hang, and no wrong bytes.
: >out
t_ok "busybox cat ends at once and prints nothing" timeout 10 sh -c 'busybox cat "$all" >out'
t_eq "... nothing at all" "$(wc -c <out)" 0

tail -f "$all" >out 2>err &
follower=$!
t_cleanup kill "$follower"
t_wait_for 10 t_opened "$follower" accept:left/all
kill "$follower"
status=0
t_done "$follower" 5 || status=$?
t_eq "tail -f ends at a signal" "$status" 143

if command -v tshark >/dev/null && [ "$(id -u)" = 0 ]; then
	t_fails "tshark -i refuses what is not a FIFO" timeout 20 tshark -i "$P/accept/unpcap/all.pcapng" -a duration:1
fi

# tar stores what stat says: nothing, and does not hang.
if command -v tar >/dev/null; then
	t_ok "tar ends" timeout 10 tar -cf out.tar -C "$P/accept" all
fi
