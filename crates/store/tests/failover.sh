#!/usr/bin/env bash
# A primary under load is killed, its synchronous standby promoted, and the clients go on: five times in a row. At the
# end the database must hold whatever was acknowledged to them. Needs the server programs of PostgreSQL 15 or later.
# usage: crates/store/tests/failover.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../../.."
rounds=${1:-5}

programs=$(dirname "$(readlink -f "$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb | tail -1)")")
binary=$(cargo test -q -p symbolon-store --test it --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
folder=$(mktemp -d)
chmod 755 "$folder"
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as() { runuser -u postgres -- "$@"; }
fi
declare -A ports=([a]=55431 [b]=55432)
url="postgres://postgres@127.0.0.1:${ports[a]},127.0.0.1:${ports[b]}/exchange"

ask() { as "$programs/psql" -h 127.0.0.1 -p "${ports[$1]}" -U postgres -v ON_ERROR_STOP=1 -qAt -d exchange -c "$2"; }
start() { (cd / && as "$programs/pg_ctl" -D "$folder/$1" -l "$folder/$1.log" -w start >/dev/null); }
# The postmaster and its children, as when the machine goes.
die() {
    local postmaster
    postmaster=$(head -1 "$folder/$1/postmaster.pid")
    kill -9 "$postmaster" $(pgrep -P "$postmaster")
}
cleanup() {
    [ -z "${child:-}" ] || kill -9 "$child" 2>/dev/null || true
    for node in a b; do
        [ ! -f "$folder/$node/postmaster.pid" ] || die "$node" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap cleanup EXIT

# $1 becomes the synchronous standby of $2.
follow() {
    rm -rf "${folder:?}/$1"
    # Commits wait from here on: at no time is there a standby that is not synchronous.
    ask "$2" "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ($1)'"
    ask "$2" "SELECT pg_reload_conf()" >/dev/null
    (cd / && as "$programs/pg_basebackup" -h 127.0.0.1 -p "${ports[$2]}" -U postgres -D "$folder/$1" -c fast -X stream)
    as tee -a "$folder/$1/postgresql.auto.conf" >/dev/null <<EOF
primary_conninfo = 'host=127.0.0.1 port=${ports[$2]} user=postgres application_name=$1'
port = ${ports[$1]}
EOF
    as touch "$folder/$1/standby.signal"
    start "$1"
    until [ "$(ask "$2" "SELECT sync_state FROM pg_stat_replication WHERE application_name = '$1'")" = sync ]; do
        sleep 0.2
    done
}

(cd / && as "$programs/initdb" -D "$folder/a" -A trust -U postgres -E UTF8 --no-sync >/dev/null)
as tee -a "$folder/a/postgresql.conf" >/dev/null <<EOF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
port = ${ports[a]}
EOF
start a
as "$programs/createdb" -h 127.0.0.1 -p "${ports[a]}" -U postgres exchange
SYMBOLON_CRASH_PREPARE=$url "$binary" -q --exact crash::prepared >/dev/null
follow b a

SYMBOLON_CRASH_DATABASE=$url SYMBOLON_CRASH_GO_ON=1 "$binary" -q --exact crash::child --nocapture >"$folder/said" 2>"$folder/errors" &
child=$!
primary=a standby=b
for round in $(seq "$rounds"); do
    sleep 3
    before=$(wc -l <"$folder/said")
    die "$primary"
    (cd / && as "$programs/pg_ctl" -D "$folder/$standby" -w promote >/dev/null)
    # It inherits the name of a standby, which is itself: without this it waits forever.
    ask "$standby" "ALTER SYSTEM SET synchronous_standby_names = ''"
    ask "$standby" "SELECT pg_reload_conf()" >/dev/null
    until [ "$(wc -l <"$folder/said")" -gt $((before + 100)) ]; do
        kill -0 "$child"
        sleep 0.2
    done
    echo "round $round: $primary was killed after $before acknowledgements; $standby took over and serves"
    rm -f "$folder/$primary/postmaster.pid"
    follow "$primary" "$standby"
    read -r primary standby <<<"$standby $primary"
done
sleep 2
kill -9 "$child"
wait "$child" 2>/dev/null || true
child=
SYMBOLON_CRASH_VERIFY=$url SYMBOLON_CRASH_SAID=$folder/said "$binary" -q --nocapture --exact crash::verified
for kind in transfer accepted letter record reserved; do
    echo "acknowledged: $(grep -c "^$kind " "$folder/said") $kind"
done
ask "$primary" "SELECT 'held: ' || (SELECT count(*) FROM symbolon.transfers WHERE debited <> decode(repeat('63', 16), 'hex'))
    || ' transfers, ' || (SELECT count(*) FROM symbolon.accepted_messages) || ' messages, '
    || (SELECT last_sequence FROM symbolon.mailboxes) || ' letters, '
    || (SELECT count(*) FROM symbolon.records) || ' records, '
    || (SELECT send_reserved / 64 FROM symbolon.pads) || ' reservations'"
echo "nothing that was acknowledged is lost after $rounds failovers"
