#!/usr/bin/env python3
"""memtop set: in processes with a thread of ours and without, the one asked and no other, one setting whole or
none, and what is not for this process refused with the reason."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

# A step allocates 4 MB, kept; with "fork" a child takes the steps.
STEPS = '''
import os, signal, sys
kept = []
def step(number, frame):
    kept.append([bytes(2000 + i % 7) for i in range(2000)])
    print("step", len(kept), os.getpid(), flush=True)
signal.signal(signal.SIGUSR1, step)
step(0, 0)
if "fork" in sys.argv and os.fork() == 0:
    print("child", os.getpid(), flush=True)
print("ready", flush=True)
while True:
    signal.pause()
'''


def ask(target, *settings, seconds=None):
    return s.run([s.MEMTOP, 'set', *(['-d', seconds] if seconds else []), target, *settings], preload=False)


def ask_stepping(process, setting):
    """The same of a process that allocates meanwhile."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, process.pid, setting, seconds=60)
        while not asking.done():
            os.kill(process.pid, signal.SIGUSR1)
            time.sleep(0.05)
    return asking.result()


def rate(pid):
    result = s.run([s.MEMTOP, '-b', '--json', '-n', '1', pid], preload=False)
    return json.loads(result.out.splitlines()[0])['memprofilerate_bytes']


def steps(process, pid, count=1):
    """That many, one after the other."""
    for _ in range(count):
        before = process.text()[0].count('step')
        os.kill(pid, signal.SIGUSR1)
        if not s.wait_for(lambda: process.text()[0].count('step') > before, 60, process):
            return False
    return True


def stepping(memdebug=None, *arguments):
    return s.running(['python3', '-c', STEPS, *arguments], memdebug, env={'PYTHONMALLOC': 'malloc'}, ready='ready')


def unset(t, directory):
    """Nothing set, so there is no thread of ours: a thread of the program's reads it as it allocates."""
    with stepping() as process:
        pid = process.pid
        t.equal(rate(pid), 524288, 'MEMDEBUG unset: the default rate')
        result = ask(pid, 'memprofilerate=128KiB', seconds=0.2)
        t.ok(result.status == 0 and 'pending: read when one of its threads' in result.out,
             'while it does nothing a setting is pending, and that is told', result)
        t.equal(rate(pid), 524288, 'and nothing has changed')
        t.ok(steps(process, pid) and rate(pid) == 131072, f'it takes it up when it allocates: {rate(pid)}')
        ask(pid, 'memprofilerate=64KiB', seconds=0.1)
        result = ask(pid, 'memprofilerate=256KiB', seconds=0.1)
        t.ok(steps(process, pid) and rate(pid) == 262144, f'one that is pending gives way to the next: {rate(pid)}', result)
        result = ask(pid, 'memprofilerate=64KiB', 'heapprofilekeep=3', seconds=0.1)
        t.ok(result.status == 1 and 'nothing else has been asked: heapprofilekeep=3' in result.err,
             'of two the second is not forgotten without a word', result)
        t.ok(steps(process, pid, 2) and rate(pid) == 65536, 'the first stands')
        before = s.read_profile(heap(t, pid, directory)).total()[1]
        count = 20
        t.ok(steps(process, pid, count), 'it goes on', process.text())
        grown = s.read_profile(heap(t, pid, directory)).total()[1] - before
        # 1220 samples of 64 KiB: a standard error of 3 %.
        t.ok(abs(grown - count * 4.006e6) < 0.15 * count * 4.006e6,
             f'what it samples by the new rate stands for what it allocates: {grown / 1e6:.1f} of {count * 4.006:.1f} MB')


def heap(t, pid, directory):
    path = Path(directory) / f'{pid}.pb.gz'
    result = s.run([s.MEMTOP, 'heap', pid, '-o', path], preload=False)
    t.ok(result.status == 0, 'a profile', result)
    return path


def refused(t):
    with stepping() as process:
        pid = process.pid
        for setting, reason in (('memprofilerate=4096', '64KiB is the least here'),
                                ('memprofilerate=1', '64KiB is the least here'),
                                ('memprofilerate=many', 'memprofilerate'),
                                ('gc=observe', 'read once, when the program starts'),
                                ('nosuchkey=1', 'nosuchkey'), ('nothing', 'nothing')):
            result = ask_stepping(process, setting)
            t.ok(result.status == 1 and reason in result.err and result.err.count('\n') == 1,
                 f'{setting}: refused with the reason', result)
        t.equal(rate(pid), 524288, 'and nothing has changed')
        result = ask(pid, 'memprofilerate=' + '1' * 300)
        t.ok(result.status == 1 and 'as long as that' in result.err, 'a setting longer than there is room for', result)
    for arguments in ((), (1,)):
        result = s.run([s.MEMTOP, 'set', *arguments], preload=False)
        t.ok(result.status == 2 and result.err.count('\n') == 1, f'usage: {arguments}', result)


def threaded(t):
    with stepping('gc=ready,memprofilerate=4096') as process:
        result = ask(process.pid, 'memprofilerate=1', 'gcpercent=50')
        t.ok(result.status == 0 and result.out.count('\n') == 2, 'our thread does it at once, one after the other', result)
        t.equal(rate(process.pid), 1, 'and where each block has its place on the map, also below 64 KiB')
        options = json.loads(s.run([s.MEMTOP, '-b', '--json', '-n', '1', process.pid], preload=False)
                             .out.splitlines()[0])['options']
        t.ok('gcpercent=50' in options, f'the options in force tell it: {options}')


def forked(t):
    """A copy that has no segment of its own yet has its parent's in sight."""
    with stepping(None, 'fork') as process:
        t.ok(s.wait_for(lambda: 'child' in process.text()[0], 30, process), 'a child', process.text())
        child = int(process.text()[0].split('child')[1].split()[0])
        ask(process.pid, 'memprofilerate=64KiB', seconds=0.1)
        t.ok(steps(process, child), 'the child allocates', process.text())
        t.ok(rate(process.pid) == 524288 and rate(child) == 524288, 'what its parent is asked is not for it')
        t.ok(steps(process, process.pid) and rate(process.pid) == 65536 and rate(child) == 524288,
             'but for the parent')


def crowd(t):
    """Many at once, some of which are killed while they wait."""
    values = [(64 + i) << 10 for i in range(24)]
    with stepping() as process:
        asking = [subprocess.Popen([str(s.MEMTOP), 'set', '-d', '3', str(process.pid), f'memprofilerate={value}'],
                                   env=s.environment(preload=False), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True) for value in values]
        for one in asking[::5]:
            time.sleep(0.02)
            one.kill()
        for _ in range(10):
            t.ok(steps(process, process.pid), 'it goes on', process.text())
        said = [one.communicate() for one in asking]
        told = [one.returncode for i, one in enumerate(asking) if i % 5]
        t.ok(set(told) <= {0, 1}, f'24 at once: {told}', said)
        ask(process.pid, 'memprofilerate=100KiB', seconds=0.1)
        t.ok(steps(process, process.pid) and rate(process.pid) == 102400, 'after all of them it listens still')


with s.Tap() as t:
    if t.missing('memtop set', 'python3'):
        sys.exit()
    with tempfile.TemporaryDirectory(prefix='mdtest-') as folder:
        unset(t, folder)
    refused(t)
    threaded(t)
    forked(t)
    crowd(t)
