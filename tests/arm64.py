#!/usr/bin/env python3
"""Programs of arm64 with the library in them, under qemu-user: what tests/cross.sh ends with, in TAP.

    MEMDEBUG_BUILD=BUILD tests/arm64.py ROOT     the build for arm64, and a system of arm64

Its Debian's own programs run as without the library, what they allocate has names, and memtop reads their
profiles and segments, all of it as arm64's code."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / 'support'))
import scenario as s

ROOT = Path(sys.argv[1])
LIBRARY = s.BUILD / 'libmemdebug.so.0'
SQL = ('create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) '
       'insert into t select i, hex(randomblob(20)) from n; select count(*) from t group by a % 2 order by b;')
PYTHON = 'kept = {str(i): [i] * 9 for i in range(2000)}; print(len(kept))'
# What they are called with, how often a sample is taken, as a stack takes the emulator up to 60 ms, and what of
# their own is among the names of what they allocate.
PROGRAMS = {
    'true': (['/usr/bin/true'], 4096, None),
    'sqlite3': (['/usr/bin/sqlite3', ':memory:', SQL], 4096, r'\bsqlite3\w+'),
    'python3': (['/usr/bin/python3', '-c', PYTHON], 65536, r'\b_?Py\w+'),
}
KEPT = '''#include <stdlib.h>
static void *kept[2000];
__attribute__((noinline)) static void *keep_one(size_t size)
{
    return malloc(size);
}
int main(void)
{
    for (int i = 0; i < 2000; i++)
        free(keep_one(3000)), kept[i] = keep_one(1000);
    return kept[1999] == NULL;
}
'''


def emulated(command, preload=True, page=4096):
    """`command` as the emulator's; paths of the system are those below ROOT."""
    library = ['-E', f'LD_PRELOAD={LIBRARY}'] if preload else []
    program = ROOT / command[0][1:] if str(command[0]).startswith('/usr/') else command[0]
    return ['qemu-aarch64', '-p', str(page), '-L', ROOT, *library, '-0', command[0], program, *command[1:]]


def run(command, memdebug=None, preload=True, page=4096, timeout=600):
    return s.run(emulated(command, preload, page), memdebug, preload=False, timeout=timeout,
                 env={'PYTHONMALLOC': 'malloc'})


def has_pages_of(page):
    """Since version 9 an emulator's pages are its machine's."""
    done = s.run(emulated(['/usr/bin/true'], preload=False, page=page), preload=False, env={'LD_SHOW_AUXV': '1'})
    return re.search(rf'^AT_PAGESZ: +{page}$', done.out, re.M)


def memtop(*arguments):
    return s.run(emulated([s.MEMTOP, *map(str, arguments)], preload=False), preload=False, timeout=600)


def profile_of(program, options, directory, page=4096):
    """(what the run was like, its profile at exit or None)"""
    prefix = Path(directory) / 'heap'
    for old in s.dumps(prefix):
        old.unlink()
    done = run(program, f'{options},heapprofile={prefix}', page=page)
    files = s.dumps(prefix)
    return done, files[-1] if files else None


def check_exact(t, directory, binary, how, page):
    """Counts, bytes and names of a program whose allocations are known, each of them sampled."""
    done, path = profile_of([binary], f'memprofilerate=1,unwind={how}', directory, page)
    samples = {tuple(values[:4]): profile.frames((values, locations))
               for profile in ([s.read_profile(path)] if path else [])
               for values, locations, _ in profile.samples}
    named = [frames[0][:2] if frames else None
             for counts in ((2000, 2048000, 2000, 2048000), (2000, 6144000, 0, 0))
             for frames in [samples.get(counts)]]
    t.ok(done.status == 0 and all(found and found[0] == 'keep_one' and found[1].endswith('kept.c') for found in named),
         f'unwind={how}, pages of {page >> 10} KiB: a profile has what the program has allocated',
         f'{done}\n{samples}')


def check_program(t, name, directory, page):
    command, rate, names = PROGRAMS[name]
    pages = f'pages of {page >> 10} KiB'
    alone, unset = run(command, preload=False, page=page), run(command, page=page)
    t.ok(alone.status == 0 and (unset.status, unset.out, unset.err) == (alone.status, alone.out, alone.err),
         f'{name}, {pages}: runs as without the library', f'{alone}\n{unset}')
    done, path = profile_of(command, f'memprofilerate={rate}', directory, page)
    t.ok((done.status, done.out, done.err) == (alone.status, alone.out, alone.err),
         f'{name}, {pages}: the same at memprofilerate={rate}', done)
    if names:
        table = memtop('heap', '-b', '--allocs', path or 'no profile')
        t.ok(table.status == 0 and re.search(names, table.out, re.M), f'{name}, {pages}: what it allocates has names',
             table)


def check_segment(t, directory):
    """memtop on what a killed process leaves behind.  (Of one that lives the emulator tells another start than the
    kernel does, so that memtop takes it for dead.)"""
    command = ['/usr/bin/python3', '-c', PYTHON.replace('print(', 'import time; print("ready", flush=True); '
                                                        'time.sleep(1000); print(')]
    with s.running(emulated(command), f'memprofilerate=65536,dir={directory}', preload=False, ready='ready',
                   env={'PYTHONMALLOC': 'malloc'}, timeout=600) as process:
        files = list(Path(directory).glob(f'{process.pid}-*.mdseg'))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = memtop('heap', '-b', *files)
    t.ok(left.status == 0 and re.search(PROGRAMS['python3'][2], left.out, re.M), 'memtop reads the segment of a killed process', left)


def main():
    with s.Tap() as t, tempfile.TemporaryDirectory(dir='/dev/shm') as directory:
        source, binary = Path(directory) / 'kept.c', Path(directory) / 'kept'
        source.write_text(KEPT)
        subprocess.run(['aarch64-linux-gnu-gcc', f'--sysroot={ROOT}', '-g', '-O1', source, '-o', binary], check=True)
        for page in (4096, 65536):
            if page != 4096 and not has_pages_of(page):
                t.skip(f'pages of {page >> 10} KiB', 'this qemu-user has pages of 4 KiB alone')
                continue
            for how in ('cfi', 'fp'):
                check_exact(t, directory, binary, how, page)
            for name in PROGRAMS:
                check_program(t, name, directory, page)
        check_segment(t, directory)
        done = run(['/usr/bin/true'], 'gctrace=1')
        t.ok(done.status == 0 and 'no cycles: they cannot be done on arm64 yet' in done.err,
             'that there are no cycles is said', done)


if __name__ == '__main__':
    main()
