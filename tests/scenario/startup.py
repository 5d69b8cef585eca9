#!/usr/bin/env python3
"""What only the start needed is given back once it is over: our own code that ran once, the code of an
allocator that ours stands in front of.  Unless somebody has written to it."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def resident(result, phase, library):
    """KB of a library's read-only pages."""
    rows = [line.split() for line in result.out.splitlines()]
    return sum(int(row[2]) for row in rows if row[0] == phase and row[1].startswith(library))


with s.Tap() as t:
    program = s.PROGRAMS / 'startup'
    result = s.run([program])
    t.equal((result.status, result.rest), (0, []), 'the program ends as it should, silently', result)
    # Of three: in one of 50 runs the first sample after the start has a stack that is not known yet,
    # and unwinding it reads what was given back.
    kept = [[resident(run, phase, 'libmemdebug') for phase in ('before', 'after')]
            for run in (result, s.run([program]), s.run([program]))]
    t.ok(any(0 < after < before - 100 for before, after in kept),
         f'KB of ours that were resident, and afterwards: {kept}', result)
    for options in ('memprofilerate=512k', 'memprofilerate=4096', 'memprofilerate=4096,gc=off', 'gctrace=1,gcinterval=50ms'):
        result = s.run([program], options)
        t.ok(result.status == 0 and 'pages lost: 0\n' in result.out,
             f'memory that the program has mapped meanwhile stays, {options}', result)
    libc = [resident(result, phase, 'libc.so') for phase in ('before', 'after')]
    t.ok(libc[1] > 500, f'code of others is left alone (libc: {libc} KB)', result)

    if not s.JEMALLOC.exists():
        t.skip('another allocator', f'no {s.JEMALLOC}')
    else:
        result = s.run([program], preload=f'{s.LIB}:{s.JEMALLOC}')
        before, after = (resident(result, phase, 'libjemalloc') for phase in ('before', 'after'))
        t.ok(result.status == 0 and before > 300 and after < 150,
             f'of libjemalloc, which nothing calls, {before} KB were, {after} KB are', result)

    for when in ('early', 'late'):
        result = s.run([program, when])
        t.ok(result.status == 0 and 'byte kept' in result.out, f'what somebody has written stays, {when}', result)
    # With a sample of nearly each allocation, so that there is a stack that goes through it.
    for options in ('memprofilerate=64KiB', 'memprofilerate=4096'):
        result = s.run([program, 'gone', s.PROGRAMS / 'libplugin.so'], options)
        kept = [int(n) for n in re.findall(r'\d+', result.out)]
        t.ok(result.status == 0 and len(kept) == 2 and kept[0] == kept[1] > 0,
             f'what lies where a library was that is gone is not ours to drop, {options}: {kept}', result)
