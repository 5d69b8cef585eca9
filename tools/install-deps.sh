#!/bin/sh
# Installs what a Debian lacks, with apt-get and only if something is missing; safe to run twice.
#
#   tools/install-deps.sh build           to build
#   tools/install-deps.sh build test      and to run every test
#   tools/install-deps.sh build bench     and to run every benchmark
#   tools/install-deps.sh build package   and to make packages and try them
#   tools/install-deps.sh distros         what installs another release (tests/distros.sh)
#   tools/install-deps.sh build cross     and to build for arm64 and run that (tests/cross.sh)
#   tools/install-deps.sh real            what the tests of real programs run, each if it can be had;
#                                         servers are installed, none is started
set -eu

# redis-tools has the server's program under another name; redis-server would start a service.
# By dpkg-dev meson knows in which folder libraries lie.
build='gcc g++ libc6-dev dpkg-dev pkgconf meson ninja-build binutils scdoc libjemalloc-dev libunwind-dev
    libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libncurses-dev libjansson-dev libdw-dev
    libmicrohttpd-dev'
test='autoconf make golang-go redis-tools sqlite3 lua5.4 perl-base strace tmux gdb valgrind clang-format
    clang-tidy clang systemd curl openssl python3-jsonschema'
# A|B: the first that there is.
real='chromium php-cli php-xml php-mbstring php-sqlite3 php-curl openjdk-17-jdk-headless|openjdk-21-jdk-headless
    nginx-light|nginx apache2-bin wrk postgresql-15|postgresql-17 memcached mariadb-server-core nodejs ruby git
    redis-server zsh fish prometheus'
package='git build-essential debhelper lintian patchelf debootstrap'
bench='redis-tools sqlite3 lua5.4 valgrind heaptrack libgc-dev golang-go'
distros='debootstrap debian-archive-keyring'
cross='gcc-aarch64-linux-gnu g++-aarch64-linux-gnu qemu-user autoconf make golang-go debian-archive-keyring'

wanted=
optional=
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    package) wanted="$wanted $package" ;;
    bench) wanted="$wanted $bench" ;;
    distros) wanted="$wanted $distros" ;;
    cross) wanted="$wanted $cross" ;;
    real) optional=$real ;;
    *)
        echo "usage: tools/install-deps.sh [build] [test] [package] [bench] [distros] [cross] [real]" >&2
        exit 2
        ;;
    esac
done

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing=
for package in $wanted; do
    is_installed "$package" || missing="$missing $package"
done
# The first of each choice, unless one of them is there.
choices=
for choice in $optional; do
    found=
    for package in $(echo "$choice" | tr '|' ' '); do
        ! is_installed "$package" || found=yes
    done
    [ -n "$found" ] || choices="$choices $choice"
done
[ -n "$missing$choices" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: no apt-get here; needed:$missing$choices" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-deps: run as root or install sudo; needed:$missing$choices" >&2
        exit 1
    fi
    as_root=sudo
fi
install() {
    echo "installing: $*"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
}
unable() {
    echo "install-deps: apt-get cannot install what is missing (is there a network?):$missing$choices" >&2
    exit 1
}
$as_root apt-get -q update || unable
# shellcheck disable=SC2086  # words
[ -z "$missing" ] || install $missing || unable
[ -n "$choices" ] || exit 0

# Whoever installs a server by its package starts it, unless a policy says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$as_root rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod +x $policy
fi
for choice in $choices; do
    for package in $(echo "$choice" | tr '|' ' '); do
        [ -n "$(apt-cache madison "$package" 2>/dev/null)" ] || continue
        install "$package" || echo "install-deps: $package cannot be had; its tests are skipped" >&2
        break
    done
done
