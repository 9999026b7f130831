#!/bin/sh
# timeout: 180
# What cannot be done is refused with the right number and a sentence in .errors that says
# why; nothing a user types makes the daemon fall.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need setpriv
t_cable
t_mount
before=$(t_daemons)
mkdir "$P/accept"

call() {
	python3 "$TOP/tests/tools/call.py" "$@"
}

# refused NAME WANT WORD CALL...: WANT is the error; .errors then says a sentence with WORD
refused() {
	name=$1 want=$2 word=$3
	shift 3
	t_eq "$name" "$(call "$@")" "$want"
	line=$(tail -n 1 "$P/.errors")
	t_has "$name: .errors: $line" "$line" "$want"
	t_has "$name: it says why" "$(echo "$line" | tr '[:upper:]' '[:lower:]')" "$word"
}

# --- names -------------------------------------------------------------------------------

refused "unknown filter, a near miss" ENOENT httpplus mkdir "$P/accept/htpplus"
refused "unknown filter, a near miss" ENOENT unpcap mkdir "$P/accept/unpcpa"
refused "unknown filter, nothing near" ENOENT qqqqqqqq mkdir "$P/accept/qqqqqqqq"
refused "unknown source" ENOENT accept mkdir "$P/acept"
refused "unknown device" ENODEV nodev0 mkdir "$P/dev/nodev0"
t_eq "looking for what is not there" "$(call stat "$P/accept/nothing")" ENOENT
t_eq "a name of 255 bytes is a name" "$(call mkdir "$P/dev/near/match:$(printf '%-249s' tcp)")" ok
t_eq "one of 256 is not" "$(call mkdir "$P/dev/near/match:$(printf '%0250d' 1)")" ENAMETOOLONG
refused "a bad escape" EINVAL % mkdir "$P/dev/near/match:tcp%zz"
refused "an argument where none belongs" EINVAL tcp mkdir "$P/dev/near/tcp:80"
refused "a parameter nobody knows" EINVAL xyz mkdir "$P/dev/near/snap:100,xyz=3"
refused "a missing argument" EINVAL snap mkdir "$P/dev/near/snap"
refused "no number" EINVAL number mkdir "$P/dev/near/snap:many"
refused "a number out of range" EINVAL head mkdir "$P/dev/near/head:-1"

# --- expressions ---------------------------------------------------------------------------

refused "bad expression" EINVAL syntax mkdir "$P/dev/near/match:tcp port"
refused "bad expression" EINVAL match mkdir "$P/dev/near/match:"
refused "unknown host keyword" EINVAL "" mkdir "$P/dev/near/match:port nosuchservice-x"
refused "ether below netfilter" EINVAL "" mkdir "$P/netfilter_in/match:ether host 02:00:00:00:00:01"
refused "a name lookup is not made" EINVAL "" mkdir "$P/dev/near/match:host no.such.host.invalid"

# --- places ---------------------------------------------------------------------------------

mkdir -p "$P/accept/unpcap"
refused "drop below accept" EINVAL netfilter mkdir "$P/accept/drop"
refused "drop below unpcap" EINVAL netfilter mkdir "$P/accept/unpcap/drop"
refused "unpcap below packets" EINVAL "" mkdir "$P/dev/near/unpcap"
refused "tcp below bytes" EINVAL "" mkdir "$P/accept/tcp"
refused "arp below netfilter" EINVAL "" mkdir "$P/netfilter_in/arp"
refused "a filter at the root" ENOENT source mkdir "$P/arp"
mkdir "$P/accept/unpcap/transmit:near"
refused "below a sink" EINVAL "" mkdir "$P/accept/unpcap/transmit:near/tcp"
refused "reading a sink" EINVAL "" open "$P/accept/unpcap/transmit:near/all"
refused "packets of bytes as pcapng" EINVAL "" open "$P/accept/all.pcapng"
refused "transmit to no device" ENODEV nodev0 mkdir "$P/accept/unpcap/transmit:nodev0"
refused "rmdir of a source that is always there" EBUSY "" rmdir "$P/netfilter_in"
refused "rmdir of a filter with filters below" ENOTEMPTY "" rmdir "$P/accept/unpcap"
t_eq "mkdir of what is there" "$(call mkdir "$P/accept/unpcap")" EEXIST
t_eq "a file has no directories" "$(call mkdir "$P/accept/all/tcp")" ENOTDIR
t_eq "nobody makes files" "$(call open "$P/accept/file" O_CREAT O_WRONLY | sed 's/EACCES/EPERM/; s/ENOSYS/EPERM/; s/EROFS/EPERM/')" EPERM
t_eq "a directory is no stream" "$(call write "$P/accept" x)" EISDIR
t_eq "writing into a view" "$(call write "$P/accept/unpcap/all.pcapng" x | sed 's/EACCES/EINVAL/; s/EPERM/EINVAL/')" EINVAL

# --- files -----------------------------------------------------------------------------------

here=$(pwd | sed 's|/|%2f|g')
refused "missing file" ENOENT missing mkdir "$P/pcap:$here%2fmissing.pcap"
echo 'this is not a capture file' >text
code=$(call mkdir "$P/pcap:$here%2ftext")
if [ "$code" = ok ]; then
	code=$(call read "$P/pcap:$here%2ftext/all")
