# shellcheck shell=sh disable=SC2154 # the script that includes this sets $root
# Collects the files of an image in $root from the programs of this machine: for docker-image.sh and kubernetes/images.sh.

# Copies files to where they are, with the libraries that they load.
take() {
    for file; do
        cp -L --parents "$file" "$root"
        ldd "$file" 2>/dev/null | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
            [ -e "$root$library" ] || cp -L --parents "$library" "$root"
        done
    done
}

# What simdb needs of every image: users, a shell and a few tools, and /tmp.
take_base() {
    mkdir -p "$root/etc" "$root/tmp" "$root/bin" "$root/dev" "$root/proc" "$root/sys"
    chmod 1777 "$root/tmp"
    echo 'root:x:0:0::/:/bin/sh
postgres:x:999:999::/:/bin/sh
pgbouncer:x:998:999::/:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:
postgres:x:999:' >"$root/etc/group"
    take /bin/sh /bin/mv /bin/rm /bin/mkdir /bin/cat /bin/ls /bin/sync
}

# The programs of servers in a directory of PostgreSQL's, such as /usr/lib/postgresql/15, and the data that they read.
take_postgresql() {
    place=$1
    case $place in
    /usr/lib/postgresql/*) data=usr/share/postgresql/${place##*/} ;;
    *) data=${place#/} ;;
    esac
    for program in "$place"/bin/*; do
        case ${program##*/} in
        postgres | initdb | pg_*) take "$program" ;;
        esac
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
}

# The pooler, on a machine that has it.
take_pgbouncer() {
    [ ! -x /usr/sbin/pgbouncer ] || take /usr/sbin/pgbouncer
}

# A name that leads elsewhere is a file of its own in the image, the loader of programs included.
take_loader() {
    for loader in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do
        [ ! -e "$loader" ] || [ -e "$root$loader" ] || cp -L --parents "$loader" "$root"
    done
}

# The PostgreSQL versions that images are made of, each line a version and its directory: Debian's, and the newest one, which is
# fetched where it is missing.
postgresql_places() {
    for place in /usr/lib/postgresql/*; do
        [ ! -x "$place/bin/postgres" ] || echo "${place##*/} $place"
    done
    newest=$("$1/postgres-wheel.sh" 18) || return 0
    echo "18 ${newest%/bin}"
}
