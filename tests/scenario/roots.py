#!/usr/bin/env python3
"""Known live and leaked objects in every kind of root: the lines' counts equal the truth, in every
one of 20 runs."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

RUNS = int(os.environ.get('MEMDEBUG_ROOTS_RUNS', '20'))
PHASE = re.compile(r'^phase (\S+) live=(-?\d+) leaked=(-?\d+) bytes=(-?\d+) error=(-?\d+)$')
MEMDEBUG = 'gctrace=1,gc=ready'


def compare(result, pid=None):
    """Faults of one run: each phase's line against what the program knows, change by change."""
    faults, phases = [], [PHASE.match(line) for line in result.out.splitlines()]
    if result.status != 0 or not all(phases) or result.rest:
        return [f'the program: {result!r}']
    children = [match for match in phases if match[1].startswith('child')]
    own = [match for match in phases if not match[1].startswith('child')]
    first = result.lines[0].pid if result.lines else None
    lines = [line for line in result.lines if line.pid == first]
    faults += s.trace_faults(result.lines, 'roots')
    if not all(line.forced for line in lines):
        faults.append('a line of a cycle that nobody asked for')
    if len(lines) != len(own):
        return faults + [f'{len(lines)} lines for {len(own)} cycles']
    live, leaked, leaked_bytes = None, 0, 0
    for match, line in zip(own, lines):
        name, more_live, more_leaked, more_bytes, error = match[1], *map(int, match.groups()[1:])
        if error:
            faults.append(f'{name}: md_gc said {error}')
        if name == 'start':  # the baseline: libc's own objects, nothing leaked
            live, leaked, leaked_bytes = line.objects, 0, 0
        if live is None:
            continue
        live, leaked, leaked_bytes = live + more_live, leaked + more_leaked, leaked_bytes + more_bytes
        got = (line.objects, line.unreachable, line.unreachable_bytes)
        # Registers that a stop in the middle of the work has put on a stack may keep a list for a while.
        stale = got[0] - live
        if s.HOSTILE and 0 < stale <= 300 and got[1] == leaked - stale:
            live, leaked, leaked_bytes = got
        if got != (live, leaked, leaked_bytes):
            faults.append(f'{name}: (objects, unreachable, bytes) {got}, '
                          f'truth {(live, leaked, leaked_bytes)}')
            live, leaked, leaked_bytes = got  # so that later phases are judged on their own
    if children and len({line.pid for line in result.lines}) < 2:
        faults.append('no line of the child')
    return faults


with s.Tap() as t:
    command = [s.PROGRAMS / 'roots', s.PROGRAMS / 'libplugin.so']
    good, faults = 0, {}
    for _ in range(RUNS):
        wrong = compare(s.run(command, MEMDEBUG))
        good += not wrong
        for fault in wrong:
            faults[fault] = faults.get(fault, 0) + 1
    t.ok(good == RUNS, f'every kind of root: {good} of {RUNS} runs equal the truth',
         '\n'.join(f'{count} times: {fault}' for fault, count in faults.items()))
    for mode in ('fork', 'main-exits', 'lost'):
        t.equal(compare(s.run(command + [mode], MEMDEBUG)), [], f'the same, {mode}')
    t.equal(compare(s.run(command, MEMDEBUG + ',memprofilerate=1')), [], 'the same at rate 1')
