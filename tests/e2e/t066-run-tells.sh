#!/bin/sh
# t066 - what is lost in a pipeline, and what its commands say, `pipesfs run` says before it ends
# needs: user
# shellcheck disable=SC2016 # it is for another sh
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need python3

# NAME STATUS PIPELINE: runs it in a tree of its own; what it says is in err
run() {
	t_got=0
	"$PIPESFS" run -P -o raw "$3" >out 2>err </dev/null || t_got=$?
	t_eq "$1: the exit status" "$t_got" "$2"
}

capture spread whole.pcap 2000 900
run "nothing is wrong" 0 'pcapin whole.pcap | sample 2 > half.pcap'
t_eq "... and nothing is said" "$(cat err)" ''

head -c 100000 whole.pcap >cut.pcap
run "a capture that is cut" 0 'pcapin cut.pcap'
t_has "... is said" "$(cat err)" '1 record was lost here (1 truncated)'
t_ok "... with its place" grep -q 'column 1:' err

head -c 1000 /dev/zero >junk
t_ok "no capture at all" sh -c '"$1" run -P -o raw "accept | unpcap" <junk >out 2>err' - "$PIPESFS"
t_has "... is said" "$(cat err)" 'malformed'

# A pcap file has one link type: packets of another one do not go into it.
python3 - <<'PY'
import struct
def block(t, b): return struct.pack("<II", t, len(b) + 12) + b + struct.pack("<I", len(b) + 12)
out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
out += block(1, struct.pack("<HHI", 1, 0, 0)) + block(1, struct.pack("<HHI", 101, 0, 0))
for interface in (0, 1, 1, 0, 1):
    out += block(6, struct.pack("<IIIII", interface, 0, 0, 20, 20) + bytes(20))
open("two.pcapng", "wb").write(out)
PY
run "a sink that loses something" 1 'pcapin two.pcapng > one.pcap'
t_has "... with the number" "$(cat err)" '3 records were lost here (3 link-type)'

run "a command that fails" 1 'pcapin whole.pcap | exec "sh -c '\''cat >/dev/null; echo one two >&2; exit 3'\''"'
t_has "... its words" "$(cat err)" 'pipesfs: exec: one two'
t_has "... and how" "$(cat err)" 'sh ended with status 3'
run "a command that does not" 0 'pcapin whole.pcap | exec "sh -c '\''cat >/dev/null; echo note >&2'\''"'
t_eq "... its words alone" "$(cat err)" 'pipesfs: exec: note'
