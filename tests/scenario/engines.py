#!/usr/bin/env python3
"""Each engine on programs that know the truth and on real ones: nothing reachable is called
unreachable while pointers move about under the marker, nothing is harmed while mappings come and go
under it, outputs are as without us, and the pause on the line is what a thread of the program feels."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

SEEK, POOL, RESIZED = (s.PROGRAMS / name for name in ('seek', 'pool', 'resized'))
ENGINES = ('clone', 'wp', 'stop')
JSON = 'gctrace=json,gc=ready,gcengine='


def records(result):
    """(cycles, skips) of the JSON lines on stderr; other lines stay in .rest, all of them in .records."""
    result.records = lines = [json.loads(line) for line in result.err.splitlines()
                              if line.startswith('{')]
    result.rest = [line for line in result.err.splitlines() if not line.startswith('{')]
    return ([line for line in lines if line['type'] == 'gc'],
            [line for line in lines if line['type'] == 'gcskip'])


def has_wp():
    for _ in range(50): # a machine that is busy just now has it all the same
        cycles, skips = records(s.run([SEEK, 'uffd', '1'], JSON + 'wp'))
        if cycles or not skips or skips[0]['reason'] not in s.BUSY:
            break
    return bool(cycles), skips[0]['reason'] if skips else 'no cycle'


def truth(t, engine, what, arguments, least, skippable=(), program=SEEK, more=''):
    """Every cycle done finds exactly what had been lost by then."""
    before = s.cpu_of_others()
    result = s.run([program, *arguments], JSON + engine + more, timeout=200)
    if s.cpu_of_others() - before > 0.1 * result.seconds:
        least = 1 # where others run too, many a cycle gets no CPU in time
    cycles, skips = records(result)
    lost = [tuple(map(int, found)) for found in re.findall(r'^lost (\d+) (\d+)$', result.out, re.M)]
    t.ok(result.status == 0 and re.search(r'^(done|.* count=0 list=whole)$', result.out, re.M) and not result.rest,
         f'{engine}, {what}: the program is unharmed', result)
    if not lost:
        return
    found = [(c['unreachable_objects'], c['unreachable_bytes']) if c['type'] == 'gc' else None
             for c in result.records]
    if len(lost) == 1: # at the start
        lost = lost * len(found)
    elif s.HOSTILE: # there are other cycles between
        lost = [next((pair for pair in lost if pair == is_found), lost[0]) for is_found in found]
    else: # and before each cycle
        del lost[0]
    # With a thread that is not seen (libc's calls are yet to be tried), what its registers alone hold is
    # unreachable, and the line says so.
    seen = [c['type'] == 'gc' and not c['unseen_threads'] for c in result.records]
    wrong = [pair for pair, all_seen in zip(zip(lost, found), seen) if all_seen and pair[0] != pair[1]]
    t.ok(len(lost) == len(found) and any(seen) and not wrong,
         f'{engine}, {what}: {len(cycles)} cycles find what is lost and nothing else',
         f'{len(lost)} times lost, {len(found)} records, {len(wrong)} wrong: {wrong[:5]}')
    others = {skip['reason'] for skip in skips} - set(skippable)
    t.ok(len(cycles) >= least and not others,
         f'{engine}, {what}: {len(cycles)} done, {len(skips)} skipped', others)
    t.ok(all(c['engine'] == engine for c in cycles), f'{engine}, {what}: the engine is named')
    return result


def known(t, engine):
    """Where all that is unreached was so in two cycles before, tracking needs no second stop.  What one
    cycle has missed is found in the next, wherever it is, and is live again."""
    result = truth(t, engine, 'what is known to be lost', ['known', '48'], 40, s.BUSY)
    if engine != 'wp' or s.HOSTILE or not result:
        return
    *own, first, second, third = result.records
    if {first['type'], second['type'], third['type']} == {'gc'}:
        t.ok(first['stop2_ns'] > 0 and second['stop2_ns'] > 0 and third['stop2_ns'] == 0,
             'wp: a forked child knows nothing that it has not seen itself', (first, second, third))
    # Of eight cycles: lost, looked at again, -, hidden, in a register, found, -, -
    stops, wrong, seen = [1, 1, 0, 1, 1, 0, 0, 0], [], [0, 0]
    for i, cycle in enumerate(own):
        before = own[max(i - 2, 0):i + 1]
        if i > 1 and all(record['type'] == 'gc' for record in before):
            second = stops[i % 8]
            seen[second] += 1
            if (cycle['stop2_ns'] > 0) != bool(second):
                wrong.append((i, cycle['stop2_ns'], cycle['rounds']))
    t.ok(min(seen) >= 5 and not wrong,
         f'wp: {seen[0]} cycles with nothing new stop once, {seen[1]} others twice', wrong)
    # What is known is looked at anew after 16 cycles, and after one by another engine.
    for _ in range(4):
        cycles, skips = records(s.run([SEEK, 'known', '0', 'clone'], JSON + 'wp'))
        if not skips:
            break
    twice = [i for i, cycle in enumerate(cycles) if cycle['stop2_ns'] > 0]
    if skips:
        t.skip('wp: how long what is known is', f'{skips[0]["reason"]}, each of four times')
    else:
        t.equal(twice, [0, 1, 18, 23, 24, 26, 27], 'wp: what is known is so for 16 cycles, and as long as '
                'there is no other engine')


# Why wp leaves it to another engine.
UNSEEN = ('the kernel writes to pinned memory unseen (VmPin)', 'the kernel writes to memory unseen (io_uring, aio)')


def slow_disk(path):
    """A cgroup in which ten reads a second come from the disk of this file, each with its pages pinned
    meanwhile; None: this machine or user has none."""
    device = os.stat(path).st_dev
    disk = f'{os.major(device)}:{os.minor(device)}'
    for base, name, limit in (('/sys/fs/cgroup/blkio', 'blkio.throttle.read_iops_device', f'{disk} 10'),
                              ('/sys/fs/cgroup', 'io.max', f'{disk} riops=10')):
        group = Path(base, f'memdebug-test-{os.getpid()}')
        try:
            group.mkdir()
            (group / name).write_text(limit)
            return group
        except OSError:
            if group.is_dir():
                group.rmdir()
    return None


def arrivals(t, engine):
    """The only pointers to blocks are moved by the kernel, from page to page."""
    with tempfile.NamedTemporaryFile(dir=s.BUILD) as file:
        group = slow_disk(file.name)
        enter = ['sh', '-c', f'echo $$ > {group}/cgroup.procs && exec "$@"', 'sh']
        for way, what, before in (('pipe', 'read from a pipe', []), ('direct', 'read past the page cache', []),
                                  ('direct', 'read so from a slow disk', enter),
                                  ('uring', 'read into buffers of io_uring', []),
                                  ('ring', 'read by io_uring, rings in our memory', [])):
            what = f'{engine}, pointers {what}'
            if before and not group:
                t.skip(what, 'no cgroup of ours slows a disk')
                continue
            program = [*before, s.PROGRAMS / 'arrivals', way, file.name]
            options = f'only=arrivals,{JSON}{engine}'
            result = s.run([*program, '40', '40'], options, timeout=200)
            cycles, skips = records(result)
            if result.status == 77:
                t.skip(what, result.out.strip())
                continue
            t.ok(result.status == 0 and result.out == 'done\n' and not result.rest,
                 f'{what}: the program is unharmed', result)
            wrong = [c['unreachable_objects'] for c in cycles if c['unreachable_objects']]
            t.equal(wrong, [], f'{what}: {len(cycles)} cycles call nothing unreachable')
            others = {skip['reason'] for skip in skips} - {*s.BUSY, *(UNSEEN if engine == 'wp' else ())}
            t.ok(not others, f'{what}: {len(skips)} skipped', others)
            if engine == 'wp' and way in ('uring', 'ring'):
                t.ok(not cycles and {skip['reason'] for skip in skips} <= set(UNSEEN),
                     f'{what}: no cycle by wp, and it says why', skips)
            elif engine == 'wp':
                t.ok(all(c['engine'] == 'wp' for c in cycles), f'{what}: by wp')
        if group:
            group.rmdir()


def pause(t, engine, megabytes):
    """The longest stop on the line, and the longest gap that a thread saw and slept in.  Where others
    run too, part of the gap is the thread's waiting for a CPU, and part of the line that of the thread
    that stops it: the line may say anything between the gap with both and without."""
    good, seen = 0, []
    for _ in range(4):
        result = s.run([SEEK, 'gap', '12', str(megabytes)], JSON + engine, timeout=200)
        cycles, _ = records(result)
        gaps = [tuple(map(int, re.findall(r'\d+', line)[:3])) for line in result.out.splitlines()
                if line.startswith('gap') and line.endswith(', 0')]
        if len(gaps) == len(cycles):
            seen += [(round(max(c['stop1_ns'], c['stop2_ns']) / 1e3), *gap)
                     for c, gap in zip(cycles, gaps)]
        good = sum(0.9 * stopped - 50 <= line <= 1.1 * gap + waited + 50
                   for line, gap, stopped, waited in seen)
        if len(seen) >= 10 and good >= len(seen) * 0.9:
            break
    # With cycles between that are told to nobody, and felt, the longest gap may be one of theirs.
    least = 0.6 if s.HOSTILE else 0.8
    t.ok(len(seen) >= 10 and good >= len(seen) * least, f'{engine}: the pause on the line is the one '
         f'that a thread feels, in {good} of {len(seen)} cycles', seen)


def real(t, engine, name, command, least, **options):
    plain = s.run(command, preload=False, timeout=200, **options)
    ours = s.run(command, f'gctrace=1,gcinterval=20ms,gcengine={engine}', timeout=200, **options)
    t.ok((ours.status, ours.out, ours.rest) == (plain.status, plain.out, plain.err.splitlines()),
         f'{engine}, {name}: same output and status', ours)
    t.ok(not s.trace_faults(ours.lines), f'{engine}, {name}: lines are sane',
         s.trace_faults(ours.lines))
    wrong = [line.text for line in ours.lines if line.unreachable and line.name not in LEAKY]
    t.ok(len(ours.lines) >= least and not wrong,
         f'{engine}, {name}: {len(ours.lines)} cycles, nothing called unreachable', wrong or ours.skips)


# Programs that lose memory of their own, whatever the engine.
LEAKY = ('g++', 'cc1plus', 'as', 'collect2', 'ld')
SQL = """
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, score REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 1000), i * 0.5 FROM n;
CREATE INDEX by_name ON t(name);
SELECT name, count(*), sum(score) FROM t GROUP BY name ORDER BY 3 DESC LIMIT 5;
"""
PYTHON = """
def tree(depth):
    return {} if depth == 0 else {'left': tree(depth - 1), 'right': tree(depth - 1), 'n': depth}