fi
t_has "no capture file" "EINVAL EIO EBADMSG" "$code"
t_has "no capture file: why" "$(cat "$P/.errors" "$P/pcap:$here%2ftext/.stats" 2>/dev/null)" text
refused "file: into a directory that is not there" ENOENT "" mkdir "$P/accept/file:$here%2fno%2fout"
refused "file: a directory" EISDIR "" mkdir "$P/accept/file:$here"

# --- parameters --------------------------------------------------------------------------------

mkdir "$P/dev/near/snap:100"
t_eq "a parameter by its file" "$(call write "$P/dev/near/snap:100/.params" 'arg=200
' | sed 's/EACCES/EINVAL/')" "$(if grep -q 'arg=200' "$P/dev/near/snap:100/.params"; then echo '8 ok'; else echo EINVAL; fi)"
params=$(cat "$P/dev/near/.params")
refused "nonsense in .params" EINVAL "" write "$P/dev/near/.params" 'no-such-key=1'
refused "no number in .params" EINVAL "" write "$P/dev/near/.params" 'snaplen=wide'
refused "more than .params may be" EFBIG 65536 write "$P/dev/near/.params" "$(printf 'snaplen=%070000d' 96)"
t_eq "nothing has changed" "$(cat "$P/dev/near/.params")" "$params"

# --- rights --------------------------------------------------------------------------------------

# The first python3 of root's path may lie in root's home.
for python in python3 /usr/bin/python3; do
	t_as_user "$python" -c '' 2>/dev/null && break
done
# ... and so may the source tree.
cp "$TOP/tests/tools/call.py" "$TMPDIR/call.py"
user() {
	t_as_user "$python" "$TMPDIR/call.py" "$@"
}
t_eq "a user may not read a device" "$(user open "$P/dev/near/all")" EACCES
t_eq "... nor make a filter there" "$(user mkdir "$P/dev/near/tcp")" EACCES
t_eq "... nor at a hook" "$(user mkdir "$P/netfilter_in/tcp")" EACCES
t_eq "... nor remove another's" "$(user rmdir "$P/accept/unpcap/transmit:near" | sed s/EPERM/EACCES/)" EACCES
t_eq "a user's own pipeline" "$(user mkdir "$P/accept:his")" ok
t_eq "... is his" "$(stat -c '%U %a' "$P/accept:his")" 'nobody 700'
t_eq "... with filters" "$(user mkdir "$P/accept:his/unpcap")" ok
t_eq "... but sends nothing" "$(user mkdir "$P/accept:his/unpcap/transmit:near" | sed s/EACCES/EPERM/)" EPERM
t_has "... and is told so" "$(t_as_user cat "$P/.errors")" EPERM
chmod 0600 text
t_eq "a user's pcap: opens as the user" "$(user mkdir "$P/pcap:$here%2ftext")" EACCES
mkdir -m 0755 closed
t_eq "a user's file: writes as the user" "$(user mkdir "$P/accept:his/file:$here%2fclosed%2fout")" EACCES
t_eq "chmod gives a source away" "$(chmod 0755 "$P/dev/near" && user open "$P/dev/near/all")" ok
t_eq "a user's errors are his own" "$(t_as_user grep -c qqqqqqqq "$P/.errors" || true)" 0
t_as_user "$python" -c "import os
for i in range(100):
    try:
        os.mkdir('$P/accept:his/nope%d' % i)
    except FileNotFoundError:
        pass"
t_eq "the last 64 are kept" "$(t_as_user grep -c nope "$P/.errors")" 64
t_has "the very last is there" "$(t_as_user cat "$P/.errors")" nope99
t_has "root sees a user's too" "$(cat "$P/.errors")" nope99

# --- ten thousand -----------------------------------------------------------------------------------

t_ok "10,000 directories" python3 -c "import os
for i in range(10000):
    os.mkdir('$P/accept/head:%d' % (i + 1))"
t_eq "are all listed" "$(find "$P/accept" -maxdepth 1 -name 'head:*' | wc -l)" 10000
t_read accept/head:9999/all got
echo hello >"$P/accept/all"
t_done "$BG" 30
t_eq "... to the one that reads" "$(cat got)" hello
python3 -c "import os, errno
path = '$P/accept:deep'
os.mkdir(path)
try:
    for i in range(200):
        path += '/head:1'
        os.mkdir(path)
    print('ok')
except OSError as e:
    print(errno.errorcode[e.errno])" >deep
t_eq "too deep is refused" "$(cat deep)" ELOOP
t_ok "rm -r of all that was made" sh -c "rm -r '$P'/accept/* '$P/accept:deep' '$P/accept:his'"
t_eq "is gone" "$(find "$P/accept" "$P"/accept:* -mindepth 1 -type d 2>/dev/null | wc -l)" 0
t_ok "rm -r of everything ends" sh -c "timeout 60 rm -rf '$P' >/dev/null 2>&1 || [ \$? != 124 ]"
t_ok "the static ones are still there" test -e "$P/netfilter_in/all"
t_eq "the same daemons" "$(t_daemons)" "$before"
mkdir -p "$P/accept/count"
t_read accept/count/all after
echo works >"$P/accept/all"
t_done "$BG"
t_eq "still at work" "$(cat after)" works
