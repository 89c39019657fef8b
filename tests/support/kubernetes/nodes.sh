# shellcheck shell=sh source-path=SCRIPTDIR disable=SC2154 # bed.sh sets the variables
# The bed of `bed.sh --nodes`: a control plane and two nodes, each a machine with its own network, mounts and processes.
. "$here/network.sh"

# Prints the first reason why this machine cannot have nodes.
obstacle() {
    [ "$(id -u)" -eq 0 ] || { echo "nodes of Kubernetes are started by root alone" && return; }
    for program in containerd ctr runc nft ip openssl curl cc unshare nsenter setpriv; do
        command -v "$program" >/dev/null || { echo "the program $program was not found" && return; }
    done
    [ -x /usr/lib/cni/ptp ] || { echo "the network plugins of containers were not found in /usr/lib/cni" && return; }
    # The kubelet is told to run on these: one that runs on the newer kind would need other settings.
    [ -d /sys/fs/cgroup/memory ] || echo "this machine's control groups are of version 2 alone"
}

# Objects that the tests use: classes of storage. Volumes of the second kind are in memory and hold what was asked for, no more.
storage_classes() {
    for class in simdb-local simdb-bounded; do
        cat <<YAML
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $class, annotations: {storageclass.kubernetes.io/is-default-class: "$([ $class = simdb-bounded ] || echo true)"}}
provisioner: simdb.test/local
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
reclaimPolicy: Delete
parameters: {bounded: "$([ $class = simdb-local ] || echo true)"}
YAML
    done
}

node_is_ready() {
    [ "$(ask get node "n$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

bring_up() {
    reason=$(obstacle)
    [ -z "$reason" ] || without "$reason" "$@"
    programs=$("$here/build.sh" etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl bed-helper) ||
        without "${programs:-the programs of Kubernetes could not be built}" "$@"
    PATH=$programs:$PATH
    images=$("$here/images.sh") || without "no images could be made of this machine's programs" "$@"

    for machine in control n1 n2; do
        start_machine "$machine" || without "no namespaces for $machine: $(cat "$bed/$machine/machine.log")" "$@"
    done
    connect_nodes || without "the nodes could not be connected: $(cat "$bed/control/link.log")" "$@"
    address=$network.254 port=6443
    "$here/keys.sh" "$bed/keys" "$address" "$port" "n1=$network.1" "n2=$network.2" || without "openssl made no certificates" "$@"

    # Images are unpacked while the control plane starts.
    for node in 1 2; do
        start_containerd $node || without "containerd does not run on this machine: $(last_words n$node containerd)" "$@"
        load_images $node "$images" &
        echo $! >"$bed/n$node/loading"
    done
    start_etcd || without "etcd does not run on this machine: $(last_words control etcd)" "$@"
    start_apiserver --advertise-address "$address" ||
        without "kube-apiserver does not run on this machine: $(last_words control kube-apiserver)" "$@"
    start_controllers
    storage_classes | ask apply -f - >/dev/null || without "the API server took no storage classes" "$@"
    for node in 1 2; do
        start_kubelet $node
        start_proxy $node
        start_volumes $node
        start_policies $node
    done
    for node in 1 2; do
        wait "$(cat "$bed/n$node/loading")" || without "containerd took no images: $(tail -n1 "$bed/n$node/images.log")" "$@"
        await 60 node_is_ready $node || without "the kubelet does not run on this machine: $(last_words n$node kubelet)" "$@"
    done
    await 20 ask get serviceaccount default || without "kube-controller-manager does not run: $(last_words control kube-controller-manager)" "$@"
}
