#!/bin/sh
# Makes the keys of a test bed in a directory: an authority, what it vouches for, and a kubeconfig for each client.
#
#   keys.sh DIRECTORY ADDRESS PORT [NODE=ADDRESS...]      ADDRESS and PORT are those of the API server
#
# The administrator's kubeconfig, which the control plane uses as well, is DIRECTORY/admin.conf, and a kubelet's NODE.conf.
set -eu

directory=$1 address=$2 port=$3
shift 3
cd "$directory"

quietly() { openssl "$@" 2>>openssl.log; }

# Makes NAME.pem and NAME-key.pem for a subject.
certify() {
    name=$1 subject=$2 alternatives=${3-}
    quietly req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" -keyout "$name-key.pem" -out "$name.csr"
    printf 'extendedKeyUsage = clientAuth, serverAuth\n%s\n' "${alternatives:+subjectAltName = $alternatives}" >"$name.ext"
    quietly x509 -req -days 2 -in "$name.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile "$name.ext" -out "$name.pem"
}

# Writes NAME.conf, which needs no other file.
kubeconfig() {
    cat >"$1.conf" <<CONF
apiVersion: v1
kind: Config
current-context: bed
contexts: [{name: bed, context: {cluster: bed, user: $1}}]
clusters: [{name: bed, cluster: {server: "https://$address:$port", certificate-authority-data: $(base64 -w0 ca.pem)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.pem"), client-key-data: $(base64 -w0 "$1-key.pem")}}]
CONF
    chmod 600 "$1.conf"
}

quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=simdb tests" \
    -keyout ca-key.pem -out ca.pem
certify apiserver /CN=kube-apiserver \
    "DNS:localhost, DNS:kubernetes.default.svc, IP:127.0.0.1, IP:10.96.0.1, IP:$address"
certify admin /O=system:masters/CN=admin
kubeconfig admin
for node; do
    certify "${node%=*}" "/O=system:nodes/CN=system:node:${node%=*}" "DNS:${node%=*}, IP:${node#*=}"
    kubeconfig "${node%=*}"
done
# The API server signs tokens of service accounts with this pair.
quietly ecparam -name prime256v1 -genkey -noout -out accounts-key.pem
quietly ec -in accounts-key.pem -pubout -out accounts.pem
