#!/bin/sh
# What people have in directories works in a redirected one, with three filters: one in a process that sees everything, one
# that judges every access by rules, and one that changes all data. tar, git, a C build, sqlite with a write-ahead log, an
# editor, rsync. PFS_FILES: an archive of so many more files, too, unpacked, compared and removed. PFS_REPO: a checkout of
# this project, cloned there, and its library built there.
# timeout: 3600
. "$T_LIB"
t_need_root
t_need git tar cc make rsync python3

filters=$T_BUILD/src
mkdir tree below
mount --bind tree below
t_cleanup umount -l below
# Whoever asks for them, one name is not to be made: that the rules are asked is seen by that.
printf 'deny=EPERM op=create path=%s/forbidden\ndefault allow\n' "$TMPDIR/tree" >rules
"$PIPESFS" redirect --listen socket --load "$filters/scrambleflt.so,$TMPDIR/tree" \
	--load "$filters/accessflt.so,-r,$TMPDIR/rules,$TMPDIR/tree" tree
t_cleanup umount -l tree
PIPESFS_URFS=$TMPDIR/socket t_bg "$filters/udummyflt" -o "$TMPDIR/log" "$TMPDIR/tree"
seen() {
	ls tree >/dev/null && test -s log
}
t_wait_for 5 seen
judged() {
	t_errno EPERM sh -c 'echo no >tree/forbidden'
	t_ok "$1: udummyflt has seen it" grep -q "^post DIR_IOP_CREATE .*/forbidden = -1\$" log
	: >log
}
judged "before"

# --- tar, both ways; what lies below is not what was packed ---

mkdir plain
cp -R "$TOP/src/base" "$TOP/src/urfs" plain
tar -C plain -cf sources.tar .
tar -C tree -xf sources.tar
t_ok "tar: what was unpacked is what was packed" tar -C tree -df sources.tar
t_ok "tar: packed there, and unpacked elsewhere" sh -c 'mkdir again && tar -C tree -cf - . | tar -C again -xf - &&
	diff -r plain again'
t_fails "below it is scrambled" cmp -s plain/base/base.h below/base/base.h

# --- git ---

export HOME="$TMPDIR" GIT_CONFIG_NOSYSTEM=1
git config --global user.name t
git config --global user.email t@example.org
git config --global init.defaultBranch main
git config --global safe.directory '*'
(cd tree && git init -q . && git add -A && git commit -qm one && git mv base ground &&
	git commit -qm two && git gc -q) || t_fail "git cannot work there"
t_ok "git: clone from there to there" git clone -q tree tree/clone
t_ok "git: all objects are whole" git -C tree/clone fsck --full --strict
t_eq "git: nothing has changed" "$(git -C tree/clone status --porcelain)" ""
t_ok "git: checkout of what was before" git -C tree/clone checkout -q HEAD~1
t_ok "git: it is what it was" diff -r -x .git plain tree/clone

# --- a build, by two compilers at a time, of a program that is run there ---

mkdir tree/build
(
	cd tree/build || exit 1
	printf 'int main(void)\n{\n\treturn ' >main.c
	for n in 1 2 3 4 5 6 7 8; do
		echo "int f$n(void); int f$n(void) { return $n; }" >f$n.c
		printf 'f%d() + ' $n >>main.c
	done
	printf '0 - 36;\n}\n' >>main.c
	sed -i '1i int f1(void), f2(void), f3(void), f4(void), f5(void), f6(void), f7(void), f8(void);' main.c
	printf 'prog: main.o libf.a\n\tcc -o $@ main.o -L. -lf\nlibf.a: f1.o f2.o f3.o f4.o f5.o f6.o f7.o f8.o\n\tar rc $@ $^\n' \
		>Makefile
)
t_ok "a build" make -s -j2 -C tree/build
t_ok "its program runs" tree/build/prog

# --- a database, whose writers and readers share memory by a file ---

