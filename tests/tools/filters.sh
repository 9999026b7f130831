# filters.sh - words about filters of files and redirctl
#
#     . "$T_LIB"
#     . "$TOP/tests/tools/filters.sh"
#
#   $filters                    where those that were built lie; else the test is skipped
#   ctl WORD...                 redirctl for the mount at $P
#   redirected DIRECTORY        it is a redirected tree; in $TMPDIR
#   denied ERRNO CMD...         CMD fails, and names that error
# shellcheck shell=sh disable=SC2034 # for the tests

filters=$T_BUILD/src
[ -e "$filters/udummyflt.so" ] || t_skip "the filters were not built"
[ -e redirctl ] || ln -s "$PIPESFS" redirctl

ctl() {
	./redirctl -m "$P" "$@"
}

redirected() {
	grep -q " $TMPDIR/$1 .*fuse.redirfs" /proc/self/mountinfo
}

denied() {
	t_why=$1
	shift
	"$@" 2>&1 | grep -q "$t_why"
}
