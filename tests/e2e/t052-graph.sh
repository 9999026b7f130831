#!/bin/sh
# .graph, .graph.dot, .graph.json, .metrics: valid for those who read such files elsewhere, with the
# numbers of .stats, whatever names hold; for ten thousand directories, too.
# timeout: 240
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need jq dot
for PYTHON in python3 /usr/bin/python3 none; do
	! "$PYTHON" -c 'import prometheus_client' 2>/dev/null || break
done
[ "$PYTHON" != none ] || t_skip "needs python3-prometheus-client"
t_cleanup t_unmount "$P"
t_start -o nodes=20000

metric() {
	jq -r --arg n "$1" --arg p "$2" 'select(.[1] == $n and .[2].path == $p) | .[3] | floor' metrics
}
metrics() {
	cat "$P/.metrics" >text
	# From its standard input: beside it lie files with the names of modules.
	"$PYTHON" - text <"$TOP/tests/tools/openmetrics.py" >metrics
}

capture make in.pcap
mkdir -p "$P/accept:x/unpcap" "$P/accept/unpcap/tcp/head:10" "$P/accept/unpcap/tcp/into:accept:x%2funpcap"
odd=$(printf 'accept:"quoted" \\ back\nline\t\033[31m \377 \342\202\254 {a="b"}')
mkdir "$P/$odd"
t_read accept/unpcap/tcp/all out
cat in.pcap >"$P/accept/all"
t_done "$BG"

metrics
for path in accept accept/unpcap accept/unpcap/tcp; do
	for pair in in:records_in out:records_out bytes:output_bytes lost:records_lost dropped:records_dropped; do
		t_eq "$path ${pair%:*}: .metrics and .stats" "$(metric "pipesfs_${pair#*:}_total" "/$path")" "$(t_stat "$path" "${pair%:*}")"
	done
done
t_ok "it was not nothing" test "$(metric pipesfs_records_out_total /accept/unpcap/tcp)" -gt 5
t_eq "what a reader got stays counted" "$(metric pipesfs_reader_delivered_total /accept/unpcap/tcp)" "$(t_stat accept/unpcap/tcp out)"
t_eq "a filter's own numbers" "$(jq -r 'select(.[1] == "pipesfs_stat" and .[2].name == "joined") | .[3] | floor' metrics)" "$(t_stat accept/unpcap/tcp/into:accept:x%2funpcap joined)"
t_eq "labels come back as they are" "$(jq -r '.[2].path // "" | select(startswith("/accept:\""))' metrics | head -n 1)" \
	"$(printf '/accept:"quoted" \\ back')"
t_has "... and what a terminal obeys does not" "$(jq -r '.[2].path // "" | select(startswith("/accept:\""))' metrics | head -n 2)" '\x1b[31m \xff €'
t_fails "no control character anywhere" grep -qP '[\x00-\x08\x0b-\x1f\x7f]' text
t_eq "it ends as it must" "$(tail -n 1 text)" "# EOF"

cat "$P/.graph.json" >graph.json
t_ok ".graph.json is JSON" jq -e . graph.json
node() {
	jq -r --arg p "$1" ".nodes[] | select(.path == \$p) | $2" graph.json
}
t_eq "numbers of .stats" "$(node /accept/unpcap '"\(.in) \(.out) \(.bytes)"')" "$(t_stat accept/unpcap in) $(t_stat accept/unpcap out) $(t_stat accept/unpcap bytes)"
t_eq "a parent comes first" "$(jq '[.nodes[].id] as $ids | [.nodes | to_entries[] | select(.value.parent != 1) | .key as $k | .value.parent as $p | ($ids | index($p)) < $k] | all' graph.json)" true
t_eq "a join names its target" "$(node /accept/unpcap/tcp/into:accept:x%2funpcap .into)" "$(node /accept:x/unpcap .id)"
t_eq "whose what is" "$(node /accept '"\(.uid) \(.kind) \(.type) \(.shape) \(.state)"')" "0 source accept source running"
t_eq "a subtree's own" "$(jq -r '.nodes[0].path' "$P/accept/unpcap/tcp/.graph.json")" /accept/unpcap/tcp
cat "$P/.graph.dot" >graph.dot
t_ok ".graph.dot is drawn by dot" dot -Tsvg -o graph.svg graph.dot
t_has "with the join" "$(cat graph.dot)" "label=into"
t_has ".graph is for people" "$(cat "$P/.graph")" "  accept  source running in="

# Rates: of what flows while we look.
mkdir -p "$P/accept:r/count"
yes >"$P/accept:r/all" &
Y=$!
t_cleanup kill "$Y"
fast() {
	[ "$(jq '[.nodes[] | select(.path == "/accept:r") | .rate.bytes > 1000] | any' "$P/.graph.json")" = true ]
}
t_wait_for 10 fast
t_wait_for 10 fast
echo "ok: a rate is told: $(jq -c '.nodes[] | select(.path == "/accept:r") | .rate' "$P/.graph.json")"
kill "$Y"

# What runs in the kernel.
mkdir "$P/dev/lo/ip"
t_read dev/lo/ip/all lo
t_eq "a source at work is in the kernel" "$(jq '.nodes[] | select(.path == "/dev/lo") | .kernel' "$P/.graph.json")" true
kill "$BG"

# Ten thousand.
python3 - "$P" <<'END'
import os, sys
for i in range(100):
    os.mkdir(f"{sys.argv[1]}/accept:n{i}")
    for j in range(99):
        os.mkdir(f"{sys.argv[1]}/accept:n{i}/head:{j + 1}")
END
metrics
t_eq "ten thousand directories" "$(jq -r 'select(.[1] == "pipesfs_running") | .[2].path' metrics | grep -c /accept:n)" 10000
t_ok "... take less than 32 MiB ($(wc -c <text) bytes)" test "$(wc -c <text)" -lt 33554432
t_eq "... as JSON" "$(jq '[.nodes[] | select(.path | startswith("/accept:n"))] | length' "$P/.graph.json")" 10000
t_ends 20 cat "$P/.graph" >/dev/null
# shellcheck disable=SC2013 # words it is
for name in $(sed -n 's/^\(filter\|sink\|view\|source\) \([a-z0-9_]*\).*/\2/p' "$TOP/src/modules.list"); do
	[ -n "$(head -c 64 "$P/.filters/$name")" ] || t_fail "no manual of $name"
done
echo "ok: a manual of every filter, source, sink and view"
