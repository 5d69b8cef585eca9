#!/usr/bin/env python3
"""The verdict: what memtop says of programs whose memory grows in a way that is known, and that it says
nothing of those whose memory does not.  All run at the same time, for a minute."""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

GROWING = s.PROGRAMS / 'growing'
SECONDS = 55 # a verdict on growth takes 45
PATIENCE = 150 # with a machine that is busy; only a failure takes that long
MB = 1 << 20
# An interpreter's arenas: pymalloc maps them itself.
LIST = '''import time
kept = []
print('growing', flush=True)
while True:
    kept += [(i, i + 0.5) for i in range(4000)]
    time.sleep(0.1)
'''
LOOP = '''import time
print('growing', flush=True)
while True:
    kept = {i: str(i) for i in range(5000)}
    time.sleep(0.02)
'''


class Watched:
    """A program, and a memtop that looks at it each two seconds."""

    def __init__(self, stack, name, command, memdebug=None):
        self.name, self.looks, self.verdicts = name, [], []
        self.process = stack.enter_context(s.running(command, memdebug, ready='growing'))
        s.wait_for(lambda: s.segments(self.process.pid), 60, self.process)
        self.output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='mdgrowth-'))) / 'out'
        with open(self.output, 'wb') as out:
            memtop = subprocess.Popen([s.MEMTOP, '-b', '--json', '-d', '2', str(self.process.pid)],
                                      env=s.environment(preload=False), stdin=subprocess.DEVNULL,
                                      stdout=out, stderr=subprocess.DEVNULL)
        stack.callback(memtop.wait)
        stack.callback(memtop.kill)

    def look(self):
        """Takes in what memtop has written, and returns the verdicts so far."""
        lines = self.output.read_text().split('\n')[:-1]
        self.looks = [json.loads(line) for line in lines]
        self.verdicts = [look['verdict'] for look in self.looks if look['verdict']]
        return self.verdicts

    def detail(self):
        return f'{len(self.looks)} looks; ' + '\n'.join(str(verdict) for verdict in self.verdicts[-3:])

    def expect(self, t, kind, text, least_bytes, least_share=None, part=None, also=()):
        """That it comes to a verdict of that kind, in such words, and to no other; `also`: where cycles are
        skipped, as the machine is busy, there may be growth that nothing has told of yet."""
        def found():
            return [v for v in self.look() if v['kind'] == kind and re.search(text, v['text'])]
        t.ok(s.wait_for(found, PATIENCE, self.process), f'{self.name}: {kind}', self.detail())
        for verdict in found()[-1:]:
            t.ok(verdict['growth_bytes'] >= least_bytes, f'{self.name}: its growth', self.detail())
            t.equal(verdict['part'], part, f'{self.name}: its part', self.detail())
            if least_share:
                share = verdict['leaked_bytes'] / verdict['growth_bytes']
                t.ok(least_share < share < 1.1, f'{self.name}: its share', self.detail())
        t.equal([v for v in self.verdicts if v['kind'] not in (kind, *also)], [], f'{self.name}: no other verdict')

    def expect_silence(self, t):
        self.look()
        t.ok(len(self.looks) >= 5 and not self.verdicts, f'{self.name}: silent', self.detail())


def leaks(process, *options):
    """What memtop leaks says, once the machine has had the time for its cycles."""
    result = None
    def done():
        nonlocal result
        result = s.run([s.MEMTOP, 'leaks', *options, process.pid], preload=False)
        return result.status == 0
    s.wait_for(done, PATIENCE, process)
    return result


def one_look(t):
    with s.running([GROWING, 'leak'], 'gc=ready', ready='growing') as process:
        time.sleep(11) # some 22 MB
        result = leaks(process)
        t.ok(re.match(r'\+\d\S* MB in \d+ s: (100|9\d) % leaked, nearly all by renew_session growing\.c:\d+ ← main:\d+\n',
                      result.out), 'memtop leaks: the verdict is its first line', result)
        result = leaks(process, '--json')
        t.ok(' % leaked, nearly all by renew_session' in (json.loads(result.out.splitlines()[-1])['verdict'] or ''),
             'and in JSON', result)
    with s.running([GROWING, 'warm'], 'gc=ready', ready='growing') as process:
        time.sleep(3)
        result = leaks(process)
        t.ok(result.out.startswith('SUMMARY: memdebug: 0 byte'), 'without a leak there is none', result)


def growth(t, stack):
    def watched(name, kind, memdebug=None):
        return Watched(stack, name, [GROWING, kind], memdebug)
    python = s.find('python3')
    start = time.monotonic()
    leak = watched('a leak', 'leak', 'gctrace=1')
    blocks = watched('a leak of big blocks', 'blocks', 'gctrace=1')
    pool = watched('a leak in a pool of threads', 'pool', 'gctrace=1')
    wrapper = watched('a leak behind a wrapper', 'wrapper', 'gctrace=1')
    queue = watched('a queue', 'queue', 'gctrace=1')
    untold = watched('a queue, without cycles', 'queue')
    ready = watched('a queue, before a cycle', 'queue', 'gc=ready')
    holes = watched('holes', 'holes')
    maps = watched('mappings', 'maps')
    arenas = Watched(stack, 'python3, a list that grows', [python, '-c', LIST])
    healthy = [watched(kind + (', cycles' if memdebug else ''), kind, memdebug)
               for kind in ('churn', 'warm', 'saw') for memdebug in (None, 'gctrace=1')]
    healthy.append(Watched(stack, 'python3, a loop', [python, '-c', LOOP], 'gctrace=1'))
    one_look(t)
    leak.expect(t, 'leak', r'^\+\d\S* MB in \d+ s: (100|9\d) % leaked, nearly all by renew_session growing\.c:\d+',
                4 * MB, least_share=0.9, also=['growth'])
    # The next three were written when the rules were frozen.
    for each, site in (blocks, 'load_frame'), (pool, 'parse'), (wrapper, r'get_memory growing\.c:\d+ ← set_cookie'):
        each.expect(t, 'leak', rf' leaked, nearly all by {site}', 2 * MB, also=['growth'])
    queue.expect(t, 'reachable', r': reachable, nearly all by push_job growing\.c:\d+ ← main:\d+ \(a cache or a queue\)$',
                 20 * MB, also=['growth'])
    untold.expect(t, 'growth', r', nearly all by push_job \S+ ← main:\d+: no cycle has run: memtop leaks tells', 20 * MB)
    ready.expect(t, 'growth', r', nearly all by push_job .*: no cycle has run: memtop leaks tells', 20 * MB)
    maps.expect(t, 'outside', r'^RSS \+\d\S* MB in \d+ s outside the heap: anonymous maps, nearly all by map_more growing\.c:\d+',
                20 * MB, part='anonymous')
    # Who pins the slabs is named once some ten of its blocks are sampled.
    holes.expect(t, 'allocator', r'^RSS \+\d\S* MB in \d+ s, heap flat: \d\d % fragmentation of 256 B slabs, '
                 r'nearly all pinned by make_holes growing\.c:\d+ ← main:\d+$', 20 * MB, part='slab_slack')
    arenas.expect(t, 'outside', r'^RSS \+\d\S* MB in \d+ s outside the heap: anonymous maps, nearly all by ', 8 * MB,
                  part='anonymous')
    time.sleep(max(0, start + SECONDS - time.monotonic()))
    for each in healthy:
        each.expect_silence(t)


with s.Tap() as t, contextlib.ExitStack() as stack:
    if s.HOSTILE:
        t.skip('growth', 'with a cycle at each 1000th allocation programs have another pace')
    else:
        growth(t, stack)
