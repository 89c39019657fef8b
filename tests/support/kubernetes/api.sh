# shellcheck shell=sh disable=SC2154 # bed.sh sets the variables
# The bed of `bed.sh --api`: etcd and an API server on a port of 127.0.0.1.

# Prints a port of 127.0.0.1 that is free at this moment.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

bring_up() {
    programs=$("$here/build.sh" etcd kube-apiserver kubectl) || without "${programs:-the programs of Kubernetes could not be built}" "$@"
    PATH=$programs:$PATH
    address=127.0.0.1
    start_etcd || without "etcd does not run on this machine: $(last_words control etcd)" "$@"
    # Another process may take the port before the API server does.
    for attempt in 1 2 3; do
        port=$(free_port)
        "$here/keys.sh" "$bed/keys" "$address" "$port" || without "openssl made no certificates" "$@"
        # No controller makes the service accounts that this admission asks for.
        start_apiserver --bind-address "$address" --disable-admission-plugins ServiceAccount && return
    done
    without "kube-apiserver does not run on this machine, tried $attempt times: $(last_words control kube-apiserver)" "$@"
}
