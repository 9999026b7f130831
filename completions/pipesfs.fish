# fish completion for pipesfs: asks the program what may stand at the cursor

function __pipesfs_words
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete -- $words[2..-1] 2>/dev/null
end

complete -c pipesfs -f -a '(__pipesfs_words)'
