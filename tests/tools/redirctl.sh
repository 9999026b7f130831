# redirctl.sh - words about redirctl and redirected trees
#
#     . "$T_LIB"
#     . "$TOP/tests/tools/redirctl.sh"
#
#   ctl WORD...                 redirctl for the mount at $P
#   redirected DIRECTORY        it is a redirected tree; in $TMPDIR
#   denied ERRNO CMD...         CMD fails, and names that error
#   said NAME WORDS CMD...      CMD fails with status 1, and says these words
# shellcheck shell=sh

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

said() {
	t_name=$1
	t_words=$2
	shift 2
	t_status=0
	"$@" >said.out 2>&1 || t_status=$?
	t_eq "$t_name: status" "$t_status" 1
	t_has "$t_name: words" "$(cat said.out)" "$t_words"
}
