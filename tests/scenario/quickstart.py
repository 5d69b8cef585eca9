#!/usr/bin/env python3
"""tools/quickstart.sh, without a terminal, on what is built: the demo, a program of the user's own,
one that fails, one that cannot be preloaded."""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def quickstart(*arguments, **extra):
    env = s.environment(preload=False, extra={'MEMDEBUG_BUILD': str(s.BUILD),
                                                        'TMPDIR': temporary} | extra)
    return subprocess.run([s.ROOT / 'tools/quickstart.sh', *map(str, arguments)], env=env, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False)


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    # A minute where 15 s are too short, on a busy machine, for four cycles and a leak.
    before, begin = s.cpu_of_others(), time.monotonic()
    for seconds in ('15', '60'):
        done = quickstart(QUICKSTART_SECONDS=seconds)
        if len(re.findall(r'^gc .* ([5-9]|\d\d+)->.* MB,', done.stdout, re.M)) >= 4:
            break
    text = done.stdout + done.stderr
    t.equal(done.returncode, 0, 'the demo', text)
    lines = [s.GC_LINE.match(line) for line in done.stdout.splitlines() if line.startswith('gc ')]
    # Where others run too, many a cycle gets no CPU in time.
    busy = s.cpu_of_others() - before > 0.1 * (time.monotonic() - begin)
    t.ok(len([line for line in lines if line]) >= (1 if busy else 4), 'its trace lines are shown', text)
    table = done.stdout[done.stdout.find('== top call sites'):]
    # The unit is the one that suits the smallest figure: kB where a small sample is in the table.
    first = next((line for line in table.splitlines() if re.match(r'\s*[\d.]+[kM]B.*%.*%', line)), '')
    t.ok('make_token' in first, 'the call site that leaks stands first', table)
    flat = re.match(r'\s*([\d.]+)([kM])B', first)
    t.ok(flat and float(flat[1]) * {'k': 1 / 1024, 'M': 1}[flat[2]] > 5, 'with most of the memory', first)
    t.ok(re.search(r'memtop -b -n 1 \d+\n\d+ sessions', done.stdout), 'memtop looked at it', text)
    t.ok(re.search(r'\d+ cycles', done.stdout) and 'unreachable' in done.stdout, 'memtop tail charted it')
    kept = re.search(r'^everything is in (\S+)$', done.stdout, re.M)
    t.ok(kept and list(Path(kept[1]).glob('heap.*.pb.gz')), 'the profile is kept')

    # The README's picture, of a few seconds.
    picture = Path(temporary) / 'memtop.svg'
    if not t.missing('a picture of memtop', 'tmux'):
        done = subprocess.run([s.ROOT / 'tools/demo/picture.py', '--seconds', '8', '--build', s.BUILD, '-o', picture],
                              env=s.environment(preload=False), text=True, capture_output=True, timeout=200, check=False)
        t.equal((done.returncode, done.stderr), (0, ''), 'a picture of memtop is made')
        shown = ' '.join(ElementTree.parse(picture).getroot().itertext()) if picture.exists() else ''
        t.ok('sessions' in shown and 'CALL SITE' in shown and 'quit' in shown, 'and shows it', shown)

    done = quickstart('--', '/usr/bin/python3', '-c', 'x = [str(i) for i in range(300000)]; print(len(x))')
    t.ok(done.returncode == 0 and '300000\n' in done.stdout and 'top call sites' in done.stdout,
         'a program of the user', done.stdout + done.stderr)
    done = quickstart('--', '/bin/bash', '-c', 'echo said; echo complained >&2; exit 3')
    t.ok(done.returncode == 3 and 'said\n' in done.stdout and 'complained\n' in done.stdout,
         'its status and its stderr', done.stdout + done.stderr)
    done = quickstart('--', s.PROGRAMS / 'hello_static')
    t.ok(done.returncode == 0 and 'cannot be preloaded' in done.stdout, 'a static program is told so',
         done.stdout + done.stderr)
    done = quickstart('--', '/no/such/program')
    t.equal((done.returncode, done.stdout, done.stderr), (127, '', 'quickstart: /no/such/program: there is no such '
                                                          'program, or it cannot be executed\n'), 'a missing program')
    done = quickstart('nonsense')
    t.ok(done.returncode == 2 and 'usage' in done.stderr, 'a usage line for anything else', done.stderr)

    # What cannot be is said in a sentence, before anything is tried.
    def refused(name, command, sentence, **extra):
        env = s.environment(preload=False, extra=extra)
        done = subprocess.run([*map(str, command)], env=env, text=True, capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=100, check=False)
        t.ok(done.returncode == 1 and re.fullmatch(sentence, done.stderr) and not done.stdout, name,
             f'{done.returncode}\n{done.stdout}\n{done.stderr}')

    script = s.ROOT / 'tools/quickstart.sh'
    for name, place in (('blanks', 'a b'), ('a colon', 'a:b')):
        refused(f'a path with {name}', [script], r'quickstart: nothing can be preloaded .* LD_PRELOAD separates by '
                r'blanks and colons: MEMDEBUG_BUILD=.*\n', MEMDEBUG_BUILD=f'{temporary}/{place}')
    # As root, who may write everywhere else.
    alone = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$0/$1"',
             s.ROOT]
    if subprocess.run([*alone, '../bin/true'], capture_output=True, check=False).returncode in (126, 127):
        for script in ('tools/quickstart.sh', 'tests/run.sh', 'bench/run.sh'):
            refused(f'{script} in a read-only checkout', [*alone, script],
                    r'\S+: nothing can be built in .*, as .* cannot be written to: .*\n')
    else:
        t.skip('a read-only checkout', 'no mount namespace of our own')

    done = subprocess.run([s.ROOT / 'bench/run.sh', '--help'], text=True, capture_output=True, check=False)
    t.ok(done.returncode == 0 and '[--quick]' in done.stdout and not done.stderr, 'bench/run.sh --help', done)

    # Packages are missing, and there is no network, or nobody who may install.
    tools = Path(temporary) / 'tools'
    tools.mkdir()
    for name, text in (('dpkg-query', 'exit 1'), ('apt-get', 'exit 100'), ('id', 'echo 1000')):
        (tools / name).write_text(f'#!/bin/sh\n{text}\n')
        (tools / name).chmod(0o755)
    for name in ('env', 'tr', 'sh'):
        (tools / name).symlink_to(s.find(name))
    install = ['/bin/sh', s.ROOT / 'tools/install-deps.sh', 'build']
    refused('no root', install, r'install-deps: run as root or install sudo; needed: gcc .*\n', PATH=str(tools))
    (tools / 'id').write_text('#!/bin/sh\necho 0\n')
    refused('no network', install, r'install-deps: apt-get cannot install what is missing \(is there a network\?\): '
            r'gcc .*\n', PATH=str(tools))
