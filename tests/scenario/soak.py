#!/usr/bin/env python3
"""A hundred threads allocate, link, pass on, resize, free and lose blocks, end and are born, with cycles
one after the other by each engine: what a cycle finds unreachable is what the program had lost.
MEMDEBUG_SOAK is the number of allocations for each engine (the full soak: 100000000)."""

import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

ALLOCATIONS = int(os.environ.get('MEMDEBUG_SOAK', '3000000'))
THREADS = 100
LINE = re.compile(r'^cycle error=(\d+) lost=(\d+)\.\.(\d+) chains=(\d+)\.\.(\d+)$')
# What may stay known for a while: by a register or a dead place of a frame, a list of four each.
STALE = THREADS * 4 * 4


def faults_of(truth, records):
    """Cycles that found more than was lost by their end, or less than was lost before them."""
    faults = []
    for (error, before, after, _, chains), record in zip(truth, records):
        if error:
            continue
        found, direct = record['unreachable_objects'], record['direct_objects']
        if not before * 0.99 - STALE <= found <= after or direct > chains:
            faults.append(f'cycle {record["cycle"]} by {record["engine"]}: {found} unreachable, {direct} direct; '
                          f'lost {before}..{after} in {chains}')
    return faults


with s.Tap() as t:
    for engine in ('clone', 'wp', 'stop', 'auto'):
        result = s.run([s.PROGRAMS / 'soak', THREADS, ALLOCATIONS], f'gctrace=json,gc=ready,gcengine={engine}',
                       timeout=300 + ALLOCATIONS // 50000)
        truth = [tuple(map(int, match.groups())) for match in map(LINE.match, result.out.splitlines()) if match]
        told = [json.loads(line) for line in result.err.splitlines() if line.startswith('{"version"')]
        done = [record for record in told if record['type'] == 'gc']
        skipped = {record['reason'] for record in told if record['type'] != 'gc'}
        if engine == 'wp' and not done:
            t.skip('by the engine that tracks writes', f'not to be had here: {skipped}')
            continue
        t.equal(result.status, 0, f'{engine}: ends as it should', result)
        t.equal((len(truth), len(result.err.splitlines())), (len(told), len(told)),
                f'{engine}: a record for each of {len(truth)} cycles ({len(done)} done), and nothing else')
        t.equal(faults_of(truth, told), [], f'{engine}: each finds what has been lost '
                f'({len(skipped)} reasons to skip: {", ".join(skipped)})')
        last, record = truth[-1], told[-1]
        # All threads have ended: a word or two of the first one's may know a list yet.
        t.ok(record['type'] == 'gc' and last[1] - 16 <= record['unreachable_objects'] <= last[1] and
             last[3] - 4 <= record['direct_objects'] <= last[3],
             f'{engine}: in the end {last[1]} blocks in {last[3]} lists', (last, record))
