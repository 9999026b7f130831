#!/bin/sh
# Class directories below a device: a class that is known is counted in the kernel, and its packets are copied if somebody
# reads it; numbers, limits and idle times are those of the engine.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount

sent=0
older=0 # before it was attached anew
send() {
	t_frames -n far ports far "$@"
	for t_word in "$@"; do
		t_word=${t_word#*,*,}
		sent=$((sent + ${t_word%,*}))
	done
	t_wait_for 10 seen
}
seen() {
	[ "$(t_stat dev/near kernel.seen)" = "$sent" ] && [ "$(t_stat dev/near seen)" = $((older + sent)) ]
}
mkdir -p "$P/dev/near/port/53"
t_read dev/near/port/53/all udp.pcap
reader=$BG
# The engine learns 53, 1000 and 80 here, and that there are packets without ports is known.
send 1000,53,1,20
send 80,1000,1,20 0,0,1,40
before=$(t_stat dev/near kernel.copied)
send 1000,53,50,20 80,1000,200,20 53,80,30,20 53,53,7,20 0,0,40,40
t_eq "copied: those with port 53" $(($(t_stat dev/near kernel.copied) - before)) 87
t_eq "53" "$(t_stat dev/near/port/53 in)" 88
t_eq "1000" "$(t_stat dev/near/port/1000 in)" 252
t_eq "its bytes" "$(t_stat dev/near/port/1000 bytes)" $((252 * 62))
t_eq "80" "$(t_stat dev/near/port/80 in)" 231
t_eq "all" "$(t_stat dev/near/port in)" $sent
t_eq "without ports" "$(t_stat dev/near/port unclassed.other)" 41
t_eq "classes" "$(t_stat dev/near/port classes)" 3
t_has "who runs where" "$(cat "$P/dev/near/.program")" "which classes it is in"
came() {
	[ "$(t_reader dev/near/port/53 $reader delivered)" = "$1" ]
}
t_wait_for 10 came 88

# Others come and go; what is below a class is asked in the kernel, too.
mkdir "$P/dev/near/port/1000/match:greater 80" "$P/dev/near/port/80/packetcount"
t_read "dev/near/port/1000/match:greater 80/all" large.pcap
other=$BG
before=$(t_stat dev/near kernel.copied)
send 80,7,1,20
send 1000,80,100,20 1000,80,10,60 80,7,20,20
t_eq "copied: the large ones, and port 7 once" $(($(t_stat dev/near kernel.copied) - before)) 11
t_eq "in the class" "$(t_stat dev/near/port/1000 in)" 362
t_eq "below it" "$(t_stat "dev/near/port/1000/match:greater 80" out)" 10
t_eq "counted below 80" "$(t_stat dev/near/port/80/packetcount packets)" 131
kill "$reader"
wait "$reader" || true
unread() {
	[ "$(t_stat dev/near/port/53 readers)" = 0 ]
}
t_wait_for 10 unread
before=$(t_stat dev/near kernel.copied)
send 1000,53,50,20
t_eq "copied: nothing that nobody reads" "$(t_stat dev/near kernel.copied)" "$before"
t_eq "53 counts on" "$(t_stat dev/near/port/53 in)" 138
# With the last consumer the program goes, and its numbers stay.
kill "$other"
wait "$other" || true
rmdir "$P/dev/near/port/80/packetcount"
stopped() {
	! grep -q . "$P/dev/near/.program" || grep -q 'not attached' "$P/dev/near/.program"
}
t_wait_for 10 stopped
t_eq "1000, afterwards" "$(t_stat dev/near/port/1000 in)" 412
t_eq "without ports, afterwards" "$(t_stat dev/near/port unclassed.other)" 41

# What is beyond max= is the engine's to count; what is idle goes, whoever has counted it.
mkdir -p "$P/dev/near/dstport,max=2,expire=3/1"
t_read "dev/near/dstport,max=2,expire=3/1/all" one.pcap
older=$sent
sent=0
send 9,1,1,20 9,2,1,20 9,3,1,20 9,2,20,20 9,3,20,20
t_eq "too many" "$(t_stat "dev/near/dstport,max=2,expire=3" unclassed.full)" 21
t_eq "one of two" "$(t_stat "dev/near/dstport,max=2,expire=3/2" in)" 21
gone() {
	[ "$(t_stat "dev/near/dstport,max=2,expire=3" classes)" = 1 ]
}
t_wait_for 10 gone
send 9,3,1,20 9,3,5,20
t_eq "there is room again" "$(t_stat "dev/near/dstport,max=2,expire=3/3" in)" 6