import json
keep = [tree(11) for _ in range(4)]
for _ in range(20):
    text = json.dumps(keep)
    keep = json.loads(text)
print(len(text))
"""

def malloc_is_files(pid):
    """Whether malloc and free are in the process what they are in the library's file; None: they are jumps there."""
    text = subprocess.run([s.find('readelf'), '-W', '--dyn-syms', '-l', s.LIB], capture_output=True, text=True,
                          check=True).stdout
    offset, start = next((int(at, 16), int(address, 16)) for at, address in
                         re.findall(r'^ *LOAD +(0x\w+) (0x\w+) .* R E ', text, re.M))
    first = min(int(line.split('-')[0], 16) for line in Path(f'/proc/{pid}/maps').read_text().splitlines()
                if line.endswith(str(s.LIB)))
    same = []
    with open(f'/proc/{pid}/mem', 'rb') as memory, open(s.LIB, 'rb') as file:
        for address, size in re.findall(r' ([0-9a-f]{16}) +(\d+) FUNC +GLOBAL +DEFAULT +\d+ (?:malloc|free)$', text, re.M):
            if int(size) < 32:
                return None
            memory.seek(first + int(address, 16))
            file.seek(int(address, 16) - start + offset)
            same.append(memory.read(32) == file.read(32))
    assert len(same) == 2 and same[0] == same[1], same
    return same[0]