cat >data.py <<'END'
import sqlite3, sys, threading
path = sys.argv[1]
db = sqlite3.connect(path)
assert db.execute("pragma journal_mode=wal").fetchone()[0] == "wal"
db.execute("create table t (n integer primary key, who integer, text)")
db.commit()
def write(who):
    mine = sqlite3.connect(path, timeout=60)
    for i in range(15):
        with mine:
            mine.execute("insert into t (who, text) values (?, ?)", (who, str(i) * 100))
def read():
    mine = sqlite3.connect(path, timeout=60)
    for i in range(15):
        n, = mine.execute("select count(*) from t").fetchone()
        assert n <= 60
threads = [threading.Thread(target=write, args=(w,)) for w in range(4)] + [threading.Thread(target=read)]
for t in threads: t.start()
for t in threads: t.join()
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
assert db.execute("select who, count(*) from t group by who order by who").fetchall() == [(w, 15) for w in range(4)]
db.execute("pragma wal_checkpoint(truncate)")
db.execute("vacuum")
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
END
t_ok "sqlite: four writers and a reader" python3 data.py "$TMPDIR/tree/data.db"

# --- an editor, which writes anew and renames; or in place ---

if command -v vim >/dev/null; then
	seq 1 2000 >tree/text
	for how in yes no; do
		t_ok "vim, backupcopy=$how" vim -u NONE -es -c "set backup writebackup backupcopy=$how" -c '%s/$/./' -c wq tree/text
	done
	t_eq "and it is written" "$(grep -c '\.\.$' tree/text)" 2000
fi

# --- rsync: there is nothing left to do afterwards ---

mkdir tree/copy
rsync -aHAX plain/ tree/copy/
t_eq "rsync: all is there" "$(rsync -aHAXcni plain/ tree/copy/)" ""
echo more >>tree/copy/base/base.h
rsync -aHAXc --inplace plain/ tree/copy/
t_ok "rsync: in place" diff -r plain tree/copy

# --- more files than fit into what anybody remembers of them ---

if [ "${PFS_FILES:-0}" -gt 0 ]; then
	python3 - many "$PFS_FILES" <<-'END'
		import os, random, sys
		top, n = sys.argv[1], int(sys.argv[2])
		r = random.Random(1)
		for i in range(n):
		    d = f"{top}/{i // 1000}/{i // 20 % 50}"
		    os.makedirs(d, exist_ok=True)
		    with open(f"{d}/file-{i}.c", "wb") as f:
		        f.write(r.randbytes(min(200000, int(r.expovariate(1 / 9000)))))
	END
	tar -cf many.tar many
	t_start_s=$(date +%s)
	tar -C tree -xf many.tar
	t_note "$PFS_FILES files, $(du -m many.tar | cut -f 1) MiB: unpacked in $(($(date +%s) - t_start_s)) s"
	t_ok "an archive of $PFS_FILES files is there" tar -C tree -df many.tar
	t_ok "and can be removed" rm -rf tree/many
	rm -rf many many.tar
fi
if [ -n "${PFS_REPO:-}" ]; then
	t_ok "git: clone of this project" git clone -q "$PFS_REPO" tree/repo
	t_ok "git: its objects are whole" git -C tree/repo fsck
	t_eq "git: nothing has changed" "$(git -C tree/repo status --porcelain)" ""
	(cd tree/repo && meson setup -Dfuse=system build && ninja -C build src/libpfs.a) >build.log 2>&1 ||
		t_fail "the project does not build: $(tail -n 5 build.log)"
	echo "ok: the project's library is built"
	rm -rf tree/repo
fi
judged "after"

# --- when the filters have gone, and are there again, it is still what it was ---

umount tree
t_fails "the original is scrambled" grep -q include tree/copy/base/base.c
"$PIPESFS" redirect --load "$filters/scrambleflt.so,$TMPDIR/tree" tree
t_ok "and plain through the filter" diff -r plain tree/copy
t_ok "all that git has, too" git -C tree/clone fsck --full
