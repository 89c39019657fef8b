# The first process of the container: runs the server of the volume where its intent is "run", and keeps the container alive where the
# server is down, so that commands can look at the volume and work on it. POSIX; needs flock, readlink, sleep, date, mkdir, cat and rm.

d=/var/lib/simdb
n=$d/.simdb
r=/tmp/simdb
umask 077
mkdir -p "$n" "$r" || exit 1
rm -f "$n/task.pid"
ending=
child=
cd /

say() { echo "simdb: $*"; }
intent() { cat "$n/intent" 2>/dev/null; }
end() {
  ending=1
  [ -z "$child" ] || kill -"$(cat "$n/signal" 2>/dev/null || echo TERM)" "$child" 2>/dev/null
}
trap end TERM INT QUIT
trap : USR1

# Sleeps until the time is over, or a signal arrives.
nap() {
  sleep "$1" &
  nap=$!
  wait "$nap"
  kill "$nap" 2>/dev/null
  wait "$nap" 2>/dev/null
}

# Prints the processes that use data of the volume. Servers have it as their working directory, and may outlive their first process.
users() {
  for p in /proc/[0-9]*; do
    case $(readlink "$p/cwd" 2>/dev/null) in "$d"/*) echo "${p#/proc/}" ;; esac
  done
}

# Starts the server, unless it is to stay down: what changes the intent has the lock.
start() {
  exec 9>"$n/lock" || return
  flock -w 5 9 || { exec 9>&-; return; }
  if [ "$(intent)" = run ]; then
    (exec 9>&-; cd "$d" && exec sh "$n/server.sh") &
    child=$!
    echo "$child" >"$r/pid"
  fi
  exec 9>&-
}

# A pod that is made after its server was proven to be down elsewhere does not start it.
if [ -n "$HOLD" ] && [ "$(cat "$n/held" 2>/dev/null)" != "$HOLD" ]; then
  echo stopped >"$n/intent" && echo "$HOLD" >"$n/held"
fi

pause=0
while [ -z "$ending" ]; do
  if [ "$(intent)" != run ]; then
    pause=0
    nap 1
    continue
  fi
  left=$(users)
  if [ -n "$left" ]; then
    # What a server that ended left behind still has its data.
    kill -KILL $left 2>/dev/null
    nap 0.1
    continue
  fi
  start
  [ -n "$child" ] || continue
  began=$(date +%s)
  status=0
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
  done
  child=
  rm -f "$r/pid"
  [ -z "$ending" ] || break
  [ "$(intent)" = run ] || continue
  [ $(($(date +%s) - began)) -lt 60 ] || pause=0
  say "the server ended with status $status, and is started again in $pause s"
  [ "$pause" = 0 ] || nap "$pause"
  pause=$((pause == 0 ? 1 : pause * 2))
  [ "$pause" -le 30 ] || pause=30
done
exit 0
