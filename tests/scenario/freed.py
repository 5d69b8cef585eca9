#!/usr/bin/env python3
"""What becomes of memory that has been freed: filled with junk, and given back to the system."""

import json
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from levels import levels

MB = 1 << 20
KEEPS = {'MALLOC_CONF': 'dirty_decay_ms:-1'} # jemalloc gives nothing back by itself
SCAV = re.compile(r'^scav (\d+) KiB work \(bg\), (\d+) KiB work \(eager\), (\d+) KiB now, (\d+)% util, '
                  r'pid (\d+) levels( \(forced\))?$')
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


def rss(process):
    with open(f'/proc/{process.pid}/status', encoding='ascii') as status:
        return int(re.search(r'^VmRSS:\s+(\d+) kB', status.read(), re.M)[1]) << 10


def memtop(*arguments):
    return s.run([s.MEMTOP, *map(str, arguments)], preload=False)


def purged(t, directory):
    """memtop purge, against what the kernel says."""
    for memdebug in ('gc=ready', f'heapprofile={directory}/x,heapprofileexit=0', 'scavtrace=1'):
        with levels(memdebug, env=KEEPS) as (process, tell):
            tell(300)
            tell(20)
            before = rss(process)
            result = memtop('purge', process.pid, '--json', '-d', 60)
            found = json.loads(result.out or '{}')
            t.ok(before > 300 * MB and result.status == 0 and rss(process) < before - 200 * MB,
                 f'{memdebug}: memtop purge gives free memory back', (before, rss(process), result))
            t.ok(found.get('type') == 'purge' and found['pid'] == process.pid and
                 abs(found['rss_before_bytes'] - before) < 20 * MB and abs(found['rss_bytes'] - rss(process)) < 20 * MB and
                 found['rss_fallen_bytes'] == found['rss_before_bytes'] - found['rss_bytes'], 'and says how much', result)
            tell(40)
            result = memtop('purge', process.pid, '-d', 60)
            t.ok(result.status == 0 and re.fullmatch(r'\d+ levels: RSS \S+, was \S+: \S+ given back\n', result.out),
                 'the program goes on, and can be asked again', result)
    with levels(None, env=KEEPS) as (process, tell):
        tell(50)
        result = memtop('purge', process.pid, '-d', 0.2)
        t.ok(result.status == 0 and 'purge pending' in result.out, 'nothing set, and idle: it is pending', result)
        tell(300)
        tell(20)
        before = rss(process)
        t.ok(tell('give back') == '0' and rss(process) < before - 200 * MB, 'md_free_os_memory does it in any process',
             (before, rss(process)))


def scavenged(t):
    """The lines, against what has been freed.  What comes before our thread has looked first is not told of, and that
    may take long on a busy machine: so it is done until it is."""
    with levels('scavtrace=1', env=KEEPS) as (process, tell):
        tell(300)
        tell(20)
        s.wait_for(lambda: False, 1.5)
        t.equal(process.said(), [], 'scavtrace=1: nothing is returned, nothing is said')
        for times in range(1, 30):
            tell('give back')
            if s.wait_for(process.said, 2):
                break
            tell(300)
            tell(20)
        match = SCAV.match(process.said()[0]) if process.said() else None
        t.ok(match and match[1] == '0' and 200 << 10 < int(match[2]) < times * (400 << 10) and int(match[3]) >= 200 << 10 and
             0 < int(match[4]) <= 100 and int(match[5]) == process.pid and match[6], 'a line for what was forced', process.said())
        t.ok(len(process.said()) <= times, 'no more of them than there was reason for', process.said())
    with levels('scavtrace=1', env={'MALLOC_CONF': 'dirty_decay_ms:100,muzzy_decay_ms:0'}) as (process, tell):
        def returned():
            for what in (300, 20, 'churn 1'): # jemalloc looks at the time when it is called
                tell(what)
            return sum(int(match[1]) for match in map(SCAV.match, process.said()) if match) >> 10
        t.ok(s.wait_for(lambda: returned() > 200, 60, process), 'what jemalloc returns by itself', process.said())
        t.ok(all(SCAV.match(line) and not SCAV.match(line)[6] for line in process.said()), 'is not forced', process.said())


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    clobbered(t)
    purged(t, temporary)
    scavenged(t)
