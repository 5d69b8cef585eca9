#!/usr/bin/env python3
"""memtop on what it must not trust: foreign, cut, torn and made-up segments, files that change under
it, processes that are gone or someone else's.  Each: one clear line, the contract's status, no crash."""

import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

FAKE = s.BUILD / 'tests' / 'scenario' / 'fake_segment'


def memtop(*arguments, stdin=None, timeout=60, env=None, binary=False):
    return s.run([s.MEMTOP, *arguments], preload=False, stdin=stdin, timeout=timeout, env=env,
                 binary=binary)


def one_line(result):
    return (result.err.startswith('memtop: ') and result.err.count('\n') == 1
            and all(c.isprintable() or c == '\n' for c in result.err))


def refused(t, name, result, status=1):
    t.ok(result.status == status and one_line(result), name, result)


def sane(result):
    """Whatever is shown of a damaged segment: ended by itself, in time, said what is the case."""
    return result.status == 0 or (result.status == 1 and one_line(result))


def foreign_files(t, directory):
    random_bytes = directory / 'random.mdseg'
    random_bytes.write_bytes(random.Random(1).randbytes(1 << 20))
    empty = directory / 'empty.mdseg'
    empty.touch()
    text = directory / 'text.mdseg'
    text.write_text('hello\n' * 1000)
    elf = directory / 'elf.mdseg'
    shutil.copy('/bin/true', elf)
    for file in (random_bytes, empty, text, elf):
        for command in ((), ('heap',), ('gc',)):
            refused(t, f'{" ".join(command) or "watch"} {file.name}', memtop(*command, file))
    for name in ('/dev/null', '/dev/zero', '/', '/nonexistent', '/proc/self/mem', '/dev/shm'):
        refused(t, f'watch {name}', memtop(name))
        refused(t, f'heap {name}', memtop('heap', name))
    fifo = directory / 'fifo.mdseg'
    os.mkfifo(fifo)
    refused(t, 'a FIFO does not hang it', memtop(fifo, timeout=20))
    refused(t, 'nor does heap', memtop('heap', fifo, timeout=20))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / 'socket.mdseg'))
        refused(t, 'a socket', memtop(directory / 'socket.mdseg'))
    link = directory / 'loop.mdseg'
    link.symlink_to(link)
    refused(t, 'a link to itself', memtop(link))
    gz = directory / 'cut.pb.gz'
    gz.write_bytes(b'\x1f\x8b' + random.Random(2).randbytes(5000))
    refused(t, 'heap on a gzip that is none', memtop('heap', gz))
    gz.write_bytes(b'\x0a' + random.Random(3).randbytes(5000))
    refused(t, 'heap on a protobuf that is none', memtop('heap', gz))


def damaged(t, directory, whole):
    """Copies of a good segment, cut and flipped: shown or refused, never a crash."""
    copy = directory / '77-88.mdseg'
    faults = []
    sizes = [1, 7, 8, 100, 3567, 3568, 4095, 4096, 4097, 8192, 30000, 65536, 200000, len(whole) - 1]
    for size in sizes:
        copy.write_bytes(whole[:size])
        for command in (('-b', '-n1'), ('heap',), ('leaks',)):
            result = memtop(*command, copy, binary=True)
            if not sane(result):
                faults.append(f'{size} {command}: {result}')
    t.equal(faults, [], f'a segment cut at {len(sizes)} sizes')
    rng = random.Random(7)
    count = 150
    for i in range(count):
        data = bytearray(whole)
        # mostly the header, where every count and offset is; else the tables
        for _ in range(rng.randint(1, 30)):
            limit = 4096 if rng.random() < 0.7 else len(whole)
            at = rng.randrange(8, limit)
            data[at] = rng.choice((0, 0xff, 0x7f, 0x80, rng.randrange(256)))
        copy.write_bytes(data)
        for command in (('-b', '-n1', '--json'), ('heap',), ('leaks', ('--json', '--by=size', '--by=function')[i % 3])):
            result = memtop(*command, copy, binary=True)
            if not sane(result):
                faults.append(f'seed {i} {command}: {result}')
    t.equal(faults, [], f'{count} segments with flipped bytes')
    # strings that would steer a terminal
    data = bytearray(whole)
    name_at = whole.index(b'fake\0')
    data[name_at:name_at + 12] = b'\x1b[2Jx\x9b\x07\xff\n\x1b]0'
    copy.write_bytes(data)
    result = memtop('-b', '-n1', copy)
    t.ok(result.status == 0 and '\x1b' not in result.out and '\x07' not in result.out,
         'control characters in a name do not reach the terminal', result)
    result = memtop('-b', '-n1', '--json', copy)
    t.ok(result.status == 0 and result.out.startswith('{"version":1'), 'nor break JSON', result)
    future = bytearray(whole)
    struct.pack_into('<I', future, 8, 99)
    copy.write_bytes(future)
    result = memtop(copy)
    refused(t, 'a segment of a later version', result)
    t.ok('version' in result.err, 'says that it is the version', result)


