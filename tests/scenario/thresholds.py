#!/usr/bin/env python3
"""Before it is too late: profiles by bytes allocated, at new peaks and near a limit of memory; cycles by a limit."""

import os
import re
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from cgroups import cgroup
from levels import levels

MB = 1 << 20
LINE = re.compile(r'^memdebug: heapprofilelimit: (\d+) MB of (\d+) MB \((.*)\), heap (\d+) MB, pid (\d+) (\S+)$')


def causes(prefix):
    return [path.name.split('.')[-3] for path in s.dumps(prefix)]


def comes(process, prefix, cause, count):
    return s.wait_for(lambda: causes(prefix).count(cause) >= count, 30, process)


def in_use(path):
    return s.read_profile(path).total()[3] / MB


def by_allocation(t, directory):
    prefix = directory / 'alloc'
    with levels(f'heapprofile={prefix},heapprofileinterval=off,heapprofilealloc=64MB') as (process, tell):
        tell('churn 40')
        tell(1)
        t.equal(causes(prefix), [], 'heapprofilealloc=64MB: none after 41 MB')
        tell('churn 60')
        t.ok(comes(process, prefix, 'alloc', 1), 'one after 101', causes(prefix))
        tell('churn 20')
        t.equal(causes(prefix), ['alloc'], 'no more after 121')
        tell('churn 60')
        t.ok(comes(process, prefix, 'alloc', 2), 'a second after 181', causes(prefix))
        tell('churn 1000')
        t.ok(comes(process, prefix, 'alloc', 3), 'and more', causes(prefix))
        t.equal(process.said(), [], 'nothing is said')


def by_peak(t, directory):
    prefix = directory / 'peak'
    with levels(f'heapprofile={prefix},heapprofileinterval=off,heapprofilepeak=50MB,memprofilerate=64KiB') \
            as (process, tell):
        tell(40)
        tell('churn 200')
        t.equal(causes(prefix), [], 'heapprofilepeak=50MB: none at 40, whatever is allocated')
        tell(60)
        t.ok(comes(process, prefix, 'peak', 1), 'one at 60', causes(prefix))
        tell(10)
        tell(85)
        tell('churn 100')
        t.equal(causes(prefix), ['peak'], 'none at 85')
        tell(300)
        t.ok(comes(process, prefix, 'peak', 2), 'a new one at 300', causes(prefix))
        t.ok(80 <= in_use(s.dumps(prefix)[-1]) < 360, 'whose profile has the heap of then',
             [in_use(path) for path in s.dumps(prefix)])
        t.ok(set(causes(prefix)) == {'peak'} and process.said() == [], 'nothing else', causes(prefix))


def near_size(t, directory):
    prefix = directory / 'size'
    with levels(f'heapprofile={prefix},heapprofileinterval=off,heapprofilelimit=200MB,memprofilerate=64KiB') \
            as (process, tell):
        tell(120)
        tell('churn 500')
        t.ok(not process.said() and not causes(prefix), 'heapprofilelimit=200MB: nothing at 120', process.said())
        tell(230)
        t.ok(s.wait_for(process.said, 30, process) and comes(process, prefix, 'limit', 1), 'at 230 a line and a dump',
             process.said())
        match = LINE.match(process.said()[0]) if process.said() else None
        t.ok(match and 200 <= int(match[1]) < 300 and match.groups()[1:3] == ('200', 'this process') and
             int(match[5]) == process.pid and match[6] == 'levels', 'which says how much of what', process.said())
        t.ok(s.dumps(prefix) and in_use(s.dumps(prefix)[0]) > 130, 'the profile has it', s.dumps(prefix))
        tell('churn 500')
        tell(260)
        t.ok(len(process.said()) == 1 and causes(prefix) == ['limit'], 'said once', process.said())
        for _ in range(20): # our thread sees it fall within a second or so
            tell(20)
            tell('trim')
            s.wait_for(lambda: False, 1.5)
            tell(230)
            if s.wait_for(lambda: len(process.said()) > 1, 2):
                break
        t.ok(len(process.said()) == 2 and comes(process, prefix, 'limit', 2), 'and again when it has fallen in between',
             process.said())


def near_address_space(t, directory):
    prefix = directory / 'space'

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (2048 * MB, 2048 * MB))
    with levels(f'heapprofile={prefix},heapprofileinterval=off,heapprofilelimit=60%', before=limited) as (process, tell):
        tell(200)
        t.equal(process.said(), [], 'heapprofilelimit=60% of RLIMIT_AS: nothing at first')
        for size in range(300, 1500, 50):
            with open(f'/proc/{process.pid}/statm', encoding='ascii') as statm:
                if int(statm.read().split()[0]) * os.sysconf('SC_PAGE_SIZE') > 1230 * MB or not tell(size):
                    break
        s.wait_for(process.said, 30, process)
        match = LINE.match(process.said()[0]) if process.said() else None
        t.ok(match and match.groups()[1:3] == ('2048', 'RLIMIT_AS') and int(match[1]) >= 1228, 'a line before it is reached',
             process.said())
        t.ok(comes(process, prefix, 'limit', 1), 'and a profile', causes(prefix))


