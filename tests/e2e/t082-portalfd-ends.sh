#!/bin/sh
# needs: user
# Who may die, in any order: the server, the opener, who waits, the command, what it leaves behind. Signals and stops.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need bash python3

t_peer GREET greet
portal=/p/tcp/127.0.0.1/$GREET

server() {
	t_servers | sed -n "s/^pipesfs-$1 //p"
}

both_serve() {
	[ "$(t_servers | wc -l)" = 2 ]
}

# begin COMMAND: in the background; it says in `ready` that it runs. $W waits, $C is the command.
begin() {
	rm -f ready out go
	"$PIPESFS" portal sh -c "echo \$\$ >ready.new; mv ready.new ready; $1" >out 2>said &
	W=$!
	t_cleanup kill -9 $W
	t_wait_for 10 test -s ready
	C=$(cat ready)
	t_wait_for 5 both_serve
	S=$(server portal)
	O=$(server opener)
}

status_of_waiter() {
	RC=0
	wait $W || RC=$?
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# shellcheck disable=SC2016
loop='while [ ! -e go ]; do sleep 0.05; done; rm -f go;'

begin "$loop cat /etc/hostname; read x </etc/hostname; exit 5"
kill -9 "$S"
: >go
status_of_waiter
t_eq "the server killed: the command's status" $RC 5
t_has "... whose opens are ENOSYS" "$(cat said)" "Function not implemented"
t_has "... which we say" "$(cat said)" "pipesfs: the process that served portals has died"
t_wait_for 5 t_no_servers

begin "$loop cat $portal; cat /etc/hostname; exit 6"
kill -9 "$O"
: >go
status_of_waiter
t_eq "the opener killed: the command goes on" $RC 6
t_has "... portals are EIO" "$(cat said)" "Input/output error"
t_eq "... and all else is as ever" "$(cat out)" "$(cat /etc/hostname)"
t_wait_for 5 t_no_servers

begin 'sleep 1000'
kill -9 $W
status_of_waiter
t_wait_for 5 gone "$C"
echo "ok: who waits killed: the command is, too"
# Its child runs on, as when the command itself had been killed; with it the server goes.
pid=$(t_servers | grep -c . || true)
t_note "$pid processes serve what is left"
if [ "$pid" != 0 ]; then
	left=$(pgrep -f '^sleep 1000$' -P "$S" || true)
	# shellcheck disable=SC2086
	[ -z "$left" ] || kill $left
fi
t_wait_for 5 t_no_servers

begin "$loop"
kill -9 "$C"
status_of_waiter
t_eq "the command killed" $RC 137
t_wait_for 5 t_no_servers

begin "$loop"
kill -9 "$S" "$O" $W || : # one may have ended with another
status_of_waiter
t_wait_for 5 t_no_servers
kill -9 "$C" 2>/dev/null || true

# --- what is left behind --------------------------------------------------------------------------------

begin "( $loop cat $portal >late 2>&1 ) >/dev/null 2>&1 & exit 3"
status_of_waiter
t_eq "a command that leaves something behind has ended" $RC 3
t_eq "... and is served" "$(t_servers | wc -l)" 2
: >go
t_wait_for 5 test -s late
t_eq "... still" "$(cat late)" "hello $GREET"
t_wait_for 5 t_no_servers
echo "ok: and nothing is left of it"
rm -f held over
("$PIPESFS" portal sh -c 'while [ ! -e held ]; do sleep 0.05; done >/dev/null 2>&1 & echo done' 2>&1 | cat >released; : >over) &
t_wait_for 5 grep -q "done" released
t_wait_for 5 test -e over
: >held
echo "ok: nobody's output is held"

# --- signals ------------------------------------------------------------------------------------------------

# (A shell starts what is in the background with SIGINT and SIGQUIT ignored.)
for signal in TERM HUP USR1; do
	begin "trap 'echo got $signal; exit 9' $signal; while :; do sleep 0.05; done"
	kill -$signal $W
	status_of_waiter
	t_eq "SIG$signal reaches the command" "$RC $(cat out)" "9 got $signal"
done
begin 'while :; do sleep 0.05; done'
kill -TERM $W
status_of_waiter
t_eq "and ends both" $RC 143

# A shell that sends what it gets to all of its group must not get it again and again.
# shellcheck disable=SC2016
t_status 4 "a signal to the group" setsid -w "$PIPESFS" portal sh -c \
	'n=0; trap "n=\$((n + 1)); echo \$n; [ \$n -gt 3 ] || kill -USR1 0" USR1; kill -USR1 $$; sleep 0.5; exit 4'
cp .out out
t_note "$(tr '\n' ' ' <out)"
t_eq "no echo of signals" "$(wc -l <out)" 4

# --- stops ----------------------------------------------------------------------------------------------------

state() {
	sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status"
}

is() {
	[ "$(state "$1")" = "$2" ]
}

begin 'kill -STOP $$; exit 8'
t_wait_for 5 is $W T
echo "ok: it stops when the command stops"
kill -CONT $W
status_of_waiter
t_eq "and goes on with it" $RC 8

begin 'kill -STOP $$; exit 8'
t_wait_for 5 is $W T
kill -CONT "$C"
status_of_waiter
t_eq "or when the command is told to" $RC 8

# In a terminal: bash's jobs.
if command -v script >/dev/null; then
	cat >job.sh <<END
set -m
"$PIPESFS" portal cat $portal
"$PIPESFS" portal sh -c 'kill -TSTP \$\$; echo on'
jobs | grep -c Stopped
fg >/dev/null
"$PIPESFS" portal bash -c 'read -r x </dev/tty; echo "tty \$x"'
END
	(sleep 1; echo typed) | script -qec "bash job.sh" /dev/null >tty.out 2>&1 || true
	t_has "a job in a terminal" "$(tr -d '\r' <tty.out)" "hello $GREET"
	t_has "... can be stopped" "$(tr -d '\r' <tty.out)" "1
on"
	t_has "... and has the terminal" "$(tr -d '\r' <tty.out)" "tty typed"
fi
t_wait_for 5 t_no_servers
