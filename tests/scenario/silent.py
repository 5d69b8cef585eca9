#!/usr/bin/env python3
"""Loaded with MEMDEBUG unset, the program is as it was: nothing printed, no thread, no file before
512 KiB have been allocated, none left behind."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def strace(command, calls, preload):
    """Lines of the system calls `calls` that `command` makes with the library in it."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / 'log'
        inner = ['/usr/bin/env'] + ([f'LD_PRELOAD={s.LIB}'] if preload else []) + command
        subprocess.run([s.find('strace'), '-f', '-qq', '-o', log, '-e', 'trace=' + calls,
                        *map(str, inner)], env=s.environment(preload=False),
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        return [line for line in log.read_text().splitlines() if '(' in line]


with s.Tap() as t:
    victim = s.PROGRAMS / 'victim'
    for command in (['/bin/true'], [victim, 'hello'], ['/usr/bin/python3', '-c', 'print("x" * 10)'],
                    ['/bin/ls', '/'], ['/bin/sh', '-c', 'echo a; echo b >&2; exit 3']):
        plain, ours = s.run(command, preload=False), s.run(command)
        name = ' '.join(map(str, command)).replace(str(s.PROGRAMS) + '/', '')
        t.equal((ours.status, ours.out, ours.err), (plain.status, plain.out, plain.err),
                f'same output and status: {name}')
        t.equal(s.segments(ours.pid), [], f'no segment left behind: {name}')

    result = s.run([victim, 'threads'])
    t.equal(result.out, 'threads=1\n', 'no thread after 8 MB of allocations')
    with s.running([victim, 'work', '20'], ready='ready') as process:
        s.wait_for(lambda: s.segments(process.pid), 10, process)
        t.equal(s.threads_of(process.pid), 1, 'no thread while it runs')
        found = s.segments(process.pid)
        t.equal(len(found), 1, 'one segment while it runs', found)
        if found:
            mode = found[0].stat().st_mode & 0o777
            t.equal(oct(mode), '0o600', 'the segment is private')
            t.equal(oct(found[0].parent.stat().st_mode & 0o7777) in ('0o700', '0o1777'), True,
                    'and so is its directory')
        t.ok(str(s.LIB) in Path(f'/proc/{process.pid}/maps').read_text(), 'the library is mapped')
        # A while may pass: beside the new segment it first looks whose the old ones are.
        t.ok(s.wait_for(lambda: os.listdir(f'/proc/{process.pid}/fd') == ['0', '1', '2'], 10, process),
             'it keeps no descriptor open', os.listdir(f'/proc/{process.pid}/fd'))
        process.terminate()
        process.wait()
    for leftover in s.segments(process.pid):  # killed: a dead process's segment, ours to remove
        leftover.unlink()

    # Nothing of ours takes a descriptor: what the program opens next has the number it would have.
    for memdebug in (None, 'memprofilerate=1', 'gctrace=1,gctracefile=/dev/null', 'gc=ready'):
        numbers = [s.run(['/bin/sh', '-c', 'exec ls /proc/self/fd'], memdebug, preload=preload).out.split()
                   for preload in (False, True)]
        t.equal(numbers[1], numbers[0], f'{memdebug}: the descriptors of a program')

    if not t.missing('system calls', 'strace'):
        clones = strace([victim, 'threads'], 'clone,clone3,fork,vfork', True)
        t.equal(clones, [], 'no clone')
        created = [line for line in strace(['/bin/true'], 'openat,open,creat,rename,memfd_create,mkdir',
                                           True)
                   if 'O_CREAT' in line or re.search(r'(creat|rename|memfd_create|mkdir)\(', line)]
        t.equal(created, [], 'a program of less than 512 KiB creates no file')
        signals = strace([victim, 'threads'], 'rt_sigaction,rt_sigprocmask', True)
        before = strace([victim, 'threads'], 'rt_sigaction', False)
        extra = [line for line in signals if 'rt_sigaction' in line and
                 line.split(None, 1)[1] not in {old.split(None, 1)[1] for old in before}]
        t.equal(extra, [], 'no signal handler installed')
