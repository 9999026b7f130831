#!/bin/sh
# needs: user
# timeout: 180
# What a pipe file promises: early data waits, generations end, each writer is its own
# stream, records with O_DIRECT, policies, and the small filters' arithmetic.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_mount
mkdir "$P/accept"
all=$P/accept/all

call() {
	python3 "$TOP/tests/tools/call.py" "$@"
}

# --- early data and generations ------------------------------------------------------------

t_ok "a writer does not wait for a reader" t_ends 10 sh -c "echo early >'$all'"
t_eq "early data waits, then flows once" "$(timeout 10 cat "$all")" early
t_read accept/all later
echo late >"$all"
t_done "$BG"
t_eq "a reader that opens later waits for the next" "$(cat later)" late

printf one >"$all"
printf two >"$all"
printf three >"$all"
t_eq "early generations come one by one" "$(timeout 10 cat "$all")-$(timeout 10 cat "$all")-$(timeout 10 cat "$all")" one-two-three

t_read accept/all first
echo generation-1 >"$all"
t_done "$BG"
t_read accept/all second
echo generation-2 >"$all"
t_done "$BG"
t_eq "no generation leaks into the next" "$(cat first) $(cat second)" 'generation-1 generation-2'

# Two writers: one generation, which ends when the last one closes.
t_read accept/all both
exec 8>"$all" 9>"$all"
echo from-8 >&8
exec 8>&-
echo from-9 >&9
has_both() {
	[ "$(wc -l <both)" = 2 ]
}
t_wait_for 10 has_both
t_ok "the stream goes on while one writer is there" kill -0 "$BG"
exec 9>&-
t_done "$BG"
t_eq "... and ends with the last" "$(cat both)" "from-8
from-9"

# Writing nothing is a generation of its own.
t_read accept/all nothing
: >"$all"
t_done "$BG"
t_eq "an empty generation" "$(wc -c <nothing)" 0

# --- full rings, O_NONBLOCK ------------------------------------------------------------------

t_eq "nothing there: EAGAIN" "$(call read "$all" O_NONBLOCK)" EAGAIN
python3 - "$all" <<-'PYTHON'
	import errno, os, select, sys
	fd = os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
	total, block = 0, bytes(1 << 20)
	try:
	    while total < 1 << 30:
	        total += os.write(fd, block)
	    sys.exit("a GiB went into a ring that nobody reads")
	except OSError as e:
	    if e.errno != errno.EAGAIN:
	        raise
	print(f"ok: full after {total >> 20} MiB: EAGAIN")
	p = select.poll()
	p.register(fd, select.POLLOUT)
	if p.poll(0):
	    sys.exit("poll says a full ring can be written")
	r = os.open(sys.argv[1], os.O_RDONLY)
	got = 0
	while got < total:
	    got += len(os.read(r, 1 << 20))
	if not p.poll(10000):
	    sys.exit("poll does not say that there is room")
	os.write(fd, b"more")
	os.close(fd)
	rest = b""
	while part := os.read(r, 1 << 20):
	    rest += part
	if rest != b"more":
	    sys.exit(f"got {rest!r}")
	print("ok: poll: room again, then the end")
PYTHON

# --- each writer is its own stream --------------------------------------------------------------

mkdir -p "$P/accept/unpcap"
capture spread a.pcap 40 300
capture make b.nano nano
t_read accept/unpcap/all.pcapng two.pcapng
exec 8>"$all" 9>"$all"
# Interleaved at odd places: each has a parser of its own below.
head -c 1000 a.pcap >&8
head -c 777 b.nano >&9
tail -c +1001 a.pcap >&8
tail -c +778 b.nano >&9
exec 8>&- 9>&-
t_done "$BG"
python3 - <<-'PYTHON' || t_fail "two interleaved writers were mixed up"
	import os, sys
	sys.path.insert(0, os.environ["TOP"] + "/tests/tools")
	import pfscap
	got = [p.key() for p in pfscap.read("two.pcapng")]
	a, b = ([p.key() for p in pfscap.read(f)] for f in ("a.pcap", "b.nano"))
	if [k for k in got if k in a] != a or [k for k in got if k in b] != b or len(got) != len(a) + len(b):
	    sys.exit(f"{len(got)} packets, wanted {len(a)} and {len(b)}")
PYTHON
echo "ok: two interleaved writers, two capture files of different kinds"

# --- capture files of every kind --------------------------------------------------------------------

