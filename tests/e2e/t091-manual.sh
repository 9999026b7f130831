#!/bin/sh
# needs: user
# The manual names all there is: filters, sources, sinks and views, commands, mount options,
# and what lies in a directory.
. "$T_LIB"

tree=$TOP/man/pipesfs.7
program=$TOP/man/pipesfs.8

for kind in filter sink view source; do
	for name in $("$TOP/tools/gentables" --names "$kind"); do
		grep -qw "$name" "$tree" || t_fail "pipesfs(7) does not speak of $name, a $kind"
	done
done
echo "ok: every module is in pipesfs(7)"

"$PIPESFS" help | sed -n 's/^  \([a-z]*\) .*/\1/p' >commands
t_ok "help lists commands" test -s commands
while read -r name; do
	grep -qE "^\.(Nm pipesfs|Ic|Ss) $name" "$program" || t_fail "pipesfs(8) does not speak of the command $name"
done <commands
echo "ok: every command is in pipesfs(8)"

"$PIPESFS" help mount | sed -n 's/^  \([a-z_]*\)\(=[A-Z]*\)\{0,1\} .*/\1/p' | sort -u >options
while read -r name; do
	grep -qE "^\.It Cm $name" "$program" || t_fail "pipesfs(8) does not speak of the mount option $name"
done <options
echo "ok: every mount option is in pipesfs(8)"

t_mount
mkdir "$P/accept"
for file in "$P/accept"/* "$P/accept"/.[a-z]* "$P"/.[a-z]*; do
	name=${file##*/}
	[ "$name" != .control ] || continue # between our own processes
	grep -qF "$name" "$tree" || t_fail "pipesfs(7) does not speak of $name"
done
echo "ok: every file is in pipesfs(7)"

# Each has a manual of its own in the tree, and its first line says what it is.
for kind in filter sink view source; do
	for name in $("$TOP/tools/gentables" --names "$kind"); do
		t_has ".filters/$name" "$(head -n 1 "$P/.filters/$name")" "$name - "
	done
done
