#!/usr/bin/env python3
"""tools/quickstart.sh, without a terminal, on what is built: the demo, a program of the user's own,
one that fails, one that cannot be preloaded."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def quickstart(*arguments, **extra):
    env = s.environment(preload=False, extra={'MEMDEBUG_BUILD': str(s.BUILD),
                                                        'TMPDIR': temporary} | extra)
    return subprocess.run([s.ROOT / 'tools/quickstart.sh', *map(str, arguments)], env=env, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=100, check=False)


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    done = quickstart(QUICKSTART_SECONDS='8')
    text = done.stdout + done.stderr
    t.equal(done.returncode, 0, 'the demo', text)
    lines = [s.GC_LINE.match(line) for line in done.stdout.splitlines() if line.startswith('gc ')]
    t.ok(len([line for line in lines if line]) >= 4, 'its trace lines are shown', text)
    table = done.stdout[done.stdout.find('== top call sites'):]
    # The unit is the one that suits the smallest figure: kB where a small sample is in the table.
    first = next((line for line in table.splitlines() if re.match(r'\s*[\d.]+[kM]B.*%.*%', line)), '')
    t.ok('make_token' in first, 'the call site that leaks stands first', table)
    flat = re.match(r'\s*([\d.]+)([kM])B', first)
    t.ok(flat and float(flat[1]) * {'k': 1 / 1024, 'M': 1}[flat[2]] > 5, 'with most of the memory', first)
    t.ok(re.search(r'memtop -b -n 1 \d+\n\d+ sessions', done.stdout), 'memtop looked at it', text)
    t.ok(re.search(r'\d+ cycles', done.stdout) and 'unreachable' in done.stdout, 'memtop tail charted it')
    kept = re.search(r'^everything is in (\S+)$', done.stdout, re.M)
    t.ok(kept and list(Path(kept[1]).glob('heap.*.pb.gz')), 'the profile is kept')

    done = quickstart('--', '/usr/bin/python3', '-c', 'x = [str(i) for i in range(300000)]; print(len(x))')
    t.ok(done.returncode == 0 and '300000\n' in done.stdout and 'top call sites' in done.stdout,
         'a program of the user', done.stdout + done.stderr)
    done = quickstart('--', '/bin/bash', '-c', 'echo said; echo complained >&2; exit 3')
    t.ok(done.returncode == 3 and 'said\n' in done.stdout and 'complained\n' in done.stdout,
         'its status and its stderr', done.stdout + done.stderr)
    done = quickstart('--', s.PROGRAMS / 'hello_static')
    t.ok(done.returncode == 0 and 'cannot be preloaded' in done.stdout, 'a static program is told so',
         done.stdout + done.stderr)
    done = quickstart('--', '/no/such/program')
    t.ok(done.returncode == 127 and 'No such file' in done.stdout + done.stderr, 'a missing program',
         done.stdout + done.stderr)
    done = quickstart('nonsense')
    t.ok(done.returncode == 2 and 'usage' in done.stderr, 'a usage line for anything else', done.stderr)
