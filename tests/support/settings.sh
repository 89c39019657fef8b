#!/bin/sh
# Writes the table of PostgreSQL's settings, as real servers state it, to standard output.
#
#   settings.sh BINDIR... > planner/src/engine/postgresql/settings.tsv
#
# Each BINDIR holds `initdb` and `postgres` of one major version. Servers are asked in single-user mode: no port, no
# process that stays. As root the servers run as user postgres.
set -eu

[ $# -gt 0 ] || { echo "usage: settings.sh BINDIR..." >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/home"

as_user() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$work/home"
    as_user() { runuser -u postgres -- "$@"; }
fi

for programs in "$@"; do
    version=$("$programs/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
    data=$work/home/$version
    as_user "$programs/initdb" -D "$data" -A trust --no-sync --no-locale -E UTF8 >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; exit 1; }
    echo "COPY (
        SELECT name, vartype, coalesce(unit, ''), context, coalesce(min_val, ''), coalesce(max_val, ''),
            array_to_string(enumvals, ',')
        FROM pg_settings WHERE context <> 'internal'
    ) TO '$data.tsv' (NULL '');" | tr '\n' ' ' >"$work/query"
    as_user "$programs/postgres" --single -D "$data" postgres <"$work/query" >"$work/log" 2>&1
    [ -s "$data.tsv" ] || { cat "$work/log" >&2; exit 1; }
    sed "s/^/$version\t/" "$data.tsv" >>"$work/all"
done

cat <<HEADER
# The settings of PostgreSQL that can be changed, as pg_settings of real servers states them; written by
# tests/support/settings.sh. Majors that agree share a row.
# first	last	name	type	unit	context	least	greatest	choices
HEADER
python3 - "$work/all" <<'PYTHON'
import sys

# What one build leaves out, another build of the same version has.
BUILD = {"wal_compression": ["lz4", "zstd"], "default_toast_compression": ["lz4"], "io_method": ["io_uring"]}

settings = {}
for line in open(sys.argv[1], encoding="utf-8"):
    version, name, *definition, choices = line.rstrip("\n").split("\t")
    build = BUILD.get(name, [])
    choices = [choice for choice in choices.split(",") if choice not in build] + build
    settings.setdefault(name, {})[int(version)] = (*definition, ",".join(choices))
for name in sorted(settings):
    rows = []
    for version, definition in sorted(settings[name].items()):
        if rows and rows[-1][1] == version - 1 and rows[-1][2] == definition:
            rows[-1][1] = version
        else:
            rows.append([version, version, definition])
    for first, last, definition in rows:
        print(first, last, name, *definition, sep="\t")
PYTHON
