#!/usr/bin/env bash
# Real faults under pad files and a ledger: errors from sync, a disk that fills up, loss of power. Whatever happens, the
# next life goes on, no byte of a pad is used twice, and no value is lost. Not part of the gate: it needs root, strace,
# mkfs.ext4, loop devices and python3, and says what it had to skip.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cargo test -q -p symbolon-ledger --all-features --test it --no-run
binary=$(cargo test -p symbolon-ledger --all-features --test it --no-run --message-format=json 2>/dev/null |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "it":
        print(message["executable"])')
work=$(mktemp -d)
mounted=
child=
clean() {
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null || true
    [ -z "$mounted" ] || umount "$mounted" 2>/dev/null || umount -l "$mounted" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

fresh() { rm -f "$work/emitted"; SYMBOLON_KILL_PREPARE=$1 "$binary" -q --exact kill::prepared >/dev/null; }
# Frames are kept elsewhere: what was released stays released, whatever the file system forgets.
life() { SYMBOLON_KILL_FOLDER=$1 SYMBOLON_KILL_EMITTED=$work/emitted exec timeout "$2" "${@:3}" "$binary" -q --exact kill::life --nocapture >"$work/out" 2>&1; }
check() {
    # Going on comes first: that is when bytes would be used twice.
    (life "$1" 2) || true
    SYMBOLON_KILL_CHECK=$1 SYMBOLON_KILL_EMITTED=$work/emitted "$binary" -q --exact kill::checked --nocapture | grep held
}

image() {
    truncate -s "$1" "$work/image"
    mkfs.ext4 -q -F "$work/image"
    mkdir -p "$work/mnt"
    mount -o loop "$work/image" "$work/mnt"
    mounted=$work/mnt
}
unimage() {
    umount "$work/mnt"
    mounted=
}

if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
    for when in 5+3 20 31+7 50+; do
        echo "== EIO from syncs of a life, when=$when"
        mkdir "$work/eio"
        fresh "$work/eio"
        (life "$work/eio" 20 strace -f -qq -o /dev/null -e trace=fsync,fdatasync \
            -e "inject=fsync,fdatasync:error=EIO:when=$when") || true
        check "$work/eio"
        rm -r "$work/eio"
    done
else
    echo "SKIPPED: strace cannot trace here"
fi

if [ "$(id -u)" != 0 ] || ! command -v mkfs.ext4 >/dev/null || ! (image 8M 2>/dev/null && umount "$work/mnt"); then
    echo "SKIPPED: full disk, loss of power: they need root, mkfs.ext4 and loop devices"
    exit 0
fi

echo "== a file system of 16 MiB that fills up"
image 16M
fresh "$work/mnt"
fallocate -l "$(($(stat -f -c '%a * %S' "$work/mnt") - 300000))" "$work/mnt/ballast"
(life "$work/mnt" 20) || true
rm "$work/mnt/ballast"
check "$work/mnt"
unimage

for round in 1 2 3 4 5; do
    echo "== loss of power, round $round"
    image 64M
    fresh "$work/mnt"
    sync
    (life "$work/mnt" 20) &
    child=$!
    sleep "0.$((round * 17 % 90 + 10))"
    # EXT4_IOC_SHUTDOWN without flushing the journal: what was not synced is gone.
    python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))' "$work/mnt"
    wait "$child" 2>/dev/null || true
    child=
    unimage
    mount -o loop "$work/image" "$work/mnt" && mounted=$work/mnt
    check "$work/mnt"
    unimage
done
echo "all held"
