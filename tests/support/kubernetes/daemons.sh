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
    await 120 api_decided
    runs control kube-apiserver
}

# Whether the API server is ready, or has given up.
api_decided() {
    ended control kube-apiserver || ask get --raw /readyz
}
