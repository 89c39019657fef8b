# shellcheck shell=sh disable=SC2154 # bed.sh sets the variables
# The command lines of the daemons of Kubernetes, for bed.sh: how each is started and when it is ready.
#
# bed.sh sets $bed, and $address and $port, where the API server listens.

# What the control plane and the administrator ask the API server with.
ask() {
    kubectl --kubeconfig "$bed/keys/admin.conf" --request-timeout 5s "$@"
}

# etcd listens on a socket in the bed's directory. A bed lives for minutes, so etcd need not write through to the disk.
start_etcd() {
    define control etcd etcd --data-dir "$bed/control/etcd" --log-level warn --unsafe-no-fsync \
        --listen-client-urls "unix://$bed/control/etcd.sock" --advertise-client-urls http://127.0.0.1:1 \
        --listen-peer-urls http://127.0.0.1:0
    start control etcd
    await 20 curl -sf --unix-socket "$bed/control/etcd.sock" http://etcd/health
}

# Node loss shows after seconds: the two tolerations say when pods of a lost node are evicted.
start_apiserver() {
    cat >"$bed/control/audit.yaml" <<'POLICY'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
POLICY
    define control kube-apiserver kube-apiserver --etcd-servers "unix://$bed/control/etcd.sock" \
        --secure-port "$port" --service-cluster-ip-range 10.96.0.0/16 --authorization-mode Node,RBAC \
        --client-ca-file "$bed/keys/ca.pem" \
        --tls-cert-file "$bed/keys/apiserver.pem" --tls-private-key-file "$bed/keys/apiserver-key.pem" \
        --kubelet-client-certificate "$bed/keys/admin.pem" --kubelet-client-key "$bed/keys/admin-key.pem" \
        --kubelet-certificate-authority "$bed/keys/ca.pem" --kubelet-preferred-address-types InternalIP \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$bed/keys/accounts.pem" \
        --service-account-signing-key-file "$bed/keys/accounts-key.pem" --allow-privileged \
        --default-unreachable-toleration-seconds 10 --default-not-ready-toleration-seconds 10 \
        --audit-policy-file "$bed/control/audit.yaml" --audit-log-path "$bed/audit.log" "$@"
    start control kube-apiserver
    await 120 api_decided && runs control kube-apiserver
}

# Whether the API server is ready, or has given up.
api_decided() {
    ended control kube-apiserver || ask get --raw /readyz
}

start_controllers() {
    define control kube-controller-manager kube-controller-manager --kubeconfig "$bed/keys/admin.conf" --leader-elect=false \
        --service-account-private-key-file "$bed/keys/accounts-key.pem" --root-ca-file "$bed/keys/ca.pem" \
        --node-monitor-period 1s --node-monitor-grace-period 10s --kube-api-qps 100 --kube-api-burst 200
    define control kube-scheduler kube-scheduler --kubeconfig "$bed/keys/admin.conf" --leader-elect=false
    define control names bed-helper names "$bed/keys/admin.conf" "$address:53"
    start control kube-controller-manager
    start control kube-scheduler
    start control names
}

# The container runtime of node number N. runc cannot lower the score that the kernel's memory killer goes by in a virtual
# machine that lacks CAP_SYS_RESOURCE. The node routes to each pod by itself, so that all traffic of pods passes the node's rules.
# Images are in memory: as files of a disk they would take longer to write and to remove than all the rest.
start_containerd() {
    mkdir -p "$bed/n$1/cni" "$bed/n$1/lib/containerd"
    on "n$1" mount -t tmpfs -o mode=711 images /var/lib/containerd
    cat >"$bed/n$1/cni/pods.conflist" <<CNI
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": {
  "type": "host-local", "ranges": [[{"subnet": "10.244.$1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CNI
    cat >"$bed/n$1/containerd.toml" <<TOML
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "simdb.test/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$bed/n$1/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
TOML
    define "n$1" containerd containerd --config "$bed/n$1/containerd.toml"
    start "n$1" containerd
    await 20 on "n$1" ctr version
}

# Gives a node every image, whose archives are in a directory.
load_images() {
    for archive in "$2"/*.tar; do
        on "n$1" ctr -n k8s.io images import "$archive" >>"$bed/n$1/images.log" 2>&1 || return 1
    done
}

# The groups of processes that the kubelet puts pods in.
make_groups() {
    for hierarchy in /sys/fs/cgroup/*/; do
        # A group of cpuset takes processes once it has processors and memory.
        for group in "${bed##*/}" "${bed##*/}/n$1"; do
            mkdir -p "$hierarchy$group"
            for value in cpuset.cpus cpuset.mems; do
                [ ! -e "$hierarchy$group/$value" ] || cat "$hierarchy$group/../$value" >"$hierarchy$group/$value"
            done
        done
    done
}

# The kubelet of node number N. Its heartbeats are fast, as the controllers here give a node up after 10 s.
start_kubelet() {
    make_groups "$1"
    cat >"$bed/n$1/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: "$bed/keys/ca.pem"}}
authorization: {mode: AlwaysAllow}
tlsCertFile: "$bed/keys/n$1.pem"
tlsPrivateKeyFile: "$bed/keys/n$1-key.pem"
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
volumePluginDir: /var/lib/kubelet/plugins
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: "/${bed##*/}/n$1"
enforceNodeAllocatable: []
failSwapOn: false
evictionHard: {memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
clusterDNS: ["$address"]
clusterDomain: cluster.local
resolvConf: ""
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8
YAML
    define "n$1" kubelet kubelet --config "$bed/n$1/kubelet.yaml" --kubeconfig "$bed/keys/n$1.conf" \
        --hostname-override "n$1" --node-ip "$network.$1"
    start "n$1" kubelet
}

# What passes connections to Services on to pods. The limits of connections are the whole machine's, so they stay as they are.
start_proxy() {
    cat >"$bed/n$1/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: "$bed/keys/admin.conf"}
mode: nftables
hostnameOverride: "n$1"
clusterCIDR: 10.244.0.0/16
conntrack: {maxPerCore: 0, min: 0}
YAML
    define "n$1" kube-proxy kube-proxy --config "$bed/n$1/kube-proxy.yaml"
    start "n$1" kube-proxy
}

start_volumes() {
    define "n$1" volumes bed-helper volumes "$bed/keys/admin.conf" "n$1" /var/lib/simdb-volumes
    start "n$1" volumes
}

# The network of pods is no more than addresses and routes: what policies say of it is enforced by this.
start_policies() {
    define "n$1" policies bed-helper policies "$bed/keys/admin.conf" "n$1"
    start "n$1" policies
}
