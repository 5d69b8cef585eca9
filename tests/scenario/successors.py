#!/usr/bin/env python3
"""Programs that call exec of one that is not watched: what is left of them is a dead one's, though the process
lives on, and memtop says of both what they are."""

import contextlib
import gzip
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

# Allocates, waits for a file, and becomes another program.
BECOMER = ('import os,sys,time\n'
           'keep=[bytearray(1000) for _ in range(5000)]\n'
           'print("ready", flush=True)\n'
           'while not os.path.exists(sys.argv[1]): time.sleep(0.02)\n'
           'os.execvp(sys.argv[2], sys.argv[2:])\n')


def memtop(*arguments, binary=False):
    return s.run([s.MEMTOP, *arguments], preload=False, binary=binary)


@contextlib.contextmanager
def became(t, what, command, ground, memdebug='gc=ready', user=()):
    """A program that has called exec of one that is not watched: what is left of it is a dead one's.  Segments
    and all that a plain user needs lie below `ground`."""
    def ask(*arguments):
        return s.run([*user, ground / 'memtop', *arguments], preload=False, env={'MEMDEBUG': f'dir={ground}'})

    def listed():
        return [row for row in map(json.loads, ask('ps', '--json').out.splitlines()) if row['pid'] == process.pid]

    go, successor = ground / 'go', Path(command[-2]).name
    with s.running([*user, 'env', f'LD_PRELOAD={ground}/libmemdebug.so', '/usr/bin/python3', '-c', BECOMER, go,
                    *command], f'{memdebug},dir={ground}', preload=False, ready='ready', env={'PYTHONMALLOC': 'malloc'}) as process:
        s.wait_for(listed, 60, process)
        before = listed()
        t.ok(len(before) == 1 and before[0]['state'] == 'live' and before[0]['successor'] is None,
             f'{what}: before the exec it lives', before)
        go.touch()
        s.wait_for(lambda: Path(f'/proc/{process.pid}/comm').read_text() == f'{successor}\n', 60, process)
        go.unlink()
        after = listed()
        t.ok(len(after) == 1 and after[0]['state'] == 'dead' and after[0]['successor'] == successor and
             after[0]['name'] == 'python3' and after[0]['heap_bytes'] > 4e6,
             f'{what}: then what was python3 is dead, and its process runs {successor}', after)
        result = ask('-b', str(process.pid))
        t.ok(result.status == 0 and
             re.match(rf'{process.pid} python3  dead after \S+, by exec of {successor}  ', result.out),
             f'{what}: it can be read', result)
        result = ask('ps')
        t.ok(re.search(rf'^ *{process.pid} .* dead .*\(ended by exec of {successor}\)', result.out, re.M),
             f'{what}: ps says what has become of it', result)
        yield process.pid, Path(after[0]['segment'] if after else ground)


def execs(t):
    with tempfile.TemporaryDirectory(prefix='mdtest-', dir='/dev/shm') as directory:
        ground = Path(directory)
        ground.chmod(0o1777)
        shutil.copy(s.LIB, ground / 'libmemdebug.so')
        shutil.copy(s.MEMTOP, ground / 'memtop')
        with became(t, 'only=', ['sleep', '60'], ground, f'gc=ready,only=python3'):
            pass
        with became(t, 'without LD_PRELOAD', ['env', '-u', 'LD_PRELOAD', 'sleep', '60'], ground) as (pid, left):
            result = memtop('gc', pid)
            t.ok(result.status == 1 and 'has ended by exec: nothing can be asked of it' in result.err,
                 'nothing can be asked of it', result)
            result = memtop('heap', pid, binary=True)
            t.ok(result.status == 0 and gzip.decompress(result.out), 'its profile is there', result.err)
            with s.running([s.PROGRAMS / 'victim', 'hold', '60'], f'keepdead=0,gc=ready,dir={ground}', ready='ready'):
                t.ok(s.wait_for(lambda: not left.exists(), 60), 'and the next program clears it away', left)
        name = 'a set-user-ID program, seen by who may not look into it'
        with tempfile.TemporaryDirectory(prefix='mdtest-') as tools:
            sleep, whoami = (Path(shutil.copy(f'/usr/bin/{tool}', tools)) for tool in ('sleep', 'whoami'))
            for tool in (sleep, whoami, Path(tools)):
                tool.chmod(0o4755)
            user = ['setpriv', '--reuid=64999', '--regid=64999', '--clear-groups']
            if os.geteuid() != 0 or s.run([*user, whoami], preload=False).out != 'root\n':
                t.skip(name, 'needs root, and no nosuid mount')
                return
            with became(t, name, [sleep, '60'], ground, user=user):
                pass


def summary(t):
    for seconds in ('2', '30'): # it looks twice a second, when the machine lets it
        result = memtop('run', '--', '/usr/bin/python3', '-c', BECOMER, '/', 'env', '-u', 'LD_PRELOAD', 'sleep', seconds)
        if 'sleep: ' in result.err:
            break
    t.ok(re.search('^  memdebug +sleep: started without LD_PRELOAD', result.err, re.M),
         'of what has become another program by exec the summary says why there is nothing', result)


with s.Tap() as t:
    execs(t)
    summary(t)
