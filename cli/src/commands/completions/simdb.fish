# Completion of simdb for fish: simdb completions fish | source
function __simdb_complete
    set -l begun (commandline -ct)
    set -l offered (simdb complete -- (commandline -opc)[2..-1] $begun 2>/dev/null)
    if test (count $offered) -eq 0
        __fish_complete_path $begun
    else if string match -q -- '-*=*' $begun
        # What stands before the value belongs to the word.
        string join \n -- (string replace -r '=.*' '=' -- $begun)$offered
    else
        string join \n -- $offered
    end
end
complete -c simdb -f -a '(__simdb_complete)'
