#!/bin/sh
# Ten workers make, run, overwrite and remove programs below a scanner while its rules are replaced: nothing clean is denied,
# nothing bad is run. SCANFLT_SECONDS says for how long (2).
. "$T_LIB"
t_need_root
t_need python3

filters=$T_BUILD/src
[ -e "$filters/scanflt" ] || t_skip "libyara is not there: scanflt was not built"
seconds=${SCANFLT_SECONDS:-2}

mkdir tree
t_cleanup umount -l tree
cat >churn.py <<'END'
import os, random, subprocess, sys, time
until = time.monotonic() + float(sys.argv[1])
program = open("/bin/true", "rb").read()
def put(path, data):
    with open(path, "wb") as f: f.write(data)
    os.chmod(path, 0o755)
def runs(path):
    try: return subprocess.run([path]).returncode == 0
    except PermissionError: return False
def reads(path, data):
    try:
        with open(path, "rb") as f: return f.read() == data
    except PermissionError: return False
def work(me):
    random.seed(me)
    rounds = 0
    while time.monotonic() < until:
        path = "tree/%d-%d" % (me, rounds % 7)
        bad = program + b"EV" + b"IL"
        put(path, program)
        assert runs(path), "a clean program was not run"
        assert reads(path, program), "a clean program was not read"
        os.rename(path, path + "x"); os.link(path + "x", path)
        assert runs(path), "a clean program was not run by its second name"
        put(path, bad)
        assert not runs(path + "x"), "a bad program was run"
        assert not reads(path, bad), "a bad program was read"
        put(path, program)
        assert runs(path + "x"), "a program that is clean again was not run"
        os.unlink(path); os.unlink(path + "x")
        rounds += 1
    return rounds
pids = []
for me in range(10):
    pid = os.fork()
    if pid == 0:
        try: rounds = work(me)
        except BaseException as e:
            print("worker %d: %r" % (me, e), flush=True)
            os._exit(1)
        print("worker %d: %d rounds" % (me, rounds), flush=True)
        os._exit(0 if rounds else 1)
    pids.append(pid)
# Meanwhile rules come and go, as one; now and then wrong ones.
n = 0
while time.monotonic() < until:
    with open("rules.new", "w") as f:
        f.write('rule evil { strings: $a = "EVIL" condition: $a }\n' if n % 4 else 'rule wrong { condition: }')
        f.write('rule other_%d { strings: $a = "never there %d" condition: $a }\n' % (n, n))
    os.rename("rules.new", "rules.yar")
    n += 1
    time.sleep(0.1)
sys.exit(any([os.waitpid(pid, 0)[1] for pid in pids]))
END
number() { sed -n "s/^$1 //p" numbers; }

# shellcheck disable=SC2016 # YARA's $
rule() { echo 'rule evil { strings: $a = "EVIL" condition: $a }' >rules.yar; }

churn() { # WHAT
	echo probe >tree/probe
	# shellcheck disable=SC2016 # it is for that sh
	t_wait_for 5 sh -c 'cat tree/probe >/dev/null && [ "$(sed -n "s/^opens //p" numbers)" -gt 0 ]'
	t_ok "$1: workers" python3 churn.py "$seconds"
	t_eq "$1: nothing failed or was late" "$(number failed) $(number expired)" "0 0"
	t_ok "$1: rules were taken meanwhile" [ "$(number reloads)" -gt 0 ]
	t_ok "$1: and refused" [ "$(number refused)" -gt 0 ]
	t_note "$1: $(tr '\n' ' ' <numbers)"
	rm tree/*
}

# shellcheck disable=SC2016 # the dollar is YARA's
rule
printf 'rules %s\nmax-time 60\n' "$TMPDIR/rules.yar" >conf
"$PIPESFS" redirect --listen socket tree
PIPESFS_URFS=$TMPDIR/socket t_bg "$filters/scanflt" -c conf -s "$TMPDIR/numbers" -l "$TMPDIR/log" "$TMPDIR/tree"
churn process
umount tree
rm numbers
rule # the last one may have been wrong
"$PIPESFS" redirect --load "$filters/scanflt.so,-c,$TMPDIR/conf,-s,$TMPDIR/numbers,-l,$TMPDIR/log,$TMPDIR/tree" tree
churn "shared object"
umount tree
