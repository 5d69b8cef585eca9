#!/usr/bin/env python3
"""Children of every kind: fork, vfork, _Fork, raw clone, exec.  Each has its own segment and its own
cycle numbers, the parent's stay whole, and `follow` and `only` say who takes part."""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

VICTIM = s.PROGRAMS / 'victim'
EXPECTED = {'fork-exit': '11', 'fork-_exit': '12', '_Fork': '13', 'clone': '14', 'vfork-exec': '7',
            'vfork-_exit': '15'}


def statuses(result):
    return dict(re.findall(r'^(\S+) pid=\d+ status=(-?\d+)$', result.out, re.M))


with s.Tap() as t:
    for memdebug in (None, 'gctrace=1', 'memprofilerate=1', 'gctrace=1,memprofilerate=4096',
                     'gctrace=1,follow=none', 'monitor=off', 'gctrace=1,monitor=off'):
        for _ in range(3):
            result = s.run([VICTIM, 'children'], memdebug)
            name = memdebug or 'MEMDEBUG unset'
            t.equal((result.status, statuses(result)), (0, EXPECTED), f'{name}: all children end well',
                    result)
            t.equal(s.trace_faults(result.lines), [], f'{name}: each child counts its own cycles')
            t.equal(result.rest, ['hello on stderr'], f'{name}: nothing else on stderr')
        if memdebug and 'gctrace' in memdebug:
            pids = {line.pid for line in result.lines}
            t.ok(result.pid in pids, f'{name}: the parent has its lines', result)
            t.equal(len(pids) > 1, 'none' not in memdebug, f'{name}: children have lines, or none do',
                    result)
    # Those that left by _exit left a segment behind, as a killed one does: clean up after ourselves.
    for pid in re.findall(r'pid=(\d+)', result.out):
        for path in s.segments(pid):
            path.unlink()

    result = s.run([VICTIM, 'exec', '4'], 'gctrace=1')
    t.equal((result.status, result.out, result.rest), (5, 'end of the chain\n', []), 'a chain of execs')
    t.equal([line.number for line in result.lines], [1], 'its last image has its line at exit', result)
    left = s.segments(result.pid)
    t.equal([path for path in left if path.name.count('.') == 1], [], 'and leaves no segment in its name')
    # A cycle's helper may outlive exec for a moment, and with it the lock on the name: then the next image takes
    # another, and leaves that to its next one, as a dead process's.
    for path in left:
        path.unlink()
    result = s.run([VICTIM, 'exec', '2'], 'gctrace=1,follow=fork')
    t.equal((result.status, result.lines), (5, []), 'follow=fork: no line after exec')
    result = s.run([VICTIM, 'exec', '2'], 'gctrace=1,follow=none')
    t.equal((result.status, result.lines), (5, []), 'follow=none: no line after exec')

    # bash, not dash: that ends by _exit, where no cycle can be done.
    shell = f'"{VICTIM}" hello; exit 0'
    for memdebug, lines in (('gctrace=1', {'bash', 'victim'}), ('gctrace=1,only=victim', {'victim'}),
                            ('gctrace=1,only=bash:none', {'bash'}), ('gctrace=1,only=none', set()),
                            ('gctrace=1,only=none:victim', {'victim'})):
        result = s.run(['/bin/bash', '-c', shell], memdebug)
        t.equal({line.name for line in result.lines}, lines, f'{memdebug}: who prints lines', result)

    # What a child of vfork allocates is its parent's, and so is the segment.
    for memdebug in (None, 'gctrace=1', 'memprofilerate=4096'):
        result = s.run([VICTIM, 'vfork'], memdebug)
        child = re.search(r'pid=(\d+) status=0', result.out)
        t.ok(result.status == 0 and child and not result.rest and
             s.segments(result.pid) == [] and s.segments(child[1]) == [] and
             {line.pid for line in result.lines} <= {result.pid},
             f'{memdebug or "MEMDEBUG unset"}: allocations by a child of vfork leave no segment in its name', result)

    # A shell that forks a pipeline; make, which vforks.
    result = s.run(['/bin/sh', '-c', 'for i in 1 2 3 4 5; do seq 1 2000 | sort -n | tail -1; done'],
                   'gctrace=1')
    t.equal((result.status, result.out, result.rest), (0, '2000\n' * 5, []), 'pipelines of a shell')
    t.equal(s.trace_faults(result.lines), [], 'with sane lines')

    # Python's multiprocessing by fork, threads running in the parent.
    program = ('import multiprocessing as m, threading, time\n'
               'stop = False\n'
               'def busy():\n'
               '    while not stop: [str(i) for i in range(1000)]\n'
               'def f(n): return len([str(i) for i in range(n)])\n'
               't = [threading.Thread(target=busy) for _ in range(3)]\n'
               '[x.start() for x in t]\n'
               'with m.get_context("fork").Pool(4) as p: print(sum(p.map(f, [20000] * 40)))\n'
               'stop = True\n')
    for memdebug in (None, 'gctrace=1,gcinterval=50ms', 'memprofilerate=1'):
        result = s.run(['/usr/bin/python3', '-c', program], memdebug, timeout=60,
                       env={'PYTHONMALLOC': 'malloc'})
        t.equal((result.status, result.out, result.rest), (0, '800000\n', []),
                f'{memdebug or "MEMDEBUG unset"}: forks beside running threads', result)
        t.equal(s.trace_faults(result.lines), [], 'with sane lines')

    # The parent's profile is the parent's.
    if not t.missing('profile beside children', 'go'):
        with tempfile.TemporaryDirectory() as directory:
            prefix = Path(directory) / 'p'
            result = s.run([VICTIM, 'children'], f'memprofilerate=1,heapprofile={prefix}')
            own = [path for path in s.dumps(prefix) if f'.{result.pid}.' in path.name]
            t.equal(len(own), 1, 'one profile of the parent', s.dumps(prefix))
            if own:
                churned = s.read_profile(own[0]).by_function(lambda name: name == 'churn')
                space = churned.get('churn', [0] * 4)[1]
                t.ok(8 << 20 <= space < 10 << 20,
                     f'it has what the parent allocated, no child more ({space >> 20} MB of 8)')
            forked = [path for path in s.dumps(prefix) if path not in own]
            t.ok(len(forked) >= 2, 'children by fork + exit and by vfork + exec wrote theirs',
                 s.dumps(prefix))

    # A worker that begins when its parent's tables have long outgrown what is mapped in it: it has what
    # was there at the fork, and what it did itself.
    before, after, work, lost = 3000, 60000, 2000, 200
    command = [s.PROGRAMS / 'prefork', *map(str, (before, after, work, lost))]
    with tempfile.TemporaryDirectory() as directory:
        for memdebug in (None, 'gctrace=1', 'gc=ready', 'memprofilerate=4096', 'leakcheck=1,leakexitcode=3'):
            result = s.run(command, memdebug)
            t.ok(re.fullmatch(r'worker=\d+ status=3\n', result.out),
                 f'{memdebug or "MEMDEBUG unset"}: a worker begins after its parent has grown', result)
        leaks = result.err
        for memdebug in (None, 'memprofilerate=4096', 'gc=ready,memprofilerate=1'):
            ends = [s.run([command[0], *map(str, (100000, 0, 0, 0, 8))], memdebug) for _ in range(8)]
            t.ok(all(re.fullmatch(r'worker=\d+ status=3\n', end.out) for end in ends),
                 f'{memdebug or "MEMDEBUG unset"}: eight threads of a worker begin at once', ends)
        direct = re.findall(r'Direct leak of \d+ byte.* in (\d+) object.*\n +#0 \S+ in (\S+)', leaks)
        t.ok(direct and {name for _, name in direct} == {'lose'} and
             lost - 4 <= sum(int(count) for count, _ in direct) <= lost,
             'its leaks are its own, where its parent has other blocks at the same addresses', result)
        if not t.missing("a worker's profile", 'go'):
            prefix = Path(directory) / 'w'
            result = s.run(command, f'memprofilerate=1,heapprofile={prefix}')
            worker = re.search(r'worker=(\d+)', result.out)[1]
            sites = ('before_fork', 'after_fork', 'work', 'lose')
            own = next(path for path in s.dumps(prefix) if f'.{worker}.' in path.name)
            found = s.read_profile(own).by_function(lambda name: name in sites)
            t.equal({name: values[2] for name, values in found.items()},
                    {'before_fork': before, 'work': work, 'lose': lost}, 'and its profile is exact')

    result = s.run([VICTIM, 'forkserver', '30'], 'memprofilerate=4096,keepdead=5')
    t.equal((result.status, result.out), (0, '30 children\n'), '30 children killed by SIGKILL')
    for how, status in (('exit', 21), ('quick_exit', 22), ('_exit', 23), ('return', 24),
                        ('pthread_exit', 0), ('abort', -6)):
        for memdebug in (None, 'gctrace=1', 'memprofilerate=4096'):
            result = s.run([VICTIM, 'exits', how], memdebug, timeout=20)
            t.equal((result.status, result.rest), (status, []), f'{memdebug}: ends by {how}', result)
            if how in ('exit', 'quick_exit', 'return', 'pthread_exit'):
                t.equal(s.segments(result.pid), [], f'{memdebug}: no segment after {how}')
                if memdebug == 'gctrace=1':
                    t.ok(result.lines, f'{memdebug}: a line at {how}', result)
            for path in s.segments(result.pid):
                path.unlink()
