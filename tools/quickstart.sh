#!/bin/bash
# From a clone to an answer: builds memdebug, runs a program on it, and shows what it says: its trace
# lines, its heap profile's top call sites, memtop's charts.
#
#   tools/quickstart.sh                       the bundled demo: a session server that leaks
#   tools/quickstart.sh -- PROGRAM ARGS...    a program of yours; ^C ends it and shows the result
#
# Needs root or sudo if packages are missing.  Needs no terminal; on one, it opens live memtop.  Builds in
# $MEMDEBUG_BUILD if that is set, and not again what is there.
set -euo pipefail
here=$(pwd)
cd "$(dirname "$0")/.."
root=$(pwd)
build=${MEMDEBUG_BUILD:-$root/build}

case ${1:-} in
-h | --help)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
--) shift ;;
'') ;;
*)
    echo "usage: tools/quickstart.sh [-- PROGRAM ARGS...]" >&2
    exit 2
    ;;
esac

stop() {
    echo "quickstart: $2" >&2
    exit "$1"
}
# A path that is relative is so to where the user is.
[ $# = 0 ] || (cd "$here" && type -P -- "$1" >/dev/null) ||
    stop 127 "$1: there is no such program, or it cannot be executed"

say() {
    printf '\n== %s\n' "$*"
}

# ------------------------------------------------------------------------------------ build
what=preload
if [ ! -e "$build/libmemdebug.so" ] || [ ! -e "$build/memtop" ] || [ -z "${MEMDEBUG_BUILD:-}" ]; then
    what=build
fi
reason=$(tools/check-place.sh $what "$build") || stop 1 "$reason: MEMDEBUG_BUILD=DIRECTORY builds somewhere else"
if [ $what = build ]; then
    say "build"
    tools/install-deps.sh build
    [ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
    # Not the tests, which are more than half of it.
    if ! meson compile -C "$build" memtop:executable memdebug:shared_library >"$build/quickstart.log" 2>&1; then
        cat "$build/quickstart.log"
        exit 1
    fi
    echo "$build/libmemdebug.so and $build/memtop are built"
fi
memtop=$build/memtop
out=$(mktemp -d "${TMPDIR:-/tmp}/memdebug-quickstart.XXXXXX")
if [ $# = 0 ]; then
    # An ordinary program: nothing in it knows of memdebug.
    cc -O2 -g -o "$out/sessions" tools/demo/sessions.c -pthread
    set -- "$out/sessions" ${QUICKSTART_SECONDS:-}
fi

# -------------------------------------------------------------------------------------- run
options="gctrace=1,gcinterval=1s,heapprofile=$out/heap"
say "LD_PRELOAD=$build/libmemdebug.so MEMDEBUG=$options $*"
live=
[ -t 0 ] && [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && live=yes

cd "$here"
: >"$out/trace.log"
LD_PRELOAD=$build/libmemdebug.so MEMDEBUG=$options "$@" <&0 2>"$out/trace.log" &
program=$!
# The lines as they come.
tail -n +1 -f --pid=$program "$out/trace.log" &
lines=$!
interrupted=
looked=
# ^C: a profile first, as a program that does not handle SIGTERM writes none at its end.
interrupt() {
    interrupted=yes
    "$memtop" heap $program -o "$out/running.pb.gz" >/dev/null 2>&1 && looked=$out/running.pb.gz
    kill -TERM $program 2>/dev/null || :
}
trap interrupt INT

running() {
    kill -0 $program 2>/dev/null
}
instrumented() {
    "$memtop" ps 2>/dev/null | grep -q "^ *$program\b"
}

# Looks at it after some seconds, when there is something to see.
for _ in $(seq 1 50); do
    sleep 0.1
    running || break
done
if running && instrumented; then
    if [ -n "$live" ]; then
        kill $lines 2>/dev/null || :
        echo
        echo "memtop opens now: q leaves it, ? helps"
        sleep 1
        "$memtop" $program || :
    else
        # At once, so that no trace line comes between.
        seen=$("$memtop" -b -n 1 $program) || :
        say "memtop -b -n 1 $program
$seen
"
    fi
    "$memtop" heap $program -o "$out/running.pb.gz" >/dev/null 2>&1 && looked=$out/running.pb.gz
fi
if [ -n "$live" ] && running && [ -z "$interrupted" ]; then
    echo "waiting for $1 to end; ^C ends it"
fi
status=0
while :; do
    wait $program && status=0 || status=$?
    running || break
done
trap - INT
wait $lines 2>/dev/null || :

# ------------------------------------------------------------------------------------- show
say "$1 ended with status $status; its trace lines, charted: memtop tail trace.log"
if grep -q '^gc [0-9]' "$out/trace.log"; then
    "$memtop" tail -b "$out/trace.log" || :
else
    echo "no trace line: a static or setuid program cannot be preloaded (memtop ps --all says why)"
fi

profile=$(find "$out" -name 'heap.*.pb.gz' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
[ -n "$profile" ] || profile=$looked # it did not end by exit: the one taken while it ran
if [ -n "$profile" ]; then
    say "top call sites: memtop heap -b $profile"
    "$memtop" heap -b "$profile" || :
    echo
    echo "the same by Go's tool: go tool pprof -http=: $profile"
else
    say "no heap profile"
fi
echo "everything is in $out"
exit $status
