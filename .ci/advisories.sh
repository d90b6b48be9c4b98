#!/usr/bin/env bash
# Lays the committed snapshot of the RustSec advisory database out where cargo-deny looks for it, so that advisories
# are checked without a network. The snapshot is data of https://rustsec.org (CC0), taken on the day in its name;
# to renew it, put a newer archive of the database's tree in its place.
# usage: .ci/advisories.sh DB_PATH
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The folder's name is the one that cargo-deny derives from its default database.
db=${1:?usage: advisories.sh DB_PATH}/advisory-db-3157b0e258782691
archive=$(echo "$here"/advisory-db-*.tar.xz)
# Laid out already, from this very archive?
[ -f "$db/.git/FETCH_HEAD" ] && [ "$(cat "$db/.git/laid-out-from" 2>/dev/null)" = "$(basename "$archive")" ] && exit 0
rm -rf "$db"
mkdir -p "$db"
tar -xJf "$archive" -C "$db"
cd "$db"
git init -q -b main .
git add -A
git -c user.name=symbolon -c user.email=symbolon@localhost commit -qm 'RustSec advisory snapshot'
git fetch -q . main
basename "$archive" >.git/laid-out-from
