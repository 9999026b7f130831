#!/bin/sh
# The examples of the PipesFS page, letter for letter, mounted at /dev/pipes.
#
# What they promise: a directory is a filter, its pipe can be read before there is any
# traffic, and what is written into one comes out of the directories below it, here as
# frames on a wire.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need curl tcpdump

# The page's own mount point. /dev is shared with the host, the mount on it is not.
export P=/dev/pipes
t_cleanup rmdir /dev/pipes
t_mount

# --- "receives network frames from a Linux netfilter hook and forwards these to ... iinspect"

t_ok "mkdir netfilter_in/iinspect" mkdir -p /dev/pipes/netfilter_in/iinspect
t_read netfilter_in/iinspect/all inspect.txt
python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"the quick brown fox", ("127.0.0.1", 4242))'
t_wait_for 5 grep -q quick inspect.txt
t_has "the text names the addresses" "$(cat inspect.txt)" 127.0.0.1
t_has "the text shows the bytes in hex" "$(tr -d ' ' <inspect.txt)" 746865
t_fails "the text has no control characters" grep -q "$(printf '[\001-\010\013-\037\177]')" inspect.txt
kill "$BG"

# --- "to sniff all outgoing HTTP GET requests"

t_ok "mkdir netfilter_out/ip/httpplus" mkdir -p /dev/pipes/netfilter_out/ip/httpplus
t_errno EEXIST mkdir /dev/pipes/netfilter_out/ip/httpplus/get
t_read netfilter_out/ip/httpplus/get/all get.raw
getter=$BG
t_read netfilter_out/ip/httpplus/all.json all.json

mkdir www
echo 'hello from the server' >www/hello.txt
t_bg python3 -m http.server --bind 127.0.0.1 --directory www 8000
t_wait_for 20 curl -fs -o /dev/null http://127.0.0.1:8000/
t_eq "the server still answers" "$(curl -fs http://127.0.0.1:8000/hello.txt)" 'hello from the server'
curl -s -o /dev/null -X POST -d 'secret=form' http://127.0.0.1:8000/post-me || true
curl -fs -o /dev/null 'http://127.0.0.1:8000/hello.txt?last'

t_wait_for 5 grep -aq 'hello.txt?last' get.raw
t_ok "the request is there, with its headers" grep -aq 'GET /hello.txt HTTP/1.1' get.raw
t_fails "nothing but GET requests is there" grep -aq -e 'POST /post-me' -e '200 OK' get.raw
t_ok "the class is listed" test -d /dev/pipes/netfilter_out/ip/httpplus/get
t_has "httpplus itself has them all" "$(cat all.json)" /post-me
t_ok "still reading" kill -0 "$getter"

t_ok "post appears beside get" test -d /dev/pipes/netfilter_out/ip/httpplus/post
kill "$getter"

# --- "parses a libpcap tracefile and sends out all the traffic onto the network"

t_cable
ip addr add 10.9.0.1/24 dev near
ip route add default via 10.9.0.2 dev near

capture wire trace.pcap
frames=$(capture count trace.pcap)

# Starts to listen at the far end for as many frames as the trace has.
listen() {
	rm -f listening
	t_in far tcpdump --immediate-mode -U -Q in -i far -c "$frames" -w "$1" 2>listening &
	BG=$!
	t_cleanup kill "$BG"
	t_wait_for 10 grep -q 'listening on' listening
}

t_ok "mkdir accept/unpcap/transmit" mkdir -p /dev/pipes/accept/unpcap/transmit

listen shell.pcap
cat trace.pcap > /dev/pipes/accept/all
t_done "$BG" || t_fail "the frames did not arrive: $(cat listening)"
t_ok "cat: every frame, byte for byte" capture frames shell.pcap trace.pcap

# "This makes it easy to build pipelines ... from most scripting and programming languages"
listen python.pcap
python3 - <<-'PYTHON'
	import os
	os.makedirs("/dev/pipes/accept/unpcap/transmit", exist_ok=True)
	with open("trace.pcap", "rb") as trace, open("/dev/pipes/accept/all", "wb") as pipe:
	    pipe.write(trace.read())
PYTHON
t_done "$BG" || t_fail "the frames did not arrive: $(cat listening)"
t_ok "Python: every frame, byte for byte" capture frames python.pcap trace.pcap

listen script.pcap
cat >replay.sh <<-'SCRIPT'
	#!/bin/sh
	# replay.sh FILE...: send capture files out on the default interface
	set -e
	mkdir -p /dev/pipes/accept/unpcap/transmit
	for file; do
		cat "$file" >/dev/pipes/accept/all
	done
SCRIPT
sh replay.sh trace.pcap
t_done "$BG" || t_fail "the frames did not arrive: $(cat listening)"
t_ok "a shell script: every frame, byte for byte" capture frames script.pcap trace.pcap

# A reader of one directory and the wire get the same.
listen beside.pcap
listener=$BG
t_read accept/unpcap/all.pcapng beside.pcapng
cat trace.pcap > /dev/pipes/accept/all
t_done "$BG" || t_fail "the reader beside transmit did not end"
t_done "$listener" || t_fail "the frames did not arrive: $(cat listening)"
t_ok "the wire beside a reader: byte for byte" capture frames beside.pcap trace.pcap
t_ok "a reader beside transmit sees the same packets" capture same beside.pcapng trace.pcap
