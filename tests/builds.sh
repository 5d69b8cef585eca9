#!/bin/bash
# Builds everything by each compiler and with each set of flags that people use, warnings being errors,
# and tries each build: the unit tests, and tests/scenario/smoke.py on real programs.  A line for each; the
# last is `N passed, N failed, N not here`, and the exit status says whether none failed.
#
#   tests/builds.sh [COMPILER[:FLAGS]...]
#
# COMPILER is gcc or clang, or one with its version (gcc-14); FLAGS is plain, debug, release, minsize, lto
# or hardened.  Without any: each version of 12 (clang: 14) and newer that is installed, plain, then gcc
# and clang with all other flags.  Each takes two minutes of CPU, in build-COMPILER-FLAGS, where log.txt
# stays.
set -u
cd "$(dirname "$0")/.." || exit 1

hardening='-D_FORTIFY_SOURCE=3 -fcf-protection=full -fstack-clash-protection -fstack-protector-strong'

usage() {
    sed -n '6s/^# *//p' "$0" >&2
    exit 2
}

# configure COMPILER FLAGS DIRECTORY
configure() {
    local options=() linker=
    case $2 in
    plain) ;;
    debug | release | minsize) options=("-Dbuildtype=$2") ;;
    lto)
        options=(-Db_lto=true)
        # ld compiles what clang leaves for it by a plug-in that few have.
        [ "$1" = "${1#clang}" ] || linker=lld
        ;;
    hardened) options=("-Dc_args=$hardening" "-Dcpp_args=$hardening" "-Dc_link_args=-Wl,-z,relro,-z,now") ;;
    esac
    CC=$1 CXX=$(cxx_of "$1") CC_LD=$linker CXX_LD=$linker meson setup "$3" --werror "${options[@]}"
}

cxx_of() {
    case $1 in
    gcc*) echo "g++${1#gcc}" ;;
    *) echo "clang++${1#clang}" ;;
    esac
}

# Whether the flags have come to something.  The library must not say that it can do with a shadow stack:
# a call that is set back (src/gc/stop/restart.h) leaves a signal handler by a jump.
is_hardened() {
    local library=$1/libmemdebug.so
    readelf -dW "$library" | grep -q BIND_NOW || { echo "not bound at load"; return 1; }
    nm -D "$library" | grep -q '_chk@' || { echo "no fortified call"; return 1; }
    ! readelf -nW "$library" | grep -q SHSTK || { echo "claims to need no unshadowed stack"; return 1; }
}

# attempt COMPILER FLAGS DIRECTORY: the last line of its output is what became of it.
attempt() {
    if [ ! -f "$3/build.ninja" ]; then
        configure "$@" || { echo "cannot be configured"; return 1; }
    fi
    rm -f "$3/meson-logs/testlog.json"
    meson compile -C "$3" --ninja-args=-k0 || { echo "cannot be built"; return 1; }
    [ "$2" != hardened ] || is_hardened "$3" || return 1
    meson test -C "$3" --no-rebuild --print-errorlogs --suite unit --suite smoke || { echo "tests fail"; return 1; }
    echo "passed, libmemdebug.so $(($(size -B "$3/libmemdebug.so" | awk 'NR == 2 {print $4}') / 1024)) KiB"
}

wanted=("$@")
if [ $# = 0 ]; then
    for compiler in gcc-{12..20} clang-{14..24}; do
        ! command -v "$compiler" >/dev/null || wanted+=("$compiler")
    done
    for flags in debug release minsize lto hardened; do
        wanted+=("gcc:$flags" "clang:$flags")
    done
fi
for name in "${wanted[@]}"; do
    [[ $name =~ ^(gcc|clang)(-[0-9]+)?(:(plain|debug|release|minsize|lto|hardened))?$ ]] || usage
done

passed=0 failed=0 absent=0
for name in "${wanted[@]}"; do
    compiler=${name%%:*} flags=plain
    [ "$compiler" = "$name" ] || flags=${name#*:}
    directory=build-$compiler-$flags needed="$compiler $(cxx_of "$compiler")"
    [ "$flags" != lto ] || [ "$compiler" = "${compiler#clang}" ] || needed="$needed ld.lld"
    missing=
    for tool in $needed; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    if [ -n "$missing" ]; then
        echo "$compiler $flags: not installed:$missing"
        absent=$((absent + 1))
        continue
    fi
    mkdir -p "$directory"
    SECONDS=0
    if attempt "$compiler" "$flags" "$directory" >"$directory/log.txt" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        grep -aE 'error:|^not ok|FAILED|undefined' "$directory/log.txt" | head -20
    fi
    echo "$compiler $flags: $(tail -n 1 "$directory/log.txt"), $SECONDS s"
done
echo "$passed passed, $failed failed, $absent not here"
[ "$failed" = 0 ]
