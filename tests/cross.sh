#!/bin/sh
# Builds for arm64 on another Debian machine and runs there, under qemu-user, what works on arm64: the unit
# tests, with pages of 4 and of 64 KiB, and programs with the library in them (tests/arm64.py).  By hand: it
# takes minutes, and packages that nothing else here needs.
#
#   tests/cross.sh [JEMALLOC]    a source tree of jemalloc, as arm64 has no archive of it that does; without
#                                one, Debian's source package
#
# The libraries and programs of arm64 come into a folder of their own (build-arm64/root): this system's
# packages stay as they are, but for the compiler and the emulator (tools/install-deps.sh build cross).
#
# Exit status: 0: all passed; 1: something failed; 77: it cannot be tried here.  The last line says why.
set -eu
jemalloc=
if [ $# -gt 0 ]; then
    [ $# = 1 ] && [ -f "$1/configure.ac" ] || {
        echo "usage: tests/cross.sh [JEMALLOC]" >&2
        exit 2
    }
    jemalloc=$(realpath "$1")
fi
cd "$(dirname "$0")/.."
top=$PWD build=$PWD/build-arm64 root=$PWD/build-arm64/root

cannot() {
    echo "cross: not tried: $*"
    exit 77
}
reason=$(tools/check-place.sh build .) || cannot "$reason"
command -v apt-get >/dev/null || cannot "there is no apt-get here, to have arm64's libraries by"
mkdir -p "$build"
tools/install-deps.sh build cross >"$build/log" 2>&1 || cannot "$(tail -n 1 "$build/log")"

# ------------------------------------------------------------------------------ what arm64 is made of

# fill_last_page LOADER: makes its data end with a page of 64 KiB.  It takes memory for its own from what is left of
# the last page, of which the emulator gives it no more than a page of this machine's.
fill_last_page() {
    python3 - "$1" <<'END'
import struct, sys
with open(sys.argv[1], 'r+b') as file:
    data = bytearray(file.read())
    table, (size, count) = struct.unpack_from('<Q', data, 32)[0], struct.unpack_from('<HH', data, 54)
    at = max(at for at in range(table, table + size * count, size) if data[at:at + 4] == b'\1\0\0\0')
    start, = struct.unpack_from('<Q', data, at + 16)
    end = start + struct.unpack_from('<Q', data, at + 40)[0]
    struct.pack_into('<Q', data, at + 40, (end + 65535) // 65536 * 65536 - start)
    file.seek(0)
    file.write(data)
END
}

# The same release as this machine's, so that the compiler knows its glibc.
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
packages='libc6-dev libunwind-dev libprotobuf-c-dev zlib1g-dev libncurses-dev libjansson-dev libdw-dev
    coreutils python3-minimal sqlite3'
[ "$(cat "$root/made-of" 2>/dev/null)" = "$release $packages" ] || {
    apt=$build/apt
    mirror=$(tools/apt-mirror.sh "$release" arm64 2>"$build/log") || cannot "$(cat "$build/log")"
    rm -rf "$root" "$apt"
    mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/sbin" "$apt/lists/partial" "$apt/cache/archives/partial"
    for folder in bin lib sbin; do
        ln -s usr/$folder "$root/$folder"
    done
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [arch=arm64 signed-by=$keyring] $mirror $release main" >"$apt/sources.list"
    : >"$apt/status"
    fetch() {
        apt-get -q -y --no-install-recommends -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
            -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::State::lists="$apt/lists" \
            -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
            -o APT::Update::Error-Mode=any -o APT::Sandbox::User= -o Acquire::Retries=3 "$@" >"$build/log" 2>&1 ||
            cannot "arm64's packages cannot be had: $(grep -E '^E: ' "$build/log" | tail -n 1)"
    }
    echo "cross: packages of arm64 from $mirror"
    fetch update
    # shellcheck disable=SC2086  # words
    fetch --download-only install $packages
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
    done
    fill_last_page "$(realpath "$root/lib/ld-linux-aarch64.so.1")"
    echo "$release $packages" >"$root/made-of"
}
[ -n "$jemalloc" ] || jemalloc=$(MEMDEBUG_BUILD=$build tests/support/jemalloc_source.py 2>"$build/log") ||
    cannot "jemalloc's source cannot be had: $(tail -n 1 "$build/log")"

# ---------------------------------------------------------------------------------------- the build

cat >"$build/cross.ini" <<END
[constants]
root = '$root'
[binaries]
c = ['aarch64-linux-gnu-gcc', '--sysroot=' + root]
cpp = ['aarch64-linux-gnu-g++', '--sysroot=' + root]
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['env', 'MEMDEBUG_EMULATED=1', 'qemu-aarch64', '-L', root]
[properties]
sys_root = root
pkg_config_libdir = root + '/usr/lib/aarch64-linux-gnu/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
END
made_of="$root $(aarch64-linux-gnu-gcc -dumpfullversion) $jemalloc"
if [ "$(cat "$build/meson/made-of" 2>/dev/null)" != "$made_of" ]; then
    rm -rf "$build/meson"
    meson setup "$build/meson" "$top" --cross-file "$build/cross.ini" --werror -Djemalloc_source="$jemalloc"
    echo "$made_of" >"$build/meson/made-of"
fi
ninja -C "$build/meson"

# ---------------------------------------------------------------------------------------- the tests

status=0
logs=
# unit_tests PAGE NAME...: with pages of so many bytes.
unit_tests() {
    page=$1
    shift
    QEMU_PAGESIZE=$page meson test -C "$build/meson" --no-rebuild --print-errorlogs --timeout-multiplier 10 \
        --logbase "page-$page" "$@" || status=1
    logs="$logs build-arm64/meson/meson-logs/page-$page.json"
}
# Not those of the marker, which nothing on arm64 runs yet, nor the seeds of fuzzing: minutes each, emulated; and
# not symbolize, whose victims this machine's compiler makes.
tests=$(meson test -C "$build/meson" --no-rebuild --suite unit --list 2>/dev/null | sed -n 's/.* \/ //p' |
    grep -vxE 'unreached|mark|candidates|fuzz_.*|symbolize')
# shellcheck disable=SC2086  # words
unit_tests 4096 $tests
# What asks for the size of a page.  Since version 9 the emulator has 4 KiB alone.
if LD_SHOW_AUXV=1 qemu-aarch64 -p 65536 -L "$root" "$root/usr/bin/true" 2>/dev/null | grep -q '^AT_PAGESZ: *65536'; then
    unit_tests 65536 bus_error live object_map os place prof segment snapshot stack table tables
else
    echo "cross: nothing is tried with pages of 64 KiB, which this qemu-aarch64 does not have"
fi
MEMDEBUG_BUILD=$build/meson tests/arm64.py "$root" || status=1
# shellcheck disable=SC2086  # words
python3 tests/support/summary.py $logs || status=1
[ $status = 0 ] || echo "cross: something has failed"
exit $status
