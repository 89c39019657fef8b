#!/bin/sh
# Breaks a part of the test bed that SIMDB_TEST_KUBERNETES_BED names, and mends it.
#
#   fault.sh node-down NODE        unplugs a node: its pods go on; node-up NODE plugs it in again
#   fault.sh api-cut NODE          cuts a node from the API server, in both directions; its pods still reach names and other nodes
#   fault.sh peers-cut             cuts the nodes from each other; both reach the API server
#   fault.sh heal                  ends every cut and plugs both nodes in
#   fault.sh power-off NODE        ends every process of a node at once and unplugs it; power-on NODE boots it
#   fault.sh mend                  heals, and boots the nodes that are off
#   fault.sh pause MACHINE DAEMON  stops a daemon (SIGSTOP); resume MACHINE DAEMON lets it go on
#   fault.sh kill MACHINE DAEMON   ends a daemon (SIGKILL); start MACHINE DAEMON starts it and returns when it answers
#   fault.sh on MACHINE COMMAND... runs a command in the namespaces of a machine
#
# NODE is n1 or n2; MACHINE is control, n1 or n2. DAEMON on a node is containerd, kubelet, kube-proxy, volumes or policies; on
# control it is etcd, kube-apiserver, kube-controller-manager, kube-scheduler or names. A bed without nodes has etcd and
# kube-apiserver alone.
# The files of a machine are below its directory in the bed: lib is its /var/lib, run its /run.
# shellcheck source-path=SCRIPTDIR
set -eu

usage() {
    sed -n 's/^#   \(fault.sh\)/usage: \1/p' "$0" >&2
    exit 2
}

fail() {
    echo "fault.sh: $1" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
bed=${SIMDB_TEST_KUBERNETES_BED:?names the bed: this runs as the command of bed.sh}
PATH=$PATH:/usr/sbin:/sbin
. "$here/machines.sh"

port_of() { echo "p${1#n}"; }

# The bridge's rules, which the frames between the machines pass. Questions about names are answered beside the API server.
cut_api() {
    network=$(cat "$bed/network")
    on control nft -f - <<RULES
table bridge api-cut-$1 {
    chain from {
        type filter hook prerouting priority 0
        ip saddr $network.${1#n} ip daddr $network.254 udp dport != 53 drop
        ip saddr $network.${1#n} ip daddr $network.254 ip protocol tcp drop
    }
    chain to {
        type filter hook output priority 0
        ip saddr $network.254 ip daddr $network.${1#n} udp sport != 53 drop
        ip saddr $network.254 ip daddr $network.${1#n} ip protocol tcp drop
    }
}
RULES
}

cut_peers() {
    on control nft -f - <<'RULES'
table bridge peers-cut {
    chain between {
        type filter hook forward priority 0
        iifname p1 oifname p2 drop
        iifname p2 oifname p1 drop
    }
}
RULES
}

heal() {
    on control sh -euc 'nft flush ruleset; ip link set p1 up; ip link set p2 up'
}

power_off() {
    on control ip link set "$(port_of "$1")" down
    await 20 no_processes "$1" || fail "processes of $1 do not end"
    rm -f "$bed/$1"/*.pid
}

# Ends every process of a machine but its first and that one's child; succeeds once there are no others.
no_processes() {
    # shellcheck disable=SC2016 # expanded on the machine, where the first process must be the machine's
    on "$1" sh -c 'grep -qaF "$1" /proc/1/cmdline && kill -KILL -1' sh "$bed/$1"
    [ "$(pgrep --ns "$(cat "$bed/$1/init")" --nslist pid --count .)" -le 2 ]
}

# What a boot finds: no groups or links of pods, an empty /run, and no mounts but those of images and volumes, which are its disks.
forget() {
    for hierarchy in /sys/fs/cgroup/*/"${bed##*/}/$1"/kubepods; do
        [ ! -d "$hierarchy" ] || await 10 remove_groups "$hierarchy" || fail "control groups of $1 stay in use"
    done
    # shellcheck disable=SC2016 # expanded on the machine
    on "$1" sh -euc '
        awk "{ print \$2 }" /proc/mounts | sort -r | while read -r mount; do
            case $mount in
            /var/lib/containerd | /var/lib/simdb-volumes/*) ;;
            # One that was mounted over itself goes twice at once.
            /run/* | /var/lib/*) umount -l "$mount" 2>/dev/null || ! grep -q " $mount " /proc/mounts ;;
            esac
        done
        find /run -mindepth 1 -delete
        ip -o link show type veth | sed "s/^[0-9]*: \([^@:]*\).*/\1/" | while read -r link; do
            [ "$link" = eth0 ] || ip link delete "$link"
        done
    '
}

power_on() {
    forget "$1"
    on control ip link set "$(port_of "$1")" up
    for daemon in containerd kubelet kube-proxy volumes policies; do
        begin "$1" "$daemon"
    done
}

mend() {
    heal
    for node in n1 n2; do
        [ -e "$bed/$node/kubelet.pid" ] || power_on "$node"
    done
}

# Starts a daemon and waits until it answers, if it is one of those that answer requests.
begin() {
    start "$1" "$2" || fail "$2 does not start on $1"
    case $2 in
    etcd) await 20 curl -sf --unix-socket "$bed/control/etcd.sock" http://etcd/health ;;
    kube-apiserver) await 60 answers ;;
    containerd) await 20 on "$1" ctr version ;;
    esac || fail "$2 does not answer on $1: $(last_words "$1" "$2")"
}

answers() {
    server=$(sed -n 's/.*server: "\([^"]*\)".*/\1/p' "$bed/keys/admin.conf")
    curl -sf --max-time 5 --cacert "$bed/keys/ca.pem" --cert "$bed/keys/admin.pem" --key "$bed/keys/admin-key.pem" "$server/readyz"
}

[ $# -gt 0 ] || usage
action=$1
shift
case $action in
pause | resume | kill | start | on) ;;
# What follows changes a network and ends processes, which must be those of a bed.
*) [ "$(cat "$bed/tier")" = nodes ] || fail "this bed has no nodes" ;;
esac
case $action:$# in
node-down:1) on control ip link set "$(port_of "$1")" down ;;
node-up:1) on control ip link set "$(port_of "$1")" up ;;
api-cut:1) cut_api "$1" ;;
peers-cut:0) cut_peers ;;
heal:0) heal ;;
mend:0) mend ;;
power-off:1) power_off "$1" ;;
power-on:1) power_on "$1" ;;
pause:2) signal "$1" "$2" STOP ;;
resume:2) signal "$1" "$2" CONT ;;
kill:2) stop "$1" "$2" KILL || fail "$2 does not end on $1" ;;
start:2) begin "$1" "$2" ;;
on:*) on "$@" ;;
*) usage ;;
esac
