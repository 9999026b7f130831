# bash completion for pipesfs: asks the program what may stand at the cursor
# shellcheck shell=bash

# The words up to the cursor. bash has cut them at colons and equal signs, which belong to names here: those that stood
# without a blank between are put together again.
__pipesfs_words() {
	local line=${COMP_LINE:0:COMP_POINT} word i
	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		((i < COMP_CWORD)) || word=${word:0:${#line}}
		if [[ ${#words[@]} -gt 0 && $line == "$word"* ]]; then
			words[-1]+=$word
		else
			line=${line#"${line%%[![:space:]]*}"}
			[[ $line == "$word"* ]] || word=$line
			words+=("$word")
		fi
		line=${line:${#word}}
	done
}

_pipesfs() {
	local words word cut IFS=$'\n'
	__pipesfs_words
	# What is before the last break stays where it is.
	cut=${words[-1]%"${COMP_WORDS[COMP_CWORD]:0:${#words[-1]}}"}
	[[ ${COMP_WORDS[COMP_CWORD]} != [:=] ]] || cut=${words[-1]}
	[[ ${words[-1]} != [\'\"]* ]] || cut=
	cut=${cut//\\/}
	COMPREPLY=()
	for word in $("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null); do
		word=${word%%$'\t'*}
		COMPREPLY+=("${word#"$cut"}")
	done
	[[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *[=/] ]] || compopt -o nospace 2>/dev/null
	# Blanks and the like in the names of files are quoted by the shell.
	compopt -o filenames 2>/dev/null
}
complete -F _pipesfs pipesfs
