#!/usr/bin/env python3
"""What was asked for goes somewhere: where a program replaces its stderr, gives up its user, rotates
its logs; and never into a file, socket or pipe that is not for it."""

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

PROGRAM = s.PROGRAMS / 'descriptor2'
DROPS = s.PROGRAMS / 'droppriv'


def lines_of(path):
    """(cycles, everything else) in a file; nothing where there is none."""
    cycles, _, rest = s.split_trace(path.read_text() if path.exists() else '')
    return len(cycles), rest


def replaced(t, directory):
    """Each way of putting something else on descriptor 2, and where the two lines of it go."""
    def case(how, wanted, memdebug='gctrace=1,gc=ready'):
        path = directory / how
        result = s.run([PROGRAM, how, path], memdebug)
        # The parent of `fork` leaves at once; its copy goes on.
        s.wait_for(lambda: how != 'fork' or lines_of(path)[0] == 2, 20)
        got = (result.status, len(result.lines), lines_of(path))
        t.equal(got, (0, wanted[0], (wanted[1], wanted[2])), f'{how}: {wanted[0]} lines on stderr, {wanted[1]} in PATH', result)
        return result

    case('none', (2, 0, []))
    for how in ('dup2', 'dup3', 'early', 'fork', 'vforked'):
        case(how, (0, 2, ['own']))
    for how in ('open', 'append', 'vfork'):
        case(how, (0, 0, ['own']))
    for how in ('socket', 'dup2socket', 'pipe'):
        result = case(how, (0, 0, []))
        t.ok('arrived: own\n' in result.out and 'gc ' not in result.out, f'{how}: only what is the program\'s own', result)
    case('null', (0, 0, []))
    other = directory / 'vforked.other'
    t.equal(other.read_text(), '', "a child of vfork's stderr is not its parent's")

    # A FIFO; a pipe by dup3; each read to its end.
    fifo = directory / 'fifo'
    os.mkfifo(fifo)
    for how in ('dup2', 'open'):
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        s.run([PROGRAM, how, fifo], 'gctrace=1,gc=ready')
        with os.fdopen(reader) as stream:
            cycles, _, rest = s.split_trace(stream.read())
        t.equal((len(cycles), rest), (2, ['own']), f'a FIFO, by {how}')
    reader, writer = os.pipe()
    s.run([PROGRAM, 'dup3', f'/proc/self/fd/{writer}'], 'gctrace=1,gc=ready', pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader) as stream:
        cycles, _, rest = s.split_trace(stream.read())
    t.equal((len(cycles), rest), (2, ['own']), 'a pipe, by dup3')

    # A terminal that merely took the number.
    if t.missing('a terminal', 'script'):
        return
    typed = directory / 'typescript'
    inner = f'{PROGRAM} open /dev/tty 2>/dev/null'
    subprocess.run([s.find('script'), '-qec', inner, typed], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   env=s.environment('gctrace=1,gc=ready', extra={'SHELL': '/bin/sh'}), timeout=60, check=False)
    text = [line.rstrip('\r') for line in typed.read_text(errors='replace').split('\n')]
    t.equal(len(s.split_trace('\n'.join(text))[0]), 2, 'a terminal, by open', text)


