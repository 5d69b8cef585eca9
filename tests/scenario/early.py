#!/usr/bin/env python3
"""The first allocation comes before libc has set itself up: no locale, no environ, no constructor has run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

AUDITED = {'LD_AUDIT': str(s.PROGRAMS / 'auditor.so'),
           # An auditor's own libc takes the room for the thread-locals of a malloc (libjemalloc's too).
           'GLIBC_TUNABLES': 'glibc.rtld.optional_static_tls=8192'}

with s.Tap() as t:
    for name, env in (('in the resolver of an IFUNC', {}), ('and below an auditor', AUDITED)):
        for memdebug in (None, 'memprofilerate=1', 'gctrace=1', 'leakcheck=1'):
            result = s.run([s.PROGRAMS / 'early'], memdebug, env=env)
            t.ok((result.status, result.out, result.rest) == (0, '42, 32 kept\n', []), f'{name}, {memdebug}: unharmed',
                 result)
            if memdebug == 'gctrace=1':
                t.ok(len(result.lines) == 1, f'{name}: MEMDEBUG is heard', result)
