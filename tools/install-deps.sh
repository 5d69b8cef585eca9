#!/bin/sh
# Installs what Debian 12 lacks, with apt-get and only if something is missing; safe to run twice.
#
#   tools/install-deps.sh build           to build
#   tools/install-deps.sh build test      and to run every test
#   tools/install-deps.sh build bench     and to run every benchmark
set -eu

# redis-tools has the server's program under another name; redis-server would start a service.
build='gcc g++ libc6-dev pkgconf meson ninja-build binutils libjemalloc-dev libunwind-dev
    libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libncurses-dev libjansson-dev libdw-dev'
test='golang-go redis-tools sqlite3 lua5.4 perl-base strace tmux gdb valgrind clang-format clang-tidy
    php-cli php-xml php-mbstring php-sqlite3 php-curl chromium openjdk-17-jdk-headless'
bench='redis-tools sqlite3 lua5.4 valgrind heaptrack libgc-dev golang-go'

wanted=
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    bench) wanted="$wanted $bench" ;;
    *)
        echo "usage: tools/install-deps.sh [build] [test] [bench]" >&2
        exit 2
        ;;
    esac
done

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: no apt-get here; needed:$missing" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-deps: run as root or install sudo; needed:$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get -q update
# shellcheck disable=SC2086  # words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
