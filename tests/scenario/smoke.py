#!/usr/bin/env python3
"""Whether what was built works at all, in half a minute on a busy machine: what each compiler and each
set of flags is tried with (tests/builds.sh)."""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

PYTHON = 'import json; kept = [json.dumps([i] * 9) for i in range(120000)]; print(len(kept))'
SQL = ('create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000) '
       'insert into t select i, hex(randomblob(20)) from n; select count(*) from t group by a % 2 order by b;')
LEAKY = [s.PROGRAMS / 'leaky', 'return']


with s.Tap() as t, tempfile.TemporaryDirectory() as directory:
    # Cycles beside a real program, by each engine that there is here, and of a heap that moves.
    for name, command, out in (('python3', ['/usr/bin/python3', '-c', PYTHON], '120000\n'),
                               ('sqlite3', ['/usr/bin/sqlite3', ':memory:', SQL], '30000\n30000\n')):
        if t.missing(name, name):
            continue
        for engine in ('auto', 'clone', 'stop'):
            done = s.run(command, f'gctrace=1,gcinterval=50ms,gcengine={engine}',
                         env={'PYTHONMALLOC': 'malloc'})
            good = done.status == 0 and done.out == out and not done.rest
            t.ok(good and done.lines and not s.trace_faults(done.lines), f'{name}, cycles by {engine}', done)

    # A profile with names, of both variants: jemalloc's own samples, and ours.
    for name, command, memdebug, wanted in (
            ('python3', ['/usr/bin/python3', '-c', PYTHON], 'memprofilerate=65536', r'\bPy\w+$'),
            ('leaky', LEAKY, 'memprofilerate=1', r'\bleak_large$')):
        prefix = Path(directory) / name
        done = s.run(command, f'heapprofile={prefix},{memdebug}', env={'PYTHONMALLOC': 'malloc'})
        table = s.run([s.MEMTOP, 'heap', '-b', '--allocs', *s.dumps(prefix)[-1:]], preload=False)
        t.ok(done.status in (0, 7) and re.search(wanted, table.out, re.M), f'a profile of {name}, with names',
             f'{done}\n{table}')

    # What is lost is counted, named, and fails a build.
    done = s.run(LEAKY, 'leakcheck=1,leakexitcode=9')
    t.ok(done.status == 9 and re.search(r'#0 .* in leak_direct .*leaky\.c:\d+', done.err) and
         'SUMMARY: memdebug:' in done.err, 'a leak check', done)

    with s.running(['/usr/bin/python3', '-c', PYTHON.replace('print', 'import time; print("ready", flush=True); '
                                                             'time.sleep(100); print')],
                   'gc=ready', ready='ready', env={'PYTHONMALLOC': 'malloc'}, timeout=60) as process:
        listed = s.run([s.MEMTOP, 'ps'], preload=False)
        t.ok(re.search(rf'^ *{process.pid}\b.*python3', listed.out, re.M), 'memtop ps', listed)
        cycle = s.run([s.MEMTOP, 'gc', str(process.pid)], preload=False)
        t.ok(cycle.status == 0 and cycle.out.startswith('gc '), 'memtop gc', cycle)
