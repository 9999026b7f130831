#!/bin/sh
# The examples of redirctl(8), as they are, with paths of ours.
. "$T_LIB"
. "$TOP/tests/tools/redirctl.sh"
t_need_root

mkdir -p srv/tmp lib
touch lib/scan.so
t_mount
W=$PWD
t_examples redirctl.8 example
t_ok "the manual has two examples" test -s example1 -a -s example2 -a ! -e example3

# ours: paths of the manual are ours
ours() {
	sed "s|%2flib|$(echo "$W/lib" | sed 's|/|%2f|g')|g; s| /lib| $W/lib|g; s| /p/| $P/|g; s#\(^\| \)/srv#\1$W/srv#g
		s|redirctl \([a-z]\)|./redirctl -m $P \1|"
}
sed -n 's/^\$ //p' example1 | ours >commands
t_ok "redirctl: no command fails" sh -e commands
t_eq "redirctl: what it prints" "$(sh -e commands 2>/dev/null || sed -n '/paths/,$p' commands | sh -e)" \
	"$(grep -v '^\$' example1 | ours)"
./redirctl -m "$P" unload scan
sed -n 's/^\$ //p' example2 | ours >commands
t_ok "a shell: no command fails" sh -e commands
t_eq "a shell: the same" "$(cat "$P/redirfs/scan/paths")" "$(grep '^/.* 0x' example1 | ours)"
