#!/bin/sh
# Installs what building and testing need and this machine lacks. Does nothing, quickly, where nothing is missing.
#
#   setup.sh [TOOL...]      TOOL is a program of the Rust world that the caller needs as well: cargo-nextest, cargo-deny; or
#                           docker, the Docker Engine that tests start for themselves, or kubernetes, what runs the containers
#                           of their Kubernetes nodes; or promtool, which reads the alerts of the examples; or haproxy,
#                           schemathesis and browser, which ask the monitor's API: a machine that cannot have one of these goes
#                           without
#
# That is a C compiler, the programs of PostgreSQL, MariaDB and PgBouncer (no running server) and the Rust toolchain that
# rust-toolchain.toml names. What it installs of Rust is in ${CARGO_HOME:-~/.cargo}/bin, which the Makefile puts on the PATH.
set -eu

say() { echo "setup: $*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Any version will do, in Debian's place or on the PATH.
has_postgresql() {
    for directory in /usr/lib/postgresql/*/bin $(echo "$PATH" | tr : ' '); do
        [ -x "$directory/postgres" ] && [ -x "$directory/pg_basebackup" ] && return
    done
    return 1
}

# The server is in a directory of its own, which an ordinary user's PATH lacks.
has_mariadb() {
    { [ -x /usr/sbin/mariadbd ] || command -v mariadbd >/dev/null; } && command -v mariadb-install-db >/dev/null
}

missing_packages() {
    # SQLite is compiled from source, and rustup comes over the network.
    command -v cc >/dev/null || echo build-essential
    command -v curl >/dev/null || echo curl
    [ -s /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    has_postgresql || echo postgresql
    has_mariadb || echo mariadb-server
    command -v mariabackup >/dev/null || echo mariadb-backup
    # An ordinary user's PATH lacks its place.
    [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || echo pgbouncer
}

install_packages() {
    command -v apt-get >/dev/null || {
        say "please install with this system's package manager: $*"
        exit 1
    }
    case " $* " in
    *" postgresql "*) forbid_debians_cluster ;;
    esac
    case " $* " in
    *" pgbouncer "* | *" mariadb-server "* | *" docker.io "* | *" containerd "* | *" prometheus "* | *" haproxy "*) forbid_starts ;;
    esac
    say "installing $*"
    as_root apt-get update -q >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >&2
    for package; do
        case $package in
        mariadb-server) as_root update-rc.d mariadb disable >&2 ;;
        pgbouncer | prometheus | haproxy) as_root update-rc.d "$package" disable >&2 ;;
        docker.io) as_root update-rc.d docker disable >&2 ;;
        # It has no script of the older kind.
        containerd) ! command -v systemctl >/dev/null || as_root systemctl disable containerd >&2 ;;
        esac
    done
}

# Debian starts PgBouncer, MariaDB, the Docker Engine, containerd, Prometheus and HAProxy when it installs them, unless this file says no; the programs alone are needed.
forbid_starts() {
    policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

# Debian's packages would make a cluster of their own and start it; simdb needs the programs alone. A machine that has
# decided for itself is left as it is.
forbid_debians_cluster() {
    grep -qs '^[^#]*create_main_cluster' /etc/postgresql-common/createcluster.conf \
        /etc/postgresql-common/createcluster.d/*.conf && return
    say "no cluster of Debian's own: /etc/postgresql-common/createcluster.d/simdb.conf"
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' |
        as_root tee /etc/postgresql-common/createcluster.d/simdb.conf >/dev/null
}

# The Rust that builds this workspace, as rust-toolchain.toml says.
wanted_rust() {
    sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml"
}

# A cargo that is not of rustup's making knows no rust-toolchain.toml: it must be new enough by itself.
rust_is_there() {
    command -v cargo >/dev/null || return 1
    found=$(cd "$root" && cargo --version 2>/dev/null | cut -d' ' -f2) && [ -n "$found" ] &&
        [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1)" = "$wanted" ]
}

install_rust() {
    # Debian's cargo may be older than what is needed; rustup has every version.
    if ! command -v rustup >/dev/null; then
        if apt-cache show rustup >/dev/null 2>&1; then
            install_packages rustup
        else
            say "installing rustup into ${CARGO_HOME:-$HOME/.cargo}"
            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
                sh -s -- -y --no-modify-path --default-toolchain none >&2
        fi
    fi
    say "installing the Rust toolchain $wanted"
    rustup toolchain install "$wanted" --profile minimal --component rustfmt --component clippy >&2
}

# An ordinary user's PATH lacks its place.
has_docker() {
    [ -x /usr/sbin/dockerd ] || command -v dockerd >/dev/null
}

# The tests of containers say that they do not run where this fails.
install_docker() {
    ! has_docker || return 0
    (install_packages docker.io) || true
    has_docker || say "the Docker Engine could not be installed: what needs it is skipped"
}

missing_for_kubernetes() {
    PATH=$PATH:/usr/sbin:/sbin
    command -v containerd >/dev/null || echo containerd
    command -v runc >/dev/null || echo runc
    [ -x /usr/lib/cni/ptp ] || echo containernetworking-plugins
    command -v nft >/dev/null || echo nftables
    command -v ip >/dev/null || echo iproute2
    command -v pgrep >/dev/null || echo procps
    command -v openssl >/dev/null || echo openssl
}

# The control plane and the kubelets are built by the tests' own scripts, which say why where they cannot be.
install_kubernetes() {
    needed=$(missing_for_kubernetes)
    [ -n "$needed" ] || return 0
    # shellcheck disable=SC2086 # one word per package
    (install_packages $needed) || true
    [ -z "$(missing_for_kubernetes)" ] || say "the programs of Kubernetes nodes could not be installed: what needs them is skipped"
}

# It comes with all of Prometheus, and nothing starts that.
install_promtool() {
    ! command -v promtool >/dev/null || return 0
    (install_packages prometheus) || true
    command -v promtool >/dev/null || say "promtool could not be installed: what needs it is skipped"
}

install_haproxy() {
    [ ! -x /usr/sbin/haproxy ] && ! command -v haproxy >/dev/null || return 0
    (install_packages haproxy) || true
    [ -x /usr/sbin/haproxy ] || say "HAProxy could not be installed: what needs it is skipped"
}

# Python's tools have a place of their own, so that nothing of the system's changes.
install_python_tool() {
    if [ "$(id -u)" -eq 0 ]; then tools=/var/cache/simdb/tools; else tools=${XDG_CACHE_HOME:-$HOME/.cache}/simdb/tools; fi
    "$tools/bin/python3" -c "import $1" 2>/dev/null && return 0
    python3 -c 'import venv, ensurepip' 2>/dev/null || (install_packages python3-venv) || true
    say "installing $1 $2 into $tools"
    mkdir -p "$(dirname "$tools")"
    python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check "$1==$2" >&2 ||
        say "$1 could not be installed: what needs it is skipped"
}

install_browser() {
    [ -x /usr/bin/chromium-headless-shell ] || (install_packages chromium-headless-shell) || true
    [ -x /usr/bin/chromium-headless-shell ] || say "Chromium could not be installed: what needs it is skipped"
    install_python_tool playwright 1.65.2
}

# The versions are pinned, so that a tool that changes its mind does not change the outcome.
install_tool() {
    case $1 in
    cargo-nextest) version=0.9.151 ;;
    cargo-deny) version=0.20.2 ;;
    *)
        say "no tool is called $1"
        exit 2
        ;;
    esac
    say "building $1 $version, which takes some minutes, once"
    (cd "$root" && env -u CARGO_TARGET_DIR cargo install --quiet --locked --version "$version" "$1") >&2
}

packages=$(missing_packages)
# shellcheck disable=SC2086 # one word per package
[ -z "$packages" ] || install_packages $packages

root=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$(wanted_rust)
PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
rust_is_there || install_rust
rust_is_there || {
    say "cargo $wanted or newer is needed and could not be installed"
    exit 1
}
for tool; do
    case $tool in
    docker) install_docker ;;
    kubernetes) install_kubernetes ;;
    promtool) install_promtool ;;
    haproxy) install_haproxy ;;
    schemathesis) install_python_tool schemathesis 4.32.5 ;;
    browser) install_browser ;;
    *) command -v "$tool" >/dev/null || install_tool "$tool" ;;
    esac
done
