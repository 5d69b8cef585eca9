#!/bin/sh
# Every benchmark, each as a ratio against its peer in the same run; a table, and build/bench.json.
#
#   bench/run.sh [--quick] [NAME...]     names: instructions programs rate4096 rate1 gctrace pause
#                                        mark leakcheck startup dumps fleet
# Nothing else should run on the machine meanwhile.
set -eu
cd "$(dirname "$0")/.."
case " $* " in
*' -h '* | *' --help '*)
    sed -n '2,6s/^# \{0,1\}//p' bench/run.sh
    exit 0
    ;;
esac
reason=$(tools/check-place.sh build build) || {
    echo "bench: $reason: copy the checkout to another place" >&2
    exit 1
}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
tools/install-deps.sh build bench
[ -f build/build.ninja ] || meson setup build
meson compile -C build
exec python3 bench/run.py "$@"
