#!/usr/bin/env python3
"""memtop on what it must not trust: foreign, cut, torn and made-up segments, files that change under
it, processes that are gone or someone else's.  Each: one clear line, the contract's status, no crash."""

import os
import pty
import random
import re
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
    data[name_at:name_at + 16] = b'\x1b[2Jx\x9b\x07\xff\n\x1b]0\xc2\x9b2J'
    copy.write_bytes(data)
    result = memtop('-b', '-n1', copy)
    t.ok(result.status == 0 and not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f]', result.out),
         'control characters in a name do not reach the terminal', result)
    result = memtop('-b', '-n1', '--json', copy)
    t.ok(result.status == 0 and result.out.startswith('{"version":2'), 'nor break JSON', result)
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


def cut_and_filled(t, directory, whole):
    """Between two looks of memtop, and in the middle of one: a load from the missing part is SIGBUS."""
    path = directory / '79-88.mdseg'
    path.write_bytes(whole)
    with open(path, 'r+b') as file, subprocess.Popen(
            [str(s.MEMTOP), '-b', '-d', '0.01', '-n', '300', str(path)], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=s.environment(preload=False)) as watcher:
        end = time.monotonic() + 20
        while watcher.poll() is None and time.monotonic() < end:
            file.truncate(4096)
            os.pwrite(file.fileno(), whole[4096:], 4096)
        watcher.kill()
        err = watcher.stderr.read()
    t.ok(watcher.returncode in (0, 1, -signal.SIGKILL) and b'emory' not in err,
         'a segment that is cut and filled all the time', f'{watcher.returncode} {err!r}')
    path.unlink()


SECTION = struct.Struct('<QIIQQ')  # offset, entry size, reserved, capacity, count
SECTIONS = 5


def sections_at(whole):
    """Where the section table stands: each begins at a page and has room for its entries."""
    for at in range(0, 4096, 8):
        table = [SECTION.unpack_from(whole, at + i * SECTION.size) for i in range(SECTIONS)]
        if all(offset and offset % 4096 == 0 and 0 < size < 4096 and not reserved and capacity >= count
               for offset, size, reserved, capacity, count in table):
            return at
    raise RuntimeError('no section table')


def sparse(t, directory, whole):
    """A file of mostly holes with counts that reach over all of it stays one."""
    path, at, data = directory / '80-88.mdseg', sections_at(whole), bytearray(whole[:4096])
    for i in range(SECTIONS):
        size = SECTION.unpack_from(whole, at + i * SECTION.size)[1]
        SECTION.pack_into(data, at + i * SECTION.size, (i + 1) << 26, size, 0, 1 << 19, 1 << 19)
    with open(path, 'wb') as file:
        file.write(data)
        file.truncate(512 << 20)
    before = path.stat().st_blocks
    for command in (('-b', '-n1'), ('heap', '-b'), ('leaks',), ('heap',)):
        result = memtop(*command, path, binary=True)
        t.ok(sane(result), f'{" ".join(command)} of a sparse segment', result)
    t.equal(path.stat().st_blocks, before, 'which has no more memory afterwards')
    path.unlink()


def crowd(t, whole):
    """20,000 files planted: looked at within bounds, and said."""
    with tempfile.TemporaryDirectory(prefix='mdcrowd-', dir='/dev/shm') as directory:
        for i in range(20000):
            Path(directory, f'{i + 1}-{i + 7}.mdseg').write_bytes(whole[:4096] if i % 100 == 0 else b'')
        result = memtop('ps', env={'MEMDEBUG': f'dir={directory}'})
        shown = sum(' 0 ' in line or 'dead' in line or 'bad' in line for line in result.out.splitlines())
        t.ok(result.status == 0 and 'files were not looked at' in result.err and one_line(result),
             'ps says how many of 20,000 files it did not look at', result.err)
        t.ok(0 < shown < 2000, f'and shows some ({shown})', result.out[:500])
        if os.geteuid() == 0:
            for path in Path(directory).iterdir():
                path.unlink()
            planted = Path(directory, '81-88.mdseg')
            planted.write_bytes(whole)
            os.chown(planted, 65534, 65534)
            result = memtop('ps', '--all', env={'MEMDEBUG': f'dir={directory}'})
            line = next((line for line in result.out.splitlines() if line.split()[:1] == ['81']), '')
            t.ok('nobody' in line and "says it was user 0's" in line,
                 'a file of nobody that claims to be of root', result.out)


