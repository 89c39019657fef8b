#!/usr/bin/env python3
"""Kills primaries under load and says for how long no write was acknowledged, and what became of the writes.

    kills.py ROUNDS HOSTS MONITOR_LOG

HOSTS (HOST:PORT,...) are the servers of one cluster, and a simdb monitor writes its events to MONITOR_LOG. PGPASSWORD lets user
postgres in. The clients are psql processes that find the server that writes as every program of libpq
does (target_session_attrs), and the account of what was acknowledged is kept here: nothing of it is simdb's own. Prints JSON:

    {"gaps": [seconds, ...], "acknowledged": rows, "lost": {"HOST:PORT": rows, ...}}

Each gap is the longest time between two acknowledged writes around a kill of the first process of the primary, detection included.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

CLIENTS = 4
# How long a client waits for an answer before it takes its session for dead.
ANSWER_LIMIT = 5
# How long a cluster may take to be whole again after a kill.
SETTLE_LIMIT = 120
TABLE = "kills_ledger"


def psql(hosts, sql, attributes="any"):
    """Asks once, and returns the lines of the answer; nothing where no server answers."""
    done = subprocess.run(
        [*command(hosts, attributes), "-c", sql], capture_output=True, text=True, timeout=ANSWER_LIMIT * 6
    )
    return done.stdout.split() if done.returncode == 0 else None


def command(hosts, attributes):
    names = ",".join(host.rsplit(":", 1)[0] for host in hosts)
    ports = ",".join(host.rsplit(":", 1)[1] for host in hosts)
    target = f"host={names} port={ports} user=postgres dbname=postgres target_session_attrs={attributes} connect_timeout=2"
    return ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", target]


class Client(threading.Thread):
    """Writes its numbered rows one by one, each once."""

    def __init__(self, number, hosts):
        super().__init__(daemon=True)
        self.number, self.hosts = number, hosts
        self.ended = threading.Event()
        self.acknowledged = []  # (when, row)
        self.row = 0
        self.session = None
        self.asked = None

    def run(self):
        while not self.ended.is_set():
            self.session = subprocess.Popen(
                command(self.hosts, "read-write"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
            )
            try:
                while not self.ended.is_set() and self.write():
                    pass
            except (BrokenPipeError, ValueError):
                pass
            finally:
                self.asked = None
                self.session.kill()
                self.session.wait()

    def write(self):
        """Returns whether the row is acknowledged. A warning says that its commit was not waited for."""
        self.row += 1
        self.asked = time.monotonic()
        insert = f"INSERT INTO {TABLE} VALUES ({self.number}, {self.row}) RETURNING {self.row}"
        self.session.stdin.write(f"{insert};\n\\echo end\n")
        self.session.stdin.flush()
        lines = []
        while (line := self.session.stdout.readline()) and line.strip() != "end":
            lines.append(line.strip())
        self.asked = None
        if line and lines == [str(self.row)]:
            self.acknowledged.append((time.monotonic(), self.row))
            return True
        return False


def watch(clients):
    """Ends sessions that do not answer: a client would wait for ever on a server that was halted."""
    while not all(client.ended.is_set() for client in clients):
        for client in clients:
            asked = client.asked
            if asked is not None and time.monotonic() - asked > ANSWER_LIMIT:
                client.session.kill()
        time.sleep(0.2)


def until(what, holds, limit=SETTLE_LIMIT):
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"kills.py: not seen within {limit} s: {what}")
        time.sleep(0.05)


def rows(clients):
    return sum(len(client.acknowledged) for client in clients)


def longest_gap(clients, began, ended):
    """Returns the longest time without an acknowledged write that ended between two moments."""
    times = sorted(when for client in clients for when, _ in client.acknowledged)
    gaps = [after - before for before, after in zip(times, times[1:]) if after > began and before < ended]
    return max(gaps, default=0.0)


def primary(hosts):
    """Returns the first process of the server that writes."""
    pid = psql(hosts, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)", "read-write")
    return int(pid[0]) if pid else None


def main():
    rounds, hosts, log = sys.argv[1:]
    hosts, log = hosts.split(","), Path(log)

    def told():
        return sum(1 for line in log.read_text().splitlines() if " done: " in line)

    standbys = len(hosts) - 1
    whole = f"SELECT count(*) = {standbys} FROM pg_stat_replication WHERE state = 'streaming'"
    until("the cluster is whole", lambda: psql(hosts, whole, "read-write") == ["t"])
    columns = "client int, row int, PRIMARY KEY (client, row)"
    psql(hosts, f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} ({columns})", "read-write")
    clients = [Client(number, hosts) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    threading.Thread(target=watch, args=(clients,), daemon=True).start()
    gaps = []
    for _ in range(int(rounds)):
        before = rows(clients)
        until("clients write", lambda: rows(clients) >= before + 200)
        victim, done = primary(hosts), told()
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        until("the monitor has done its part", lambda: told() > done)
        until("the cluster is whole again", lambda: psql(hosts, whole, "read-write") == ["t"])
        before = rows(clients)
        until("clients write again", lambda: rows(clients) >= before + 200)
        gaps.append(round(longest_gap(clients, began, time.monotonic()), 3))
        print(f"no write for {gaps[-1]} s", file=sys.stderr)
    for client in clients:
        client.ended.set()
    for client in clients:
        client.join(ANSWER_LIMIT * 3)
    acknowledged = {(client.number, row) for client in clients for _, row in client.acknowledged}
    end = psql(hosts, "SELECT pg_current_wal_lsn()", "read-write")[0]
    lost = {}
    for host in hosts:
        reached = f"SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= '{end}'"
        until(f"{host} has replayed all", lambda: psql([host], reached) == ["t"])
        there = {tuple(map(int, line.split("|"))) for line in psql([host], f"SELECT client, row FROM {TABLE}")}
        lost[host] = len(acknowledged - there)
    psql(hosts, f"DROP TABLE {TABLE}", "read-write")
    print(json.dumps({"gaps": gaps, "acknowledged": len(acknowledged), "lost": lost}))


main()
