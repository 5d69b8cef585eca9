#!/bin/sh
# Builds and runs every test.  The last line is `N passed, N failed, N skipped`, in test points; the
# exit status says whether all passed.  On a fresh Debian it installs what it needs first.
#
#   tests/run.sh [--quick | --part | --here | --all]
#
#   --quick    the build that is used, alone: without the hostile one, sanitizers, Debian 13
#   --part     of that the unit tests and those scenarios that depend most on what the release has
#   --here     without that part in a fresh Debian 13 (tests/distros.sh)
#   --all      with clang's build (tests/builds.sh)
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

usage() {
    sed -n '5,11s/^# \{0,1\}//p' tests/run.sh
}
quick=
part=
here=
all=
for option in "$@"; do
    case $option in
    --quick) quick=yes ;;
    --part) part=yes quick=yes ;;
    --here) here=yes ;;
    --all) all=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done
reason=$(tools/check-place.sh build .) || {
    echo "run.sh: $reason: copy the checkout to another place" >&2
    exit 1
}
tools/install-deps.sh build test || exit 1
if [ -z "$part" ]; then
    tools/install-deps.sh package || echo "packages: what makes them cannot be had"
    tools/install-deps.sh real || echo "real programs: not all of them can be had"
fi

# build NAME [meson options]: configures if need be, and compiles.
build() {
    directory=$1
    shift
    if [ ! -f "$directory/build.ninja" ]; then
        [ "${CI:-}" != true ] || set -- "$@" --werror
        meson setup "$directory" "$@" || return 1
    fi
    meson compile -C "$directory"
}

status=0
logs=
# run_tests NAME [meson test options]
run_tests() {
    directory=$1
    shift
    rm -f "$directory/meson-logs/testlog.json"
    meson test -C "$directory" --no-rebuild --print-errorlogs "$@" ||
        python3 tests/support/again.py "$directory" --timeout-multiplier 3 || status=1
    logs="$logs $directory/meson-logs/testlog.json"
}

build build || {
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
if [ -n "$part" ]; then
    run_tests build --suite unit --suite release
else
    run_tests build
fi

# run_sanitized NAME SANITIZERS WITHOUT: the unit tests and the replays of fuzzing in a build of its
# own, without the tests named.
run_sanitized() {
    build "$1" "-Db_sanitize=$2" -Db_lundef=false || {
        status=1
        return
    }
    tests=$(meson test -C "$1" --no-rebuild --no-suite lint --no-suite scenario --list 2>/dev/null |
        sed -n 's/.* \/ //p' | grep -vxE "$3")
    # shellcheck disable=SC2086  # words
    run_tests "$1" $tests
}

if [ -z "$quick" ]; then
    # Every test again while cycles run all the time, told to nobody: one at each 1000th allocation.
    if build build-hostile -Dc_args=-DHOSTILE_ALLOCATIONS=1000; then
        MEMDEBUG_HOSTILE=1 run_tests build-hostile --no-suite lint --timeout-multiplier 3
    else
        status=1
    fi

    # Everything but the interposed symbols, with the mistakes that only a sanitizer sees.  A task
    # (gc/sys/task.h) has no thread-locals of its own: what a sanitizer keeps of a thread it shares with
    # the one that started it, so the engine wp, where the two run at once, is beyond it.  LeakSanitizer
    # is off: it needs ptrace, which containers refuse; so is the stack on which frames outlive their calls
    # (gcc 13 and later), as tasks would share that too.
    export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    run_sanitized build-asan address,undefined 'cycle_wp'
    # ThreadSanitizer's shadow leaves no 8 TiB of address space for the object map, which all that
    # marks or stops begins with.
    run_sanitized build-tsan thread 'cycle.*|world|mark|unreached|remark|candidates|roots_mark|tracer'
fi

if [ -n "$all" ]; then
    # Another compiler.
    tests/builds.sh clang || status=1
    [ ! -f build-clang-plain/build.ninja ] || logs="$logs build-clang-plain/meson-logs/testlog.json"
fi

if [ -z "$quick$here" ]; then
    # The next release: the part that is most likely to differ there.
    mkdir -p build-trixie
    log=build-trixie/testlog.json
    rm -f $log
    tests/distros.sh --part --log $log trixie
    case $? in
    0) ;;
    77) echo '{"name": "Debian 13", "result": "SKIP"}' >$log ;;
    *) status=1 ;;
    esac
    logs="$logs $log"
fi

# shellcheck disable=SC2086  # words
python3 tests/support/summary.py $logs || status=1
exit $status