def changing_under_it(t, directory):
    """A segment on tmpfs that is cut, filled with noise and removed while it is watched."""
    with s.running([FAKE, '--dir', directory], preload=False, ready='ready') as fake:
        path = Path(fake.text()[0].splitlines()[0])
        watcher = subprocess.Popen([str(s.MEMTOP), '-b', '-d', '0.02', '-n', '60', str(path)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=s.environment(preload=False))
        time.sleep(0.3)
        rng = random.Random(5)
        with open(path, 'r+b') as file:
            for _ in range(200):
                file.seek(rng.randrange(16, 60000))
                file.write(rng.randbytes(200))
                file.flush()
                time.sleep(0.002)
            os.kill(fake.pid, signal.SIGSTOP)
            file.truncate(5000)
            time.sleep(0.2)
            file.truncate(0)
            time.sleep(0.1)
        path.unlink()
        os.kill(fake.pid, signal.SIGCONT)
        out, err = watcher.communicate(timeout=30)
        t.ok(watcher.returncode in (0, 1) and err.count(b'\n') <= 1,
             'a segment that is overwritten, cut and removed while it is watched',
             f'{watcher.returncode} {err!r} {out[-500:]!r}')


def processes(t):
    child = subprocess.Popen(['/bin/true'])
    child.wait()
    result = memtop(str(child.pid))
    refused(t, 'a pid that is gone', result)
    t.ok(f'no process {child.pid}' in result.err, 'says so', result)
    for text in ('no-such-program-anywhere', '99999999', '', '-5x', '0', 'a\033[2Jb', 'x' * 5000):
        result = memtop('--', text)
        t.ok(result.status in (1, 2) and one_line(result), f'TARGET {text[:20]!r}', result)
    with s.running(['/bin/sleep', '60'], preload=False) as sleeper:
        result = memtop(str(sleeper.pid))
        refused(t, 'a process without the library', result)
        t.ok('not on memdebug' in result.err and 'LD_PRELOAD' in result.err, 'says why and what to do',
             result)
        result = memtop('gc', str(sleeper.pid))
        refused(t, 'gc of it', result)
    result = memtop('1' if os.getpid() != 1 else '2')
    t.ok(result.status == 1 and one_line(result), 'pid 1', result)


def someone_elses(t):
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        t.skip('someone else\'s process', 'needs root and setpriv')
        return
    with tempfile.TemporaryDirectory(prefix='mdbin-') as place:
        os.chmod(place, 0o755)
        program = shutil.copy(s.MEMTOP, place)
        nobody = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
        with s.running([FAKE], preload=False, ready='ready') as fake:
            path = fake.text()[0].splitlines()[0]
            for name, target in (('pid', str(fake.pid)), ('segment', path)):
                for command in ((), ('heap',), ('gc',)):
                    result = s.run([*nobody, program, *command, target], preload=False)
                    refused(t, f'someone else\'s {name}, {" ".join(command) or "watch"}', result)
                    t.ok('root' in result.err or 'ermission' in result.err, 'says whose', result)
            result = s.run([*nobody, program, 'ps', '--all'], preload=False)
            t.equal(result.status, 0, 'ps --all of nobody', result)


def streams(t):
    noise = random.Random(9).randbytes(3 << 20)
    result = memtop('tail', '-', stdin=noise, binary=True)
    t.ok(result.status == 1 and one_line(result) and result.out == b'',
         'tail on random bytes: no line, and it says so', result)
    line = (b'gc 1 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, '
            b'10->10->6 MB, 10 MB goal, 0 MB stacks, 0 MB globals, 2 P\n')
    result = memtop('tail', '-', stdin=noise + b'\n' + line + b'x' * (10 << 20) + b'\n'
                    + line.replace(b'gc 1', b'gc 2'))
    t.ok(result.status == 0 and result.out.startswith('Go program: 2 cycles'),
         'lines between noise and 10 MB of junk are found', result)
    result = memtop('tail', '-', stdin=b'\0' * (8 << 20) + b'\n' + line)
    t.ok(result.status == 0 and '1 cycles' in result.out, '8 MB of zeros', result)


with s.Tap() as t:
    with tempfile.TemporaryDirectory(prefix='mdseg-', dir='/dev/shm') as directory:
        directory = Path(directory)
        with s.running([FAKE, '--dir', directory, '--step-ms', '20'], preload=False,
                       ready='ready') as fake:
            time.sleep(0.5)
            memtop('gc', str(fake.pid))
            result = memtop('leaks', str(fake.pid))
            t.ok(result.status == 0 and 'Direct leak of ' in result.out and ' in cache_insert ' in result.out,
                 'the segment is one with leaks', result)
            os.kill(fake.pid, signal.SIGSTOP)
            whole = Path(fake.text()[0].splitlines()[0]).read_bytes()[:400000]
        whole = bytes(whole)
        foreign_files(t, directory)
        damaged(t, directory, whole)
        changing_under_it(t, directory)
    processes(t)
    someone_elses(t)
    streams(t)
