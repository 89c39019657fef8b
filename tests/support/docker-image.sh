#!/bin/sh
# Makes images postgres:VERSION on a Docker Engine from the PostgreSQL versions of this machine, and of the newest one, which is
# fetched where it is missing: no registry of images is asked.
#
#   docker-image.sh HOST      HOST is where the engine listens: unix:///run/docker.sock
#
# They have what simdb needs of an image: the programs on the PATH, a user, a shell and a few tools, and /tmp.
set -eu

host=$1
support=$(dirname "$0")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# shellcheck source-path=SCRIPTDIR source=image-files.sh
. "$support/image-files.sh"

places=$(postgresql_places "$support")
[ -n "$places" ]
echo "$places" | while read -r version place; do
    rm -rf "$root"
    mkdir "$root"
    take_base
    take_postgresql "$place"
    # That of the pooler is in the same image.
    take_pgbouncer
    take_loader
    tar -C "$root" -c . | docker -H "$host" import --change "ENV PATH=$place/bin:/usr/sbin:/usr/bin:/bin" - "postgres:$version" >/dev/null
done
