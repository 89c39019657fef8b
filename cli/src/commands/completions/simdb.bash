# Completion of simdb for bash: source <(simdb completions bash)
_simdb() {
    local IFS=$'\n'
    COMPREPLY=($(simdb complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}"))
    fi
}
complete -F _simdb simdb
