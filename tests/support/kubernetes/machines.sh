# shellcheck shell=sh disable=SC2154 # bed.sh and fault.sh set $bed
# The machines of a test bed and the daemons on them, for bed.sh and fault.sh, which set $bed.
#
# A machine is a network, mount, process and host-name namespace with its own /run, /var/lib and /var/log, which are
# $bed/MACHINE/run, lib and log outside. Its first process dies with bed.sh and takes every process of the machine with it, and
# with the last process go its mounts and links. A bed without nodes has no machines: its daemons run on this machine itself.

# Runs a command on a machine. A bed without nodes has one, control, which is this machine.
on() {
    if [ "$(cat "$bed/tier")" = api ]; then
        [ "$1" = control ] || return 1
        shift
        "$@"
    else
        # A number that a process outside the bed has by now must not be entered.
        init=$(cat "$bed/$1/init") && belongs "$init" || return 1
        shift
        nsenter --target "$init" --mount --net --uts --pid -- "$@"
    fi
}

# Waits until a command succeeds, for as many seconds as the first argument says.
await() {
    deadline=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# Starts a machine: bed.sh must call this itself, as the machine ends with its parent.
start_machine() {
    mkdir -p "$bed/$1/run" "$bed/$1/lib" "$bed/$1/log"
    # shellcheck disable=SC2016 # expanded on the machine
    setsid setpriv --pdeathsig KILL \
        unshare --mount --net --uts --pid --fork --kill-child --propagation private --mount-proc sh -euc '
            mount --bind "$1/run" /run
            mount --bind "$1/lib" /var/lib
            mount --bind "$1/log" /var/log
            echo "${1##*/}" >/proc/sys/kernel/hostname
            ip link set lo up
            # The kubelet sets what belongs to the whole machine, unless it finds its values there.
            for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
                kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
                file=$1/settings/${setting%=*}
                mkdir -p "${file%/*}"
                echo "${setting#*=}" >"$file"
                mount --bind "$file" "/proc/sys/${setting%=*}"
            done
            : >"$1/ready"
            # The first process of a machine reaps orphans, as this wait does. It outlives `fault.sh power-off`.
            while :; do
                sleep infinity &
                wait
            done
        ' sh "$bed/$1" >"$bed/$1/machine.log" 2>&1 </dev/null &
    child=$!
    await 10 test -e "$bed/$1/ready" || return 1
    tr -d ' ' <"/proc/$child/task/$child/children" >"$bed/$1/init"
}

# Writes down the command of a daemon, so that `start` can run it more than once.
define() {
    script=$bed/$1/$2.sh
    printf "exec '%s'" "$(command -v "$3")" >"$script"
    shift 3
    for word; do
        printf " '%s'" "$word" >>"$script"
    done
    echo >>"$script"
}

# Starts a defined daemon. NAME.pid gets its process number, as the machine sees it, and NAME.log its messages.
start() {
    rm -f "$bed/$1/$2.pid"
    # shellcheck disable=SC2016 # expanded on the machine
    on "$1" sh -c '
        setsid sh -c '\''echo $$ >"$0.pid.new"; mv "$0.pid.new" "$0.pid"; . "$0.sh"'\'' "$1" </dev/null >>"$1.log" 2>&1 &
    ' sh "$bed/$1/$2"
    await 5 test -s "$bed/$1/$2.pid"
}

signal() {
    on "$1" kill "-$3" "$(cat "$bed/$1/$2.pid")"
}

# Whether a daemon of a machine runs.
runs() {
    [ -s "$bed/$1/$2.pid" ] && signal "$1" "$2" 0 2>/dev/null
}

ended() { ! runs "$@"; }

stop() {
    ! runs "$1" "$2" || signal "$1" "$2" "$3" || true
    await 20 ended "$1" "$2"
}

# The end of a daemon's messages, on one line.
last_words() {
    tail -n 3 "$bed/$1/$2.log" 2>/dev/null | tr '\n' ' ' | cut -c1-600
}

# Processes of a bed are known by the path of the bed on their command lines: a process number alone may be in use again.
belongs() {
    grep -qaF "$bed" "/proc/$1/cmdline" 2>/dev/null
}

# Ends every process of the bed and removes its files. It also removes a bed whose script was killed.
take_down() {
    for file in "$bed"/*/init "$bed"/*/*.pid; do
        [ -s "$file" ] || continue
        # Daemons of machines end with their machine.
        [ "${file##*/}" = init ] || [ ! -s "${file%/*}/init" ] || continue
        number=$(cat "$file")
        if belongs "$number"; then
            kill -KILL "$number" 2>/dev/null || true
            await 20 test ! -e "/proc/$number" || true
        fi
    done
    for hierarchy in /sys/fs/cgroup/*/"${bed##*/}"; do
        [ ! -d "$hierarchy" ] || await 10 remove_groups "$hierarchy" || true
    done
    [ ! -s "$bed/link" ] || ip link delete "$(cat "$bed/link")" 2>/dev/null || true
    # Another script may be removing it as well.
    rm -rf "$bed" || true
}

remove_groups() {
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
    [ ! -e "$1" ]
}
