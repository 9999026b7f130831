#!/bin/sh
# needs: user
# timeout: 240
# What may stand in a command line: told from the tables that make the help, and really completed by the shells.
. "$T_LIB"
t_need bash python3

pipesfs() {
	"$PIPESFS" "$@"
}

words() {
	pipesfs complete -- "$@" | cut -f 1
}

# --- nothing is forgotten -----------------------------------------------------------------------------

pipesfs help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort >commands
t_eq "every command of the help" "$(words '' | sort)" "$(cat commands)"
while read -r command; do
	[ "$command" != help ] || continue
	pipesfs help "$command" | sed -n 's/^  \(-[a-zA-Z]\)\{0,1\},\{0,1\} *\(--[a-z-]*\)\{0,1\}.*/\1 \2/p' |
		awk '/-/ { print $NF }' | sort >options
	echo --help >>options
	t_eq "every option of $command" "$(words "$command" - | sort)" "$(sort options)"
done <commands
for kind in filter sink source; do
	"$TOP/tools/gentables" --names "$kind"
done | sort -u >modules
{
	words run ''
	words run 'accept | ' | sed 's,^accept | ,,'
} | sort -u >offered
t_eq "every filter, sink and source" "$(comm -23 modules offered)" ''
t_eq "every mount option" "$(words mount -o '' | tr -d = | sort)" \
	"$(pipesfs help mount | sed -n 's/^  \([a-z_]*\)\(=[A-Z]*\)\{0,1\} .*/\1/p' | grep . | sort)"
t_eq "every form of output" "$(words run --output= | tr '\n' ' ')" '--output=raw --output=pcapng --output=json --output=txt '
t_has "with what it is" "$(pipesfs complete -- run 'accept | unpca')" "accept | unpcap	"

# --- live paths, which start nothing ----------------------------------------------------------------------

t_mount
mkdir -p "$P/accept:a b/unpcap/tcp" "$P/accept:plain"
t_eq "a mount" "$(words ls '' | grep -Fx "$P")" "$P"
t_eq "directories in it" "$(words ls "$P/acc" | sort)" "$P/accept:a b/
$P/accept:plain/"
t_eq "... with a word in quotes" "$(words stat "'$P/accept:a b/unp")" "$P/accept:a b/unpcap/"
t_eq "... and pipes" "$(words stat "$P/accept:plain/all." | sort | tail -n 1)" "$P/accept:plain/all.txt"
t_eq "nothing is open" "$(cat "$P/accept:plain/.readers")" ''
cp "$PIPESFS" trace.pcap
t_eq "files where a pipeline has them" "$(words run 'pcapin tra')" 'pcapin trace.pcap'
t_eq "classes" "$(words run 'accept | http |ge')" 'accept | http |get'
t_eq "parameters" "$(words run 'accept | ( tcp | sample 9 ph')" 'accept | ( tcp | sample 9 phase='
t_eq "no end of garbage" "$(words run "$(printf ')))(((|||+++\\\\"')" | head -c 10000 | wc -l)" 0

# --- bash ---------------------------------------------------------------------------------------------------

typing() {
	python3 "$TOP/tests/tools/typing.py" "$1" "$TOP/completions/pipesfs.$1" "$PIPESFS" \
		'pipesfs um^I' 'pipesfs ls --ra^I' 'pipesfs run -o pc^I x' 'pipesfs run --output=js^I x' \
		"pipesfs run 'pcapin t.pcap | ud^I" 'pipesfs mount -o stall=3,pipel^I' 'pipesfs help do^I' \
		"pipesfs stat $P/accept:pl^I" "pipesfs stat $P/accept:a^I" "pipesfs stat $P/accept:a\\ b/unp^I" \
		'pipesfs run "pcapin tra^I' >"typed.$1"
}

# The shells wait for keys most of the time: all at once.
for shell in bash zsh fish; do
	if command -v $shell >/dev/null; then
		typing $shell &
		eval "typing_$shell=$!"
	else
		t_note "$shell is not here: its completion is not tried"
	fi
done
for shell in bash zsh fish; do
	[ -n "$(eval "echo \${typing_$shell-}")" ] || continue
	t_ok "$shell reads the file" $shell -n "$TOP/completions/pipesfs.$shell"
	wait "$(eval "echo \$typing_$shell")"
	t_eq "$shell completes" "$(cat "typed.$shell")" "['umount']
['ls', '--rates']
['run', '-o', 'pcapng', 'x']
['run', '--output=json', 'x']
['run', 'pcapin t.pcap | udp']
['mount', '-o', 'stall=3,pipelines=']
['help', 'doctor']
['stat', '$P/accept:plain/']
['stat', '$P/accept:a b/']
['stat', '$P/accept:a b/unpcap/']
['run', 'pcapin trace.pcap']"
done

# --- installed ------------------------------------------------------------------------------------------------

if command -v meson >/dev/null && [ -f "$T_BUILD/build.ninja" ]; then
	DESTDIR=$TMPDIR/root meson install -C "$T_BUILD" --skip-subprojects --no-rebuild >log 2>&1 || t_fail "$(tail -n 3 log)"
	for file in bash-completion/completions/pipesfs zsh/site-functions/_pipesfs fish/vendor_completions.d/pipesfs.fish; do
		t_ok "installed: $file" sh -c "test -s '$TMPDIR'/root/*/*/share/$file || test -s '$TMPDIR'/root/*/share/$file"
	done
fi