def special_module(t, directory, whole):
    """A module's path that leads to a device or a FIFO, by a link too: found, never opened."""
    if t.missing('what is opened', 'strace'):
        return
    fifo, link = directory / 'module', directory / 'link'
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    at = sections_at(whole)
    offset, size, _, _, count = SECTION.unpack_from(whole, at + SECTION.size)  # the second: modules
    data = bytearray(whole)
    for i in range(count):
        path = str((fifo, link)[i % 2]).encode()
        struct.pack_into('<I', data, offset + i * size + 44, len(path))
        data[offset + i * size + 80:offset + i * size + 80 + len(path) + 1] = path + b'\0'
    segment, trace = directory / '82-88.mdseg', directory / 'trace'
    segment.write_bytes(data)
    for command in (('heap', '-b'), ('leaks',)):
        result = s.run(['strace', '-f', '-o', trace, '-e', 'trace=open,openat,openat2', s.MEMTOP,
                        *command, segment], preload=False, timeout=60)
        opened = [line for line in trace.read_text(errors='replace').splitlines()
                  if f'"{fifo}"' in line or f'"{link}"' in line]
        t.ok(result.status == 0 and opened and all('O_PATH' in line for line in opened),
             f'{command[0]}: a FIFO in the place of a module', '\n'.join(opened[:5]) + str(result))


def planted_log(t, directory):
    """memtop run --live names its log itself: it does not write through a link that was there."""
    victim = directory / 'victim'
    victim.write_text('precious\n')
    script = f'ln -s {victim} memtop-run-$$.log; exec {s.MEMTOP} run --live -- /bin/echo overwritten'
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(directory)
        os.execve('/bin/sh', ['sh', '-c', script],
                  s.environment(preload=False, extra={'TERM': 'xterm'}))
    said = b''
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:
        pass  # the terminal's other end is closed
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    t.ok(victim.read_text() == 'precious\n' and status == 1 and b'exists' in said,
         'run --live does not write through a planted link', f'{status} {said[-500:]!r}')


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
                    t.ok('run memtop as root' in result.err or 'ermission' in result.err, 'says whose', result)
                    t.ok('root or' not in result.err, 'and who may', result)
            result = s.run([*nobody, program, 'ps', '--all'], preload=False)
            t.equal(result.status, 0, 'ps --all of nobody', result)
            # A user who has nothing.
            result = s.run(['/usr/bin/setpriv', '--reuid=64321', '--regid=64321', '--clear-groups', program, 'ps'],
                           preload=False)
            t.ok(result.status == 0 and (result.out or 'no program of yours runs' in result.err), 'ps of one without any',
                 result)
            # One who has something is told that root's is not in the list.
            with s.running([*nobody, shutil.copy(FAKE, place)], preload=False, ready='ready') as own:
                result = s.run([*nobody, program, 'ps'], preload=False)
                t.ok(result.status == 0 and f'{own.pid} ' in result.out and
                     (f'{fake.pid} ' in result.out or 'may have on memdebug is not to be seen: run memtop as root' in result.err),
                     'ps of one with some', result)
        with s.running([*nobody, '/bin/sh', '-c', 'echo ready; exec sleep 60'], preload=False, ready='ready') as sleeper:
            result = s.run(['/usr/bin/setpriv', '--bounding-set=-sys_ptrace', program, str(sleeper.pid)], preload=False)
            refused(t, 'root without a capability', result)
            # Newer kernels let each of these see the map, if not the executable.
            result = s.run(['/usr/bin/setpriv', '--bounding-set=-sys_ptrace,-perfmon,-sys_admin', program, str(sleeper.pid)],
                           preload=False)
            t.ok('may be on memdebug or not: its memory map cannot be read; root needs' in result.err,
                 'what is not known is not denied', result)
            t.ok('SYS_PTRACE' in result.err and 'as root' not in result.err, 'is told which', result)


# In a PID namespace: hidepid holds for all that is mounted of one.
HIDING = '''
mount -t proc -o hidepid=invisible proc /proc || exit 77
sleep 60 &
hidden=$!
setpriv --reuid=65534 --regid=65534 --clear-groups "$1" "$hidden"
setpriv --reuid=65534 --regid=65534 --clear-groups "$1" ps
"$1" ps
kill $hidden
'''


def hidden(t):
    name = 'what /proc hides'
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        t.skip(name, 'needs root and setpriv')
        return
    with tempfile.TemporaryDirectory(prefix='mdbin-') as place:
        os.chmod(place, 0o755)
        program = shutil.copy(s.MEMTOP, place)
        result = s.run(['unshare', '--mount', '--pid', '--fork', 'sh', '-c', HIDING, 'sh', program], preload=False)
        if result.status == 77 or 'unshare' in result.err:
            t.skip(name, 'no PID namespace with a /proc of its own can be made here')
            return
        lines = result.err.splitlines()
        t.ok(any(re.search(r'hides process \d+, .* run memtop as root$', line) for line in lines),
             'a process that /proc hides is not said to be none', result)
        t.equal(sum("hides other users' processes" in line for line in lines), 1,
                'ps says that it does not see all; root does', result)


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
        cut_and_filled(t, directory, whole)
        sparse(t, directory, whole)
        crowd(t, whole)
        special_module(t, directory, whole)
        planted_log(t, directory)
    processes(t)
    someone_elses(t)
    hidden(t)
    streams(t)
