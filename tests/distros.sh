#!/bin/sh
# Builds memdebug and runs its tests in fresh, minimal installations of Debian releases.
#
#   tests/distros.sh [OPTION...] [RELEASE...]     bookworm and trixie, if none is named
#
#   --part       the unit tests and a part of the scenarios (tests/run.sh --part): minutes instead of
#                half an hour, and all that can be asked of sid
#   --keep DIR   the installations stay, as DIR/RELEASE, and are used again
#   --log FILE   a copy of meson's testlog.json of the last release
#
# Needs root, mounts, and a Debian mirror: the one that this machine's apt configuration names.  Each
# release is installed by debootstrap and runs in a mount and a PID namespace of its own: what was
# mounted or started there ends with it, also where this script is killed.
#
# Exit status: 0: all passed; 1: something failed; 77: nothing failed, but not everything could be
# tried here.  The last lines say for each release which, and why.
set -u
here=$(pwd)
cd "$(dirname "$0")/.." || exit 1
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

usage() {
    sed -n '2,10s/^# \{0,1\}//p' tests/distros.sh
}

# ------------------------------------------------------------------ within the namespaces
# inside CHROOT RELEASE MIRROR PART: as process 1 of its PID namespace.  Its last line is a result.

# unless_downloaded STATUS STEP: ends where a step has failed.  A mirror that fails says nothing of us.
unless_downloaded() {
    if [ "$1" = 124 ]; then
        echo "$2: takes more than 15 minutes, here or at the mirror"
        exit 77
    fi
    reason=$(grep -E '^(E|W): ' "$log" | tail -n 1)
    if grep -qE 'Failed to fetch|Unable to fetch|Temporary failure|Failed getting|Couldn.t download' "$log"; then
        echo "$2: the mirror fails: $reason"
        exit 77
    fi
    tail -n 20 "$log"
    echo "$2: ${reason:-failed}"
    exit 1
}

in_chroot() {
    env -i HOME=/root LANG=C.UTF-8 PATH="$PATH" ${CI:+CI="$CI"} \
        chroot "$chroot" sh -c 'cd /memdebug && exec "$@"' sh "$@"
}

inside() {
    chroot=$1 release=$2 mirror=$3 part=$4
    log=$chroot.log
    trap 'exit 130' INT TERM

    # A directory that debootstrap has not finished still has its own.
    if [ ! -x "$chroot/usr/bin/apt-get" ] || [ -e "$chroot/debootstrap" ]; then
        rm -rf --one-file-system "$chroot"
        echo "== $release: debootstrap from $mirror"
        timeout 900 debootstrap --variant=minbase "$release" "$chroot" "$mirror" >"$log" 2>&1 ||
            unless_downloaded $? debootstrap
    fi
    {
        mount -t proc proc "$chroot/proc" &&
            mount --rbind /sys "$chroot/sys" &&
            mount --rbind /dev "$chroot/dev" &&
            mount -t tmpfs -o mode=1777 tmpfs "$chroot/dev/shm"
    } || {
        echo "proc, sys, dev or a tmpfs cannot be mounted here"
        exit 77
    }
    cp -L /etc/resolv.conf /etc/hosts "$chroot/etc/"
    {
        apt-config dump | grep -E '^Acquire::(http|https|Check-Date|Check-Valid-Until)\b'
        echo 'Acquire::Retries "3"; Acquire::Languages "none";'
    } >"$chroot/etc/apt/apt.conf.d/90memdebug"
    # Nothing here has to survive a power failure.
    echo force-unsafe-io >"$chroot/etc/dpkg/dpkg.cfg.d/memdebug"

    mkdir -p "$chroot/memdebug"
    find "$chroot/memdebug" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
    tar -c --exclude=./.git --exclude='./build*' . | tar -x --no-same-owner -C "$chroot/memdebug"

    echo "== $release: packages"
    # One that was ended in the middle of this is used again (--keep).
    in_chroot dpkg --configure -a >"$log" 2>&1
    in_chroot timeout 900 tools/install-deps.sh build test >>"$log" 2>&1 || unless_downloaded $? packages
    echo "== $release: tests/run.sh"
    in_chroot tests/run.sh "${part:---here}"
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
    exit
fi

# ---------------------------------------------------------------------------- around them
part=
keep=
record=
while [ $# -gt 0 ]; do
    case $1 in
    --part) part=--part ;;
    --keep | --log)
        [ $# -gt 1 ] || { usage >&2; exit 2; }
        case $2 in /*) path=$2 ;; *) path=$here/$2 ;; esac
        if [ "$1" = --keep ]; then keep=$path; else record=$path; fi
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || set -- bookworm trixie

cannot() {
    echo "distros: $*"
    exit 77
}
[ "$(id -u)" = 0 ] || cannot "root is needed, to install releases and to mount in them"
command -v apt-get >/dev/null || cannot "there is no apt here, whose configuration names a mirror"
tools/install-deps.sh distros >/dev/null 2>&1 || cannot "debootstrap cannot be installed"
unshare --mount sh -c 'mount -t tmpfs tmpfs /mnt' 2>/dev/null || cannot "nothing can be mounted here"
unshare --pid --fork true 2>/dev/null || cannot "no PID namespace can be made here"

# debootstrap asks the environment.
proxy=
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "$proxy" ] || export "http_proxy=$proxy"

scratch=$(mktemp -d /var/tmp/memdebug-distros.XXXXXX) || exit 1
child=
finish() {
    status=$?
    trap - EXIT INT TERM HUP
    # With unshare ends all that it has started: --kill-child, process 1 of the namespace.
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null
    wait
    # What dies just now may still write.
    for _ in 1 2 3 4 5; do
        rm -rf --one-file-system "$scratch" 2>/dev/null && break
        sleep 1
    done
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# try RELEASE: 0, 1 or 77; $scratch/output ends with what is to be said.
try() {
    start=$(date +%s)
    rm -f "$scratch/output"
    if ! mirror=$(tools/apt-mirror.sh "$1" 2>"$scratch/output"); then
        cat "$scratch/output"
        return 77
    fi
    chroot=${keep:-$scratch}/$1
    mkdir -p "${chroot%/*}"
    # In the background, so that a signal is answered at once; but with signals as they were.
    mkfifo "$scratch/pipe"
    tee "$scratch/output" <"$scratch/pipe" &
    env --default-signal unshare --mount --pid --ipc --fork --kill-child \
        tests/distros.sh --inside "$chroot" "$1" "$mirror" "$part" >"$scratch/pipe" 2>&1 &
    child=$!
    wait "$child"
    result=$?
    child=
    wait
    rm -f "$scratch/pipe"
    [ -z "$record" ] || cp "$chroot/memdebug/build/meson-logs/testlog.json" "$record" 2>/dev/null
    [ -n "$keep" ] || rm -rf --one-file-system "$chroot"
    return $result
}

status=0
lines=
for release in "$@"; do
    try "$release"
    result=$?
    line=$(tail -n 1 "$scratch/output")
    case $result in
    0) ;;
    77)
        line="skipped: $line"
        [ $status != 0 ] || status=77
        ;;
    *) status=1 ;;
    esac
    seconds=$(($(date +%s) - start))
    lines="${lines}distros: $release: $line ($((seconds / 60)) min $((seconds % 60)) s)
"
done
printf '%s' "$lines"
exit $status
