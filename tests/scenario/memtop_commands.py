#!/usr/bin/env python3
"""memtop's commands without a terminal: what they print, for people and as NDJSON, and how they end."""

import gzip
import json
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

FAKE = s.BUILD / 'tests' / 'scenario' / 'fake_segment'
# Grows by 1 MB each tenth of a second, and ends on a signal.
GROWER = ('import sys,time,signal\n'
          'keep=[]\n'
          'def grow_here(): keep.append([bytearray(1000) for _ in range(1000)])\n'
          'for i in range(int(sys.argv[1])):\n'
          '    grow_here(); time.sleep(0.1)\n'
          '    if i == 2: print("ready", flush=True)\n'
          'time.sleep(float(sys.argv[2]))\n'
          'sys.exit(int(sys.argv[3]))\n')
# Two processes that allocate at SIGUSR1.
FORKER = ('import os,signal\n'
          'keep=[bytearray(1000) for _ in range(5000)]\n'
          'def grow(*_): keep.append([bytearray(1000) for _ in range(5000)])\n'
          'signal.signal(signal.SIGUSR1, grow)\n'
          'child=os.fork()\n'
          'if child: print("ready", child, flush=True)\n'
          'while True: signal.pause()\n')
PYTHON = ['/usr/bin/python3', '-c', GROWER]
PYTHON_NAME = 'python3'
PYMALLOC_OFF = {'PYTHONMALLOC': 'malloc'}


def memtop(*arguments, stdin=None, timeout=60, env=None, binary=False, **more):
    return s.run([s.MEMTOP, *arguments], preload=False, stdin=stdin, timeout=timeout, env=env,
                 binary=binary, **more)


def objects(result):
    return [json.loads(line) for line in result.out.splitlines()]


def usage(t):
    for arguments in (['-h'], ['--help'], ['run', '-h'], ['-V']):
        result = memtop(*arguments)
        t.ok(result.status == 0 and result.out and not result.err, f'memtop {arguments}', result)
    for word, option in (((), ()), (('run',), ('run',)), (('leaks',), ('leaks',))):
        result, same = memtop('help', *word), memtop(*option, '--help')
        t.equal((result.status, result.out, result.err), (0, same.out, ''), f'memtop help {word}: as by --help', same)
        t.ok(not word or result.out.startswith(f'usage: memtop {word[0]} '), f'{word}: its own usage comes first', result)
    wrong = (['--nonsense'], ['-d', 'x', '1'], ['-n', '0', '1'], ['-n', '-3', '1'], ['-d'], ['-d', '0'],
             ['--charset=utf', '1'], ['ps', 'extra'], ['ps', '-o', 'x'], ['run'], ['heap'], ['gc'],
             ['-p', 'abc'], ['top', '1', '2'], ['heap', '1', '--all'], ['help', 'rum'], ['help', 'run', 'ps'])
    for arguments in wrong:
        result = memtop(*arguments)
        t.ok(result.status == 2 and result.err.startswith('memtop: ') and not result.out,
             f'memtop {" ".join(arguments)}: usage', result)
    for arguments, nearest in ((['leak', '1'], 'leaks'), (['haep', '-b', '1'], 'heap'), (['pss', '--all', 'x'], 'ps')):
        result = memtop(*arguments)
        t.equal((result.status, result.err, result.out),
                (2, f'memtop: unknown command {arguments[0]}, nearest: {nearest} (memtop -h lists all)\n', ''),
                f'{arguments[0]}: the command that is meant')
    result = memtop('leak')
    t.ok(result.status == 1 and result.err.startswith('memtop: no process is called leak: ')
         and result.err.endswith('; or is memtop leaks meant?\n') and result.err.count('\n') == 1,
         'a single word may be a process or a command', result)
    for command in ('report', 'post-mortem'):
        for words in ((command,), ('help', command)):
            result = memtop(*words)
            t.equal((result.status, result.err), (2, f'memtop: {command} is not in this version\n'), ' '.join(words))


