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

    # A malloc of its own: one line that says so, and nothing of ours beside it.
    own = [s.PROGRAMS / 'own_malloc']
    line = 'memdebug: own_malloc has a malloc of its own: its memory cannot be seen'
    alone = 'own malloc: used, 1 thread(s), 0 handler(s), 0 segment(s)\n'
    with tempfile.TemporaryDirectory(prefix='mdtest-') as made:
        for memdebug in (None, 'gc=ready', 'gctrace=1', 'gctrace=1,gcinterval=10ms', 'leakcheck=1',
                         f'memprofilerate=4096,heapprofile={made}/profile,heapprofilesignal=USR2'):
            result = s.run(own, memdebug)
            expected = (0, alone, [line] if memdebug else [])
            got = (result.status, result.out, [r for r in result.err.splitlines() if line in r])
            t.equal(got, expected, f'a malloc of its own, {memdebug or "unset"}', result)
            t.equal(s.segments(result.pid) + list(Path(made).iterdir()), [],
                    f'a malloc of its own, {memdebug or "unset"}: no file', result)
            if memdebug != 'leakcheck=1':
                t.equal(result.err.splitlines(), expected[2],
                        f'a malloc of its own, {memdebug or "unset"}: no other line', result)
        for memdebug in ('gctrace=1', 'gctrace', 'GC=ready', 'nonsense=1,gc=ready', 'follow=fork,gctrace=1',
                         'gcTrace=1,follow=fork,exec'):
            result = s.run(own + ['3'], memdebug)
            t.equal((result.status, result.out, result.err.count(line)), (0, 4 * alone, 1),
                    f'said once in a process tree, {memdebug}', result)

    # A leak check that cannot be done is no pass; its line, too, is said once in a process tree.
    for command, preload in ((own + ['3'], True),
                             ([s.PROGRAMS / 'hello'], f'libc_malloc_debug.so:{s.LIB}')):
        result = s.run(command, 'leakcheck=1,leakexitcode=23', preload)
        t.ok(result.status == 23 and result.err.count('SUMMARY') == 1 and
             'SUMMARY: memdebug: not checked: ' in result.err and 'of its own' in result.err,
             f'{command[0].name} has a malloc of its own: not checked', result)

    # glibc's second names for its malloc, and the usual ones.
    for memdebug in (None, 'memprofilerate=1', 'memprofilerate=4096', 'gc=ready', 'gctrace=1'):
        for first in ('', 'libc_malloc_debug.so:'):
            result = s.run([s.PROGRAMS / 'doors'], memdebug, f'{first}{s.LIB}')
            t.equal((result.status, result.out), (0, 'doors: 0 wrong\n'),
                    f'__libc_malloc and free, {memdebug or "unset"}, preloaded {first}ours', result)

    # Another library's malloc first: whatever version of its name the program's reference finds.
    for memdebug in (None, 'gctrace=1', 'memprofilerate=4096'):
        result = s.run([s.PROGRAMS / 'own_new'], memdebug)
        t.ok(result.status == 0 and
             result.out == 'own new: 6 of 6 own, 3 of 3 aligned, 0 strangers, refused, thrown\n',
             f'{memdebug}: operator new and delete of a program with a malloc of its own go there', result)

    hello = s.run([s.PROGRAMS / 'hello'], preload=False)
    for other in ('libc_malloc_debug.so', s.JEMALLOC):
        program = Path(other).name
        if isinstance(other, Path) and not other.exists():
            t.skip(program, 'not installed')
            continue
        result = s.run([s.PROGRAMS / 'hello'], 'gctrace=1', preload=f'{other}:{s.LIB}')
        t.ok(result.status == 0 and result.out == hello.out and len(result.err.splitlines()) == 1 and
             f'hello has a malloc of its own, that of ' in result.err and program in result.err,
             f'{program} stands first: said', result)
        result = s.run([s.PROGRAMS / 'hello'], 'gctrace=1', preload=f'{s.LIB}:{other}')
        t.ok(result.status == 0 and result.out == hello.out and result.lines and not result.rest,
             f'{program} stands behind: the memory is seen', result)
    for first, seen in (('', True), ('libc_malloc_debug.so:', False)):
        result = s.run([s.PROGRAMS / 'taken'], 'gctrace=1', preload=f'{first}{s.LIB}')
        t.ok((result.status, result.out) == (0, 'taken: the same\n') and
             bool(result.lines) == seen and ('of its own' in result.err) != seen,
             f'the addresses of malloc and free are taken, preloaded {first}ours', result)

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
