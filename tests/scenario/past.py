#!/usr/bin/env python3
"""The past that a segment keeps: what memtop has of it, after the program was killed, against what the
program itself has printed; rests, forked copies, cycles; and that memtop begins with it."""

import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

KEPT_BACK = 64 << 10 # by the program's one thread
BEFORE = 512 << 10 # in use before main: libc's, the loader's, stdio's


def memtop(*arguments):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=60)


def look(target, *arguments):
    result = memtop('-b', '-n1', '--json', *arguments, target)
    return json.loads(result.out.splitlines()[0]) if result.status == 0 and result.out else {}


def said(process):
    """What tides has printed: (time, in use, allocated, freed), and the times at which rests began."""
    lines, rests = [], []
    for line in process.text()[0].splitlines():
        match = re.fullmatch(r'([\d.]+) in_use=(\d+) allocated=(\d+) freed=(\d+)', line)
        if match:
            lines.append((float(match[1]), *map(int, match.groups()[1:])))
        elif line == 'rests':
            rests.append(len(lines))
    return lines, [lines[at][0] for at in rests if at < len(lines)]


def tides(t, memdebug):
    what = memdebug or 'unset'
    with s.running([s.PROGRAMS / 'tides'], memdebug=memdebug) as process:
        done = s.wait_for(lambda: process.text()[0].count('rests\n') == 2, 120, process)
        path = s.segments(process.pid)[0]
        time.sleep(0.2)
        lines, rests = said(process)
        alive = look(process.pid, '--history')
        process.kill()
        process.wait()
    first = look(path, '--history')
    points = first.get('history') or []
    if not t.ok(done and len(points) >= 6, f'{what}: a killed process has its past', first):
        return
    t.equal(points, alive.get('history'), f'{what}: the same as when it lived')
    times = [point['time_seconds'] for point in points]
    t.ok(times == sorted(times) and len({int(at * 1000) for at in times}) == len(times), f'{what}: oldest first', times)

    # Each point lies between lines of the program.  The segment's clock goes by the kernel's ticks.
    wrong, compared = [], 0
    for point in points:
        at = point['time_seconds']
        first_after = next((i for i, line in enumerate(lines) if line[0] >= at + 0.02), None)
        last_before = sum(line[0] <= at - 0.02 for line in lines) - 1
        if first_after is None or last_before < 0:
            continue
        around = lines[last_before:first_after + 1]
        compared += 1
        for key, column in (('heap_bytes', 1), ('alloc_bytes', 2), ('free_bytes', 3)):
            low, high = (extreme(line[column] for line in around) for extreme in (min, max))
            if not low - KEPT_BACK <= point[key] <= high + BEFORE:
                wrong.append((point, around))
    t.ok(compared >= 5 and not wrong, f'{what}: what was in use, allocated and freed is what the program says', wrong)

    # While it rested.
    began, ended = rests[0], next(line[0] for line in lines if line[0] > rests[0] + 2)
    within = [at for at in times if began + 0.05 < at < ended - 0.05]
    t.equal(within, [], f'{what}: no points of a rest')
    last = [point for point in points if point['time_seconds'] <= began + 0.05][-1]
    truth = [line for line in lines if line[0] <= began + 0.001][-1]
    t.ok(-KEPT_BACK <= last['heap_bytes'] - truth[1] <= BEFORE, f'{what}: the point before it is what was in use all through it',
         (last, truth))
    t.ok(not any(point['gap_before'] for point in points), f'{what}: nothing is missing')
    t.ok(all((point['live_objects'] is None) == (memdebug is None) for point in points),
         f'{what}: objects where they are counted', points[-1])
    t.ok(all(point['reachable_bytes'] is None and point['leaked_bytes'] is None and point['pause_max_ns'] is None
             for point in points), f'{what}: without a cycle nothing of cycles', points[-1])
    # What was published last is no point; memtop's growth begins with the first one.
    t.ok(first['growth_seconds'] and abs(first['growth_bytes'] - (first['heap_bytes'] - points[0]['heap_bytes'])) < 1,
         f'{what}: the heap\'s growth is known at the first look', (first['growth_bytes'], first['growth_seconds']))


CHILD = '''import os, sys, time
kept = []
def grow(n):
    for _ in range(n):
        kept.append(bytearray(100000))
        time.sleep(0.02)
grow(120)
print('forks', time.time(), flush=True)
child = os.fork()
if child == 0:
    grow(150)
    print('done', os.getpid(), flush=True)
time.sleep(600)
'''


def forked(t):
    with s.running(['/usr/bin/python3', '-c', CHILD]) as process:
        if not t.ok(s.wait_for(lambda: 'done' in process.text()[0], 60, process), 'a copy has grown', process.text()):
            return
        forks = float(re.search(r'forks ([\d.]+)', process.text()[0])[1])
        child = int(re.search(r'done (\d+)', process.text()[0])[1])
        points = look(child, '--history').get('history') or []
        t.ok(points and all(point['time_seconds'] >= forks - 0.02 for point in points),
             'a forked copy begins its own past', (forks, points))
        t.ok(points and points[0]['heap_bytes'] > 119 * 100000, 'with what it has inherited in use', points[:1])
        points = look(process.pid, '--history').get('history') or []
        t.ok(points and points[0]['time_seconds'] < forks, 'its parent keeps the one before', (forks, points))


CYCLES = '''import time
kept = []
while True:
    kept.append(bytearray(100000))
    if len(kept) > 100:
        del kept[:50]
    time.sleep(0.01)
'''


def cycles(t):
    with s.running(['/usr/bin/python3', '-c', CYCLES], memdebug='gc=ready') as process:
        time.sleep(1)
        results = [memtop('gc', '--json', process.pid) for _ in range(2)]
        lines = [json.loads(result.out) for result in results if result.status == 0 and result.out]
        if not t.ok(len(lines) == 2, 'two cycles', results):
            return
        s.wait_for(lambda: any(point['cycles'] == 2 for point in look(process.pid, '--history').get('history') or []), 30)
        seen = look(process.pid, '--history')
        points = seen.get('history') or []
        after = [point for point in points if point['cycles'] == 2][:1]
        second = lines[1]
        t.ok(after and second['cycle'] == 2 and after[0]['reachable_bytes'] == second['heap_live_bytes'],
             'what the cycle reached', (after, second))
        t.equal([point['leaked_bytes'] for point in after], [second['leaked_bytes']], 'what leaks')
        # In microseconds, rounded up.
        pauses = [point['pause_max_ns'] for point in points if point['pause_max_ns']]
        longest = max(line['stop1_ns'] + line['stop2_ns'] for line in lines)
        t.ok(pauses and 0 <= max(pauses) - longest < 1000, 'the longest pause', (pauses, longest))


def usage(t):
    for arguments in (['--history', '1'], ['--history', '--json']):
        result = memtop(*arguments)
        t.ok(result.status == 2 and result.err.count('\n') == 1, f'{" ".join(arguments)}: usage', result)


with s.Tap() as tap:
    tides(tap, None)
    tides(tap, 'gc=ready')
    forked(tap)
    cycles(tap)
    usage(tap)