def variant(t, memdebug, plain):
    """In the plain variant malloc and free are jemalloc's own code, and nobody counts objects one by one."""
    with s.running(['sleep', '60'], memdebug) as program:
        def told():
            result = s.run([s.MEMTOP, program.pid, '--json', '-n1'], preload=False)
            return json.loads(result.out.splitlines()[0]) if result.status == 0 else None
        s.wait_for(told, 30, program)
        last, same = told(), malloc_is_files(program.pid)
        t.ok((last['alloc_objects'] is None, last['live_objects_counted']) == (plain, not plain) and
             same in (plain, None), f'{memdebug}: the {"plain" if plain else "tracked"} variant', (last, same))


with s.Tap() as t, tempfile.TemporaryDirectory() as directory:
    wp, why = has_wp()
    engines = [engine for engine in ENGINES if engine != 'wp' or wp]
    if not wp:
        t.skip('the engine wp', why)
    for engine in engines:
        truth(t, engine, 'pointers that move', ['move', '3', '60', '2000'], 30, s.BUSY)
        truth(t, engine, 'mappings that go', ['harm', '30'], 10, s.BUSY)
        known(t, engine)
        truth(t, engine, 'memory that is not malloc\'s', ['beside', '64', '30', 'move'], 10, s.BUSY, POOL)
        arrivals(t, engine)
        truth(t, engine, 'a userfaultfd of its own', ['uffd', '10'], 5, s.BUSY)
        truth(t, engine, 'data that becomes code', ['code', '10'], 5, s.BUSY)
        truth(t, engine, 'blocks resized where they lie', ['3', '30'], 10, s.BUSY, RESIZED)
    # Builds for tests compare the object map and jemalloc's records there.
    truth(t, 'clone', 'the same with an object map', ['3', '30'], 10, s.BUSY, RESIZED, ',memprofilerate=4096')
    work = Path(directory) / 'work.py'
    work.write_text(PYTHON)
    source = Path(directory) / 'empty.cpp'
    source.write_text('#include <map>\n#include <regex>\nint main() { return 0; }\n')
    for engine in engines:
        if s.find('sqlite3'):
            real(t, engine, 'sqlite3', ['sqlite3', ':memory:'], 2, stdin=SQL)
        if s.find('python3'):
            real(t, engine, 'python3', ['python3', work], 2, env={'PYTHONMALLOC': 'malloc'})
        real(t, engine, 'a C++ program of threads', [s.PROGRAMS / 'crowd', '8', '200'], 1)
        if s.find('g++'):
            real(t, engine, 'g++', ['g++', '-O1', '-c', source, '-o', '/dev/null'], 3)
    for engine in engines:
        pause(t, engine, 10 if engine == 'stop' else 40)

    # Who needs no table of the blocks has none, from the start.
    plain = b"this build cannot read its jemalloc's records" not in s.LIB.read_bytes()
    for engine in ('clone', 'stop'):
        variant(t, f'gctrace=1,gcengine={engine}', plain)
    variant(t, 'gc=ready,gcengine=wp', False)
    variant(t, 'gctrace=1,gcengine=clone,memprofilerate=4096', False)

    # By itself: the clone for small heaps, tracking for larger ones.
    for megabytes, expected in ((10, 'clone'), (150, 'wp' if wp else 'clone')):
        cycles, _ = records(s.run([SEEK, 'gap', '2', str(megabytes)], JSON + 'auto'))
        chosen = [c['engine'] for c in cycles][:1]
        # Where other cycles run all the time, what they have shown counts too.
        t.ok(chosen == [expected] or s.HOSTILE and chosen in (['clone'], ['wp']),
             f'auto at {megabytes} MB: {chosen}, expected {expected}')
    if wp: # Of pages that point to nothing of the heap, and are not written to, no cycle looks at twice.
        cycles, skips = records(s.run([POOL, 'beside', '200', '16'], JSON + 'wp'))
        looked_at = [c['globals_bytes'] >> 20 for c in cycles]
        # All that has pointers is in an eighth of it: 25 MB.  A skipped cycle begins anew.
        # (In the hostile build other cycles have looked before.)
        t.ok(looked_at and (looked_at[0] >= 200 or s.HOSTILE) and (min(looked_at) < 60 or s.HOSTILE or len(skips) > 4),
             f'wp: what has not changed is not looked at again: {looked_at} MB, {len(skips)} skipped', skips)
        t.ok(all(c['unreachable_objects'] == 40 for c in cycles), 'wp: and all that is lost is found', cycles)
    # What is not heap counts: a clone copies the page tables of all of it.
    for megabytes, expected in ((16, 'clone'), (200, 'wp' if wp else 'clone')):
        result = s.run([POOL, 'beside', megabytes, '8'], JSON + 'auto')
        chosen = [c['engine'] for c in records(result)[0]]
        # On a busy machine wp may not get done in time, and be left alone for a while.
        t.ok(expected in chosen and (expected != 'clone' or set(chosen) == {'clone'} or s.HOSTILE),
             f'auto beside {megabytes} MB that are not heap: {chosen}, expected {expected}', result)
    result = s.run([SEEK, 'gap', '1', '1'], 'gcengine=fork')
    t.ok("gcengine" in result.err and 'auto|clone|wp|stop' in result.err, 'another word is refused',
         result.err)
