#!/usr/bin/env python3
"""The segment: after kill -9 it still gives a profile; unlinked it is made anew; dead ones are
bounded, and nobody takes a living one for dead; a tmpfs that is full, missing or read-only is a
counted loss and no more; what others plant under its names leads it to another."""

import json
import os
import shutil
import socket
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

VICTIM = s.PROGRAMS / 'victim'


def memtop(*arguments):
    return subprocess.run([s.MEMTOP, *map(str, arguments)], capture_output=True, timeout=60,
                          env=s.environment(preload=False), stdin=subprocess.DEVNULL, check=False)


def unshared(script, memdebug):
    """Runs a shell script as root of a mount namespace of its own, with the library for $VICTIM."""
    env = s.environment(preload=False, extra={'VICTIM': str(VICTIM), 'LIB': str(s.LIB),
                                              'OPTIONS': memdebug or ''})
    return subprocess.run(['unshare', '-m', '/bin/sh', '-c', 'mount --make-rprivate /\n' + script],
                          capture_output=True, text=True, env=env, timeout=120, check=False)


def can_unshare():
    return subprocess.run(['unshare', '-m', 'true'], capture_output=True, check=False).returncode == 0


NOBODY, SOMEBODY = 65534, 1000


def plant(kind, path):
    """What a hostile user may put under the name that a segment will have."""
    if kind == 'FIFO':
        os.mkfifo(path, 0o666)
    elif kind == 'directory':
        path.mkdir()
    elif kind == 'socket':
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == 'link to a FIFO':
        os.mkfifo(path.with_suffix('.trap'), 0o666)
        path.symlink_to(path.with_suffix('.trap'))
    elif kind == 'link to itself':
        path.symlink_to(path)
    else:
        path.touch(0o666)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def start_ticks(pid):
    return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]


def processes():
    return [json.loads(line) for line in memtop('ps', '--json').stdout.splitlines()]


# Allocates, frees and forks, for a while; the children allocate too.
BUSY = '''
import os, sys, time
keep, end = [], time.monotonic() + 2
def work(rounds):
    for _ in range(rounds):
        keep.append([bytearray(n) for n in range(100, 3000, 50)])
        del keep[:-20]
work(60)
print('ready', flush=True)
while time.monotonic() < end:
    work(5)
    child = os.fork()
    if not child:
        work(10)
        os._exit(3)
    if os.waitpid(child, 0)[1] != 3 << 8:
        sys.exit(50)
sys.exit(7)
'''


def data_ranges(fd):
    end = os.fstat(fd).st_size
    at = 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # nothing more
            return
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, hole - at
        at = hole


