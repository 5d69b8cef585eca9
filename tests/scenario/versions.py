#!/usr/bin/env python3
"""Segments of other versions than this one's: two recorded ones of version 1 (tests/data), whose figures
are known, and a living process whose segment says that it is newer."""

import json
import re
import struct
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

# name: (the version of the format that it came with, its kind; a loss has none)
COUNTERS = {name: (int(since), kind) for name, since, kind in
            re.findall(r'^MD_(?:COUNTER|LOSS)\((\w+), (\d+), ([A-Z]*)',
                       (s.ROOT / 'include/memdebug/counters.def').read_text(), re.M)}
# include/memdebug/segment.h
VERSION_AT, OLDEST_READER_AT, CONTROL_AT = 8, 620, 3056


def memtop(*arguments, timeout=60):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=timeout)


def recorded(t, directory, name, cycle, counted):
    """tools/demo/sessions, killed.  `cycle`: what its last line said: number, unreachable objects, bytes."""
    with tarfile.open(s.ROOT / 'tests/data' / f'{name}.tar.gz') as archive:
        archive.extract(f'{name}.mdseg', directory)
    path = Path(directory) / f'{name}.mdseg'
    result = memtop('--json', '-n1', path)
    lines = [json.loads(line) for line in result.out.splitlines()]
    last = lines[-1].get('last_cycle', {}) if lines else {}
    t.ok(result.status == 0 and (last.get('cycle'), last.get('unreachable_objects'), last.get('unreachable_bytes'))
         == cycle, f'{name}: its last cycle', result)
    t.ok('unseen_threads' not in lines[-1]['last_cycle'], f'{name}: without what its writer did not count', result)
    counters = {name for name, (_, kind) in COUNTERS.items() if kind != 'TIME'}
    unknown = {name for name in counters if COUNTERS[name][0] > 1}
    t.equal({name for name in counters if lines[-1].get(name, '') is None}, unknown,
            f'{name}: counters that came later are not known')
    t.ok(unknown and all(isinstance(lines[-1].get(name), (int, float)) for name in counters - unknown),
         f'{name}: all others are', lines[-1])
    t.equal([loss['count'] for loss in lines[-1]['losses'] if loss['what'] == 'mappings'], [None],
            f'{name}: so with what was lost')
    result = memtop('-b', '-n1', path)
    t.ok('lost: mappings not known: ' in result.out and 'lost: samples' not in result.out, f'{name}: in text too', result)
    t.ok(result.status == 0 and 'sessions' in result.out and ('has not counted leaks' in result.out) != counted,
         f'{name}: as text; what its writer did not know is told as that', result)
    result = memtop('-b', '-n1', path, '--kind', 'mmap')
    t.equal((result.status, result.out.splitlines()[-1]), (0, 'its memdebug is older than this kind of profile'),
            f'{name}: that it knows of no mappings is told', result)
    profile = Path(directory) / f'{name}.pb.gz'
    result = memtop('heap', path, '-o', profile)
    t.ok(result.status == 0 and profile.read_bytes()[:2] == b'\x1f\x8b', f'{name}: a profile', result)
    # Stacks have their addresses where the program is not there to name them.
    result = memtop('leaks', path)
    t.ok(result.status == 0 and f'gc {cycle[0]}: {cycle[1]} unreachable object(s), {cycle[2]} B' in result.out and
         ('SUMMARY: memdebug: ~' not in result.out) == counted, f'{name}: leaks, estimated where they were not counted',
         result)


def newer(t):
    """A process of a newer memdebug, as far as an older memtop can tell."""
    with s.running(['/usr/bin/python3', '-c', 'import time; keep = [bytearray(1000) for _ in range(5000)]; '
                    'print("ready", flush=True); time.sleep(600)'], memdebug='gc=ready,memprofilerate=4096',
                   ready='ready') as process:
        path = s.segments(process.pid)[0]

        def say(version, oldest_reader):
            with open(path, 'r+b') as file:
                file.seek(VERSION_AT)
                file.write(struct.pack('<I', version))
                file.seek(OLDEST_READER_AT)
                file.write(struct.pack('<I', oldest_reader))

        with open(path, 'rb') as file:
            header = file.read(4096)
        version, oldest_reader = (struct.unpack_from('<I', header, at)[0] for at in (VERSION_AT, OLDEST_READER_AT))
        t.ok(1 <= oldest_reader <= version, 'a segment says who can read it', (version, oldest_reader))
        say(version + 1, oldest_reader)
        result = memtop('-b', '-n1', process.pid)
        t.ok(result.status == 0 and 'python3' in result.out, 'a newer one that only adds is read', result)
        for command in ('gc', 'leaks'):
            result = memtop(command, process.pid)
            t.ok(result.status == 1 and result.err.count('\n') == 1 and 'newer memdebug' in result.err,
                 f'{command}: but asked for nothing', result)
        with open(path, 'rb') as file:
            file.seek(CONTROL_AT)
            t.equal(struct.unpack('<II', file.read(8)), (0, 0), 'nothing has been written to it')
        say(version + 1, version + 1)
        result = memtop('-b', '-n1', process.pid)
        t.ok(result.status == 1 and f'version {version + 1}' in result.err, 'one that does more is refused', result)
        say(version, oldest_reader)
        result = memtop('gc', process.pid)
        t.equal(result.status, 0, 'one of this version is asked', result)


with s.Tap() as tap:
    with tempfile.TemporaryDirectory() as temporary:
        recorded(tap, temporary, 'segment-1', (8, 15871, 20314880), False)
        recorded(tap, temporary, 'segment-1-unsampled', (6, 14521, 18586880), True)
    newer(tap)
