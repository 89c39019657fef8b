#!/bin/sh
# Writes the table of MariaDB's settings, as real servers state it, to standard output.
#
#   mariadb-settings.sh BINDIR... > planner/src/engine/mariadb/settings.tsv
#
# Each BINDIR holds `mariadbd`, `mariadb` and `mariadb-install-db` of one major version; `-` stands for those of PATH. The servers listen
# on a socket in a directory that is thrown away. As root they run as user mysql.
set -eu

[ $# -gt 0 ] || { echo "usage: mariadb-settings.sh BINDIR..." >&2; exit 2; }
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" && wait "$server"; fi; rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/home"

as_user() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    chown mysql "$work/home"
    as_user() { setpriv --reuid=mysql --regid=mysql --clear-groups -- "$@"; }
fi

for programs in "$@"; do
    [ "$programs" = - ] || PATH="$programs:$PATH"
    version=$(mariadbd --version | sed 's/.* Ver \([0-9]*\)\.\([0-9]*\)\..*/\1 \2/' | awk '{ print $1 * 100 + $2 }')
    data=$work/home/$version
    mkdir "$data"
    [ "$(id -u)" -ne 0 ] || chown mysql "$data"
    as_user mariadb-install-db --no-defaults --datadir="$data" --skip-test-db --auth-root-authentication-method=normal \
        >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    as_user mariadbd --no-defaults --datadir="$data" --socket="$data/socket" --skip-networking --skip-grant-tables \
        >"$work/log" 2>&1 &
    server=$!
    until mariadb --no-defaults --socket="$data/socket" -e 'SELECT 1' >/dev/null 2>&1; do
        kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
    done
    mariadb --no-defaults --socket="$data/socket" --batch --skip-column-names -e "
        SELECT lower(variable_name), variable_type, read_only, ifnull(numeric_min_value, ''),
            ifnull(numeric_max_value, ''), ifnull(numeric_block_size, ''), ifnull(enum_value_list, ''),
            ifnull(command_line_argument, '-')
        FROM information_schema.system_variables" | sed "s/^/$version\t/" >>"$work/all"
    kill "$server"
    wait "$server" || true
    server=
    mariadbd --no-defaults --help --verbose 2>/dev/null | sed -n 's/^ \{1,6\}\(-., \)\{0,1\}--\([a-z][a-z0-9-]*\).*/\2/p' |
        sed "s/^/$version\t/" >>"$work/options"
done

cat <<HEADER
# The settings of MariaDB that an option file can set, as information_schema.system_variables of real servers states them; written by
# tests/support/mariadb-settings.sh. Majors that agree share a row.
# first	last	name	type	restart	least	greatest	step	choices
HEADER
python3 - "$work/all" "$work/options" <<'PYTHON'
import sys

options = set()
for line in open(sys.argv[2], encoding="utf-8"):
    version, name = line.rstrip("\n").split("\t")
    options.add((version, name.replace("-", "_")))
KINDS = {"BOOLEAN": "bool", "DOUBLE": "real", "ENUM": "enum", "SET": "set", "FLAGSET": "flags", "VARCHAR": "string"}

settings = {}
versions = []
for line in open(sys.argv[1], encoding="utf-8"):
    version, name, kind, restart, least, greatest, step, choices, argument = line.rstrip("\n").split("\t")
    if argument == "-" and (version, name) not in options:
        continue
    if int(version) not in versions:
        versions.append(int(version))
    kind = KINDS.get(kind, "integer")
    if kind == "enum" and not choices:
        kind = "string"
    definition = (kind, restart.lower(), least, greatest, step, choices)
    settings.setdefault(name, {})[int(version)] = definition
for name in sorted(settings):
    rows = []
    for version in sorted(versions):
        definition = settings[name].get(version)
        if definition is None:
            rows.append(None)
        elif rows and rows[-1] and rows[-1][2] == definition:
            rows[-1][1] = version
        else:
            rows.append([version, version, definition])
    for first, last, definition in filter(None, rows):
        print(first, last, name, *definition, sep="\t")
PYTHON
