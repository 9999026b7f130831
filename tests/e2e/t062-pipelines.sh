#!/bin/sh
# needs: user
# Pipelines that are there from the mount on, and trees that are saved and made again.
# shellcheck disable=SC2009,SC2016 # their states are asked for; what is in single quotes is for another sh
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"

pipesfs() {
	"$PIPESFS" "$@"
}

# --- *.pipe ------------------------------------------------------------------------------------------

capture spread in.pcap 100 200
mkdir pipes
cat >pipes/10-web.pipe <<'END'
# what the web server is asked
accept:web | unpcap | tcp | dstport |80 httpplus
accept:web | unpcap
	| ( udp > udp.pcap
	    count )
END
echo 'accept:wrong | unpcap | tcpp' >pipes/20-wrong.pipe
printf 'accept:bad |\n  ( tcp' >pipes/30-bad.pipe
echo 'accept:last' >pipes/40-last.pipe
echo 'accept:no' >pipes/readme
echo 'accept:no' >pipes/.hidden.pipe
mkdir -p "$P"
t_cleanup t_unmount "$P"
pipesfs mount -o "pipelines=pipes,nodes=100" "$P" >out 2>err || t_fail "pipelines that are wrong stop a mount: $(cat err)"
t_eq "what is wrong is said, with its place" "$(grep ^pipesfs: err)" \
	"pipesfs: pipes/20-wrong.pipe:1:25: there is no filter 'tcpp'; did you mean 'tcp'?
pipesfs: pipes/30-bad.pipe:2:3: this '(' is not closed"
t_has "... also in .errors" "$(cat "$P/.errors")" "/accept:wrong/unpcap/tcpp ENOENT there is no filter 'tcpp'"
t_ok "what is good is there when mount returns" test -d "$P/accept:web/unpcap/tcp/dstport/80/httpplus"
t_ok "... its sinks at work" test -f udp.pcap
t_ok "... all files in their order" test -d "$P/accept:last"
t_ok "... what came before a fault, too" test -d "$P/accept:wrong/unpcap"
t_fails "... but no other files" test -e "$P/accept:no"
cat in.pcap >"$P/accept:web/all"
t_wait_for 10 sh -c "grep -qx 'records 100' '$P/accept:web/unpcap/count/.stats'"
pipesfs umount "$P"
t_ok "a sink of a pipeline has written" capture same udp.pcap in.pcap
pipesfs mount -o pipelines=nowhere "$P" 2>err
t_eq "a folder that is not there is said" "$(cat err)" "pipesfs: nowhere: No such file or directory"
pipesfs umount "$P"
pipesfs mount -o pipelines= "$P"
t_eq "none, when told so" "$(ls -d "$P"/accept* 2>/dev/null || true)" ''
pipesfs umount "$P"
pipesfs mount -f -o pipelines=pipes "$P" 2>err &
t_wait_for 10 test -d "$P/accept:last"
echo "ok: in the foreground, too"
t_wait_for 10 sh -c "[ \$(grep -c ^pipesfs: err) = 2 ]"
t_eq "... no child is left to the keeper" "$(ps -o stat= --ppid "$(sed -n 's/^keeper //p' "$P/.control")" | grep -c Z || true)" 0

# --- save ----------------------------------------------------------------------------------------------

rm -r "$P"/accept*
t_eq "a tree of which nobody has made anything" "$(pipesfs save "$P" | grep -v '^#')" ''
mkdir -p "$P/accept:a b/unpcap/tcp/httpplus/get/head:3" "$P/accept:a b/unpcap/match:tcp port 80 or 443" \
	"$P/accept:a b/unpcap/snap:60" "$P/accept:a b/unpcap/dstport/443/count" "$P/accept:a b/unpcap/head:100"
chmod 750 "$P/accept:a b"
chmod 711 "$P/accept:a b/unpcap/tcp"
echo 'arg=7' >"$P/accept:a b/unpcap/head:100/.params"
pipesfs save "$P" >saved
me="$(id -un):$(id -gn)"
t_eq "a line for each directory" "$(grep -v '^#' saved)" "0750 $me accept:a b
0755 $me accept:a b/unpcap
0755 $me accept:a b/unpcap/dstport
0755 $me accept:a b/unpcap/dstport/443
0755 $me accept:a b/unpcap/dstport/443/count
0755 $me accept:a b/unpcap/head:100
	arg=7
0755 $me accept:a b/unpcap/match:tcp port 80 or 443
0755 $me accept:a b/unpcap/snap:60
0711 $me accept:a b/unpcap/tcp
0755 $me accept:a b/unpcap/tcp/httpplus
0755 $me accept:a b/unpcap/tcp/httpplus/get
0755 $me accept:a b/unpcap/tcp/httpplus/get/head:3"
t_eq "a part of it, with its whole path" "$(pipesfs save "$P/accept:a b/unpcap/tcp/httpplus" | grep -vc '^#')" 3

# --- restore ---------------------------------------------------------------------------------------------

