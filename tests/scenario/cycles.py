#!/usr/bin/env python3
"""When cycles run, and what their lines say of the heap."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

VICTIM = s.PROGRAMS / 'victim'


def held(memdebug, megabytes, seconds=0.0):
    """Lines of a process that grew to `megabytes`, looked at after `seconds` at rest."""
    with s.running([VICTIM, 'hold', str(megabytes)], memdebug, ready='ready') as process:
        if seconds:
            s.wait_for(lambda: False, seconds, process)
        _, err = process.text()
        return s.split_trace(err)


def grown(t, memdebug, percent):
    """Lines of a process that grows a quarter at a time, from 5 MB to 160, and goes on when a line that is
    due has come."""
    sizes = [round(5 * 1.25 ** i) for i in range(17)]
    with tempfile.TemporaryFile() as err, subprocess.Popen(
            [str(VICTIM), 'grow'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
            env=s.environment(memdebug)) as process:

        def read():
            return s.split_trace(os.pread(err.fileno(), 1 << 20, 0).decode())

        missing = []
        for size in sizes:
            before = read()[0]
            # Truncated MB, and B of a line: the heap that the goal is of is less than that.
            goal = max(4, (before[-1].end + 1) * (1 + percent / 100)) if before else 4
            process.stdin.write(b'%d\n' % size)
            process.stdin.flush()
            process.stdout.readline()
            if size > goal + 1 and not s.wait_for(lambda: len(read()[0]) > len(before), 120, process):
                missing.append(size)
        t.equal(missing, [], f'{memdebug}: a line whenever one is due')
        process.stdin.close()
        process.wait(60)
        return read()


with s.Tap() as t:
    # At exit of a program too short for any.
    for command in (['/bin/true'], [VICTIM, 'hello'], ['/usr/bin/python3', '-c', 'pass']):
        result = s.run(command, 'gctrace=1,gcminheap=1g')
        t.equal([line.number for line in result.lines], [1], f'{Path(command[0]).name}: one line at exit',
                result)
        t.equal(s.trace_faults(result.lines, None, result.pid), [], 'which is sane')
        t.ok(result.lines and not result.lines[0].forced, 'and not forced')

    # By growth: each goal twice the heap of the last cycle, not below gcminheap.
    cycles, skips, rest = grown(t, 'gctrace=1,gcinterval=off', 100)
    t.ok(not rest and {reason for _, reason, _, _ in skips} <= s.BUSY, 'growth: nothing but lines', rest + skips)
    t.equal(s.trace_faults(cycles, 'victim'), [], f'growth: {len(cycles)} sane lines')
    t.ok(cycles and cycles[0].goal == 4, 'growth: the first goal is gcminheap')
    t.ok(all(b.goal >= a.before for a, b in zip(cycles, cycles[1:])), 'growth: goals grow with the heap',
         [line.text for line in cycles])
    t.ok(all(line.before >= line.goal - 1 for line in cycles), 'growth: no cycle below its goal',
         [line.text for line in cycles])
    t.ok(all(line.live >= line.before - 1 for line in cycles), 'growth: what is held is reachable',
         [line.text for line in cycles])
    t.ok(all(line.unreachable == 0 for line in cycles), 'growth: a list that is held leaks nothing',
         [line.text for line in cycles if line.unreachable])
    smaller, _, _ = grown(t, 'gctrace=1,gcinterval=off,gcpercent=20', 20)
    t.ok(len(smaller) > len(cycles), f'gcpercent=20 has more cycles ({len(smaller)})')
    none, _, _ = held('gctrace=1,gcinterval=off,gcpercent=off', 50, 0.5)
    t.equal(none, [], 'gcpercent=off: none by growth')
    large, _, _ = held('gctrace=1,gcinterval=off,gcminheap=1g', 50, 0.5)
    t.equal(large, [], 'gcminheap=1g: none below it')

    # By time.
    timed, _, _ = held('gctrace=1,gcpercent=off,gcinterval=200ms', 5, 2.5)
    t.ok(6 <= len(timed) <= 14, f'gcinterval=200ms: about 12 in 2.5 s ({len(timed)})')
    t.ok(all(not line.forced for line in timed), 'not forced')

    # On request.
    result = s.run([VICTIM, 'cycles', '20'], 'gctrace=1,gc=ready')
    t.equal((result.out, [line.number for line in result.lines]),
            ('done=20 last=0\n', list(range(1, 21))), 'md_gc: a line each', result)
    t.ok(all(line.forced for line in result.lines), 'md_gc: forced')
    result = s.run([VICTIM, 'cycles', '3'], 'gc=ready')
    t.equal((result.out, result.err), ('done=3 last=0\n', ''), 'gc=ready without gctrace prints nothing')
    result = s.run([VICTIM, 'cycles', '3'], None)
    t.equal((result.out, result.err), ('done=0 last=95\n', ''), 'MEMDEBUG unset: md_gc says ENOTSUP')

    # 64 threads that all allocate.
    before = s.cpu_of_others()
    result = s.run([s.PROGRAMS / 'crowd', '64', '2000'], 'gctrace=1,gcinterval=50ms')
    others = s.cpu_of_others() - before
    t.equal((result.status, result.rest), (0, []), '64 threads: runs as before', result)
    t.equal(s.trace_faults(result.lines, 'crowd', result.pid), [],
            f'64 threads: {len(result.lines)} sane lines')
    t.ok(result.lines and {reason for _, reason, _, _ in result.skips} <= s.BUSY,
         f'64 threads: cycles are done ({len(result.lines)}, {len(result.skips)} skipped)', result)
    few = len(result.skips) * 5 <= len(result.lines)
    if others < 0.1 * result.seconds or few:
        t.ok(few, f'64 threads: few cycles skipped ({len(result.skips)} of {len(result.lines)})', result)
    else:
        t.skip('64 threads: few cycles skipped', f'others had {others:.0f} s of CPU in {result.seconds:.0f} s')
    # Objects in the hands of a queue's two ends may be in flight, no more.
    t.ok(all(line.unreachable <= line.objects * 0.002 for line in result.lines),
         '64 threads: what is in use is reachable',
         [line.text for line in result.lines if line.unreachable > line.objects * 0.002])

    result = s.run([s.PROGRAMS / 'hello'], 'gctrace=1', env={'MALLOC_CONF': 'stats_print:false'})
    t.ok(re.match(r'^sum -?\d+\n$', result.out) and not result.rest, 'MALLOC_CONF is read beside it',
         result)
    result = s.run([s.PROGRAMS / 'hello'], None, env={'MALLOC_CONF': 'prof:true,lg_prof_sample:3,'
                                                                     'prof_final:true'},
                   cwd='/tmp')
    t.ok(result.status == 0 and not list(Path('/tmp').glob(f'jeprof.{result.pid}.*')),
         "jemalloc's prof keys are ours", result)
