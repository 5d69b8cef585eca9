#!/usr/bin/env python3
"""Programs that the library cannot or must not be in: static, setuid, a malloc of their own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

with s.Tap() as t:
    for memdebug in (None, 'gctrace=1'):
        name = memdebug or 'MEMDEBUG unset'
        plain = s.run([s.PROGRAMS / 'hello_static'], preload=False)
        ours = s.run([s.PROGRAMS / 'hello_static'], memdebug)
        t.equal((ours.status, ours.out, ours.err), (plain.status, plain.out, ''),
                f'{name}: a static program is as it was')

    result = s.run([s.PROGRAMS / 'own_malloc'], 'gctrace=1')
    said = [line for line in result.rest if line.startswith('memdebug:')]
    t.ok(result.status == 0 and result.out.startswith('own malloc: ') and len(said) == 1 and
         'malloc of its own' in said[0] or 'own malloc' in ''.join(said),
         'a program with its own malloc gets one line that says so', result)
    result = s.run([s.PROGRAMS / 'own_malloc'], None)
    t.equal((result.status, result.err), (0, ''), 'and none with MEMDEBUG unset')

    if os.geteuid() != 0:
        t.skip('setuid', 'needs root')
    else:
        directory = Path(tempfile.mkdtemp(prefix='mdtest-'))
        try:
            directory.chmod(0o755)
            if subprocess.run(['findmnt', '-no', 'OPTIONS', '-T', directory], capture_output=True,
                              text=True, check=False).stdout.count('nosuid'):
                t.skip('setuid', f'{directory} is mounted nosuid')
            else:
                # Linked to the library, so that it is there although LD_PRELOAD is ignored; copied,
                # as the build directory may be closed to others.
                library = directory / 'libmemdebug.so.0'
                shutil.copy(s.LIB, library)
                for program in ('hello', 'hello_linked'):
                    copy = directory / program
                    shutil.copy(s.PROGRAMS / program, copy)
                    subprocess.run(['chown', '0:0', copy], check=True)
                    copy.chmod(0o4755)
                prefix = directory / 'profile'
                trace = directory / 'trace'
                as_nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
                for program in ('hello', 'hello_linked'):
                    expected = s.run([s.PROGRAMS / 'hello'], preload=False).out
                    result = s.run(as_nobody + ['/usr/bin/env', f'LD_PRELOAD={library}',
                                                f'MEMDEBUG=gctrace=1,heapprofile={prefix},'
                                                f'gctracefile={trace}', directory / program],
                                   preload=False)
                    lines = [line for line in result.err.splitlines() if 'cannot be preloaded' not in line
                             and not s.GC_LINE.match(line)]
                    if program == 'hello_linked' and 'cannot open shared object' in result.err:
                        t.skip('setuid, linked', 'the build directory is closed to other users')
                        continue
                    t.equal((result.status, result.out), (0, expected),
                            f'setuid {program}: the program is as it was', result)
                    t.ok(not any('hello' in cycle.name for cycle in result.lines) and not trace.exists(),
                         f'setuid {program}: MEMDEBUG is not read', result)
                    t.equal(list(directory.glob('profile*')), [], f'setuid {program}: no file written')
                    t.ok(all('memdebug' not in line for line in lines), f'setuid {program}: silent',
                         lines)
        finally:
            shutil.rmtree(directory)
