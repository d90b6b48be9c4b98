#!/bin/sh
# Makes the storage itself fail under a loaded process, and verifies that nothing acknowledged is lost.
#
#   crates/store/tests/faults.sh
#
# Parts: EIO from fsync (strace); a full file system, a read-only remount and a loss of power (file systems in
# loop-mounted images, as root). What cannot run here says SKIPPED.
set -eu
cd "$(dirname "$0")/../../.."

binary=$(cargo test -q -p symbolon-store --test it --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p' | tail -1)
work=$(mktemp -d)
child=
mounted=

clean() {
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null || true
    [ -z "$mounted" ] || umount -l "$mounted" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

prepare() { SYMBOLON_CRASH_PREPARE=$1 "$binary" -q --exact crash::prepared >/dev/null; }
load() { SYMBOLON_CRASH_DATABASE=$1 exec "$binary" -q --exact crash::child --nocapture 2>"$work/stderr"; }
verify() {
    grep -aE '^(transfer|accepted|letter|taking|taken|record|reserved) ' "$2" >"$work/said" || true
    SYMBOLON_CRASH_VERIFY=$1 SYMBOLON_CRASH_SAID=$work/said "$binary" -q --exact crash::verified --nocapture | grep held
}

# An ext4 file system of its own, mounted at $work/mnt.
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

echo "== EIO from every fsync of a thread after its 40th"
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
    prepare "$work/eio.db"
    (SYMBOLON_CRASH_DATABASE=$work/eio.db timeout 60 strace -f -qq -o /dev/null \
        -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO:when=40+ \
        "$binary" -q --exact crash::child --nocapture >"$work/out" 2>"$work/stderr") || true
    verify "$work/eio.db" "$work/out"
else
    echo "SKIPPED: strace cannot trace here"
fi

if [ "$(id -u)" != 0 ] || ! command -v mkfs.ext4 >/dev/null || ! (image 8M 2>/dev/null && umount "$work/mnt"); then
    echo "SKIPPED: full disk, read-only remount, loss of power: they need root, mkfs.ext4 and loop devices"
    exit 0
fi

echo "== a file system of 8 MiB that fills up"
image 8M
prepare "$work/mnt/full.db"
fallocate -l 2M "$work/mnt/ballast"
# It ends by itself when every request was refused.
(load "$work/mnt/full.db" >"$work/out") || true
rm "$work/mnt/ballast"
verify "$work/mnt/full.db" "$work/out"
unimage

echo "== remounted read-only under load"
image 256M
prepare "$work/mnt/ro.db"
(load "$work/mnt/ro.db" >"$work/out") &
child=$!
sleep 1
# A journal that aborts is what a failing disk looks like.
mount -o remount,ro "$work/mnt" 2>/dev/null || mount -o remount,abort "$work/mnt" 2>/dev/null || true
sleep 1
kill -9 "$child" 2>/dev/null || true
wait "$child" 2>/dev/null || true
child=
unimage
mount -o loop "$work/image" "$work/mnt" && mounted=$work/mnt
verify "$work/mnt/ro.db" "$work/out"
unimage

for round in 1 2 3; do
    echo "== loss of power, round $round"
    image 256M
    prepare "$work/mnt/power.db"
    sync
    (load "$work/mnt/power.db" >"$work/out") &
    child=$!
    sleep 1
    # EXT4_IOC_SHUTDOWN without flushing the journal: what was not synced is gone.
    python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))' "$work/mnt"
    kill -9 "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
    child=
    unimage
    mount -o loop "$work/image" "$work/mnt" && mounted=$work/mnt
    verify "$work/mnt/power.db" "$work/out"
    unimage
done
echo "all held"
