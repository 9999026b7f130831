#!/bin/sh
# A process that may open a packet socket and really may not load eBPF: root of a user namespace of its own.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 ss unshare
unshare -Urnm true 2>unshare.log || t_skip "no user namespaces here: $(cat unshare.log)"
export P="$TMPDIR/inside"
cat >send.py <<'EOF'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port, n in (9, 300), (53, 20):
    for i in range(n):
        s.sendto(b"x", ("127.0.0.1", port))
EOF
cat >inside.sh <<'EOF'
set -eu
ip link set lo up
"$PIPESFS" mount "$P"
trap '"$PIPESFS" umount "$P"' EXIT
dir="$P/dev/lo/match:udp dst port 53"
mkdir -p "$dir" "$P/dev/lo/icmp"
exec 3<"$dir/all"
cat "$P/dev/lo/.program" >program
ss -0 -b >sockets
python3 send.py
# Frames as they are, of 43 bytes each: when the 20th is here all before it has been through.
head -c 860 <&3 >got
cat "$P/dev/lo/.stats" >stats
exec 4<"$P/dev/lo/icmp/all"
cat "$P/dev/lo/.program" >both
exec 4<&-
EOF
mkdir -p "$P"
t_ok "inside" timeout 20 unshare -Urnm sh inside.sh
t_has "no right to eBPF" "$(cat program)" "; no eBPF: this process may not use eBPF"
t_has "a filter" "$(cat program)" "lets through what anybody wants"
t_has "the kernel has it" "$(cat sockets)" "bpf filter ("
t_eq "what is wanted" "$(wc -c <got)" 860
t_eq "frames in the ring, of 320 and what answers them" "$(awk '$1 == "seen" { print $2 }' stats)" 20
cmp -s program both && t_fail "who comes changes nothing: $(cat both)"
true
