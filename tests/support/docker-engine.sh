#!/bin/sh
# Runs a command with a Docker Engine that is there for it alone, and that has images of the PostgreSQL of this machine.
#
#   docker-engine.sh COMMAND [ARGUMENT...]
#
# The engine has its own directory, socket and process file, and goes with the command, with all that was made on it. The command
# finds it in SIMDB_TEST_DOCKER_HOST, and, with TLS, in SIMDB_TEST_DOCKER_TLS_HOST, with the certificates of a client in
# SIMDB_TEST_DOCKER_CERTIFICATES. Where it cannot run, SIMDB_TEST_DOCKER_MISSING says why, and the tests that need it
# skip themselves: SIMDB_TEST_REQUIRE=all makes that a failure.
set -eu

say() { echo "docker-engine: $*" >&2; }

# Says why there is no engine, and runs the command without one.
without() {
    say "$1"
    SIMDB_TEST_DOCKER_MISSING=$1
    export SIMDB_TEST_DOCKER_MISSING
    shift
    exec "$@"
}

[ $# -gt 0 ] || {
    echo "usage: docker-engine.sh COMMAND [ARGUMENT...]" >&2
    exit 2
}
[ -z "${SIMDB_TEST_DOCKER_HOST-}" ] || exec "$@"
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" -eq 0 ] || without "a Docker Engine is started by root alone" "$@"
command -v dockerd >/dev/null || without "the program dockerd was not found" "$@"

directory=$(mktemp -d /var/tmp/simdb-docker.XXXXXX)
socket=$directory/docker.sock
engine=

finish() {
    # What a test that failed left: the interfaces of its networks would outlive the engine.
    docker -H "unix://$socket" ps --all --quiet 2>/dev/null | while read -r container; do
        docker -H "unix://$socket" rm --force --volumes "$container" >/dev/null 2>&1 || true
    done
    docker -H "unix://$socket" network prune --force >/dev/null 2>&1 || true
    if [ -n "$engine" ] && kill "$engine" 2>/dev/null; then
        wait "$engine" || true
    fi
    # What the engine mounted and did not unmount would keep its directory.
    sed -n "s|^[^ ]* \($directory/[^ ]*\) .*|\1|p" /proc/mounts | sort -r | while read -r mount; do
        umount -l "$mount" || true
    done
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Makes an authority, and what it vouches for: the engine at 127.0.0.1, and its client.
certify() (
    cd "$directory/certificates"
    quietly() { openssl "$@" 2>>openssl.log; }
    quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=simdb tests" -keyout authority.pem -out ca.pem
    for who in server client; do
        quietly req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$who" -keyout "$who-key.pem" -out "$who.csr"
        printf 'subjectAltName = IP:127.0.0.1\nextendedKeyUsage = %sAuth\n' "$who" >"$who.ext"
        quietly x509 -req -days 2 -in "$who.csr" -CA ca.pem -CAkey authority.pem -CAcreateserial -extfile "$who.ext" \
            -out "$who.pem"
    done
    mv client.pem cert.pem
    mv client-key.pem key.pem
)

# A port that nobody listens on at this moment.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

mkdir "$directory/certificates"
certify || {
    finish
    trap - EXIT
    without "openssl made no certificates" "$@"
}
secure=tcp://127.0.0.1:$(free_port)

# Nodes and their clients share one network, so the kernel's filter stays as it is, and so does that of an engine of the machine.
dockerd --host "unix://$socket" --host "$secure" --tlsverify --tlscacert "$directory/certificates/ca.pem" \
    --tlscert "$directory/certificates/server.pem" --tlskey "$directory/certificates/server-key.pem" --data-root "$directory/data" --exec-root "$directory/exec" \
    --pidfile "$directory/docker.pid" --bridge=none --iptables=false --ip6tables=false --ip-forward=false \
    >"$directory/log" 2>&1 &
engine=$!
tries=0
until docker -H "unix://$socket" version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if ! kill -0 "$engine" 2>/dev/null || [ "$tries" -gt 300 ]; then
        reason=$(grep -v level=info "$directory/log" | tail -n 3)
        finish
        trap - EXIT
        without "dockerd does not run on this machine: $reason" "$@"
    fi
    sleep 0.1
done
"$(dirname "$0")/docker-image.sh" "unix://$socket" >&2 || {
    finish
    trap - EXIT
    without "no image could be made of this machine's PostgreSQL" "$@"
}
SIMDB_TEST_DOCKER_HOST=unix://$socket
SIMDB_TEST_DOCKER_TLS_HOST=$secure
SIMDB_TEST_DOCKER_CERTIFICATES=$directory/certificates
export SIMDB_TEST_DOCKER_HOST SIMDB_TEST_DOCKER_TLS_HOST SIMDB_TEST_DOCKER_CERTIFICATES
"$@"