def listing(t):
    with s.running([FAKE, '--name', 'alpha'], preload=False, ready='ready') as fake, \
            s.running([FAKE, '--name', 'twin'], preload=False, ready='ready') as twin, \
            s.running([FAKE, '--name', 'twin'], preload=False, ready='ready') as other:
        for command in ([], ['ps']):
            result = memtop(*command)
            row = [line for line in result.out.splitlines() if line.split()[:1] == [str(fake.pid)]]
            t.ok(result.status == 0 and len(row) == 1 and ' live ' in row[0] and 'alpha' in row[0],
                 f'memtop {command} lists it', result)
        # The dead of other systems on this machine may have had the same number.
        listed = {row['pid']: row for row in objects(memtop('ps', '--json')) if row['name'] == 'alpha'}
        mine = listed.get(fake.pid, {})
        t.ok(mine.get('version') == 1 and mine.get('state') == 'live' and mine.get('heap_bytes', 0) > 1e6
             and mine.get('instrumented') is True, 'ps --json', mine)
        result = memtop('twin', '-b', '-n1')
        t.ok(result.status == 2 and str(twin.pid) in result.err and str(other.pid) in result.err,
             'an ambiguous name lists them', result)
        result = memtop('alpha', '-b', '-n1')
        t.ok(result.status == 0 and str(fake.pid) in result.out, 'a name', result)
        result = memtop('-p', str(fake.pid), '-b', '-n1')
        t.ok(result.status == 0 and 'alpha' in result.out, '-p', result)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        rows = [row for row in objects(memtop('ps', '--json')) if row['pid'] == other.pid]
        t.ok(len(rows) == 1 and rows[0]['state'] == 'dead' and rows[0]['rss_bytes'] is None,
             'a killed one is marked dead', rows)
        result = memtop(str(other.pid), '-b', '-n', '5')
        t.ok(result.status == 0 and 'dead' in result.out and result.out.count('CALL SITE') == 1,
             'and can be read, once', result)
        t.equal(memtop('twin', '-b', '-n1').status, 0, 'the living twin is the one meant now')
        result = memtop('gc', str(other.pid))
        t.ok(result.status == 1 and 'is dead' in result.err, 'nothing can be asked of it', result)
        result = memtop('heap', str(other.pid), binary=True)
        t.ok(result.status == 0 and gzip.decompress(result.out), 'but its profile is there', result.err)
        Path(rows[0]['segment']).unlink()


def many_dead(t):
    """As root's memtop finds what each container has left."""
    left = []
    for i in range(18):
        with s.running([FAKE, '--name', f'gone{i}'], preload=False, ready='ready') as fake:
            left.append(Path(fake.text()[0].splitlines()[0]))
    with s.running([FAKE, '--name', 'alive'], preload=False, ready='ready'):
        result, every, rows = memtop('ps'), memtop('ps', '--all'), objects(memtop('ps', '--json'))
    lines = result.out.splitlines()
    dead = [line for line in lines if ' dead ' in line]
    more = re.fullmatch(r'(\d+) more of the dead: memtop ps --all', lines[-1])
    t.ok(len(dead) == 16 and more and any('alive' in line for line in lines[:lines.index(dead[0])]),
         'ps: the living, then the sixteen that died last, and how many more', result)
    for name, got in (('ps --all', every.out), ('ps --json', json.dumps(rows))):
        t.equal([i for i in range(18) if not re.search(rf'\bgone{i}\b', got)], [], f'{name}: all of them')
    for path in left:
        path.unlink()


def reasons(t):
    with tempfile.TemporaryDirectory() as directory:
        source, static = Path(directory) / 'x.c', Path(directory) / 'static'
        source.write_text('#include <unistd.h>\nint main(void){ write(1,"ready\\n",6); sleep(60); }\n')
        built = s.find('gcc') and subprocess.run(['gcc', '-static', source, '-o', static],
                                                 capture_output=True, check=False).returncode == 0
        sleep, none = ['/bin/sleep', '60'], None
        cases = [(sleep, 'started without LD_PRELOAD', False, none), (sleep, 'less than 512 KiB', True, none),
                 (sleep, 'only=slepe:x does not name it', True, 'gctrace=1,only=slepe:x'),
                 (sleep, 'less than 512 KiB', True, 'only=x:sleep'),
                 (sleep, 'no segment: monitor=off', True, 'only=sleep,monitor=off')]
        if built:
            cases.append(([static], 'static', False, none))
        # A dead one that had the number of one that lives is not taken for it.
        with s.running([FAKE, '--name', 'before'], preload=False, ready='ready') as fake, \
                s.running(sleep, preload=False) as process:
            segment = Path(fake.text()[0].splitlines()[0])
            whole = bytearray(segment.read_bytes())
            whole[24:28] = struct.pack('<I', process.pid) # md_header.pid and start_ticks
            whole[32:40] = struct.pack('<Q', 5)
            dead = segment.parent / f'{process.pid}-5.mdseg'
            dead.write_bytes(whole)
            result, again = memtop(str(process.pid), '-b', '-n1'), memtop(str(dead), '-b', '-n1')
            dead.unlink()
            t.ok(result.status == 1 and 'started without LD_PRELOAD' in result.err and not result.out,
                 'a pid is the living process', result)
            t.ok(again.status == 0 and 'before' in again.out, 'the dead one by its file', again)
        own = s.PROGRAMS / 'own_malloc'
        for command, words, preload, memdebug in cases:
            with s.running(command, memdebug, preload=preload) as process:
                time.sleep(0.3)
                rows = {row['pid']: row for row in objects(memtop('ps', '--all', '--json'))}
                row = rows.get(process.pid, {})
                t.ok(row.get('instrumented') is False and words in row.get('reason', ''),
                     f'ps --all: {words}', row)
                result = memtop(str(process.pid), '-b')
                t.ok(result.status == 1 and words in result.err, f'and the refusal says: {words}', result)
        result = memtop('run', '--', static) if built else None
        if built:
            t.ok(result.status == 1 and 'static' in result.err, 'run refuses what is static', result)
        result = memtop('run', '--', own)
        t.ok('own malloc' in result.err and 'exit status' in result.err, 'run warns of an own malloc', result)
        result = memtop('ps', '--all')
        t.ok(result.status == 0 and 'WHY NOT' in result.out, 'ps --all as text', result)


