#!/usr/bin/env python3
"""A JVM: gigabytes of its own beside a small malloc heap, to which only Java objects point.  What is beside the
heap counts when an engine is chosen, is looked at for roots, and not again where it has not changed."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

HEAP_MB, INFLATERS = 500, 300


def has_wp():
    return '"type":"gc",' in s.run([s.PROGRAMS / 'seek', 'uffd', '1'], 'gctrace=json,gc=ready,gcengine=wp').err


def java(t, directory, memdebug):
    result = s.run(['java', '-Xms600m', '-Xmx600m', '-XX:+AlwaysPreTouch', '-XX:+UseSerialGC', '-cp', directory,
                    'Beside', HEAP_MB, 8], memdebug, timeout=200)
    t.ok((result.status, result.out) == (0, f'done {HEAP_MB} {INFLATERS}\n'), f'{memdebug}: the program is unharmed',
         result)
    return result


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
    if not t.missing('a JVM', 'java', 'javac'):
        shutil.copy(s.ROOT / 'tests' / 'programs' / 'Beside.java', directory)
        subprocess.run(['javac', 'Beside.java'], cwd=directory, check=True, env=s.environment(preload=False))
        result = java(t, directory, 'gctrace=json,gcinterval=500ms')
        lines = [json.loads(line) for line in result.err.splitlines() if line.startswith('{')]
        # The launcher is a process of its own, and so is the JVM before it has its heap.
        cycles = [c for c in lines if c['type'] == 'gc' and c['globals_bytes'] > 64 << 20]
        engines = [c['engine'] for c in cycles]
        t.ok(cycles, f'{len(cycles)} cycles of a JVM', result)
        held = [c for c in lines if c['type'] == 'gc' and c['live_objects'] >= 2 * INFLATERS]
        t.ok(held and max(c['unreachable_objects'] for c in held) < INFLATERS / 10,
             'what only Java objects point to is reachable', held)
        if has_wp():
            t.ok('wp' in engines, f'auto takes wp: {engines}', lines)
            looked_at = [c['globals_bytes'] >> 20 for c in lines if c['type'] == 'gc' and c in held]
            t.ok(looked_at and (min(looked_at) < max(looked_at) * 0.8 or len(held) < 6),
                 f'what has not changed is not looked at again: {looked_at} MB')
        else:
            t.skip('auto takes wp', 'wp cannot be had here')
