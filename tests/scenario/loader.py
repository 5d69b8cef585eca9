#!/usr/bin/env python3
"""A sample asks the loader nothing, and libunwind is ours alone: handlers that unwind, forks beside
dlopen, libraries that take each other's place, programs that export libunwind's names, filters that
kill for its calls."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

LOADER, CONFINE = (s.PROGRAMS / name for name in ('loader', 'confine'))
PLUGIN = s.PROGRAMS / 'libplugin.so'
MODES = (None, 'memprofilerate=1', 'gctrace=1,gcinterval=50ms')

with s.Tap() as t:
    for memdebug in MODES:
        name = memdebug or 'MEMDEBUG unset'
        result = s.run([LOADER, 'handler', '30000'], memdebug, timeout=400)
        t.equal((result.status, result.out), (0, 'handled=most unreached=0\n'),
                f'{name}: a handler unwinds in the middle of samples', result)
        result = s.run([LOADER, 'fork', '300', PLUGIN], memdebug, timeout=100)
        t.equal((result.status, result.out), (0, 'children=300 hung=0 failed=0\n'),
                f'{name}: 300 forks beside dlopen and dlclose', result)
        for path in s.segments():  # of children, which leave by _exit
            path.unlink()

    for unwind in ('cfi', 'fp'):
        result = s.run([LOADER, 'stale', '40000', PLUGIN], f'memprofilerate=1,unwind={unwind}', timeout=200)
        t.equal((result.status, result.out), (0, 'allocated=40000 loaded=always\n'),
                f'unwind={unwind}: words of the stack that point into a library which is being unloaded', result)

    # stdin ends only with the program, for which the constructor waits.
    for memdebug in MODES:
        process = subprocess.Popen([s.PROGRAMS / 'refused', s.PROGRAMS / 'slow_plugin.so'], text=True,
                                   env=s.environment(memdebug), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out = process.stdout.read()
        process.wait(30)
        process.stdin.close()
        t.equal(out, 'status 15\n', f'{memdebug or "MEMDEBUG unset"}: operator new is refused in a child that finds '
                'the loader locked')

    if not t.missing('a library where another was', 'go'):
        with tempfile.TemporaryDirectory() as directory:
            prefix = Path(directory) / 'p'
            turns = [s.PROGRAMS / f'reused{1 + i % 2}.so' for i in range(6)]
            result = s.run([LOADER, 'reuse', *turns, '--', '10'], f'memprofilerate=1,heapprofile={prefix}')
            place = re.fullmatch(r'loaded=6 at_one_place=(\d)\n', result.out)
            t.ok(result.status == 0 and place and int(place[1]) > 1,
                 'six libraries, one where the other was', result)
            found = s.read_profile(s.dumps(prefix)[0]).by_function(
                lambda name: name.startswith('allocate_in_'))
            t.equal({name: values[2] for name, values in found.items()},
                    {'allocate_in_1': 30, 'allocate_in_2': 30}, 'each keeps its names')

            path = Path(directory) / 'framed'
            result = s.run([s.PROGRAMS / 'sites_framed', '48', path], 'memprofilerate=1,unwind=fp')
            truth, profile = s.key_values(result.out), s.read_profile(path)
            del truth['site_strdup_30']  # libc keeps none, so it hides its caller
            found = profile.by_function(lambda name: name.startswith('site_'))
            t.equal({site: found.get(site, [0])[0] for site in truth},
                    {site: values['alloc_objects'] for site, values in truth.items()},
                    'by frame pointers: each allocation by its site', result)
            t.equal([names for names in ([name for name, _, _ in profile.frames(sample)]
                                         for sample in profile.samples)
                     if any(name.startswith('site_') for name in names)
                     and not {'main', 'start_thread'} & set(names)], [], 'and each stack to its end')

            program = s.PROGRAMS / 'unwinder_names'
            for options in ('', ',unwind=fp'):
                prefix = Path(directory) / ('u' + options[1:3])
                result = s.run([program], f'memprofilerate=1,heapprofile={prefix}{options}')
                t.equal((result.status, result.out, result.rest), (0, 'unharmed\n', []),
                        f'a program that exports names of libunwind{options}', result)
            found = s.read_profile(s.dumps(Path(directory) / 'u')[0]).by_function(
                lambda name: name == 'allocate_here')
            t.equal(found.get('allocate_here', [0] * 4)[0], 20000, 'its stacks are known')
    result = s.run([s.PROGRAMS / 'unwinder_names'])
    t.equal((result.status, result.out, result.rest), (0, 'unharmed\n', []), 'the same, MEMDEBUG unset',
            result)

    for memdebug in (None, 'memprofilerate=1'):
        result = s.run([CONFINE, 'kill', 'mincore,msync,pipe2', s.PROGRAMS / 'words', __file__], memdebug)
        t.equal((result.status, result.rest), (0, []),
                f'{memdebug or "MEMDEBUG unset"}: a filter that kills for what libunwind calls', result)