def overwritten(t, private):
    """Whoever may open a segment may write to it: the program, its children and our thread go by what they
    keep for themselves.  What they say is anything then; they do not crash."""
    fills = (b'\xff' * 8, b'\0' * 8, bytes(range(8)), b'\xff\xff\xff\x7f' * 2, b'\0\0\1\0\0\0\0\0')
    for memdebug in ('memprofilerate=4096', 'memprofilerate=64KiB', 'gctrace=1,gctracefile=/dev/null,memprofilerate=256,'
                     'gcinterval=20ms', 'leakcheck=1,leakfile=/dev/null,gcengine=wp,gcinterval=20ms',
                     f'heapprofile={private}/p,gcengine=stop,gctrace=1,gctracefile=/dev/null,gcinterval=20ms'):
        rounds = 0
        with s.running(['/usr/bin/python3', '-c', BUSY], f'dir={private},keepdead=0,{memdebug}', ready='ready', timeout=120,
                       env={'PYTHONMALLOC': 'malloc'}) as process:
            s.wait_for(lambda: s.segments(process.pid, [private]), 10, process)
            while process.poll() is None:
                for path in s.segments(None, [private]):
                    try:
                        fd = os.open(path, os.O_RDWR)
                    except OSError:
                        continue
                    noise = fills[rounds % len(fills)] if rounds % 2 else os.urandom(8)
                    for at, length in data_ranges(fd):
                        os.pwrite(fd, noise * (length // 8), at)
                    os.close(fd)
                    rounds += 1
        t.ok(process.returncode == 7 and rounds > 5, f'{memdebug.split(",")[0]}: its segment is overwritten {rounds} '
             'times', (process.returncode, process.text() if process.error_path.exists() else ''))
        for path in private.iterdir():
            path.unlink()


def planted(t, shared):
    """The name is known beforehand: process number and start time stay through exec."""
    for kind in ('FIFO', 'directory', 'socket', 'link to a FIFO', 'link to itself', 'file'):
        shell = subprocess.Popen(
            ['sh', '-c', f'read x; LD_PRELOAD="{s.LIB}" MEMDEBUG="dir={shared}" exec "$0" hold 5', VICTIM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=SOMEBODY, group=SOMEBODY,
            extra_groups=[], env=s.environment(preload=False))
        try:
            name = shared / f'{shell.pid}-{start_ticks(shell.pid)}.mdseg'
            plant(kind, name)
            if kind == 'FIFO':
                plant(kind, Path(f'{name}.new'))
            shell.stdin.write('\n')
            shell.stdin.flush()
            ready = s.wait_for(lambda: s.segments(shell.pid, [shared]) and any(
                '.' in path.stem for path in s.segments(shell.pid, [shared])), 30, shell)
            t.ok(ready, f'a {kind} is planted under its name: the program runs, its segment has another',
                 list(shared.iterdir()))
            if s.MEMTOP.exists():
                found = {p['state']: p['segment'] for p in processes() if p['pid'] == shell.pid}
                t.ok(found.get('live', str(name)) != str(name) and set(found) <= {'live', 'bad'},
                     'and memtop finds that one', found)
        finally:
            shell.kill()
            shell.wait()
            shell.stdin.close()
            shell.stdout.close()
        for path in shared.iterdir():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def calls_made(shared):
    """System calls of a program from its start to its end; without samples, as how many there are is chance."""
    with tempfile.NamedTemporaryFile() as log:
        s.run(['strace', '-f', '-qq', '-o', log.name, f'-ELD_PRELOAD={s.LIB}',
               f'-EMEMDEBUG=dir={shared},memprofilerate=0', VICTIM, 'hello'], preload=False)
        return len(Path(log.name).read_text().splitlines())


def crowded(t, shared):
    """Twenty thousand names of another user: a look at some of them."""
    if t.missing('a crowded directory', 'strace'):
        return
    before = calls_made(shared)
    for i in range(20000):
        path = shared / f'{5000000 + i}-1.mdseg'
        path.touch()
        os.chown(path, NOBODY, NOBODY)
    after = calls_made(shared)
    t.ok(0 < after - before < 1000, # each creation looks at two windows; the hostile build has more
         f'20,000 files of another user: {after - before} calls more than the {before} without')
    for path in shared.iterdir():
        path.unlink()
    for i in range(3000):
        (shared / f'{5000000 + i}-1.mdseg').touch()
    after = calls_made(shared)
    t.ok(0 < after - before < 1600, # two times 128 names at most, six calls each
         f'3,000 dead ones of its own: {after - before} calls more')
    with s.running([VICTIM, 'hold', '5'], f'dir={shared},gc=ready', ready='ready') as process:
        t.ok(s.wait_for(lambda: len(s.segments(None, [shared])) <= 17, 60, process),
             'a thread of ours does the rest', len(s.segments(None, [shared])))


with s.Tap() as t:
    for memdebug in (None, 'memprofilerate=1', 'gctrace=1,gctracefile=/dev/null,gcinterval=20ms'):
        result = s.run([s.PROGRAMS / 'cancelled'], memdebug)
        t.equal((result.status, result.out), (0, 'to its end\n'),
                f'no allocation is a point of cancellation, {memdebug or "default"}', result)
    private = Path(tempfile.mkdtemp(prefix='mdtest-', dir='/dev/shm'))
    try:
        # kill -9, in both variants, at the default rate and a fine one.
        for memdebug in ('', 'memprofilerate=4096', 'gc=ready'):
            name = memdebug or 'default'
            with s.running([VICTIM, 'hold', '40'], f'dir={private},{memdebug}',
                           ready='ready') as process:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            found = s.segments(process.pid, [private])
            if not t.equal(len(found), 1, f'{name}: killed, its segment is there', list(private.iterdir())):
                continue
            if not s.MEMTOP.exists() or t.missing(f'{name}: profile of the dead', 'go'):
                continue
            out = private / 'dead.pb.gz'
            done = memtop('heap', found[0], '-o', out)
            if t.equal(done.returncode, 0, f'{name}: memtop heap reads it', done.stderr):
                held = s.read_profile(out).by_function(lambda function: function == 'keep_blocks')
                space = held.get('keep_blocks', [0] * 4)[3]
                # 80 samples of 512 KiB: within four standard errors.
                t.ok(22 << 20 < space < 58 << 20,
                     f'{name}: 40 MB are charged to keep_blocks ({space / 1048576:.1f})')
                out.unlink()
            found[0].unlink()

        # Unlinked while it runs.
        with s.running([VICTIM, 'work', '60'], f'dir={private}', ready='ready') as process:
            s.wait_for(lambda: s.segments(process.pid, [private]), 10, process)
            for path in s.segments(process.pid, [private]):
                path.unlink()
            t.ok(s.wait_for(lambda: s.segments(process.pid, [private]), 10, process),
                 'unlinked, it is made anew')
            time.sleep(0.5)
            t.equal(len(s.segments(process.pid, [private])), 1, 'once')
            t.ok(process.poll() is None, 'and the program goes on')
        for path in private.iterdir():
            path.unlink()

        overwritten(t, private)

        # Dead ones are bounded.
        s.run([VICTIM, 'forkserver', '12'], f'dir={private},keepdead=3')
        dead = len(s.segments(None, [private]))
        t.ok(1 <= dead <= 4, f'keepdead=3 keeps 3 of 12 dead ones, and the last ({dead})')
        s.run([VICTIM, 'hello'], f'dir={private},keepdead=0')
        t.equal(s.segments(None, [private]), [], 'keepdead=0 keeps none')
        (private / 'not-ours.txt').write_text('x')
        (private / '99999999-1.mdseg').write_bytes(b'garbage')
        fifo = private / '99999998-1.mdseg'
        os.mkfifo(fifo)
        s.run([VICTIM, 'hello'], f'dir={private},keepdead=0')
        t.ok((private / 'not-ours.txt').exists() and fifo.exists(),
             "what is no segment is nobody's to remove, or to open")
        t.ok(not (private / '99999999-1.mdseg').exists(), 'and what has its name is one')
        fifo.unlink()

        if os.geteuid() == 0:
            shared = private / 'shared'
            shared.mkdir()
            private.chmod(0o755)
            shared.chmod(0o1777)
            planted(t, shared)
            crowded(t, shared)
            shutil.rmtree(shared)
        else:
            t.skip('planted files', 'needs root, to be two users')

        # A directory that is none; one on a disk; a symlink.
        for target, what in (('/nowhere/at/all', 'missing'), ('/etc/passwd', 'no directory')):
            result = s.run([VICTIM, 'hello'], f'dir={target}')
            t.ok(result.status == 7 and result.out == 'hello on stdout\n' and len(result.rest) <= 2,
                 f'dir= {what}: at most one line, the program unharmed', result)
        # monitor=off: none at all.
        with s.running([VICTIM, 'work', '20'], f'dir={private},monitor=off', ready='ready') as process:
            time.sleep(0.5)
            t.equal(s.segments(process.pid, [private]), [], 'monitor=off: no segment')
    finally:
        shutil.rmtree(private, ignore_errors=True)

    if os.geteuid() != 0 or not can_unshare():
        t.skip('full, missing and read-only tmpfs', 'needs root and mount namespaces')
    else:
        run_it = 'LD_PRELOAD="$LIB" MEMDEBUG="$OPTIONS" "$VICTIM" hello\n'
        expected = (7, 'hello on stdout\n', 'hello on stderr\n')
        places = {
            'full': 'mount -t tmpfs -o size=64k none /dev/shm; '
                    'head -c 65536 /dev/zero > /dev/shm/full\n',
            'nearly full': 'mount -t tmpfs -o size=1m none /dev/shm\n',
            'small': 'mount -t tmpfs -o size=8m none /dev/shm\n',
            'read-only': 'mount -t tmpfs -o ro none /dev/shm\n',
            'missing': 'umount -l /dev/shm; mount -t tmpfs -o ro none /dev/shm; '
                       'mount --bind /proc/self/task /dev/shm\n',
            'without inodes': 'mount -t tmpfs -o nr_inodes=1 none /dev/shm\n',
        }
        for name, setup in places.items():
            for memdebug in ('', 'memprofilerate=1', 'gctrace=1,gctracefile=/dev/null,memprofilerate=256'):
                done = unshared(setup + run_it, memdebug)
                t.equal((done.returncode, done.stdout, done.stderr), expected,
                        f'/dev/shm {name}, {memdebug or "default"}: the program is as it was')
        # It fills while the program runs: a loss, no SIGBUS.
        done = unshared('mount -t tmpfs -o size=2m none /dev/shm\n'
                        'LD_PRELOAD="$LIB" MEMDEBUG="$OPTIONS" "$VICTIM" work 3 &\n'
                        'sleep 0.5; dd if=/dev/zero of=/dev/shm/fill bs=4k count=1000 2>/dev/null\n'
                        'wait $!; echo status=$?\n', 'memprofilerate=64')
        t.equal(done.stdout, 'ready\nstatus=0\n', 'a tmpfs that fills up meanwhile', done.stderr)
        # Of another PID namespace: neither its number nor its /proc is to be seen.
        done = unshared(f"""mount -t tmpfs none /dev/shm
            unshare -pf --mount-proc env LD_PRELOAD="$LIB" "$VICTIM" hold 5 > /dev/shm/out & child=$!
            until grep -q ready /dev/shm/out; do sleep 0.1; done
            unshare -pf --mount-proc sh -c 'LD_PRELOAD="$LIB" MEMDEBUG=keepdead=0 "$VICTIM" hello
                                            cat /dev/shm/memdebug-0/* | head -c 5; echo
                                            {s.MEMTOP} ps --json' 2>&1
            kill -9 $(cat /proc/$child/task/$child/children); wait $child
            LD_PRELOAD="$LIB" MEMDEBUG=keepdead=0 "$VICTIM" hello > /dev/null 2>&1
            echo left $(ls /dev/shm/memdebug-0)""", '')
        t.ok('MDSEG' in done.stdout, 'a living process of another PID namespace keeps its segment', done)
        if s.MEMTOP.exists():
            states = {line['state'] for line in map(json.loads, filter(
                lambda line: '"segment":"/dev/shm/' in line, done.stdout.splitlines()))}
            t.equal(states, {'unseen'}, 'memtop ps there does not call it dead', done)
        t.equal(done.stdout.splitlines()[-1:], ['left'], 'and when it has died it goes')
        # The directory is squatted.
        done = unshared(f"""mount -t tmpfs -o mode=1777 none /dev/shm
            mkdir /dev/shm/memdebug-0; chown 65534 /dev/shm/memdebug-0
            LD_PRELOAD="$LIB" "$VICTIM" hold 5 > /dev/shm/out & child=$!
            until grep -q ready /dev/shm/out; do sleep 0.1; done
            {s.MEMTOP} ps --json; kill -9 $child; wait $child; {s.MEMTOP} ps --json""", '')
        if s.MEMTOP.exists():
            states = [json.loads(line)['state'] for line in done.stdout.splitlines()
                      if '"segment":"/dev/shm/' in line]
            t.equal(states, ['live', 'dead'], 'with its directory squatted memtop finds it, living and dead',
                    done)
        # Another user's directory in our place, a symlink in our place.
        done = unshared('mount -t tmpfs none /dev/shm; mkdir /dev/shm/memdebug-0; '
                        'chown 65534 /dev/shm/memdebug-0\n' + run_it +
                        'ls -A /dev/shm/memdebug-0 >&2\n', '')
        t.equal(done.stderr, 'hello on stderr\n', "nothing is written into someone else's directory")
        done = unshared('mount -t tmpfs none /dev/shm; mkdir /dev/shm/trap; '
                        'ln -s /dev/shm/trap /dev/shm/memdebug-0\n'
                        'LD_PRELOAD="$LIB" "$VICTIM" work 1; ls -A /dev/shm/trap\n', '')
        t.equal(done.stdout, 'ready\n', 'nor through a symlink')
