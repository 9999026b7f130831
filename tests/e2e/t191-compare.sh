#!/bin/sh
# needs: user
# bench/compare: of two runs it says what is better, what is worse and what is noise; a time that falls is better, a rate that
# falls is worse; drift of the machine can be taken out; what it cannot compare it says. bench/book makes a page of a run.
. "$T_LIB"
t_need python3

compare=$TOP/bench/compare

# run DIR SPEED NOISE CHANGED: twelve rounds of made-up figures: all have SPEED, "moved" has CHANGED times that, and noise of NOISE %
run() {
	mkdir -p "$1"
	python3 - "$@" <<'END' >"$1/made.jsonl"
import json, random, sys
where, speed, noise, changed = sys.argv[1], *map(float, sys.argv[2:])
rng = random.Random(where)
print(json.dumps({"bench": "made", "machine": {"cpu": "x", "cpus": 2, "kernel": "6"}, "quick": False}))
for n in range(12):
    for name in ("a", "b", "c", "moved"):
        r = speed * (changed if name == "moved" else 1) * (1 + rng.uniform(-noise, noise) / 100)
        print(json.dumps({"bench": "made", "variant": name, "round": n, "rate": 100 * r, "readers": 2, "seconds": 1 / r}))
        print(json.dumps({"bench": "made", "what": "time", "of": name, "size": 64, "round": n, "ns": 500 / r}))
print(json.dumps({"bench": "made", "goal": "against a peer", "value": speed, "bound": ">= 1", "verdict": "met" if speed >= 1 else "MISSED"}))
END
}
# said VERDICT FIGURE: does a line say so?
said() {
	grep -E "^made +$2 .* $1\$" out >/dev/null
}

run old 1 4 1
run again 1.01 4 1
run slower 1 4 0.7
run drifted 1.5 4 1.3
run noisy 1.02 60 1
run loud 1 60 1

"$compare" old again >out
t_has "nothing but noise" "$(cat out)" "8 same; of 8 figures"
"$compare" --all old again >out
t_ok "all are listed" said same "a rate"

"$compare" old slower >out
t_ok "a rate that falls is worse" said WORSE "moved rate"
t_ok "a time that rises is worse" said WORSE "time moved 64 ns"
t_eq "only these" "$(grep -c '^made .* [A-Zb][A-Za-z]*$' out)" 2
t_fails "--fail tells by its status" "$compare" --fail old slower
"$compare" slower old >out
t_ok "the other way round it is better" said better "moved rate"
t_ok "... a time, too" said better "time moved 64 ns"

"$compare" loud noisy >out
t_has "noise of 60 % is noise" "$(cat out)" "8 same; of 8 figures"

"$compare" old drifted >out
t_has "all is faster" "$(cat out)" "8 better"
t_has "as a whole" "$(cat out)" "made: as a whole 1.5"
"$compare" --drift old drifted >out
t_has "but for the drift one thing is" "$(cat out)" "2 better, 6 same"
t_ok "that one" said better "moved rate"

# --- goals, and what cannot be compared --------------------------------------------------------------

run missed 0.5 4 1
"$compare" old missed >out
t_has "a goal that is missed now" "$(cat out)" "met -> MISSED"
head -n 8 old/made.jsonl >few.jsonl
"$compare" few.jsonl few.jsonl >out
t_has "one round says nothing" "$(cat out)" "too few rounds"
t_eq "what is in one of them only" "$(grep -v '"c"' old/made.jsonl >less.jsonl; "$compare" old less.jsonl | grep -c 'only in the old one' || :)" 2
t_fails "... is a status" "$compare" old less.jsonl
echo 'no JSON' >bad.jsonl
t_fails "no JSON" "$compare" old bad.jsonl
t_has "... it says where" "$(cat "$TMPDIR/.out")" "bad.jsonl:1"
t_fails "a folder without any" "$compare" old "$TOP/tests/e2e"
echo '{"bench": "made", "quick": true, "machine": {"cpu": "y"}}' >empty.jsonl
t_fails "nothing in common" "$compare" old empty.jsonl

# --- the book ----------------------------------------------------------------------------------------

mkdir -p build/bench
cp slower/made.jsonl build/bench
echo '<svg/>' >build/bench/made-plot.svg
t_ok "a page is made" "$TOP/bench/book" --build build results
page=$(cat results/README.md)
t_has "the machine" "$page" "x, 2 CPUs, Linux 6"
t_has "the ratios with what was wanted" "$page" "| against a peer | 1.00 | >= 1 | met |"
t_has "the plots" "$page" "![made-plot.svg](made-plot.svg)"
t_ok "they are there" test -s results/made-plot.svg
t_ok "it can be compared with another run" "$compare" old results
echo '{"bench": "made", "ratio": "told only", "value": 3}' >>build/bench/made.jsonl
t_ok "once more" "$TOP/bench/book" --build build results
t_has "a ratio for which nothing was set" "$(cat results/README.md)" "| told only | 3.00 |  |  |"
t_fails "a build without results" "$TOP/bench/book" --build nowhere results

# --- budgets, and the README's claims ----------------------------------------------------------------

"$TOP/bench/run" --budget >budget
t_ok "all benchmarks take 27 minutes at most" test "$(sed -n 's/^together *\([0-9]*\) s$/\1/p' budget)" -le 1620
t_fails "a benchmark that is none" "$TOP/bench/run" --budget nosuch
sed -n 's/.*| .bench\/run \([a-z]*\). |$/\1/p' "$TOP/README.md" | sort -u >told
t_ok "the README names some" test "$(wc -l <told)" -ge 5
while read -r name; do
	t_ok "the README's bench/run $name" grep "^$name " budget
done <told
# With the names that the benchmarks print a run fills the README's table.
mkdir -p copy
cp -r "$TOP/bench" "$TOP/README.md" copy
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=copy/bench python3 -c '
import claims, json
for _, _, bench, names in claims.CLAIMS:
    for name in names:
        print(json.dumps({"bench": bench, "goal": name, "value": 7.5, "bound": "", "verdict": "met"}))
' >build/bench/made.jsonl
t_ok "the table is written" copy/bench/book --build build --readme results
t_eq "each row has what was measured" "$(sed -n '/<!-- ratios/,/<!-- .ratios/p' copy/README.md | grep -c '7\.5')" \
	"$(sed -n '/<!-- ratios/,/<!-- .ratios/p' "$TOP/README.md" | grep -c bench/run)"
echo '{"bench": "made", "quick": true}' >>build/bench/made.jsonl
t_fails "a smoke test does not fill it" copy/bench/book --build build --readme results
