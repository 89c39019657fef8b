#!/bin/sh
# Makes the images of the test bed's nodes from the programs of this machine, once, and prints the directory of their archives.
#
#   images.sh
#
# They are simdb.test/pause:1, which the container runtime needs, called bare:15 as well, as it has no shell; simdb.test/postgres:VERSION,
# called postgres-again:VERSION as well, with the programs on the PATH, a shell, the tools of coreutils, and flock; and
# simdb.test/pgbouncer:1. The cache has one directory per state of this machine's packages and of these scripts. No registry of images
# is asked.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
support=$(dirname "$here")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/simdb/kubernetes

digest=$(cat "$here/images.sh" "$here/pause.c" "$support/image-files.sh" "$support/postgres-wheel.sh" /var/lib/dpkg/status |
    sha256sum | cut -c1-16)
directory=$cache/images-$digest
mkdir -p "$cache"
exec 9>"$cache/images.lock"
flock 9
if [ -d "$directory" ]; then
    touch "$directory"
    echo "$directory"
    exit
fi
# Those of a day ago were made of other packages.
find "$cache" -maxdepth 1 -name 'images-*' -mtime +0 -exec rm -rf {} +

root=$(mktemp -d)
work=$(mktemp -d "$cache/images-partial.XXXXXX")
trap 'rm -rf "$root" "$work"' EXIT
trap 'exit 130' INT TERM
# shellcheck source-path=SCRIPTDIR source=../image-files.sh
. "$support/image-files.sh"

take_tools() {
    for tool in base64 basename chmod cp cut date dd df dirname du env find flock grep head id ln mktemp od printf readlink \
        rmdir sed seq setsid sha256sum sleep sort stat tail tee test timeout touch tr true truncate uname uniq wc; do
        take "$(command -v "/usr/bin/$tool" || command -v "/bin/$tool")"
    done
}

architecture() {
    case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
    esac
}

# Packs $root as the archive of an image: one layer, its configuration, and the manifest that names both. It may have another name.
pack() {
    name=$1 configuration=$2 tags="\"simdb.test/$1\"${3:+, \"simdb.test/$3\"}"
    image=$work/$name
    mkdir "$image"
    tar -C "$root" --numeric-owner --owner=0 --group=0 -cf "$image/layer.tar" .
    cat >"$image/config.json" <<JSON
{"architecture": "$(architecture)", "os": "linux", "config": $configuration,
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$(sha256sum <"$image/layer.tar" | cut -d' ' -f1)"]}}
JSON
    echo "[{\"Config\": \"config.json\", \"RepoTags\": [$tags], \"Layers\": [\"layer.tar\"]}]" >"$image/manifest.json"
    tar -C "$image" -cf "$image.tar" manifest.json config.json layer.tar
    rm -rf "$image"
}

empty() {
    rm -rf "$root"
    mkdir "$root"
}

empty
cc -O2 -static -o "$root/pause" "$here/pause.c"
pack pause:1 '{"Entrypoint": ["/pause"]}' bare:15

if [ -x /usr/sbin/pgbouncer ]; then
    empty
    take_base
    take_tools
    take_pgbouncer
    take_loader
    pack pgbouncer:1 '{"Env": ["PATH=/usr/sbin:/usr/bin:/bin"]}'
fi

places=$(postgresql_places "$support")
[ -n "$places" ]
# The signal is that of the images that PostgreSQL's users know: it asks the server for a fast stop.
echo "$places" | while read -r version place; do
    empty
    take_base
    take_tools
    take_postgresql "$place"
    take "$place/bin/psql"
    take_loader
    pack "postgres:$version" "{\"Env\": [\"PATH=$place/bin:/usr/sbin:/usr/bin:/bin\"], \"StopSignal\": \"SIGINT\"}" "postgres-again:$version"
done

chmod 755 "$work"
mv "$work" "$directory"
echo "$directory"