def awaited(t):
    """A script's memtop waits a while for a process that is small yet."""
    with tempfile.TemporaryDirectory() as directory:
        go = Path(directory) / 'go'
        small = ['/bin/sh', '-c', 'echo ready; while [ ! -e "$0" ]; do sleep 0.05; done; exec "$@"', go,
                 *PYTHON, '3', '60', '0']
        with s.running(small, ready='ready', env=PYMALLOC_OFF) as process:
            watcher = subprocess.Popen([s.MEMTOP, str(process.pid), '--json', '-n', '1'],
                                       env=s.environment(preload=False), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            time.sleep(0.5)
            go.touch()
            out, err = watcher.communicate(timeout=60)
            if 'after 5 s' in err:
                t.skip('a small process is waited for', 'python took longer than that to start')
            else:
                t.ok(watcher.returncode == 0 and json.loads(out)['name'] == PYTHON_NAME,
                     'a small process is waited for', f'{watcher.returncode} {out} {err}')


def small(t):
    """Who asks for cycles is seen after a second, however little is allocated.  A name is a process's for
    every command, though a file of that name, its executable, lies beside; without a process it is no segment."""
    with tempfile.TemporaryDirectory() as directory:
        dozer = Path(directory) / 'dozer'
        shutil.copy('/bin/sleep', dozer)
        with s.running([dozer, '600'], 'gc=ready') as process:
            t.ok(s.wait_for(lambda: memtop('gc', str(process.pid)).status == 0, 60, process),
                 'memtop gc, of a program that allocates nothing', memtop('gc', str(process.pid)))
            time.sleep(1)
            result = memtop('leaks', str(process.pid), '--no-cycle')
            t.ok(result.status == 0 and re.search(r'as its last cycle saw it, \S+s ago', result.err),
                 'leaks --no-cycle says how old that is', result)
            process.send_signal(signal.SIGSTOP)
            for command in ('gc', 'leaks'):
                begin = time.monotonic()
                result = memtop(command, str(process.pid))
                t.ok(result.status == 1 and 'is stopped' in result.err and time.monotonic() - begin < 8,
                     f'memtop {command} does not wait for a stopped process', result)
            result = memtop('tail', 'dozer', cwd=directory)
            t.ok(result.status == 0 and f'pid {process.pid} dozer' in result.out, 'tail NAME, a file of that name beside',
                 result)
        for path in s.segments(process.pid):
            path.unlink()
        result = memtop('leaks', 'dozer', cwd=directory)
        t.ok(result.status == 1 and 'no process is called dozer' in result.err, 'a program file is not taken for a segment',
             result)
        log = Path(directory) / 'log'
        log.write_text('gc 1 @0.100s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, 1->1->1 MB, 5 MB goal, '
                       '0 MB stacks, 0 MB globals, 2 P\n')
        result = memtop('tail', 'log', cwd=directory)
        t.ok(result.status == 0 and '1 cycles' in result.out, 'tail NAME, a log and no process', result)


def forked(t):
    """A copy that has not got a segment yet has its parent's mapped: nothing is told or asked of it."""
    with s.running(['/usr/bin/python3', '-c', FORKER], 'gc=ready', ready='ready', env=PYMALLOC_OFF) as parent:
        child = int(parent.text()[0].split()[1])

        def row(*arguments):
            return {row['pid']: row for row in objects(memtop('ps', *arguments, '--json'))}.get(child, {})

        def lives():
            os.kill(child, signal.SIGUSR1)  # the first may come before python has forked to the end
            return row().get('state') == 'live'

        t.equal(row(), {}, 'a forked copy without a segment is not listed')
        t.ok('a forked copy' in row('--all').get('reason', ''), 'ps --all says what it is', row('--all'))
        for command in ('gc', 'leaks', 'heap'):
            result = memtop(command, str(child))
            t.ok(result.status == 1 and 'a forked copy' in result.err, f'memtop {command} refuses it', result)
        told = {row['pid']: row for row in objects(memtop('ps', '--json'))}.get(parent.pid, {})
        t.equal(told.get('cycles'), 0, 'and its parent has not done what was asked of it', told)
        t.ok(s.wait_for(lives, 20, parent), 'with a segment of its own it is', row())
        result = memtop('gc', str(child))
        t.ok(result.status == 0 and row().get('cycles') == 1, 'and does a cycle of its own', (result, row()))
    # What a killed process has left is there, whoever has it mapped still.
    with s.running(['/usr/bin/python3', '-c', FORKER], 'gc=ready', ready='ready', env=PYMALLOC_OFF) as parent:
        child = int(parent.text()[0].split()[1])
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        told = {row['pid']: row for row in objects(memtop('ps', '--json'))}.get(parent.pid, {})
        t.equal(told.get('state'), 'dead', 'a dead parent is found while its copy lives', told)
        t.ok(not row(), 'which is not taken for it', row())
        result = memtop('heap', '-b', str(parent.pid))
        t.ok(result.status == 0 and result.out, 'nor is its profile lost', result)
        os.kill(child, signal.SIGKILL)
    # The same with sampling off: a segment, and no thread.
    with s.running(['/usr/bin/python3', '-c', FORKER], 'gc=ready,memprofilerate=0', ready='ready',
                   env=PYMALLOC_OFF) as parent:
        child = int(parent.text()[0].split()[1])
        s.wait_for(lives, 20, parent)
        begin = time.monotonic()
        result = memtop('gc', str(child))
        t.ok(result.status == 0 and 'gc pending: read at its next 64 KiB' in result.out and time.monotonic() - begin < 8,
             'one that has no thread yet is not waited for', result)


def figures(t):
    with s.running([*PYTHON, '30', '60', '0'], 'gctrace=1,memprofilerate=65536', ready='ready',
                   env=PYMALLOC_OFF) as program:
        result = memtop(str(program.pid), '--json', '-d', '200ms', '-n', '4')
        ticks = objects(result)
        t.equal((result.status, len(ticks)), (0, 4), '-n 4 --json: four objects', result)
        last = ticks[-1]
        t.ok(last['version'] == 2 and last['pid'] == program.pid and last['name'] == PYTHON_NAME, 'identity')
        t.ok(last['heap_bytes'] > 2e6 and last['rss_bytes'] > last['heap_bytes'] / 2
             and last['peak_bytes'] >= last['heap_bytes'], 'heap, peak, rss', last)
        t.ok(ticks[0]['alloc_bytes_per_second'] is None and last['alloc_bytes_per_second'] > 1e6,
             'a rate needs two ticks')
        t.ok(last['live_objects_counted'] is True and last['live_objects'] > 1000
             and 'live_objects_exact' not in last and last['counters_age_seconds'] >= 0,
             'objects are counted, up to a time that is told', last)
        t.ok(last['cycles'] >= 1 and last['reachable_bytes'] > 1e6 and last['pause_max_ns'] > 0
             and last['last_cycle']['type'] == 'gc', 'cycles', last)
        t.ok(last['sites'] and last['sites'][0]['young_bytes'] > 1e6
             and len(last['sites'][0]['stack']) > 3, 'the site that grows comes first', last['sites'][:1])
        t.ok(all(a['heap_bytes'] <= b['heap_bytes'] for a, b in zip(ticks, ticks[1:])), 'it grows')
        result = memtop(str(program.pid), '-b', '-n', '2', '-d', '0.1')
        t.ok(result.status == 0 and result.out.count('CALL SITE') == 2 and 'heap ' in result.out
             and re.search(r'^gc \d+ @', result.out, re.M), '-b is text, a block a tick', result)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / 'text'
            result = memtop(str(program.pid), '-n', '2', '-d', '0.1', '-o', path)
            t.ok(result.status == 0 and not result.out and path.read_text().count('CALL SITE') == 2, '-o FILE: written there',
                 result)
            t.equal(stat.S_IMODE(path.stat().st_mode), 0o600, 'for nobody else')
            result = memtop('-o', path)
            t.ok(result.status == 0 and not result.out and f'{program.pid} ' in path.read_text(), 'the list too', result)
            result = memtop('nobody-is-called-so', '-o', path)
            t.ok(result.status == 1 and path.read_text(), 'not if there is nothing to write', result)
            result = memtop(str(program.pid), '-n', '1', '-o', '/nonexistent/text')
            t.ok(result.status == 1 and result.err == 'memtop: /nonexistent/text: No such file or directory\n', 'or no place',
                 result)
            path.unlink()
            path = Path(directory) / 'heap.pb.gz'
            result = memtop('heap', str(program.pid), '-o', path)
            t.ok(result.status == 0 and not result.out, 'heap -o', result)
            t.equal(stat.S_IMODE(path.stat().st_mode), 0o600, 'mode 0600')
            t.equal(os.listdir(directory), ['heap.pb.gz'], 'no temporary file stays')
            t.equal(memtop('heap', '-b', path).status, 0, 'a PROFILE is read back')
            t.ok('alloc_space' in memtop('heap', '-b', path, '--allocs').out, '--allocs')
            result = memtop('heap', str(program.pid), '-o', '/nonexistent/x.pb.gz')
            t.ok(result.status == 1 and result.err.count('\n') == 1, 'a place that is not there', result)
            go = s.find('go')
            if go:
                top = subprocess.run([go, 'tool', 'pprof', '-top', path], capture_output=True, text=True,
                                     check=False)
                t.ok(top.returncode == 0 and 'inuse_space' in top.stdout, 'go tool pprof reads it', top)
        raw = memtop('heap', str(program.pid), binary=True)
        t.ok(raw.status == 0 and raw.out[:2] == b'\x1f\x8b', 'no terminal: the bytes')
        before = objects(memtop(str(program.pid), '--json', '-n1'))[0]['cycles']
        result = memtop('gc', str(program.pid))
        line = s.GC_LINE.match(result.out.rstrip('\n'))
        t.ok(result.status == 0 and line and result.out.endswith('(forced)\n'), 'gc prints its line', result)
        last = objects(memtop(str(program.pid), '--json', '-n1'))[0]
        t.ok(last['cycles'] > before, 'and it is counted')
        # Each counter that the library has, with the sum that two of them make.
        counters = dict(re.findall(r'^MD_(?:COUNTER|LOSS)\((\w+), \d+, ("|[A-Z]+)',
                                   (s.ROOT / 'include/memdebug/counters.def').read_text(), re.M))
        told = {name for name, kind in counters.items() if isinstance(last.get(name), (int, float))}
        t.equal((len(counters) > 10, set(counters) - told), (True, {'publish_ns'}), 'all counters but the time', last)
        t.equal(last['alloc_objects'] - last['free_objects'], last['live_objects'], 'the living: of those two', last)
        text = memtop(str(program.pid), '-b', '-n1').out
        labels = re.findall(r'^MD_COUNTER\(\w+, \d+, [A-Z]+, "([^"]+)"',
                            (s.ROOT / 'include/memdebug/counters.def').read_text(), re.M)
        t.ok(len(labels) > 3 and all(re.search(rf'  {label} [\d.]+', text) for label in labels),
             'those without another place in text are there by their names', text)
    with s.running([*PYTHON, '5', '60', '0'], 'gc=off', ready='ready', env=PYMALLOC_OFF) as program:
        result = memtop('gc', str(program.pid))
        t.equal((result.status, result.err),
                (1, f'memtop: {program.pid} {PYTHON_NAME} was started with MEMDEBUG=gc=off; '
                 f'memtop heap {program.pid} shows what it has in use\n'),
                'gc=off: no gc')
        last = objects(memtop(str(program.pid), '--json', '-n1'))[0]
        t.ok(last['live_objects_counted'] is False and last['live_objects'] > 0 and last['alloc_objects'] is None,
             'objects are estimates there')


def estimates(t):
    """What is estimated says so, by how much, and keeps within what was counted."""
    with s.running([*PYTHON, '40', '60', '0'], ready='ready', env=PYMALLOC_OFF) as program:
        ticks = objects(memtop(str(program.pid), '--json', '-d', '200ms', '-n', '4'))
        # At the first tick since the first point of the past, if there is one.
        before = ticks[0]['heap_bytes'] - (ticks[0]['growth_bytes'] or 0)
        t.ok(all(tick['growth_bytes'] == tick['heap_bytes'] - before for tick in ticks[1:]),
            'growth_bytes is the growth of heap_bytes', [(x['growth_bytes'], x['heap_bytes']) for x in ticks])
        sites = [site for tick in ticks for site in tick['sites']]
        t.ok(sites and all(site['exact'] is False and site['inuse_bytes'] <= tick['heap_bytes']
                           for tick in ticks for site in tick['sites']),
             'no call site has more than the heap', sites[:2])
        held = [site for site in sites if site['inuse_bytes']]
        t.ok(held and all(0 < site['inuse_bytes_error'] <= 1.01 * max(site['inuse_bytes'], 530000) for site in held),
             'each has its error', held[:2])
        t.ok(all(site['leak_bytes'] is None for site in sites), 'no cycle: leaks are not known', sites[:1])
        text = memtop(str(program.pid), '-b', '-n', '1').out
        rows = text.split('CALL SITE\n')[1].splitlines()
        t.ok(re.match(r' *~\+\S+ +~\S+ +\d+% +~\S+ +~\S+ +- ', rows[0]) and 'memtop leaks asks for them' in rows[-1],
             'as text: marked, with the error; and how leaks come to be known', text)
    with s.running([*PYTHON, '5', '60', '0'], 'gc=ready,memprofilerate=1', ready='ready',
                   env=PYMALLOC_OFF) as program:
        before = objects(memtop(str(program.pid), '--json', '-n', '1'))[0]['sites']
        t.ok(before and all(site['exact'] and site['inuse_bytes_error'] == 0 and site['leak_bytes'] is None
                            for site in before), 'every allocation sampled: exact', before[:1])
        text = memtop(str(program.pid), '-b', '-n', '1').out
        t.ok('~' not in text.split('CALL SITE\n')[1].split('  ')[0] and 'memtop leaks' in text,
             'as text: no mark; leaks can be asked for', text)
        memtop('leaks', str(program.pid))
        after = objects(memtop(str(program.pid), '--json', '-n', '1'))[0]['sites']
        t.ok(after and all(site['leak_bytes'] is not None for site in after), 'after two cycles they are known',
             after[:1])
    with s.running([FAKE], preload=False, ready='ready') as fake:
        result = memtop(str(fake.pid), '-b', '-n', '1')
        t.ok(re.search(r'cache_insert fake_segment.c:\d+ \(2\) via xmalloc \S parse_request', result.out)
             and '(N): N stacks' in result.out, 'a row of several stacks says so', result)


def rates(t):
    """A program that publishes what it has allocated once in some hundred milliseconds."""
    slow = ('import time\nk=[bytearray(1000) for _ in range(2000)]; print("ready", flush=True)\n'
            'while True: k.append([bytearray(1000) for _ in range(8)]); time.sleep(0.05)\n')
    with s.running(['/usr/bin/python3', '-c', slow], ready='ready', env=PYMALLOC_OFF) as program:
        ticks = objects(memtop(str(program.pid), '--json', '-d', '50ms', '-n', '60'))
        known = [tick['alloc_bytes_per_second'] for tick in ticks if tick['alloc_bytes_per_second'] is not None]
        grown = ticks[-1]['alloc_bytes'] - ticks[0]['alloc_bytes']
        same = sum(a['alloc_bytes'] == b['alloc_bytes'] for a, b in zip(ticks, ticks[1:]))
        t.ok(grown > 0 and same > 0 and known and all(rate > 0 for rate in known),
             'between two publications the rate is not 0', (grown, same, known))


def losses(t):
    shell = ['/bin/sh', '-c', 'exec "$@" 2>/dev/full', 'sh', *PYTHON, '5', '60', '0']
    with s.running(shell, 'gctrace=1', ready='ready', env=PYMALLOC_OFF) as program:
        s.wait_for(lambda: objects(memtop(str(program.pid), '--json', '-n', '1'))[0]['lost_lines'] > 0, 20, program)
        result = memtop(str(program.pid), '-b', '-n', '1')
        t.ok(re.search(r'^lost: \d+ lines: stderr .*gctracefile=PATH$', result.out, re.M),
             'lost lines say why, and what to do', result)
        told = objects(memtop(str(program.pid), '--json', '-n', '1'))[0]['losses']
        t.ok(len(told) == 1 and told[0]['what'] == 'lines' and told[0]['count'] > 0
             and 'gctracefile' in told[0]['reason'], 'as JSON too', told)


def undisturbed(t):
    """The target does nothing because it is looked at, and can be looked at while it is stopped."""
    with s.running([*PYTHON, '5', '60', '0'], ready='ready', env=PYMALLOC_OFF) as program:
        time.sleep(0.5)
        threads = s.threads_of(program.pid)
        if not t.missing('no system call', 'strace'):
            with tempfile.TemporaryDirectory() as directory:
                log = Path(directory) / 'log'
                tracer = subprocess.Popen([s.find('strace'), '-f', '-o', log, '-p', str(program.pid)],
                                          stderr=subprocess.DEVNULL)
                time.sleep(0.5)
                for command in (['-b', '-n', '5', '-d', '0.1'], ['heap'], ['--json', '-n', '2', '-d', '0.1']):
                    memtop(*command, str(program.pid), binary=True)
                memtop('ps', '--all')
                tracer.send_signal(signal.SIGINT)
                tracer.wait()
                calls = [line for line in log.read_text().splitlines()
                         if 'resumed' not in line and 'unfinished' not in line
                         and 'detached' not in line and 'restart_syscall' not in line
                         and 'clock_nanosleep' not in line and 'select(' not in line]
                t.equal(calls, [], 'no system call in the target while memtop looks')
        t.equal(s.threads_of(program.pid), threads, 'no thread')
        os.kill(program.pid, signal.SIGSTOP)
        result = memtop(str(program.pid), '-b', '-n', '2', '-d', '0.1')
        t.ok(result.status == 0 and 'CALL SITE' in result.out
             and re.match(rf'{program.pid} {PYTHON_NAME}  stopped, up ', result.out),
             'a stopped process can be watched, and is told as such', result)
        t.equal({row['pid']: row for row in objects(memtop('ps', '--json'))}[program.pid]['state'], 'stopped',
                'in the list too')
        os.kill(program.pid, signal.SIGCONT)
        t.ok(s.wait_for(lambda: objects(memtop(str(program.pid), '--json', '-n', '1'))[0]['state'] == 'live', 10),
             'and live when it goes on')


def runs(t):
    result = memtop('run', '-e', 'gctrace=1', '--', *PYTHON, '10', '0', '7', env=PYMALLOC_OFF)
    t.equal(result.status, 7, 'run ends as the program did', result)
    for words in ('exit status 7', 'elapsed', 'peak resident', 'peak heap', 'allocated', 'samples', 'cycles'):
        t.ok(words in result.err, f'the summary has: {words}', result)
    t.equal(result.out, 'ready\n', 'the program keeps stdout')
    result = memtop('run', '--', '/bin/sh', '-c', 'kill -TERM $$')
    t.ok(result.status == 128 + signal.SIGTERM and 'signal 15' in result.err, 'a death by signal', result)
    t.equal(memtop('run', '--', '/nonexistent').status, 127, 'not found')
    t.equal(memtop('run', '--', '/etc/passwd').status, 126, 'not executable')
    t.equal(memtop('run', 'cat', '-', stdin='through\n').out, 'through\n', 'stdin and options are its own')
    result = memtop('run', '--json', '--', *PYTHON, '4', '0', '0', env=PYMALLOC_OFF)
    summary = json.loads(result.err.splitlines()[-1])
    t.ok(summary['type'] == 'run_summary' and summary['exit_status'] == 0
         and summary['target']['peak_bytes'] > 1e6, 'run --json', summary)
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen([str(s.MEMTOP), 'run', '--', *PYTHON, '3', '60', '0'],
                                   env=s.environment(preload=False, extra=PYMALLOC_OFF),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        t.ok(process.returncode in (128 + number, 1) and 'peak heap' in err,
             f'{number.name} goes to the program, the summary still comes', f'{process.returncode} {err}')
    preload = memtop('run', '--', '/bin/sh', '-c', 'echo $LD_PRELOAD; echo $MEMDEBUG', env={
        'MEMDEBUG': 'gcpercent=50'})
    t.ok(preload.out.splitlines() == [str(s.LIB.parent / 'libmemdebug.so.0'), 'gcpercent=50'], 'the environment', preload)
    with tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
        for name in ('a b', 'a:b'):
            there, link = Path(directory) / name, Path(directory) / 'link'
            there.mkdir()
            shutil.copy(s.LIB, there / 'libmemdebug.so.0')
            result = memtop('run', '--', '/bin/true', env={'MEMDEBUG_LIBRARY': str(there / 'libmemdebug.so.0')})
            t.equal((result.status, result.err),
                    (1, f'memtop: {there}/libmemdebug.so.0: LD_PRELOAD cannot name a path with blanks or colons: set '
                     'MEMDEBUG_LIBRARY to a link without\n'), f'a library in "{name}": one line')
            link.symlink_to(there / 'libmemdebug.so.0')
            result = memtop('run', '-e', 'gctrace=1', '--', *PYTHON, '3', '0', '7',
                            env={'MEMDEBUG_LIBRARY': str(link), **PYMALLOC_OFF})
            t.ok(result.status == 7 and re.search('^gc 1 @', result.err, re.M), f'a link to one in "{name}" is one without', result)
            link.unlink()
    both = memtop('run', '-e', 'gc=ready', '--', '/bin/sh', '-c', 'echo $MEMDEBUG', env={
        'MEMDEBUG': 'gcpercent=50'})
    t.equal(both.out, 'gcpercent=50,gc=ready\n', '-e goes behind what was there')


def logs(t):
    go = ''.join(f'gc {n} @{n / 10:.3f}s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, '
                 f'{n}->{n}->{n} MB, {n + 4} MB goal, 0 MB stacks, 0 MB globals, 2 P\n' for n in range(1, 101))
    result = memtop('tail', '-', stdin='noise\n' + go)
    t.ok(result.status == 0 and result.out.startswith('Go program: 100 cycles, from 0.100s to 10.000s')
         and '1.00M to 100M' in result.out and '104M' in result.out, 'tail: a Go program', result)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'log'
        real = s.run([*PYTHON, '10', '0', '0'], 'gctrace=1', env=PYMALLOC_OFF)
        path.write_text(real.err + go)
        result = memtop('tail', path)
        t.ok(result.status == 0 and f'{real.pid} {PYTHON_NAME}: {len(real.lines)} cycles' in result.out
             and 'unreachable' in result.out and 'Go program: 100' in result.out,
             'tail FILE: ours and theirs apart', result)
        programs = objects(memtop('tail', '--json', path))
        programs = [p for p in programs if p['type'] == 'trace_summary']
        t.ok({p['pid'] for p in programs} == {real.pid, None} and all(p['version'] == 1 for p in programs),
             'tail --json', programs)
        refused = memtop('tail', Path(directory) / 'missing')
        t.ok(refused.status == 1 and refused.err.count('\n') == 1, 'a file that is not there', refused)
        # NDJSON: a record a cycle as it comes, the summary last; our JSON is read like our lines.
        tail = subprocess.Popen([str(s.MEMTOP), 'tail', '--json'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                env=s.environment(preload=False), text=True)
        tail.stdin.write(go.split('\n')[0] + '\n')
        tail.stdin.flush()
        record = json.loads(tail.stdout.readline())
        t.ok(tail.poll() is None and (record['type'], record['cycle'], record['heap_live_bytes'], record['pid'])
             == ('gc', 1, 1 << 20, None) and 'unreachable_objects' not in record, 'tail --json: the record comes with the line',
             record)
        exact = s.run([*PYTHON, '10', '0', '0'], 'gctrace=json', env=PYMALLOC_OFF)
        rest, _ = tail.communicate(exact.err, timeout=60)
        records = [json.loads(line) for line in rest.splitlines()]
        own = [json.loads(line) for line in exact.err.splitlines()]
        summaries = [record for record in records if record['type'] == 'trace_summary']
        t.ok(records[-2:] == summaries and [{k: v for k, v in r.items() if k != 'log'} for r in records[:-2]] == own
             and summaries[1]['pid'] == exact.pid and summaries[1]['cycles'] == len(own),
             'records of gctrace=json go through as they are, the summaries come last', rest)
        other = Path(directory) / 'other'
        other.write_text(re.sub(', . MB stacks, . MB globals', '', go))
        path.write_text(go)
        programs = [p for p in objects(memtop('tail', '--json', path, other)) if p['type'] == 'trace_summary']
        t.equal([(p['log'], p['cycles']) for p in programs], [(str(path), 100), (str(other), 100)],
                'lines without a pid of two files are two programs; one is of Go before 1.18')
    result = memtop('tail', '-', stdin='nothing here\n')
    t.ok(result.status == 1 and 'gctrace=1' in result.err, 'no line: says what to do', result)


def closed_outputs(t):
    with s.running([FAKE], preload=False, ready='ready') as fake:
        for command in (f'-b -d 0.05 {fake.pid}', f'--json -d 0.05 {fake.pid}', 'ps --all', f'heap {fake.pid}'):
            shell = f'{s.MEMTOP} {command} | head -c 100 >/dev/null; echo ${{PIPESTATUS[0]}}'
            result = s.run(['/bin/bash', '-c', shell], preload=False, timeout=20)
            t.ok(result.out.strip() in ('0', '1') and 'rror' not in result.err.replace('memtop:', ''),
                 f'a reader that leaves: {command.split()[0]}', result)
        result = s.run(['/bin/bash', '-c', f'{s.MEMTOP} ps >&- 2>&-'], preload=False, timeout=20)
        t.ok(result.status in (0, 1), 'closed descriptors', result)
        result = s.run(['/bin/bash', '-c', f'{s.MEMTOP} -b -n1 {fake.pid} >/dev/full'], preload=False, timeout=20)
        t.equal(result.status, 1, 'a full disk is a failure', result)


with s.Tap() as t:
    usage(t)
    listing(t)
    many_dead(t)
    reasons(t)
    awaited(t)
    small(t)
    forked(t)
    figures(t)
    estimates(t)
    rates(t)
    losses(t)
    undisturbed(t)
    runs(t)
    logs(t)
    closed_outputs(t)
