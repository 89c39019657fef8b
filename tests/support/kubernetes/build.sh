#!/bin/sh
# Builds programs of the test bed from Go modules, once, and prints the directories that hold them as PATH lists directories.
#
#   build.sh PROGRAM...      PROGRAM is etcd, kubectl, kubelet, kube-apiserver, kube-controller-manager, kube-scheduler,
#                            kube-proxy or bed-helper
#
# Each module below programs/ pins its versions in go.mod and go.sum. The cache, simdb/kubernetes in the user's cache directory,
# has one directory per digest of a module's files and this script. An interrupted build leaves no program there.
# Where the programs cannot be built it prints the reason, one sentence, and exits with status 3.
set -eu

# What this script prints is told apart from what its functions print.
exec 3>&1
cannot() {
    echo "$1" >&3
    exit 3
}

# The module of programs/ that has a program.
module_of() {
    case $1 in
    etcd) echo etcd ;;
    kubectl | kubelet | kube-*) echo kubernetes ;;
    bed-helper) echo helper ;;
    *)
        echo "build.sh: no program is called $1" >&2
        exit 2
        ;;
    esac
}

package_of() {
    case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    bed-helper) echo . ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
    esac
}

# Kubernetes reports the version that its linker flags set, and clients refuse to parse the one it reports without them.
linker_flags() {
    version=$(sed -n 's|^tool k8s.io/kubernetes/.*||; s|.*k8s.io/kubernetes \(v[^ ]*\).*|\1|p' go.mod | head -n1)
    flags="-s -w"
    [ -z "$version" ] || for place in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        minor=${version#v*.}
        flags="$flags -X $place.gitVersion=$version -X $place.gitMajor=1 -X $place.gitMinor=${minor%%.*}"
        flags="$flags -X $place.gitCommit=simdb-tests -X $place.gitTreeState=clean -X $place.buildDate=2026-01-01T00:00:00Z"
    done
    echo "$flags"
}

# Builds programs of the module in the working directory into a directory.
build() {
    target=$1
    shift
    go mod download >"$target/log" 2>&1 ||
        cannot "the Go modules of $* cannot be had: $(tail -n1 "$target/log")"
    echo "building $*, once, which takes some minutes" >&2
    packages=
    for program; do
        packages="$packages $(package_of "$program")"
    done
    # A package at the end of a module path is named for the directory, so a single program is named here.
    output=$target/
    [ $# -gt 1 ] || output=$target/$1
    # shellcheck disable=SC2086 # one word per package
    go build -mod=readonly -buildvcs=false -trimpath -ldflags "$(linker_flags)" -o "$output" $packages >"$target/log" 2>&1 ||
        cannot "go cannot build $*: $(tail -n1 "$target/log")"
}

# Sees that the cache has programs of one module, and prints where.
provide() (
    module=$1
    shift
    cd "$here/programs/$module"
    digest=$(cat "$here/build.sh" ./* | sha256sum | cut -c1-16)
    directory=$cache/$digest/bin
    mkdir -p "$directory"
    # Beds that start side by side build once.
    exec 9>"$directory/.lock"
    flock 9
    rm -rf "$cache/$digest"/build.*
    missing=
    for program; do
        [ -x "$directory/$program" ] || missing="$missing $program"
    done
    if [ -n "$missing" ]; then
        command -v go >/dev/null || cannot "the program go was not found: Kubernetes is built with it"
        work=$(mktemp -d "$cache/$digest/build.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        trap 'exit 130' INT TERM
        # shellcheck disable=SC2086 # one word per program
        build "$work" $missing
        for program in $missing; do
            mv "$work/$program" "$directory/$program"
        done
    fi
    echo "$directory"
)

[ $# -gt 0 ] || {
    echo "usage: build.sh PROGRAM..." >&2
    exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/simdb/kubernetes
export CGO_ENABLED=0

for module in etcd kubernetes helper; do
    programs=
    for program; do
        [ "$(module_of "$program")" != "$module" ] || programs="$programs $program"
    done
    # shellcheck disable=SC2086 # one word per program
    [ -z "$programs" ] || path=${path:+$path:}$(provide "$module" $programs)
done
echo "$path"
