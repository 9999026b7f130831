#!/bin/sh
# stream and httpplus on conversations with reordered, repeated, overlapping and lost segments: all that was said, and
# nothing else; and the same as tshark sees.
# needs: user
# timeout: 300
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need python3 tshark
t_mount

# NAME, then talkcheck's words
check() {
	t_what=$1
	shift
	python3 "$TOP/tests/tools/talkcheck.py" "$@" >check.out 2>&1 || t_fail "$t_what: $(cat check.out)"
	echo "ok: $t_what: $(cat check.out)"
}

# name seed faults [option]
talk() {
	# shellcheck disable=SC2086 # several words or none
	python3 "$TOP/tests/tools/talks.py" "$1.pcap" "$1.truth" --talks 40 --seed "$2" --faults "$3" ${4-}
	mkdir -p "$P/accept:$1/unpcap/stream/httpplus"
	t_read "accept:$1/unpcap/stream/all.json" "$1.stream.json"
	stream=$BG
	t_read "accept:$1/unpcap/stream/all" "$1.stream.raw"
	raw=$BG
	t_read "accept:$1/unpcap/stream/httpplus/all.json" "$1.http"
	http=$BG
	cat "$1.pcap" >"$P/accept:$1/all"
	t_done "$stream" || t_fail "$1: the reader of the streams failed"
	t_done "$raw" || t_fail "$1: the reader of the bytes failed"
	t_done "$http" || t_fail "$1: the reader of the messages failed"
	t_eq "$1: nothing is held" "$(t_stat "accept:$1/unpcap/stream" held)" 0
	check "$1: every byte" stream "$1.truth" "$1.stream"
	check "$1: every message" http "$1.truth" "$1.http"
}

talk plain 1 ''
talk bad 2 late,twice,overlap
talk worse 3 late,twice,overlap
talk lossy 4 late,twice,overlap,lost
talk gone 6 lost --polite
talk polite 5 late,twice,overlap --polite
# A copy that comes after the acknowledgement of one that was not captured: tshark does not wait for it, so not `lossy`.
for name in plain bad worse gone polite; do
	check "$name: as tshark follows" follow "$name.pcap" "$name.stream"
done
check "polite: as tshark's fields" fields polite.pcap polite.http
