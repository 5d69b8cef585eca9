#!/usr/bin/env python3
"""Two profiles of a moment: who keeps free room in slabs (pinned_space), and who had the heap when it was greatest
(peak_space), against what programs know of themselves."""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

MB = 1 << 20
PATIENCE = 100 # with a machine that is busy; only a failure takes that long


def profile(pid, kind, directory):
    """{function: values} of the program's own; None: there is none yet."""
    path = Path(directory) / f'{kind}.pb.gz'
    path.unlink(missing_ok=True)
    done = s.run([s.MEMTOP, 'profile', pid, kind, '-o', path], preload=False, timeout=120)
    if done.status != 0 or done.err or not path.exists():
        return None
    return of_functions(s.read_profile(path))


def of_functions(read):
    return read.types, read.by_function(lambda name: name in ('passing', 'survivor', 'packed', 'early', 'late'))


@contextlib.contextmanager
def started(memdebug, *command):
    with subprocess.Popen([s.PROGRAMS / command[0], *command[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env=s.environment(memdebug)) as process:
        try:
            yield process
        finally:
            process.stdin.close()
            process.kill()


def pinned(t, memdebug, error, directory):
    """Free room in slabs is of whoever has the last block there.  `error`: the standard error of a share, 0: exact."""
    name = f'MEMDEBUG={memdebug}'
    with started(memdebug, 'pins', 'holes') as process:
        _, passing, survivor, packed = process.stdout.readline().split()
        found = []
        def told():
            found.append(profile(process.pid, 'pinned', directory))
            return found[-1] and found[-1][1].get('survivor')
        t.ok(s.wait_for(told, PATIENCE, process), f'{name}: it is told', found[-1:])
        types, values = found[-1] or ([], {})
        t.equal(types, ['pinned_space/bytes'], f'{name}: its type')
        bytes_of = {function: value[0] for function, value in values.items()}
        truth, got = int(survivor), bytes_of.get('survivor', 0)
        # Beside the error of samples: blocks in a thread's cache are free, and no free room.
        t.ok(abs(got - truth) < (0.01 + 6 * error) * truth, f'{name}: what the survivors pin', (truth, bytes_of))
        t.ok(truth > 30 * MB and bytes_of.get('packed', 0) + bytes_of.get('passing', 0) < 0.02 * truth,
             f'{name}: what is packed, and what has gone, pins nothing', (packed, passing, bytes_of))
        if not error:
            parts = json.loads(s.run([s.MEMTOP, '--json', '-n', '1', process.pid], preload=False).out.splitlines()[0])['rss_parts']
            t.ok(abs(got - parts['slab_slack']) < 0.03 * got, f'{name}: that is what RSS has of slack', (got, parts))
        text = s.run([s.MEMTOP, 'profile', process.pid, 'pinned', '-b'], preload=False)
        t.ok('Type: pinned_space' in text.out and 'survivor' in text.out, f'{name}: as a table', text)


def peak(t, directory):
    prefix = Path(directory) / 'p'
    for memdebug in ('memprofilerate=1,heapprofilepeak=1GB',
                     f'memprofilerate=1,heapprofilepeak=1GB,heapprofile={prefix},heapprofileinterval=off'):
        with started(memdebug, 'peaks') as process:
            def tell(what):
                process.stdin.write(what + '\n')
                process.stdin.flush()
                t.equal(process.stdout.readline().strip(), what, what)
            most, rest = 40000 * 1024, 5000 * 1024
            # It is kept anew when the heap has grown by a 64th; a thread keeps 64 KiB back.
            least = most - most // 64 - (128 << 10)
            found = []
            def kept():
                found.append(profile(process.pid, 'peak', directory))
                return found[-1] and found[-1][1].get('early', [0, 0])[1] >= least
            tell('late 1000')
            tell('early 40000')
            t.ok(s.wait_for(kept, PATIENCE, process), 'the profile at the high-water mark is kept', found[-1:])
            tell('early 0')
            tell('late 5000')
            tell('late 4999') # what frees tells of it
            types, values = profile(process.pid, 'peak', directory)
            t.equal(types, ['peak_objects/count', 'peak_space/bytes'], 'its types')
            t.ok(least <= values['early'][1] <= most and values['late'] == [1000, 1000 * 1024] and
                 values['early'][1] == values['early'][0] * 1024, 'who had it then', values)
            heap = profile(process.pid, 'heap', directory)[1]
            t.ok(heap['late'][3] == rest - 1024 and heap['early'][3] == 0, 'others have it now', heap)
            process.stdin.close()
            t.equal(process.wait(), 0, 'the program ends')
    dumps = s.dumps(prefix)
    t.equal([path.name.split('.', 3)[3] for path in dumps], ['exit.peak.pb.gz', 'exit.pb.gz'], 'and is written at exit')
    types, values = of_functions(s.read_profile(dumps[0]))
    t.ok(least <= values['early'][1] <= most and values['late'] == [1000, 1000 * 1024], 'with the same', values)
    t.ok('Type: peak_space' in s.pprof('-top', dumps[0]), 'peak_space is its default')
    with started(None, 'peaks') as process:
        process.stdin.write('early 10000\n')
        process.stdin.flush()
        process.stdout.readline()
        done = s.run([s.MEMTOP, 'profile', process.pid, 'peak', '-b'], preload=False)
        t.ok('heapprofilepeak' in done.err, 'without the option there is none, and memtop says so', done)


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdpins-') as directory:
    if not t.missing('pins', 'go'):
        # At the last, sampled blocks lie apart from their like.
        for memdebug, error in (('memprofilerate=1', 0), ('memprofilerate=4096', 0.03), ('memprofilerate=64KiB', 0.12)):
            pinned(t, memdebug, error, directory)
        peak(t, directory)