def no_limit(t, directory):
    """A share of a limit where there is none: it is said."""
    hidden = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /sys/fs/cgroup && exec "$0" "$@"']
    if s.run([*hidden, 'true'], preload=False).status != 0:
        t.skip('heapprofilelimit=60% without a limit', 'cgroups cannot be hidden')
        return
    with levels('heapprofilelimit=60%,only=levels', command=hidden) as (process, tell):
        tell(20)
        t.ok(s.wait_for(process.said, 30, process), 'heapprofilelimit=60% where there is no limit: it is said', process.said())
        tell(60)
        tell('churn 200')
        time.sleep(1.5) # it looks each second
        t.ok(len(process.said()) == 1 and
             re.fullmatch(rf'memdebug: heapprofilelimit: there is no limit to have 60% of .*; pid {process.pid} levels',
                          process.said()[0]), 'once', process.said())


def near_cgroup(t, directory):
    prefix = directory / 'cgroup'
    with cgroup('memory', {'memory.max': ('memory.limit_in_bytes', 400 * MB)}) as group:
        if not isinstance(group, Path):
            t.skip('heapprofilelimit=60% of a cgroup', group)
            return

        def join():
            (group / 'cgroup.procs').write_text(str(os.getpid()))
        with levels(f'heapprofile={prefix},heapprofileinterval=off,heapprofilelimit=60%,heapprofilekeep=0', before=join) \
                as (process, tell):
            tell(150)
            t.ok(not process.said() and not causes(prefix), 'heapprofilelimit=60% of a cgroup of 400 MB: nothing at 150',
                 process.said())
            tell(250)
            t.ok(s.wait_for(process.said, 30, process) and comes(process, prefix, 'limit', 1),
                 'at 250 a line and a dump, and the program lives', process.said())
            match = LINE.match(process.said()[0]) if process.said() else None
            t.ok(match and 240 <= int(match[1]) <= 400 and match[2] == '400' and
                 re.fullmatch(rf'memory\.(max|limit_in_bytes) of {group}', match[3]), 'which names the cgroup', process.said())


def stuck_disk(t, directory):
    """A profile whose write does not come back holds nobody up: the program allocates, takes samples, is read by memtop."""
    for memdebug, what in (('memprofilerate=65536', 'the plain variant'), ('memprofilerate=4096', 'the tracked one')):
        prefix, state = directory / f'stuck{memdebug[-4:]}', directory / f'state{memdebug[-4:]}'
        state.touch()
        settings = f'only=levels,heapprofile={prefix},heapprofileinterval=off,heapprofilealloc=32MB,{memdebug}'
        with levels(settings, command=[s.PROGRAMS / 'stuck', state]) as (process, tell):
            if tell('churn 1') != 'churned' and process.wait() == 77:
                t.skip(f'a profile that cannot be written, {what}', 'seccomp does not stop calls here')
                return
            tell('churn 40')
            t.ok(s.wait_for(state.read_text, 60, process), f'{what}: a profile whose write stands')
            answers = []
            for line in (300, 'churn 2000', 10, 'trim', 400, 'churn 500', 20):
                answers.append(tell(line))
                if answers[-1] is None:
                    break
            t.equal(answers, ['300', 'churned', '10', 'trimmed', '400', 'churned', '20'], 'the program goes on')
            t.ok(causes(prefix) == [] and state.read_text() == 'held\n', 'all the while', (causes(prefix), state.read_text()))
            with open(f'/proc/{process.pid}/task/{process.pid}/children', encoding='ascii') as children:
                child = children.read().strip()
            result = s.run([s.MEMTOP, 'heap', child, '-b'], preload=False)
            t.ok(result.status == 0 and 'raise_to' in result.out, 'memtop reads it', result)
            os.kill(process.pid, signal.SIGUSR1)
            t.ok(comes(process, prefix, 'alloc', 2), 'let go it is written, and one for all that has come since',
                 causes(prefix))
            t.equal(process.said(), [], 'nothing is said')


def collector_limit(t, directory):
    """gcmemlimit: a cycle in time, and no spiral."""
    start = time.monotonic()
    with levels('gctrace=1,gcinterval=off,gcpercent=off,gcmemlimit=100MB') as (process, tell):
        def cycles():
            return s.split_trace('\n'.join(process.said()))[0]
        tell(60)
        tell('churn 200')
        t.equal(cycles(), [], 'gcmemlimit=100MB: no cycle at 60', process.said())
        tell(130)
        t.ok(s.wait_for(cycles, 60, process), 'one at 130', process.said())
        first = cycles()[:1]
        t.ok(first and first[0].goal == 100 and first[0].before >= 100 and not first[0].forced,
             'at the goal of 100 MB', process.said())
        s.wait_for(lambda: False, 3)
        most = 1 + (time.monotonic() - start) / 5
        t.ok(len(cycles()) <= most, f'above it at most one in 5 s: {len(cycles())}', process.said())


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    if t.missing('profiles', 'go'):
        sys.exit()
    for part in (by_allocation, by_peak, near_size, near_address_space, no_limit, near_cgroup, stuck_disk, collector_limit):
        part(t, Path(temporary))
