#!/usr/bin/env python3
"""memtop stat, and CSV: figures of a program that holds what it is told to, in columns that scripts can rely on."""

import csv
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from levels import levels

HEADINGS = ['TIME', 'HEAP', 'GROWTH/S', 'ALLOC/S', 'FREE/S', 'OBJECTS', 'RSS', 'REACHABLE', 'LEAKED', 'CYCLES', 'PAUSE']
NAMES = ['pid', 'name', 'time_seconds', 'heap_bytes', 'growth_bytes_per_second', 'alloc_bytes_per_second',
         'free_bytes_per_second', 'live_objects', 'rss_bytes', 'reachable_bytes', 'leaked_bytes', 'cycles', 'pause_last_ns']


def memtop(*arguments):
    return s.run([s.MEMTOP, *arguments], preload=False)


def stat(t, pid):
    result = memtop('stat', pid, '50ms', '4')
    lines = result.out.splitlines()
    if t.equal((result.status, len(lines), result.err), (0, 5, ''), 'a heading and four rows', result):
        t.equal(lines[0].split(), HEADINGS, 'the columns')
        rows = [line.split() for line in lines[1:]]
        t.ok(all(len(row) == len(HEADINGS) and re.fullmatch(r'\d\d:\d\d:\d\d', row[0]) for row in rows), 'each row has all', result)
        t.equal((rows[0][2], rows[0][7:9], rows[0][9:]), ('-', ['-', '-'], ['0', '-']), 'what is not known is -, no cycle 0')
        t.ok(all(row[2] != '-' for row in rows[1:]), 'growth is known from the second row on', result)
    t.equal(len(memtop('stat', pid).out.splitlines()), 2, 'without INTERVAL one row')
    result = memtop('stat', pid, '--json')
    one = json.loads(result.out)
    t.equal(list(one), ['version', 'type', *NAMES], 'JSON: the names')
    t.equal((one['type'], one['version'], one['pid'], one['growth_bytes_per_second'], one['leaked_bytes']),
            ('stat', 1, pid, None, None), 'JSON: null is not known')
    t.equal(memtop('gc', pid).status, 0, 'a cycle')
    t.equal(memtop('gc', pid).status, 0, 'and another')
    two = json.loads(memtop('stat', pid, '--json').out)
    t.ok(two['cycles'] >= 2 and two['reachable_bytes'] > 19000000 and two['leaked_bytes'] is not None and two['pause_last_ns'] > 0,
         'then what cycles tell is known', two)
    t.ok(19000000 <= two['heap_bytes'] < 24000000, 'the heap is what the program holds', two)
    for arguments in (('stat',), ('stat', pid, '0'), ('stat', pid, 'x'), ('stat', pid, '1', '0'), ('stat', pid, '1', '-3'),
                      ('stat', pid, '1', '2x'), ('stat', pid, '1', '2', '3')):
        result = memtop(*arguments)
        t.ok(result.status == 2 and result.err.startswith('memtop: ') and not result.out, f'{len(arguments)} words: usage', result)
    result = memtop('stat', 'nobody-has-this-name')
    t.ok(result.status == 1 and len(result.err.splitlines()) == 1, 'no such program: status 1', result)


def table(result):
    return list(csv.DictReader(result.out.splitlines()))


def comma_separated(t, pid):
    result = memtop('stat', pid, '50ms', '2', '--csv')
    rows = table(result)
    t.equal((result.out.split('\n')[0].split(','), len(rows)), (NAMES, 2), 'stat --csv: the names, and two rows')
    t.equal(rows[0]['growth_bytes_per_second'], '', 'stat --csv: empty is not known')
    result = memtop(pid, '-n', '2', '-d', '0.05', '--csv')
    rows = table(result)
    exact = json.loads(memtop(pid, '-n', '1', '--json').out)
    if t.equal(len(rows), 2, 'a target: two rows', result):
        figures = [name for name, value in exact.items() if not isinstance(value, (list, dict)) and name in rows[0]]
        t.ok(len(figures) > 40 and set(rows[0]) <= set(exact), f'a target: {len(figures)} figures, by their names in JSON', rows[0])
        t.ok(all(None not in row and None not in row.values() for row in rows), 'a target: rows are as wide as the line of names')
        same = ('pid', 'name', 'memprofilerate_bytes', 'cycles', 'heap_bytes', 'live_objects', 'alloc_bytes', 'options', 'command')
        t.equal([rows[1][name] for name in same], [str(exact[name]) for name in same], 'a target: the figures of JSON')
    for more in ((), ('--all',)):
        result = memtop('ps', '--csv', *more)
        rows = table(result)
        own = [row for row in rows if row['pid'] == str(pid)]
        t.ok(len(own) == 1 and own[0]['heap_bytes'] == str(exact['heap_bytes']) and own[0]['instrumented'] == 'true',
             f'ps {" ".join(more)}: the program is a row', result)
        t.ok(all(None not in row and None not in row.values() for row in rows), 'ps: rows are as wide as the line of names')
    t.ok(any(row['instrumented'] == 'false' and row['reason'] for row in rows), 'ps --all: the others have reasons')


with s.Tap() as t:
    with levels('gc=ready,memprofilerate=4096') as (process, tell):
        tell(20)
        stat(t, process.pid)
        comma_separated(t, process.pid)
