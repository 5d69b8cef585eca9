#!/usr/bin/env python3
"""What becomes of memory that has been freed: filled with junk."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

FREED = s.PROGRAMS / 'freed'
WAYS = ['free', 'realloc0', 'moved', 'delete', 'sized_delete', 'dallocx', 'sdallocx']


def clobbered(t):
    """Each way to free a block, of seven sizes."""
    for memdebug in (None, 'gc=ready', 'clobberfree=0'):
        result = s.run([FREED], memdebug)
        truth = s.key_values(result.out)
        t.ok(result.status == 0 and sorted(truth) == sorted(WAYS) and
             all(way['filled'] == 0 for way in truth.values()), f'MEMDEBUG={memdebug}: nothing is filled', result)
    for memdebug in ('clobberfree=1', 'clobberfree=1,gc=ready', 'clobberfree=1,memprofilerate=1',
                     'clobberfree=1,memprofilerate=0', 'clobberfree=1,monitor=off'):
        result = s.run([FREED], memdebug)
        truth = s.key_values(result.out)
        t.ok(result.status == 0 and result.rest == [] and sorted(truth) == sorted(WAYS) and
             all(way == {'kept': 0, 'filled': 7, 'other': 0} for way in truth.values()),
             f'{memdebug}: whatever is freed, in any way', result)
    t.equal(s.key_values(s.run([FREED], 'clobberfree=1,only=other').out).get('free', {}).get('filled'), 0,
            'only=other: not in this program')
    own = [sys.executable, '-c', 'x = [str(i) * 9 for i in range(100000)]; print(sum(map(len, x)))']
    result = s.run(own, 'clobberfree=1', env={'PYTHONMALLOC': 'malloc'})
    t.equal((result.status, result.rest, result.out), (0, [], s.run(own, preload=False).out), 'python3 is as without it')


with s.Tap() as t:
    clobbered(t)
