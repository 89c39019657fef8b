#compdef simdb
# Completion of simdb for zsh: source <(simdb completions zsh)
_simdb() {
    local -a offered
    offered=(${(f)"$(simdb complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if (( ${#offered} )); then
        compset -P '-*='
        compadd -Q -- $offered
    else
        compset -P '-*='
        _files
    fi
}
if [[ $funcstack[1] == _simdb ]]; then
    _simdb "$@"
else
    compdef _simdb simdb
fi
