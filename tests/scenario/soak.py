#!/usr/bin/env python3
"""A hundred threads that allocate, link, free, exit and are born, with cycles back to back and leaks at
a known rate: what the lines call unreachable follows the truth, nothing crashes, nothing hangs."""

import os
import re
import sys
import tempfile
from bisect import bisect_left, bisect_right
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

THREADS = 100
ALLOCATIONS = int(os.environ.get('SOAK_ALLOCATIONS', 100_000_000))
TRUTH = re.compile(r'^truth @([\d.]+) leaked=(\d+) allocations=(\d+)$', re.M)
# Not reachable for a moment: a node just taken from jemalloc in a register that is scratch to the
# stop, a list between two tables; or still reachable: the head of a leaked list in a dead frame.
# Per thread one list of either kind; more where each stop leaves registers on the stacks all the time.
LOOSE = THREADS * 10 * (6 if s.HOSTILE else 2)


def soak(t, engine, allocations):
    options = f'gctrace=1,gcinterval=1ms,gcpercent=off{engine}'
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / 'lines'
        result = s.run([s.PROGRAMS / 'soak', THREADS, allocations], f'{options},gctracefile={log}',
                       timeout=900)
        cycles, skips, rest = s.split_trace(log.read_text() if log.exists() else '')
    name = f'{THREADS} threads, {allocations} allocations{engine}'
    if not t.equal((result.status, result.err, rest), (0, '', []), f'{name}: it ends well', result):
        return
    truth = [(float(at), int(leaked), int(count)) for at, leaked, count in TRUTH.findall(result.out)]
    t.ok(truth[-1][2] >= allocations, f'{name}: all are done', truth[-1:])
    t.equal(s.trace_faults(cycles, 'soak'), [], f'{name}: the lines are sane')
    t.ok(len(cycles) >= 5 and len(skips) <= len(cycles) // 4,
         f'{name}: cycles back to back ({len(cycles)} in {result.seconds:.0f} s, {len(skips)} skipped)',
         '\n'.join(map(str, skips[:20])))
    # The line's clock began when memdebug did, some milliseconds before the first truth; the last of
    # both ends the program.
    times = [at for at, _, _ in truth]
    begin = times[0] - 1.0
    wrong = []
    for cycle in cycles:
        first = bisect_left(times, begin + cycle.start) - 1
        last = bisect_right(times, begin + 1.05 + cycle.start + (cycle.stop1 + cycle.mark + cycle.stop2) / 1e3)
        low = truth[max(first, 0)][1] if first >= 0 else 0
        high = truth[min(last, len(truth) - 1)][1]
        if not low - LOOSE <= cycle.unreachable <= high + LOOSE:
            wrong.append(f'{low} to {high}: {cycle.text}')
    t.equal(len(wrong), 0, f'{name}: unreachable follows the truth', '\n'.join(wrong[:20]))
    if cycles:
        share = cycles[-1].unreachable / max(truth[-1][1], 1)
        t.ok(share > 0.9, f'{name}: at its end {cycles[-1].unreachable} of {truth[-1][1]} leaked objects')


with s.Tap() as t:
    soak(t, '', ALLOCATIONS)
