#!/bin/sh
# timeout: 60
# The last that wants packets of a hook leaves: when rmdir returns nothing is attached any more, and it has not waited for
# what runs in the kernel; that is waited for beside. Who comes again at once finds everything as it was.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
ip link set lo up
t_mount

links() {
	t_attached | grep -c '^link_id'
}
hook=$P/netfilter_in
rule="$hook/match:udp dst port 9/drop"
none_left() {
	! t_attached | grep -q 'prog_id\|map_id\|link_id'
}

mkdir -p "$rule"
t_eq "attached, for both families" "$(links)" 2
rmdir "$rule"
t_eq "rmdir: nothing is attached" "$(links)" 0
t_wait_for 10 none_left
echo "ok: and soon nothing is left in the kernel"

# It comes again while what there was is still waited for, and gives its verdict.
cat >again.py <<'END'
import os, select, socket, sys, time
rule = sys.argv[1]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to.bind(("127.0.0.1", 9))
def comes():
    out.sendto(b"x", ("127.0.0.1", 9))
    if not select.select([to], [], [], 0)[0]: # on lo it is there when sendto() returns
        return False
    to.recv(16)
    return True
took = []
for i in range(40):
    os.mkdir(rule)
    if comes():
        sys.exit(f"round {i}: with the rule it comes")
    begun = time.monotonic()
    os.rmdir(rule)
    took.append(time.monotonic() - begun)
    if not comes():
        sys.exit(f"round {i}: without the rule it does not come")
print(f"rmdir: {sorted(took)[20] * 1000:.1f} ms in the middle, {max(took) * 1000:.1f} at most")
END
t_ok "40 times, at once" python3 again.py "$rule"
t_note "$(python3 again.py "$rule")"
t_wait_for 10 none_left
echo "ok: nothing is left"

# The books of the hook: all that was dropped is counted, whoever has left since.
python3 - "$rule" <<'END'
import os, socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
os.mkdir(sys.argv[1])
for _ in range(1000):
    out.sendto(b"x", ("127.0.0.1", 9))
END
t_eq "each is counted by the rule" "$(t_stat "netfilter_in/match:udp dst port 9/drop" packets)" 1000
rmdir "$rule"
exec 3<"$hook/all"
t_eq "a reader: it is attached" "$(links)" 2
exec 3<&-
t_wait_for 10 none_left
echo "ok: and is not when he has gone"
