# names.sh - a name server of the test's own, in its namespaces
#
#     . "$T_LIB"
#     . "$TOP/tests/tools/names.sh"
#
#   t_names                     names are asked of tests/tools/nameserver.py from now on: its head says what becomes of them
# shellcheck shell=sh

t_names() {
	t_need_root
	t_need python3
	printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$TMPDIR/resolv.conf"
	printf 'hosts: files dns\n' >"$TMPDIR/nsswitch.conf"
	for t_conf in resolv nsswitch; do
		mount --bind "$TMPDIR/$t_conf.conf" "/etc/$t_conf.conf"
		t_cleanup umount "/etc/$t_conf.conf"
	done
	t_bg python3 "$TOP/tests/tools/nameserver.py" "$TMPDIR/names.ready"
	t_wait_for 10 test -e "$TMPDIR/names.ready"
}