def ring(t):
    """What could be written nowhere is in the segment; memtop tail prints it, of the living and the dead."""
    def told(target):
        done = subprocess.run([s.MEMTOP, 'tail', str(target)], env=s.environment(preload=False), capture_output=True, text=True,
                              timeout=60)
        return s.split_trace(done.stdout)[0], done

    process = subprocess.Popen([PROGRAM, 'null', '--wait'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=s.environment('gctrace=1,gc=ready'))
    process.stdout.readline()
    cycles, done = told(process.pid)
    line, record = ps(process.pid)
    t.ok(f'memtop tail {process.pid}' in line and record['trace_output'] == 'segment', 'memtop ps names it', f'{line}\n{record}')
    t.ok(done.returncode == 0 and [(c.number, c.pid, c.name) for c in cycles] ==
         [(n, process.pid, 'descriptor2') for n in (1, 2)] and f'{process.pid} descriptor2: 2 cycles' in done.stdout,
         'memtop tail PID prints the lines', done)
    segment = s.segments(process.pid)
    process.kill()
    process.communicate()
    cycles, done = told(segment[0] if segment else 'none')
    t.equal(len(cycles), 2, 'memtop tail FILE.mdseg, of a dead process', done)


def ps(pid):
    """What memtop ps has on one process: (text line, JSON)."""
    text = subprocess.run([s.MEMTOP, 'ps', '--all'], env=s.environment(preload=False), capture_output=True, text=True, check=True).stdout
    lines = subprocess.run([s.MEMTOP, 'ps', '--json'], env=s.environment(preload=False), capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in lines.stdout.splitlines()]
    return (next((line for line in text.splitlines() if line.split()[:1] == [str(pid)]), ''),
            next((record for record in records if record['pid'] == pid), {}))


def reports(t, directory):
    """leakcheck's report: into leakfile; else to stderr; else the process stays to be asked."""
    def has_report(text, pid):
        return f'=={pid}==ERROR' in text and ' in lose ' in text and text.count('SUMMARY: memdebug') == 1

    path = directory / 'report'
    for _ in range(2):
        result = s.run([PROGRAM, 'null'], f'leakcheck=1,leakexitcode=7,leakfile={path}-{{pid}}')
        text = Path(f'{path}-{result.pid}').read_text()
        t.ok(result.status == 7 and result.err == '' and has_report(text, result.pid), 'leakfile with {pid}', result)
    result = s.run([PROGRAM, 'none'], f'leakcheck=1,leakexitcode=7,leakfile={directory}/none/x')
    t.ok(result.status == 7 and result.rest[1] == f'memdebug: leakfile: {directory}/none/x: No such file or directory; the '
         'report goes to stderr' and has_report(result.err, result.pid), 'a leakfile that cannot be opened: stderr', result)
    result = s.run([PROGRAM, 'none'], 'leakcheck=1,leakexitcode=7,leakfile=/dev/full')
    t.ok(result.status == 7 and result.rest[1] == 'memdebug: leakfile: /dev/full: No space left on device; the rest of '
         'the report goes to stderr' and has_report(result.err, result.pid), 'a leakfile that is full: stderr', result)
    log = directory / 'report.log'
    result = s.run([PROGRAM, 'dup2', log], 'leakcheck=1,leakexitcode=7')
    t.ok(result.status == 7 and result.err == '' and has_report(log.read_text(), result.pid),
         'a stderr that came by dup2 gets the report', result)
    for how, size in (('null', 'large'), ('open', 'large'), ('small', 'small')):
        own = directory / f'report-{how}'
        command = [PROGRAM, how, own] if size == 'large' else ['/bin/sh', '-c', f'exec {s.PROGRAMS}/leaky --silent return 2>&-']
        result = s.run(command, 'leakcheck=1,leakexitcode=7')
        line, record = ps(result.pid)
        segment = s.segments(result.pid)
        told = subprocess.run([s.MEMTOP, 'leaks', segment[0] if segment else 'none'], env=s.environment(preload=False),
                              capture_output=True, text=True)
        t.ok(result.status == 7 and result.err == '' and f'memtop leaks {segment[0] if segment else "?"}' in line
             and record.get('report_kept') is True and ('lose' if size == 'large' else 'leak_direct') in told.stdout,
             f'no place for the report ({how}): the segment stays, memtop names it', f'{result}\n{line}\n{record}\n{told}')
    result = s.run([PROGRAM, 'none'], 'leakcheck=1')
    t.equal(s.segments(result.pid), [], 'a report that was written leaves no segment')


def unset(t, directory):
    """dup2 and dup3 are what they were: the same calls and no other, in a sandbox that kills, in a child
    of vfork, before any library is initialised."""
    for how in ('dup2', 'dup3', 'early', 'vfork', 'vforked', 'fork', 'sandbox', 'null'):
        path = directory / f'unset-{how}'
        result = s.run([PROGRAM, how, path])
        t.equal((result.status, result.out, result.err), (0, 'done\n', ''), f'MEMDEBUG unset: {how}')
    if t.missing('MEMDEBUG unset: the same system calls', 'strace'):
        return

    def calls(preload):
        log = directory / 'strace'
        environment = ['-E', f'LD_PRELOAD={s.LIB}'] if preload else []
        subprocess.run([s.find('strace'), '-o', log, '-e', 'trace=dup,dup2,dup3', *environment, PROGRAM, 'dup3', directory / 'x'],
                       env=s.environment(preload=False), capture_output=True, timeout=60, check=True)
        return log.read_text()

    plain, ours = calls(False), calls(True)
    t.equal(ours, plain, 'MEMDEBUG unset: the same calls of dup2 and dup3')


def let_go(t, directory):
    """$(daemon 2>&1) ends when the daemon has replaced its stderr, though it lives on."""
    log = directory / 'daemon.log'
    process = subprocess.Popen([PROGRAM, 'dup2', log, '--wait'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=s.environment('gctrace=1,leakcheck=1'))
    ended = select.select([process.stderr], [], [], 60)[0] and process.stderr.read() == b''
    t.ok(ended and process.poll() is None, 'the old stderr is let go while the program runs')
    process.stdin.close()
    process.wait(60)
    process.stderr.close()


def dropped(t, directory):
    """Privileges are given up before the first line."""
    if os.geteuid() != 0:
        t.skip('gctracefile of a program that gives up its user', 'needs root')
        return
    closed = directory / 'closed'
    closed.mkdir(mode=0o700)
    os.chmod(directory, 0o755)

    def run(memdebug, *arguments, between=None):
        error = directory / 'dropped.err'
        with open(error, 'wb') as stream:
            process = subprocess.Popen([DROPS, *arguments], env=s.environment(memdebug), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=stream)
        for i in range(3):
            if i == 1 and between:
                between()
            process.stdin.write(b'\n')
            process.stdin.flush()
            process.stdout.readline()
        process.stdin.close()
        process.stdout.close()
        process.wait(60)
        return process.returncode, error.read_text().splitlines()

    trace = closed / 'trace'
    t.equal((run(f'gctrace=1,gc=ready,gctracefile={trace}'), lines_of(trace)), ((0, []), (3, [])),
            "gctracefile in root's directory: opened before the user is given up")
    trace.unlink()
    moved = closed / 'trace.1'
    t.equal((run(f'gctrace=1,gc=ready,gctracefile={trace}', between=lambda: trace.rename(moved)), lines_of(moved)), ((0, []), (3, [])),
            'rotated, and a new one is not allowed: the old one is written on')
    status, said = run(f'gctrace=1,gc=ready,gctracefile={trace}', between=trace.unlink)
    t.ok(status == 0 and len(said) == 1 and 'for uid 65534' in said[0] and 'memtop tail' in said[0], 'removed: told once', said)
    status, said = run(f'gctrace=1,gc=ready,gctracefile={trace}', '--close')
    t.ok(status == 0 and len(said) == 1 and 'for uid 65534' in said[0], 'a daemon that closes all descriptors: told once', said)
    allowed = directory / 'allowed'
    allowed.mkdir()
    os.chown(allowed, 65534, 65534)
    trace = allowed / 'trace'
    t.equal((run(f'gctrace=1,gc=ready,gctracefile={trace}', between=lambda: trace.rename(moved)), lines_of(moved), lines_of(trace)),
            ((0, []), (1, []), (2, [])), 'rotated: opened anew where that is allowed')
    trace.unlink()
    os.close(os.open(trace, os.O_CREAT | os.O_WRONLY, 0o666))
    os.chown(trace, 65534, 65534)
    t.equal((run(f'gctrace=1,gc=ready,gctracefile={trace}', '--close'), lines_of(trace)), ((0, []), (3, [])),
            'all descriptors closed: opened anew where that is allowed')
    status, said = run(f'memprofilerate=1,heapprofile={closed}/h')
    t.ok(status == 0 and len(said) == 1 and f'{closed}/h.' in said[0] and 'Permission denied for uid 65534; give a PREFIX' in said[0],
         'a dump that is refused: told with uid, path and what to do', said)


def reused(t, directory):
    """The descriptor's number is the program's: it may close it and have a file of its own there."""
    trace, own = directory / 'reused.trace', directory / 'reused.own'
    code = (f'import os\nfor fd in range(3, 1024):\n  try: os.close(fd)\n  except OSError: pass\n'
            f'f = os.open("{own}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n'
            'for fd in range(400, 700): os.dup2(f, fd)\nx = [bytearray(5000) for i in range(4000)]\n')
    result = s.run([s.find('python3'), '-c', code], f'gctrace=1,gctracefile={trace}', env={'PYTHONMALLOC': 'malloc'})
    t.ok(result.status == 0 and own.read_text() == '' and lines_of(trace)[0] > 0,
         "nothing of ours in a file that has our descriptor's number", f'{result}\n{own.read_text()}')


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    replaced(t, Path(temporary))
    ring(t)
    reports(t, Path(temporary))
    unset(t, Path(temporary))
    let_go(t, Path(temporary))
    reused(t, Path(temporary))
    dropped(t, Path(temporary))
