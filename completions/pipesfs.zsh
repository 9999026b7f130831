#compdef pipesfs
# zsh completion for pipesfs: asks the program what may stand at the cursor

_pipesfs() {
	local line word
	local -a lines plain open shown shown_open

	lines=(${(f)"$(_call_program words ${(q)words[1]} complete -- ${(q)words[2,CURRENT]} 2>/dev/null)"})
	for line in $lines; do
		word=${line%%$'\t'*}
		if [[ $word == *[=/] ]]; then
			open+=($word)
			shown_open+=("${line/$'\t'/  -- }")
		else
			plain+=($word)
			shown+=("${line/$'\t'/  -- }")
		fi
	done
	(($#plain + $#open)) || return 1
	# The program has chosen; what is typed may be quoted. -S '': more follows.
	compadd -U -l -d shown -a plain
	compadd -U -l -S '' -d shown_open -a open
	return 0
}

_pipesfs "$@"
