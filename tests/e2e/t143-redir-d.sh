#!/bin/sh
# Files of redirctl's commands that are done at mount.
# shellcheck disable=SC2012 # names of ours
. "$T_LIB"
t_need_root

touch scan.so
mkdir -p tree conf "$P"
T=$PWD/tree
cat >conf/10-good.conf <<END
# what is there from the mount on
load scan $PWD/scan.so security
setpath scan $T include subtree
policy scan closed
END
cat >conf/20-wrong.conf <<END
load other $PWD/scan.so 1
activate nobody
END
cat >conf/30-late.conf <<END
load third $PWD/scan.so 3
setpath third $T/none include subtree
deadline third 1s
END
echo "load no $PWD/scan.so 9" >conf/readme
t_cleanup t_unmount "$P"
"$PIPESFS" mount -o redirections=conf "$P" 2>err || t_fail "files that are wrong stop a mount: $(cat err)"
t_eq "what is wrong is said, with its place" "$(cat err)" \
	"pipesfs: conf/20-wrong.conf:2: there is no filter 'nobody'
pipesfs: conf/30-late.conf:2: $T/none: No such file or directory"
t_eq "a file is done as it says" "$(cat "$P/redirfs/scan/paths" "$P/redirfs/scan/policy")" "$T 0x6
closed"
t_eq "of a file that makes no sense nothing is done, other files are not read" "$(ls "$P/redirfs" | tr '\n' ' ')" \
	'scan third '
t_eq "what cannot be done stops nothing" "$(cat "$P/redirfs/third/deadline")" 1s
"$PIPESFS" umount "$P"
"$PIPESFS" mount -o redirections= "$P"
t_eq "none, when told so" "$(ls "$P/redirfs")" ''