t_eq "again: all is there" "$(pipesfs restore "$P" <saved)" "0 made, 12 there already, 0 not made"
pipesfs umount "$P"
wait
pipesfs mount "$P"
t_eq "a dry run makes nothing" "$(pipesfs restore -n "$P" <saved | wc -l; ls -d "$P"/accept* 2>/dev/null || true)" 12
t_eq "into an empty tree" "$(pipesfs restore -f saved "$P")" "11 made, 1 there already, 0 not made"
pipesfs save "$P" >again
t_eq "... it is as it was" "$(sed 1d again)" "$(sed 1d saved)"
chmod 700 "$P/accept:a b"
echo 'arg=99' >"$P/accept:a b/unpcap/head:100/.params"
rm -r "$P/accept:a b/unpcap/tcp"
t_eq "what differs is brought in line" "$(pipesfs restore "$P" <saved)" "3 made, 9 there already, 0 not made"
pipesfs save "$P" >again
t_eq "... again it is as it was" "$(sed 1d again)" "$(sed 1d saved)"

# Links: what they say is kept to the letter, whatever it is.
ln -s "accept:a b/unpcap" "$P/alias"
ln -s "$(printf ' #\\ two\nlines ')" "$P/accept:a b/unpcap/odd"
ln -s '#five' "$P/accept:a b/unpcap/dstport/443/five"
all_links() {
	find "$P" -type l -printf '%P %U:%G %l\n' | sort
}
all_links >links
pipesfs save "$P" >saved
t_eq "a link is a line, and one below it" "$(grep -A1 '^link.* alias$' saved)" "link $me alias
	accept:a b/unpcap"
t_eq "with links: all is there" "$(pipesfs restore "$P" <saved)" "0 made, 15 there already, 0 not made"
rm -r "$P/accept:a b/unpcap" "$P/alias"
ln -s elsewhere "$P/alias"
t_eq "a dry run" "$(pipesfs restore -n "$P" <saved | grep -c '^ln -s')" 3
t_eq "links are made again, and what says something else is" "$(pipesfs restore "$P" <saved)" "13 made, 2 there already, 0 not made"
t_eq "... to the letter" "$(all_links)" "$(cat links)"
pipesfs save "$P" >again
t_eq "... again it is as it was" "$(sed 1d again)" "$(sed 1d saved)"
if [ "$(id -u)" = 0 ]; then
	sed 's/^link [^ ]* alias$/link 1001:1002 alias/' saved >owned
	pipesfs restore "$P" <owned >/dev/null
	t_eq "a link's owner" "$(stat -c %u:%g "$P/alias")" 1001:1002
fi
printf 'link %s bad\n' "$me" >edited
t_fails "a link without what it says" sh -c "pipesfs restore '$P' <edited 2>said"
t_has "... is said" "$(cat said)" "1: bad: below a link stands what it says"
printf 'link %s accept:a b\n\tx\n' "$me" >edited
t_fails "a link where a directory is" sh -c "pipesfs restore '$P' <edited 2>said"
t_has "... is said" "$(cat said)" "accept:a b"
rm "$P/alias" "$P/accept:a b/unpcap/odd" "$P/accept:a b/unpcap/dstport/443/five"
cat >edited <<END
# by hand, and not in order
0755 $me accept:new/unpcap/tcp
0755 $me accept:new/unpcap
0700 $me accept:new
0755 $me accept:new/unpcap/samplle:3
0755 $me accept:new/unpcap/samplle:3/tcp
0755 $me accept:new/../x
0799 $me accept:new/unpcap/udp
0755 nobody-of-this-name:root accept:new/unpcap/arp
	arg=of nothing
0755 $me accept:new/unpcap/head:5
	arg=zero
END
status=0
pipesfs restore "$P" <edited >out 2>err || status=$?
t_eq "what cannot be made is said" "$status
$(cat out)
$(cat err)" "1
4 made, 0 there already, 2 not made
pipesfs: -:7: 'accept:new/../x' is no path in a pipesfs
pipesfs: -:8: '0799' is no mode; a line is MODE OWNER:GROUP PATH
pipesfs: -:9: 'nobody-of-this-name:root' is no user and group of this machine
pipesfs: -:11: accept:new/unpcap/head:5: its parameters: head:N takes the number of records to pass, from 1, not 'zero'
pipesfs: -:5: accept:new/unpcap/samplle:3: there is no filter 'samplle'; did you mean 'sample'?
pipesfs: -:6: accept:new/unpcap/samplle:3/tcp: No such file or directory"
t_ok "... and the rest is there" test -d "$P/accept:new/unpcap/tcp"
t_fails "no mount" pipesfs restore / </dev/null
t_fails "no text" sh -c 'head -c 1000 /dev/zero | "$PIPESFS" restore "$P"'

# --- what belongs to root ------------------------------------------------------------------------------

if [ "$(id -u)" = 0 ]; then
	mkdir "$P/dev/lo/tcp" "$P/dev/lo,snaplen=96"
	chown nobody "$P/netfilter_out"
	chmod 755 "$P/dev/lo"
	pipesfs save "$P" >saved
	t_eq "kernel sources: only what is not as always" "$(grep -e netfilter -e dev/ saved)" "0755 root:root dev/lo
0755 root:root dev/lo/tcp
0700 root:root dev/lo,snaplen=96
0700 nobody:root netfilter_out"
	pipesfs umount "$P"
	pipesfs mount "$P"
	pipesfs restore "$P" <saved
	pipesfs save "$P" >again
	t_eq "... and again" "$(sed 1d again)" "$(sed 1d saved)"
fi
