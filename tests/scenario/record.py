#!/usr/bin/env python3
"""memtop record and replay: figures replayed are those that were recorded, also of a file that was cut or made up."""

import gzip
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from levels import levels


def memtop(*arguments):
    return s.run([s.MEMTOP, *arguments], preload=False)


def replay(*arguments):
    result = memtop('replay', *arguments, '--json')
    return result, [json.loads(line) for line in result.out.splitlines()]


def one_program(t, place):
    """The program stands still while each level is recorded, so memtop's own look tells the truth."""
    path, truth = place / 'one.rec', {}
    with levels('gc=ready,memprofilerate=4096') as (process, tell):
        tell(3)
        memtop('gc', process.pid)
        recorder = subprocess.Popen([s.MEMTOP, 'record', str(process.pid), '-o', path, '-d', '0.05'])
        for level in (10, 30, 20):
            tell(level)
            time.sleep(0.3)
            truth[level] = json.loads(memtop(process.pid, '-n', '1', '--json').out)
        recorder.send_signal(signal.SIGINT)
        t.equal(recorder.wait(), 0, 'a signal ends it well')
    result, readings = replay(path)
    if not t.ok(result.status == 0 and len(readings) >= 10 and not result.err, 'its readings are replayed', result):
        return path
    same = ('pid', 'name', 'command', 'options', 'heap_bytes', 'alloc_bytes', 'free_bytes', 'live_objects', 'cycles',
            'peak_bytes', 'reachable_bytes', 'unreachable_objects', 'pause_last_ns', 'samples', 'state', 'memprofilerate_bytes')
    for level, wanted in truth.items():
        t.ok(any(all(reading[name] == wanted[name] for name in same) for reading in readings),
             f'at {level} MB: as memtop saw it then', [[reading[name] for name in same] for reading in readings[::3]])
        t.ok(any(reading['heap_bytes'] == wanted['heap_bytes'] and reading['rss_bytes'] == wanted['rss_bytes'] for reading in readings),
             f'at {level} MB: and its RSS')
    times = [reading['time_seconds'] for reading in readings]
    t.ok(times == sorted(times) and times[-1] < time.time() - 0.01, 'by the clock of then')
    t.equal([name for name in ('rss_parts', 'rss_anonymous') if readings[-1][name] is not None], [], 'what was not recorded is null')
    last, now = readings[-1]['sites'], truth[20]['sites']
    t.equal([(site['site'], site['inuse_bytes']) for site in last], [(site['site'], site['inuse_bytes']) for site in now],
            'call sites with their names and figures')
    again = memtop('replay', path, '--json').out
    t.equal(again, result.out, 'a replay is the same each time, to the byte')
    text = memtop('replay', path, '-b', '-n', '1')
    t.ok(text.status == 0 and ' levels ' in text.out.splitlines()[0], 'as text', text)
    rows = memtop('replay', path, '--csv').out.splitlines()
    t.equal(len(rows), len(readings) + 1, 'as CSV')
    return path


def all_programs(t, place):
    path = place / 'all.rec'
    with levels('memprofilerate=4096') as (one, tell), levels('') as (two, tell_two):
        tell(2)
        tell_two(2)
        t.ok(s.wait_for(lambda: s.segments(one.pid) and s.segments(two.pid), 20), 'two programs have segments')
        result = memtop('record', '--all', '-o', path, '-d', '0.05', '-n', '6')
        t.equal((result.status, result.err), (0, ''), 'all programs are recorded')
        result, _ = replay(path)
        t.ok(result.status in (1, 2) and 'which of them' in result.err and str(one.pid) in result.err, 'which one is to be said', result)
        result, readings = replay(path, one.pid)
        t.ok(len(readings) == 6 and readings[0]['pid'] == one.pid, 'by its pid', result)
        result, readings = replay(path, two.pid)
        t.ok(len(readings) == 6 and readings[0]['pid'] == two.pid, 'another', result)
        result, _ = replay(path, 'nobody')
        t.equal(result.status, 1, 'one that is not in it')


def ends(t, place):
    path = place / 'ends.rec'
    with s.running([s.PROGRAMS / 'growing', 'leak'], '', ready='growing') as process:
        s.wait_for(lambda: s.segments(process.pid), 10, process)
        recorder = subprocess.Popen([s.MEMTOP, 'record', str(process.pid), '-o', path, '-d', '0.05'])
        time.sleep(0.4)
        process.kill()
        process.wait()
        t.equal(recorder.wait(20), 0, 'the recording ends with the program')
    _, readings = replay(path)
    t.equal(readings and readings[-1]['state'], 'ended', 'and says so')


def damaged(t, path, place):
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    counts = []
    for share in (0.1, 0.3, 0.5, 0.9, 0.99):
        cut = place / 'cut.rec'
        cut.write_bytes(whole[:int(len(whole) * share)])
        result, readings = replay(cut)
        t.ok(result.status in (0, 1) and (result.status == 0) == bool(readings) and len(result.err.splitlines()) == 1,
             f'cut at {share}: a line says so', result)
        counts.append(len(readings))
    t.ok(counts == sorted(counts) and counts[-1] > 0, 'what stands before the cut is replayed', counts)
    for name, bytes_ in (('empty', b''), ('text', b'nothing\n'), ('other', gzip.compress(b'nothing')),
                         ('newer', gzip.compress(plain.replace(b'MDREC\n1', b'MDREC\n9', 1)))):
        bad = place / name
        bad.write_bytes(bytes_)
        result, _ = replay(bad)
        t.ok(result.status == 1 and result.err.count('\n') == 1 and 'no recording' in result.err, f'{name}: refused in a line', result)
    for arguments in (('record',), ('record', '1'), ('record', '--all'), ('record', '1', '--all', '-o', place / 'x'), ('replay',),
                      ('replay', path, '--speed', 'fast'), ('replay', path, '--speed', '0')):
        result = memtop(*arguments)
        t.ok(result.status == 2 and result.err.startswith('memtop: '), f'{arguments[0]} with {len(arguments) - 1} words: usage', result)
    for arguments in (('replay', place / 'absent'), ('replay', place), ('record', '--all', '-o', place / 'no' / 'x', '-n', '1')):
        result = memtop(*arguments)
        t.ok(result.status == 1 and result.err.count('\n') == 1, f'{arguments[0]}: status 1', result)


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdrecord-') as directory:
    recording = one_program(t, Path(directory))
    all_programs(t, Path(directory))
    ends(t, Path(directory))
    if recording.exists():
        damaged(t, recording, Path(directory))
