#!/usr/bin/env python3
"""Heap profiles: when they are written, what they are called, who may read them, and what happens
where they cannot be written."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

VICTIM = s.PROGRAMS / 'victim'
NAME = re.compile(r'^(.*)\.(\d+)\.(\d{4})\.(interval|exit|signal|request)\.pb\.gz$')


def totals(path):
    return s.read_profile(path).total()


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    if t.missing('profiles', 'go'):
        sys.exit()
    directory = Path(temporary)

    prefix = directory / 'exit'
    result = s.run([VICTIM, 'hello'], f'heapprofile={prefix}')
    found = s.dumps(prefix)
    t.equal([path.name for path in found], [f'exit.{result.pid}.0001.exit.pb.gz'], 'one at exit')
    t.equal((result.status, result.rest), (7, ['hello on stderr']), 'said nothing')
    if found:
        t.equal(oct(found[0].stat().st_mode & 0o777), '0o600', 'mode 0600')
        profile = s.read_profile(found[0])
        t.equal(profile.types, s.SAMPLE_TYPES, "sample types in Go's order")
        t.equal((profile.period_type, profile.period), ('space bytes', 524288), 'period')
        names = {name for sample in profile.samples for name, _, _ in profile.frames(sample)}
        t.ok({'churn', 'hello', 'main'} <= names, 'functions are named', sorted(names))
        files = {(name, Path(file).name) for sample in profile.samples
                 for name, file, line in profile.frames(sample) if line > 0}
        t.ok(('churn', 'victim.c') in files, 'with files and lines', sorted(files)[:20])
        t.ok(any(re.search(r'victim [0-9a-f]{40}', line) for line in profile.mappings),
             'mappings have build IDs', profile.mappings)

    result = s.run([VICTIM, 'hello'], f'heapprofile={directory}/{{exe}}-{{pid}}-%e-%p')
    expected = f'victim-{result.pid}-victim-{result.pid}'
    t.equal(len(s.dumps(directory / expected)), 1, '{exe}, {pid}, %e and %p in the prefix',
            list(directory.iterdir()))
    result = s.run([VICTIM, 'hello'], f'heapprofile={directory}/a\\,b')
    t.equal(len(s.dumps(directory / 'a,b')), 1, 'a comma in the prefix')
    result = s.run([VICTIM, 'hello'], f'heapprofile={directory}/never,heapprofileexit=0')
    t.equal(s.dumps(directory / 'never'), [], 'heapprofileexit=0')

    t.equal([path.name for path in directory.iterdir() if not path.name.endswith('.pb.gz')], [],
            'no temporary file is left')

    # By time, by signal; alloc never decreases; no more than is to be kept.
    prefix = directory / 'timed'
    with s.running([VICTIM, 'work', '60'], f'heapprofile={prefix},heapprofileinterval=300ms,'
                   'heapprofilesignal=USR2,memprofilerate=64KiB', ready='ready') as process:
        t.ok(s.wait_for(lambda: len(s.dumps(prefix)) >= 4, 20, process), 'dumps by time',
             s.dumps(prefix))
        before = {path.name for path in s.dumps(prefix)}
        os.kill(process.pid, signal.SIGUSR2)
        t.ok(s.wait_for(lambda: any('.signal.' in path.name for path in s.dumps(prefix)), 10, process),
             'a dump by signal')
        t.ok(process.poll() is None, 'which the program survives')
        process.terminate()
        process.wait()
        t.equal(process.text()[1], '', 'said nothing')
    found = s.dumps(prefix)
    names = [NAME.match(path.name) for path in found]
    t.ok(all(names), 'names are PREFIX.PID.SEQ.CAUSE.pb.gz', found)
    t.equal([int(match[3]) for match in names if match], list(range(1, len(found) + 1)),
            'numbered without gap')
    sums = [totals(path) for path in found]
    t.ok(all(a[0] <= b[0] and a[1] <= b[1] for a, b in zip(sums, sums[1:])),
         'alloc never decreases from dump to dump', sums)
    prefix = directory / 'kept'
    with s.running([VICTIM, 'work', '60'], f'heapprofile={prefix},heapprofileinterval=100ms,'
                   'heapprofilekeep=3', ready='ready') as process:
        s.wait_for(lambda: any('.0008.' in path.name for path in s.dumps(prefix)), 20, process)
        count = len(s.dumps(prefix))
        t.ok(2 <= count <= 4, f'heapprofilekeep=3 keeps the newest ({count})', s.dumps(prefix))

    # Without heapprofile there is no dump, and the signal is the program's.
    with s.running([VICTIM, 'work', '60'], 'gctrace=1', ready='ready') as process:
        os.kill(process.pid, signal.SIGUSR2)
        process.wait(10)
        t.equal(process.returncode, -signal.SIGUSR2, 'without heapprofilesignal USR2 is not ours')

    # What reads them.  The binary is moved away: a profile stands on its own.
    copy = directory / 'moved-victim'
    copy.write_bytes(VICTIM.read_bytes())
    copy.chmod(0o755)
    prefix = directory / 'alone'
    s.run([copy, 'hello'], f'heapprofile={prefix},memprofilerate=1')
    second = directory / 'second'
    s.run([copy, 'hello'], f'heapprofile={second},memprofilerate=1')
    copy.unlink()
    if t.ok(s.dumps(prefix) and s.dumps(second), 'two profiles of a binary that has gone'):
        one, two = s.dumps(prefix)[0], s.dumps(second)[0]
        top = s.pprof('-top', '-sample_index=alloc_space', one)
        t.ok(re.search(r'\bchurn$', top, re.M), 'pprof -top', top)
        listing = s.pprof('-list', '^churn$', '-sample_index=alloc_space',
                          f'-source_path={s.ROOT / "tests/programs"}', one)
        t.ok('char *p = malloc(size);' in listing, 'pprof -list', listing)
        t.ok('churn' in s.pprof('-peek', '^churn$', one), 'pprof -peek')
        t.ok('churn' in s.pprof('-traces', '-sample_index=alloc_space', one), 'pprof -traces')
        t.ok('churn' in s.pprof('-top', '-sample_index=alloc_space', two), 'pprof -top of the other')
        difference = s.pprof('-top', '-sample_index=alloc_space', f'-diff_base={one}', two)
        t.ok(re.search(r'Showing nodes accounting for 0,', difference),
             'pprof -diff_base: two equal runs differ by nothing', difference)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            address = '127.0.0.1:%d' % free.getsockname()[1]
        web = subprocess.Popen([s.find('go'), 'tool', 'pprof', '-no_browser', f'-http={address}', one],
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               env=s.environment(preload=False), stdin=subprocess.DEVNULL,
                               start_new_session=True)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def page():
            try:
                return opener.open(f'http://{address}/ui/top?si=alloc_space', timeout=20).read().decode()
            except OSError:
                return ''
        t.ok(s.wait_for(lambda: 'churn' in page(), 20, web), 'pprof -http', page())
        os.killpg(web.pid, signal.SIGKILL)  # go has started another program for it
        web.wait()

    # Where they cannot be written: said once, the program unharmed.
    with s.running([VICTIM, 'work', '3'], f'heapprofile={directory}/missing/x,'
                   'heapprofileinterval=200ms', ready='ready') as process:
        process.wait(30)
        status, (_, err) = process.returncode, process.text()
    lines = err.splitlines()
    t.ok(status == 0 and len(lines) == 1 and 'missing/x' in lines[0] and 'No such file' in lines[0],
         'a directory that is not there: said once', err)
    with s.running([VICTIM, 'work', '6'], f'heapprofile={directory}/later/x,'
                   'heapprofileinterval=200ms', ready='ready') as process:
        time.sleep(1)
        (directory / 'later').mkdir()
        t.ok(s.wait_for(lambda: s.dumps(directory / 'later/x'), 10, process),
             'and tried again: a directory that comes later')
    if os.geteuid() == 0:
        # Copies, as the build directory may be closed to others.
        with tempfile.TemporaryDirectory() as shared:
            os.chmod(shared, 0o755)
            for path in (VICTIM, s.LIB):
                shutil.copy(path, shared)
            result = s.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
                            f'{shared}/victim', 'hello'], 'heapprofile=profile,only=victim', cwd='/',
                           preload=f'{shared}/{s.LIB.name}')
        lines = [line for line in result.rest if line != 'hello on stderr']
        t.ok(result.status == 7 and len(lines) == 1 and 'Permission denied' in lines[0],
             'a relative prefix with cwd / and no right to write there', result)
        small = directory / 'small'
        small.mkdir()
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16k', 'none', small],
                                 capture_output=True, check=False).returncode == 0
        if not mounted:
            t.skip('a full directory', 'mount is not allowed')
        else:
            try:
                (small / 'fill').write_bytes(b'')
                with open(small / 'fill', 'wb', buffering=0) as fill:
                    try:
                        while True:
                            fill.write(b'x' * 4096)
                    except OSError:
                        pass
                result = s.run([VICTIM, 'hello'], f'heapprofile={small}/x')
                lines = [line for line in result.rest if line != 'hello on stderr']
                t.ok(result.status == 7 and len(lines) == 1 and 'No space left' in lines[0],
                     'a full directory: one line', result)
                t.equal([path.name for path in small.iterdir()], ['fill'], 'no half-written profile')
            finally:
                subprocess.run(['umount', small], check=False)
    else:
        t.skip('a directory without rights, a full one', 'needs root')

    # Libraries that come and go keep their names.
    prefix = directory / 'plugins'
    result = s.run([VICTIM, 'plugins', s.PROGRAMS / 'libplugin.so', '50'],
                   f'heapprofile={prefix},memprofilerate=1')
    t.equal((result.status, result.rest), (0, []), 'opens and closes a library 50 times', result)
    if s.dumps(prefix):
        named = s.read_profile(s.dumps(prefix)[0]).by_function(lambda name: name == 'plugin_allocate')
        t.equal(named.get('plugin_allocate', [0])[0], 1000, 'a library that has gone keeps its names')
