#!/bin/sh
# Builds for arm64 on another Debian machine and runs there, under qemu-user, the unit tests of what works on
# arm64.  By hand: it takes minutes, and packages that nothing else here needs.
#
#   tests/cross.sh JEMALLOC      a source tree of jemalloc, as arm64 has no archive of it that does
#
# The libraries of arm64 come into a folder of their own (build-arm64/root): this system's packages stay as
# they are, but for the compiler and the emulator, which must be there:
#   gcc-aarch64-linux-gnu g++-aarch64-linux-gnu qemu-user golang-go
set -eu
[ -f "${1:-}/configure.ac" ] || {
    echo "usage: tests/cross.sh JEMALLOC" >&2
    exit 2
}
jemalloc=$(realpath "$1")
cd "$(dirname "$0")/.."
top=$PWD build=$PWD/build-arm64
for tool in aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ qemu-aarch64 apt-get dpkg-deb meson go; do
    command -v $tool >/dev/null || {
        echo "cross: no $tool: nothing is tested for arm64" >&2
        exit 77
    }
done
mkdir -p "$build"

root=$build/root
if [ ! -f "$root/whole" ]; then
    apt=$build/apt
    rm -rf "$root" "$apt"
    mkdir -p "$root/usr/lib" "$apt/lists/partial" "$apt/cache/archives/partial"
    ln -s usr/lib "$root/lib"
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    echo "deb [arch=arm64] http://deb.debian.org/debian $release main" >"$apt/sources.list"
    : >"$apt/status"
    set -- -q -y --no-install-recommends -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::State::lists="$apt/lists" \
        -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/nonexistent
    apt-get "$@" update
    apt-get "$@" --download-only install libc6-dev libunwind-dev libprotobuf-c-dev zlib1g-dev libncurses-dev \
        libjansson-dev libdw-dev
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
    done
    touch "$root/whole"
fi

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
[ -f "$build/meson/build.ninja" ] ||
    meson setup "$build/meson" "$top" --cross-file "$build/cross.ini" -Djemalloc_source="$jemalloc"
ninja -C "$build/meson"
# Not here: what needs the marker (minutes, emulated), and symbolize, whose victim is this machine's.
meson test -C "$build/meson" --no-rebuild --print-errorlogs --timeout-multiplier 5 bus_error chart engine extents \
    fmt gctrace history layout live lock message names object_map options os pacer perf_map place pprof prof rng room \
    rust_name screen segment sites snapshot suppressions table tables tracelog units view_leaks

# A profile of a program, exact as each allocation is sampled: counts, bytes and names.
cat >"$build/kept.c" <<'END'
#include <stdlib.h>
static void *kept[2000];
__attribute__((noinline)) static void *keep_one(size_t size)
{
    return malloc(size);
}
int main(void)
{
    for (int i = 0; i < 2000; i++)
        free(keep_one(3000)), kept[i] = keep_one(1000);
    return kept[1999] == NULL;
}
END
aarch64-linux-gnu-gcc --sysroot="$root" -g -O1 "$build/kept.c" -o "$build/kept"
for how in cfi fp; do
    rm -f "$build"/heap.*
    MEMDEBUG="memprofilerate=1,unwind=$how,heapprofile=$build/heap" \
        qemu-aarch64 -L "$root" -E LD_PRELOAD="$build/meson/libmemdebug.so.0" "$build/kept"
    go tool pprof -raw "$build"/heap.*.exit.pb.gz >"$build/heap.text" 2>/dev/null
    grep -Eq '^ +2000 +2048000 +2000 +2048000: ' "$build/heap.text" &&
        grep -Eq '^ +2000 +6144000 +0 +0: ' "$build/heap.text" && grep -q 'M=1 keep_one .*kept.c:' "$build/heap.text" || {
        echo "cross: unwind=$how: not the profile of the program" >&2
        exit 1
    }
    echo "cross: unwind=$how: the profile has what the program has allocated"
done
