#!/usr/bin/env bash
# Builds the crates that a web page needs for wasm32-unknown-unknown.
# usage: .ci/wasm.sh FOLDER     (what is downloaded and built is kept there for the next run: about 1 GB)
#
# If the toolchain has the target, it builds. If not, Debian's rustc-web is unpacked into FOLDER, with the source of the
# standard library that belongs to it; nothing is installed. Where neither is to be had this says so and passes,
# unless SYMBOLON_REQUIRE_WASM=1.
set -euo pipefail
mkdir -p "${1:?name a folder for what is downloaded and built}"
folder=$(realpath "$1")
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
target=wasm32-unknown-unknown

skip() {
    echo "SKIPPED: nothing was built for $target: $*" >&2
    [ "${SYMBOLON_REQUIRE_WASM:-}" != 1 ] || { echo "SYMBOLON_REQUIRE_WASM is set" >&2; exit 1; }
    exit 0
}

# The name of the package whose name begins with $2, and that $1 depends on.
dependency() {
    apt-cache depends "$1" 2>/dev/null | awk -v name="$2" '/Depends:/ && index($2, name) == 1 { print $2; exit }'
}

# A compiler with the source of its library, as $folder/rustc; there in full or not at all.
unpack() {
    local debs=$folder/debs root=$folder/root library llvm deb
    rm -rf "$debs" "$root"
    mkdir -p "$debs" "$root"
    if [ "$(id -u)" = 0 ]; then
        apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
    fi
    library=$(dependency libstd-rust-web-dev libstd-rust-web-)
    [ -n "$library" ] || return 1
    llvm=$(dependency "$library" libllvm)
    (cd "$debs" && apt-get -qq download rustc-web rust-web-src libstd-rust-web-dev "$library" ${llvm:+"$llvm"}) || return 1
    for deb in "$debs"/*.deb; do
        dpkg -x "$deb" "$root" || return 1
    done
    rm -rf "$debs"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' \
        "$root/usr/lib/$(uname -m)-linux-gnu" "$root/usr/bin/rustc" >"$folder/rustc.new"
    chmod +x "$folder/rustc.new"
    "$folder/rustc.new" --version || return 1
    mv "$folder/rustc.new" "$folder/rustc"
}

flags=()
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    if [ ! -x "$folder/rustc" ]; then
        command -v apt-get >/dev/null && command -v dpkg >/dev/null || skip "no such target, and this is not Debian"
        unpack || skip "no such target, and Debian's rustc-web is not to be had"
    fi
    # Building the standard library is not stable in cargo. The crates below are without std: these two are all of it.
    export RUSTC=$folder/rustc RUSTC_BOOTSTRAP=1
    flags=(-Z build-std=core,alloc)
fi

# That it builds is all that is asked here: nothing is optimised.
cargo build -q "${flags[@]}" --config 'profile.dev.package."*".opt-level=0' \
    --config 'profile.dev.package.symbolon-keys.opt-level=0' --lib --target "$target" \
    --target-dir "$folder/target" --no-default-features -p symbolon-envelope
echo "-- symbolon-envelope: builds for $target"
