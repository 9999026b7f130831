#!/bin/sh
# needs: user
# README.md: what it tells people to type is run, and prints what it says.
. "$T_LIB"
t_need tcpdump python3

mkdir bin
ln -s "$PIPESFS" bin/pipesfs
export PATH="$PWD/bin:$PATH" LC_ALL=C.UTF-8
t_cleanup t_unmount "$PWD/p"
as_root=
if [ "$(id -u)" = 0 ]; then
	as_root=--root
fi
# shellcheck disable=SC2086
t_ends 60 "$TOP/tests/tools/readme.py" $as_root "$TOP/README.md"
