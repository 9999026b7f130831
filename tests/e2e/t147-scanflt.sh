#!/bin/sh
# scanflt on a redirected tree, from a shared object and as a process: what a rule matches is not opened, what is unchanged is
# scanned once, every change is seen, and rules are replaced as one.
. "$T_LIB"
t_need_root
t_need python3

filters=$T_BUILD/src
[ -e "$filters/scanflt" ] || t_skip "libyara is not there: scanflt was not built"

mkdir tree below rules
mkfifo hold
mount --bind tree below
t_cleanup umount -l below
t_cleanup umount -l tree

# The bytes of a test virus, in two pieces: this file itself is none.
bad=X5O_PIPESFS_TEST_
bad=${bad}BODY
rule() { # FILE NAME TEXT
	# shellcheck disable=SC2016 # the dollar is YARA's
	printf 'rule %s { strings: $a = "%s" condition: $a }\n' "$2" "$3" >"$1.new"
	mv "$1.new" "$1"
}
rule rules/main.yar test_body $bad
cat >conf <<END
rules $TMPDIR/rules/main.yar
max-size 1M
max-time 1
skip path=$TMPDIR/tree/free/
skip owner=12345
skip exe=**/dd op=read
END

number() { sed -n "s/^$1 //p" numbers; }
# Numbers are written when they have changed: a file that nobody has opened yet tells that all before it has been.
marks=0
settle() {
	marks=$((marks + 1))
	echo "$marks" >"tree/free/mark$marks"
	was=$(number skipped)
	cat "tree/free/mark$marks" >/dev/null
	t_wait_for 5 sh -c "[ \"\$(sed -n 's/^skipped //p' numbers)\" -gt $was ]"
}
scans() { # WHAT N COMMAND...: how many scans it takes
	t_what=$1
	t_n=$2
	shift 2
	settle
	t_from=$(number scanned)
	"$@" >/dev/null
	settle
	t_eq "$t_what: scans" $(($(number scanned) - t_from)) "$t_n"
}
denied() { # WHAT FILE
	t_has "$1" "$(cat "tree/$2" 2>&1)" "Operation not permitted"
}
# Written below, past the tree: nothing of that is seen but the file's state.
below_write() {
	echo "$2" >"below/$1"
}