here=$(pwd | sed 's|/|%2f|g')
mkdir -p "$P/accept:ng/unpcapng"
capture make ref.nano nano
for kind in pcap nano big bignano; do
	capture make "k.$kind" "$kind"
	t_read accept/unpcap/all.pcapng out.pcapng
	cat "k.$kind" >"$all"
	t_done "$BG"
	t_ok "unpcap: $kind" capture same out.pcapng "k.$kind"
	mkdir "$P/pcap:$here%2fk.$kind"
	t_ok "pcap:FILE: $kind" sh -c "timeout 20 cat '$P/pcap:$here%2fk.$kind/all.pcapng' >out.pcapng"
	t_ok "pcap:FILE: the packets of $kind" capture same out.pcapng "k.$kind"
done
for kind in pcapng bigng microng; do
	capture make "k.$kind" "$kind"
	t_read accept:ng/unpcapng/all.pcapng out.pcapng
	cat "k.$kind" >"$P/accept:ng/all"
	t_done "$BG"
	t_ok "unpcapng: $kind" capture same out.pcapng "k.$kind"
	mkdir "$P/pcap:$here%2fk.$kind"
	t_ok "pcap:FILE: $kind" sh -c "timeout 20 cat '$P/pcap:$here%2fk.$kind/all.pcapng' >out.pcapng"
	t_ok "pcap:FILE: the packets of $kind" capture same out.pcapng "k.$kind"
done
t_eq "a capture file can be read again" "$(timeout 20 cat "$P/pcap:$here%2fk.nano/all.pcapng" | capture count /dev/stdin)" "$(capture count k.nano)"

# --- count head snap file ------------------------------------------------------------------------------

capture spread many.pcap 1000 400
mkdir -p "$P/accept:f/unpcap/count" "$P/accept:f/unpcap/snap:60" "$P/accept:f/unpcap/head:7" "$P/accept:f/unpcap/udp" \
	"$P/accept:f/unpcap/tcp/count"
f=$P/accept:f/unpcap
t_read accept:f/unpcap/head:7/all.pcapng head.pcapng
head=$BG
t_read accept:f/unpcap/snap:60/all.pcapng snap.pcapng
snap=$BG
t_read accept:f/unpcap/udp/all.json udp.json
json=$BG
mkdir "$f/file:$here%2fsink.out"
exec 8>"$P/accept:f/all"
cat many.pcap >&8
t_done "$head"
t_eq "head:7 ends after seven, the writer still there" "$(capture count head.pcapng)" 7
exec 8>&-
t_done "$snap"
t_done "$json"
t_eq "snap:60" "$(capture list snap.pcapng | sed 's/.* \(wire .*\) link.*/\1/' | sort | uniq -c | sed 's/^ *//')" '1000 wire 400 cap 60'
t_eq "count: records" "$(t_stat accept:f/unpcap/count records)" 1000
t_eq "count: bytes" "$(t_stat accept:f/unpcap/count bytes)" 400000
t_eq "count after a filter that keeps nothing" "$(t_stat accept:f/unpcap/tcp/count records)" 0
t_eq "json: a line for each" "$(wc -l <udp.json)" 1000
t_ok "json: valid, with the ports" python3 -c 'import json
rows = [json.loads(line) for line in open("udp.json")]
assert all(r["dport"] == 6000 and r["src"] == "10.9.0.1" for r in rows), rows[0]
assert len({r["sport"] for r in rows}) == 1000'
sunk() {
	[ "$(wc -c <sink.out)" -ge 400000 ]
}
t_wait_for 10 sunk
rmdir "$f/file:$here%2fsink.out"
t_eq "file: wrote the packets' bytes" "$(wc -c <sink.out)" 400000

# The name says the format.
mkdir -p "$P/accept:w/unpcap"
for kind in pcap pcapng; do
	mkdir "$P/accept:w/unpcap/file:$here%2fwritten.$kind"
done
cat b.nano >"$P/accept:w/all"
for kind in pcap pcapng; do
	written() {
		capture same "written.$kind" b.nano
	}
	t_wait_for 10 written
	rmdir "$P/accept:w/unpcap/file:$here%2fwritten.$kind"
	mkdir "$P/accept:w/unpcap/file:$here%2fwritten.$kind,append=1"
