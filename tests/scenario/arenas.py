#!/usr/bin/env python3
"""Arenas of the program's own making: memory that jemalloc did not map by itself, and blocks that go
with their arena."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

ARENAS = s.PROGRAMS / 'arenas'
READY = 'gc=ready,gctrace=1,gcinterval=off'
STEPS = ['start', 'sbrk', 'mapped by hooks', 'carved by hooks', 'moved', 'reused']


def lost(result):
    """What the program says it has lost before each cycle, in order."""
    return [int(line.split('lost=')[1].split()[0]) for line in result.out.splitlines() if 'lost=' in line]


with s.Tap() as t:
    for memdebug in (None, 'memprofilerate=1', 'memprofilerate=4096', 'gc=ready'):
        result = s.run([ARENAS], memdebug)
        t.ok(result.status == 0 and result.out.endswith('given back: yes\n' + result.out.splitlines()[-2] +
             '\nintact\n') and result.err == '', f'{memdebug or "unset"}: runs as without us', result)

    for engine in ('clone', 'wp', 'stop'):
        result = s.run([ARENAS], f'{READY},gcengine={engine}')
        if engine == 'wp' and not result.lines and result.skips:
            t.skip('wp', result.skips[0])
            continue
        t.equal((result.status, [line.number for line in result.lines]),
                (0, list(range(1, len(STEPS) + 1))), f'{engine}: a cycle a step', result)
        for step, line, truth in zip(STEPS, result.lines, lost(result)):
            t.equal(line.unreachable, truth, f'{engine}, {step}: what is lost is found, and nothing else',
                    line.text)

    for memdebug in (READY, READY + ',memprofilerate=1', None):
        result = s.run([ARENAS, 'reset'], memdebug)
        t.equal(result.status, 0, f'{memdebug or "unset"}: an arena is emptied', result)
        t.ok(all(line.unreachable == 0 and line.objects < 10 for line in result.lines),
             'and nothing of it is left on record', result)
