# shellcheck shell=sh disable=SC2154 # bed.sh and fault.sh set $bed
# The network of a bed with nodes.
#
#   this machine .253 -- simdb-kube-N --+
#   control .254                 bridge +-- p1 -- eth0 .1, n1: pods 10.244.1.0/24
#                                       +-- p2 -- eth0 .2, n2: pods 10.244.2.0/24
#
# The links and rules are in the machines' namespaces, except for the end of one link here, which gives this machine a way to the
# API server. Pods and Services have no route from here.

# 198.18.0.0/15 is set aside for tests of networks, so that no real network has it.
# A link's name belongs to one bed at a time: making the link reserves the addresses.
claim_network() {
    control=$(cat "$bed/control/init")
    tries=0
    number=$(($$ % 256))
    until ip link add "simdb-kube-$number" type veth peer name host netns "$control" 2>"$bed/control/link.log"; do
        tries=$((tries + 1))
        [ "$tries" -lt 256 ] || return 1
        number=$(((number + 1) % 256))
    done
    echo "simdb-kube-$number" >"$bed/link"
    network=198.18.$number
    echo "$network" >"$bed/network"
    ip address add "$network.253/24" dev "simdb-kube-$number" && ip link set "simdb-kube-$number" up && on control sh -euc "
        ip link add br0 type bridge
        ip address add $network.254/24 dev br0
        ip link set host master br0 up
        ip link set br0 up
    "
}

# Connects node number N.
connect_node() {
    ip link add "p$1" netns "$control" type veth peer name eth0 netns "$(cat "$bed/n$1/init")" && on control sh -euc "
        ip link set p$1 master br0 up
        ip route add 10.244.$1.0/24 via $network.$1
    " && on "n$1" sh -euc "
        echo 1 >/proc/sys/net/ipv4/ip_forward
        ip address add $network.$1/24 dev eth0
        ip link set eth0 up
        ip route add default via $network.254
    "
}

connect_nodes() {
    claim_network && connect_node 1 && connect_node 2 &&
        on n1 ip route add 10.244.2.0/24 via "$network.2" &&
        on n2 ip route add 10.244.1.0/24 via "$network.1"
}