checks() { # WHAT
	mkdir -p below/free
	: >log
	below_write clean "all is well"
	echo "xx $bad xx" >below/bad
	cp /bin/true below/program
	(cat /bin/true && echo "$bad") >below/bad-program
	chmod +x below/program below/bad-program

	t_eq "$1: what is clean is read" "$(cat tree/clean)" "all is well"
	denied "$1: what a rule matches is not" bad
	t_has "$1: and said, with the rule, the path and who" "$(cat log)" \
		"deny found rule=test_body op=read uid=0 pid="
	t_has "$1: and the program" "$(cat log)" "/cat path=$TMPDIR/tree/bad"
	t_ok "$1: what is clean runs" tree/program
	t_has "$1: what is not does not run" "$(sh -c tree/bad-program 2>&1)" "not permitted"
	t_ok "$1: said as exec" grep -q "^deny found rule=test_body op=exec .*path=$TMPDIR/tree/bad-program" log
	t_has "$1: nor is it opened to be read and written" "$(sh -c '<>tree/bad' 2>&1)" "not permitted"

	below_write bad $bad

	# --- once ---
	many() { for _ in 1 2 3 4 5 6 7 8; do cat tree/clean tree/clean2; done; }
	below_write clean2 "well, too"
	ln below/clean2 below/link
	scans "$1: an unchanged file is scanned once, by whatever name" 1 sh -c 'cat tree/clean2 tree/link;
		cat tree/link; cp tree/clean2 /dev/null; head -c 1 tree/clean2'
	scans "$1: what is known is not scanned" 0 many
	below_write bad2 $bad
	scans "$1: nor is its denial" 1 sh -c 'cat tree/bad2; cat tree/bad2; cat tree/bad2; :' 2>/dev/null
	scans "$1: what is skipped is not" 0 sh -c 'dd if=tree/clean2 of=/dev/null status=none; echo '$bad' >below/free/x; cat tree/free/x;
		echo '$bad' >below/his; chown 12345 below/his; cat tree/his'
	head -c 3000000 /dev/zero >below/large
	scans "$1: nor what is too large" 0 cat tree/large
	t_ok "$1: which is said" grep -q "^allow too-large .*path=$TMPDIR/tree/large" log

	# --- what has changed, and looks as if it had not; what somebody has mapped, whose writes change no times ---
	python3 - $bad <<-'END'
		import mmap, os, sys
		bad = sys.argv[1].encode()
		def readable(path):
		    try: os.close(os.open(path, os.O_RDONLY)); return True
		    except PermissionError: return False
		def shows(path):
		    try:
		        with open(path, "rb") as f: return f.read()
		    except PermissionError: return None
		def put(path, data, mode="wb"):
		    with open(path, mode) as f: f.write(data)
		def change(how, path, st, data):
		    back = lambda p=path: os.utime(p, ns=(st.st_atime_ns, st.st_mtime_ns))
		    if how == "bytes": put(path, data, "r+b")
		    elif how == "bytes, and its time put back": put(path, data, "r+b"); back()
		    elif how == "a mapping":
		        with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as m: m[:] = data
		    elif how == "another one in its place":
		        put(path + "2", data); back(path + "2"); os.rename("tree/victim2", "tree/victim")
		    elif how == "truncation":
		        os.truncate(path, 0); os.truncate(path, len(data)); put(path, data, "r+b"); back()
		    elif how == "its second name":
		        os.link(path, path + "2"); readable("tree/victim"); put(path + "2", data, "r+b"); back(); os.unlink(path + "2")
		    elif how == "another one with its number":
		        for _ in range(50):
		            os.unlink(path); put(path, data); back()
		            if os.stat(path).st_ino == st.st_ino: break
		for how in ("bytes", "bytes, and its time put back", "a mapping", "another one in its place", "truncation",
		            "its second name", "another one with its number"):
		    path = "below/victim"
		    put(path, b"harmless, and as long as the other one")
		    os.utime(path, (1, 1))
		    st = os.stat(path)
		    assert readable("tree/victim") and readable("tree/victim"), how
		    change(how, path, st, bad.ljust(st.st_size, b"x"))
		    assert os.stat(path).st_size == st.st_size
		    seen = shows("tree/victim")
		    # What was put there below, past the tree, the tree knows after a second: until then it may show the old one.
		    assert seen is None or ("number" in how and bad not in seen), "changed by %s, and not seen" % how
		for where in "below", "tree":
		    put("below/mapped", b"x" * 4096)
		    with open(where + "/mapped", "r+b") as f: m = mmap.mmap(f.fileno(), 0)
		    m[0] = 65  # the page is dirty: what follows changes no times
		    for i in range(20):
		        m[:len(bad)] = b"harmless".ljust(len(bad))
		        assert readable("tree/mapped"), "clean, and denied"
		        m[:len(bad)] = bad
		        assert not readable("tree/mapped"), "%s, %d: changed by a mapping, and not seen" % (where, i)
		    m.close()
	END
	echo "ok: $1: what was changed in whatever way is seen"

	# --- closed, and scanned before anybody asks ---
	settle
	t_from=$(number ahead)
	echo "written by way of the tree" >tree/written
	t_wait_for 5 sh -c "[ \"\$(sed -n 's/^ahead //p' numbers)\" -gt $t_from ]"
	scans "$1: what was written has been scanned when it was closed" 0 cat tree/written

	# --- the rules ---
	t_from=$(number reloads)
	rule rules/main.yar another "quite another"
	t_wait_for 5 sh -c "[ \"\$(sed -n 's/^reloads //p' numbers)\" -gt $t_from ]"
	t_eq "$1: other rules allow it" "$(cat tree/bad)" $bad
	scans "$1: and are asked about what was known" 1 cat tree/clean
	t_from=$(number refused)
	echo 'rule broken { condition: nonsense }' >rules/main.yar
	t_wait_for 5 sh -c "[ \"\$(sed -n 's/^refused //p' numbers)\" -gt $t_from ]"
	t_ok "$1: rules that are wrong are refused, with a sentence" \
		grep -q 'main.yar: line 1: undefined identifier "nonsense"; the rules before it stay' log
	below_write bad "quite another"
	denied "$1: those before them stay" bad
	# Half of a file is none, though it would do: it is taken when it has been written.
	t_from=$(number reloads)
	sh -c 'exec >rules/main.yar && echo "rule half { condition: false }" && touch rules/seen.yar && cat >/dev/null' <hold &
	t_half=$!
	exec 9>hold
	t_wait_for 5 test -e rules/seen.yar
	settle
	t_eq "$1: rules that are being written are not taken" "$(number reloads)" "$t_from"
	denied "$1: those before them stay meanwhile" bad
	exec 9>&-
	wait "$t_half" || :
	t_wait_for 5 sh -c "[ \"\$(sed -n 's/^reloads //p' numbers)\" -gt $t_from ]"
	t_eq "$1: when they have been written they are" "$(cat tree/bad)" "quite another"
	rm rules/seen.yar
	t_from=$(number reloads)
	rule rules/main.yar test_body $bad
	t_wait_for 5 sh -c "[ \"\$(sed -n 's/^reloads //p' numbers)\" -gt $t_from ]"
	below_write bad $bad
	denied "$1: and the first are taken again" bad

	t_ok "$1: it may be written over" sh -c 'echo fine >tree/bad'
	t_eq "$1: and then is read" "$(cat tree/bad)" fine
	settle
	t_eq "$1: of nothing was said that it had failed or expired" "$(number failed) $(number expired)" "0 0"
	rm -r below/*
}

"$PIPESFS" redirect --load "$filters/scanflt.so,-c,$TMPDIR/conf,-l,$TMPDIR/log,-s,$TMPDIR/numbers,$TMPDIR/tree" tree
mkdir below/free
checks "shared object"
umount tree
t_eq "the original is there again" "$(ls tree)" ""

"$PIPESFS" redirect --listen socket tree
rm -f numbers
PIPESFS_URFS=$TMPDIR/socket t_bg "$filters/scanflt" -c conf -l "$TMPDIR/log" -s "$TMPDIR/numbers" "$TMPDIR/tree"
echo probe >tree/probe
# shellcheck disable=SC2016 # it is for that sh
t_wait_for 5 sh -c 'cat tree/probe >/dev/null && [ "$(sed -n "s/^opens //p" numbers)" -gt 0 ]'
mkdir below/free
checks process
umount tree
