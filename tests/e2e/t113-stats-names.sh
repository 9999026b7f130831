#!/bin/sh
# What a filter counts has a name of its own: none stands twice in .stats.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_mount
mkdir -p "$P/accept/unpcap/defrag" "$P/accept/lines"
t_read accept/unpcap/defrag/all frames
for dir in accept/unpcap/defrag accept/unpcap accept/lines accept; do
	t_eq "$dir: names that stand twice" "$(cut -d ' ' -f 1 "$P/$dir/.stats" | sort | uniq -d)" ""
done
t_has "packets that are not complete" "$(cat "$P/accept/unpcap/defrag/.stats")" "pending 0"
kill "$BG"