done
cat b.nano >"$P/accept:w/all"
for kind in pcap pcapng; do
	twice() {
		[ "$(capture count "written.$kind")" = $((2 * $(capture count b.nano))) ]
	}
	t_wait_for 10 twice
	echo "ok: file: a .$kind is one, and goes on with append=1"
	mkdir "$P/pcap:$here%2fwritten.$kind"
	t_eq "... that we read ourselves" "$(timeout 20 cat "$P/pcap:$here%2fwritten.$kind/all.pcapng" | capture count /dev/stdin)" \
		"$(capture count "written.$kind")"
done

# all.txt is for people: no control characters, whatever is in the packets.
mkdir -p "$P/accept:t/unpcap"
t_read accept:t/unpcap/all.txt all.txt
capture make assortment.pcap
cat assortment.pcap >"$P/accept:t/all"
t_done "$BG"
t_fails "all.txt: no control character" grep -aq "$(printf '[\001-\010\013-\037\177-\377]')" all.txt
t_has "all.txt: addresses" "$(cat all.txt)" 10.9.0.2

# --- O_DIRECT: one record a read, one record a write ------------------------------------------------------

python3 - "$P" <<-'PYTHON' || t_fail "records"
	import errno, os, sys
	p = sys.argv[1]
	os.mkdir(p + "/accept:r")
	r = os.open(p + "/accept:r/all", os.O_RDONLY | os.O_DIRECT)
	plain = os.open(p + "/accept:r/all", os.O_RDONLY)
	w = os.open(p + "/accept:r/all", os.O_WRONLY | os.O_DIRECT)
	words = [b"one", b"two and a half", b"x" * 70000, b"y" * 1000000, b"end"]
	for word in words:
	    n = os.write(w, word)
	    assert n == len(word), n
	for word in words:
	    got = os.read(r, 1 << 20)
	    assert got == word, (len(got), len(word))
	# As packet pipes do: what does not fit into the buffer is gone.
	os.write(w, b"longer than ten")
	os.write(w, b"next")
	got = os.read(r, 10)
	assert got == b"longer tha", got
	got = os.read(r, 10)
	assert got == b"next", got
	os.close(w)
	assert os.read(r, 10) == b""
	data = b""
	while part := os.read(plain, 1 << 20):
	    data += part
	assert data == b"".join(words) + b"longer than ten" + b"next"
	# Packet directories: one write is one record; too long is refused.
	os.mkdir(p + "/accept:r/unpcap")
	r = os.open(p + "/accept:r/unpcap/all", os.O_RDONLY | os.O_DIRECT)
	w = os.open(p + "/accept:r/unpcap/all", os.O_WRONLY)
	frame = bytes(range(60))
	os.write(w, frame)
	os.write(w, frame * 2)
	assert os.read(r, 1 << 20) == frame
	assert os.read(r, 1 << 20) == frame * 2
	print("ok: O_DIRECT and packet directories keep records")
PYTHON

# --- policies ---------------------------------------------------------------------------------------------

t_read accept/all,policy=reliable reliable
t_eq "all,policy=reliable" "$(t_reader accept "$BG" policy)" reliable
kill "$BG"
t_read accept/all,policy=lossy lossy
t_eq "all,policy=lossy" "$(t_reader accept "$BG" policy)" lossy
kill "$BG"
t_read accept/all default
t_eq "behind writers the default is reliable" "$(t_reader accept "$BG" policy)" reliable
kill "$BG"
t_errno ENOENT cat "$P/accept/all,policy=sometimes"

# mkdir and rmdir beside a stream disturb nobody.
t_read accept/unpcap/all.pcapng steady.pcapng
steady=$BG
exec 8>"$all"
head -c 200000 many.pcap >&8
for i in 1 2 3 4 5 6 7 8 9 10; do
	mkdir "$P/accept/unpcap/udp" "$P/accept/unpcap/udp/count"
	head -c $((200000 + i * 20000)) many.pcap | tail -c 20000 >&8
	rmdir "$P/accept/unpcap/udp/count" "$P/accept/unpcap/udp"
done
tail -c +400001 many.pcap >&8
exec 8>&-
t_done "$steady"
t_ok "a stream beside ten changes: every packet once" capture same steady.pcapng many.pcap

# A filter that is removed ends its readers after what is left.
mkdir "$P/accept/count"
t_read accept/count/all left
exec 8>"$all"
echo before >&8
t_wait_for 10 grep -q before left
rmdir "$P/accept/count"
t_done "$BG"
t_eq "rmdir: readers drain, then the end" "$(cat left)" before
exec 8>&-
