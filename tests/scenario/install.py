#!/usr/bin/env python3
"""What `meson install` puts where, that it works where it is moved to, and what is said where libdw is
not installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

PYTHON = '/usr/bin/python3'
GROWS = 'x = [str(i) for i in range(200000)]'


def install(into):
    """The prefix below `into`, None where it cannot be had."""
    done = subprocess.run(['meson', 'install', '-C', s.BUILD, '--no-rebuild', '--quiet'], text=True,
                          env=os.environ | {'DESTDIR': str(into)}, capture_output=True, check=False)
    found = [path.parent.parent for path in Path(into).glob('**/bin/memtop')]
    return (found[0] if found else None), done.stdout + done.stderr


def moved(t, directory):
    prefix, said = install(directory / 'destination')
    if not t.ok(prefix, 'meson install', said):
        return
    for path in ('share/man/man1/memtop.1', 'share/man/man7/memdebug.7', 'share/bash-completion/completions/memtop',
                 'share/zsh/site-functions/_memtop', 'share/fish/vendor_completions.d/memtop.fish',
                 'include/memdebug/memdebug.h'):
        t.ok((prefix / path).is_file(), path)
    # As a run-time package has it: without the name that only the linker needs.
    elsewhere = directory / 'moved'
    shutil.move(prefix, elsewhere)
    shutil.rmtree(directory / 'destination')
    libraries = list(elsewhere.glob('lib*/**/libmemdebug.so'))
    if not t.equal(len(libraries), 1, 'the library is there once', libraries):
        return
    library = libraries[0].with_name('libmemdebug.so.0')
    libraries[0].unlink()
    done = s.run([elsewhere / 'bin/memtop', 'run', '--', '/bin/sh', '-c', 'echo $LD_PRELOAD'], preload=False)
    t.equal(done.out.strip(), str(library), 'memtop in a moved prefix preloads the library of that prefix, '
            'by the name that stays', done)
    done = s.run([elsewhere / 'bin/memtop', 'run', '--', PYTHON, '-c', GROWS], preload=False,
                 env={'PYTHONMALLOC': 'malloc'})
    t.ok(done.status == 0 and 'peak heap' in done.err, 'and sums up what it has seen', done)


def without_libdw(t, directory):
    hidden = Path(subprocess.run([PYTHON, '-c', 'import ctypes; ctypes.CDLL("libdw.so.1"); '
                                  'print([l.split()[-1] for l in open("/proc/self/maps") if "libdw" in l][0])'],
                                 capture_output=True, text=True, check=False).stdout.strip())
    as_root = [] if os.geteuid() == 0 else ['--map-root-user']
    hide = ['unshare', '-m', *as_root, 'sh', '-c', f'mount --bind /dev/null {hidden} && exec "$@"', 'sh']
    if not hidden.is_file() or subprocess.run([*hide, 'true'], capture_output=True, check=False).returncode:
        t.skip('without libdw', 'it is not here to be hidden, or unshare and mount are not allowed')
        return
    missing = re.compile(r'^\w+: names of functions are missing: libdw\.so\.1 is not here \(.*libdw1\)$', re.M)
    inside = f'{GROWS}\nimport os, time\ntime.sleep(0.5)\nif os.fork() == 0: raise SystemExit\nos.wait(); time.sleep(0.3)'
    preload = [*hide, 'env', f'LD_PRELOAD={s.LIB}', 'PYTHONMALLOC=malloc']
    profile = f'MEMDEBUG=memprofilerate=4096,heapprofile={directory}/heap,heapprofileinterval=100ms'
    done = s.run([*preload, profile, PYTHON, '-c', inside], preload=False)
    profiles = list(directory.glob('heap.*.pb.gz'))
    t.ok(done.status == 0 and len(profiles) > 2, 'profiles are written without names', done)
    by_pid = len({path.name.split('.')[1] for path in profiles})
    t.equal((by_pid, len(missing.findall(done.err))), (2, 1), 'which is said once, whoever is forked', done)
    done = s.run([*preload, 'MEMDEBUG=leakcheck=1', PYTHON, '-c', GROWS], preload=False)
    t.equal(len(missing.findall(done.err)), 1, 'a leak report says it too', done)
    done = s.run([*preload, PYTHON, '-c', GROWS], preload=False)
    t.ok(done.status == 0 and not missing.search(done.err), 'nobody who wants no names is told', done)
    with s.running([PYTHON, '-c', f'{GROWS}\nprint("ready", flush=True)\nimport time; time.sleep(60)'],
                   env={'PYTHONMALLOC': 'malloc'}, memdebug='gc=ready', ready='ready') as process:
        for command in (['-b', '-n1', process.pid], ['heap', '-b', process.pid], ['leaks', process.pid]):
            done = s.run([*hide, s.MEMTOP, *command], preload=False)
            t.equal(len(missing.findall(done.err)), 1, f'memtop says it: {command[0]}', done)
        done = s.run([s.MEMTOP, 'heap', '-b', process.pid], preload=False)
        t.ok(done.status == 0 and not missing.search(done.err), 'and not where libdw is there', done)


with s.Tap() as tap, tempfile.TemporaryDirectory() as temporary:
    moved(tap, Path(temporary))
    without_libdw(tap, Path(temporary))
