# What the benchmarks on real servers share. They say `fail` themselves, have $work, and $hand for what is made by hand.

fail() {
    echo "bench: $*" >&2
    exit 1
}

# Where PostgreSQL's programs are: the newest that packages install, else those on the PATH.
programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
[[ -x $programs/initdb ]] || programs=$(dirname "$(readlink -f "$(type -P initdb)")")
[[ -x $programs/pg_verifybackup ]] || fail "PostgreSQL's programs are neither in /usr/lib/postgresql nor on the PATH"
version=$("$programs/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
command -v simdb >/dev/null || fail "simdb is not on the PATH"

work=$(mktemp -d)
hand=$work/hand
config=$work/config
# The key that the state's secrets are locked with would stay in the user's configuration directory.
export XDG_CONFIG_HOME=$work/key
export PGPASSFILE=$hand/passfile PGCONNECT_TIMEOUT=10

if [[ $(id -u) -eq 0 ]]; then
    as_user() { runuser -u postgres -- "$@"; }
    owner=postgres
else
    as_user() { "$@"; }
    owner=$(id -un)
fi

# Runs one of PostgreSQL's programs. Its output is shown only if it fails.
pg() {
    local program=$1
    shift
    as_user "$programs/$program" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$program failed"; }
}

# Makes the cluster that is declared.
make_by_simdb() {
    (cd "$config" && simdb apply -auto-approve) >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "simdb apply failed"; }
}

# Runs a command and leaves the seconds it took in $took.
timed() {
    local before=${EPOCHREALTIME/,/.}
    "$@"
    took=$(awk -v a="$before" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.3f", b - a }')
}

# Stops the servers made by hand, and removes their data.
remove_by_hand() {
    local file
    for file in "$hand"/*/postmaster.pid; do
        [[ ! -e $file ]] || as_user "$programs/pg_ctl" stop -D "$(dirname "$file")" -m immediate >/dev/null || true
    done
    rm -rf "$hand"
}

# Removes the cluster that simdb made.
remove_by_simdb() {
    if [[ -e $config/.simdb ]]; then
        (cd "$config" && simdb destroy -auto-approve -allow=data-loss) >"$work/log" 2>&1 ||
            { cat "$work/log" >&2; return 1; }
    fi
    rm -rf "$config"
}

finish() {
    trap - EXIT
    remove_by_hand
    if remove_by_simdb; then
        rm -rf "$work"
    else
        echo "bench: what is left is recorded in $config/.simdb, its key is in $XDG_CONFIG_HOME" >&2
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# User postgres has to get through, and simdb's data root is made below.
chmod 755 "$work"
cd "$work"

# Prints the first port from $1 on that, with the next two, nothing listens on.
free_ports() {
    local port=$1
    while ( : <>"/dev/tcp/127.0.0.1/$port" ) 2>/dev/null || ( : <>"/dev/tcp/127.0.0.1/$((port + 1))" ) 2>/dev/null ||
        ( : <>"/dev/tcp/127.0.0.1/$((port + 2))" ) 2>/dev/null; do
        port=$((port + 3))
    done
    echo "$port"
}

# What simdb writes to postgresql.conf besides name, port and what follows a standby.
settings() {
    cat <<CONF
hot_standby = on
listen_addresses = '127.0.0.1'
log_line_prefix = '%m [%p] %q%u@%d %a '
max_replication_slots = 64
max_slot_wal_keep_size = 10GB
max_wal_senders = 64
password_encryption = 'scram-sha-256'
unix_socket_directories = ''
wal_level = logical
wal_log_hints = on
wal_retrieve_retry_interval = 100ms
fsync = on
CONF
}

ask() { as_user "$programs/psql" -h 127.0.0.1 -p "$1" -U postgres -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$2"; }

# Waits until the server on port $1 answers the query $2 with t.
until_true() {
    local tries=0
    until [[ $(ask "$1" "$2" 2>"$work/refusal") == t ]]; do
        tries=$((tries + 1))
        [[ $tries -lt 1200 ]] || { cat "$work/refusal" >&2; fail "not seen within a minute: $2"; }
        sleep 0.05
    done
}

# Makes a primary by hand in $hand/$1, on port $2.
primary_by_hand() {
    install -d -m 700 -o "$owner" "$hand"
    as_user sh -c "umask 077; echo bench-secret >'$hand/pwfile'; echo '127.0.0.1:*:*:*:bench-secret' >'$PGPASSFILE'"
    pg initdb -D "$hand/$1" --username=postgres --pwfile="$hand/pwfile" --auth=scram-sha-256 --data-checksums \
        --encoding=UTF8 --no-locale --no-instructions
    settings | as_user tee -a "$hand/$1/postgresql.conf" >/dev/null
    pg pg_ctl start -D "$hand/$1" -l "$hand/$1.log" -o "-p $2"
    ask "$2" "CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'bench-secret'"
}

median() {
    printf '%s\n' "$@" | sort -n |
        awk '{ v[NR] = $1 } END { printf "%.3f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}
