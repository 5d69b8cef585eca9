#!/usr/bin/env python3
"""Where the program has little room, the library takes next to nothing of it: limits of file size and
address space, stacks of a few KiB, and the moment of a fork among threads."""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

TIGHT = s.PROGRAMS / 'tight'
VARIANTS = (None, 'memprofilerate=1', 'gc=ready')


def limited(limit, value, memdebug, word):
    # The library comes after the limit: prlimit itself is not to be watched.
    return s.run(['prlimit', f'--{limit}={value}', 'env', f'LD_PRELOAD={s.LIB}', TIGHT, 'limits', word],
                 memdebug, preload=False)


with s.Tap() as t:
    for memdebug in VARIANTS:
        name = memdebug or 'MEMDEBUG unset'

        # What is beyond the limit of file size ends a program by a signal.
        for size in (0, 1000, 1 << 20):
            result = limited('fsize', size, memdebug, '1000')
            t.equal((result.status, result.out), (0, 'block=yes\n'), f'{name}: --fsize={size}', result)

        # A thread may have a stack of 16 KiB in all, a coroutine less.
        result = s.run([TIGHT, 'stack'], memdebug)
        used = int(result.out.removeprefix('stack=') or 1 << 20)
        t.ok(used <= 7 << 10, f'{name}: an allocation takes at most 7 KiB of stack ({used})', result)

    # Nor is a complaint written beyond it.
    with tempfile.TemporaryFile() as file:
        limit = ['prlimit', '--fsize=0', 'env', f'LD_PRELOAD={s.LIB}', '/bin/true']
        done = subprocess.run(limit, stderr=file, env=s.environment('nonsense=1', preload=False), check=False)
        t.equal(done.returncode, 0, 'a complaint into a file, --fsize=0')

    # Without the object map, which is refused there, the address space stays the program's.
    for memdebug in (None, 'gctrace=1,gctracefile=/dev/null'):
        for megabytes in (300, 1500):
            # For a block of 200 MB jemalloc maps 256, and 6 more where they cross a GiB: nearly all that the
            # libraries leave of 300.
            result = limited('as', megabytes << 20, memdebug, str((megabytes // 2) << 20))
            t.equal((result.status, result.out), (0, 'block=yes\n'),
                    f'{memdebug or "MEMDEBUG unset"}: half of --as={megabytes}M is left', result)

    for memdebug in ('memprofilerate=1', 'memprofilerate=1,gc=ready', None):
        result = s.run([TIGHT, 'fork', '200'], memdebug)
        t.equal((result.status, result.out), (0, 'hung=0\n'),
                f'{memdebug or "MEMDEBUG unset"}: forks among threads that are sampled', result)
