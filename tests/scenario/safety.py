#!/usr/bin/env python3
"""No program is harmed by cycles back to back: what its threads, signals, children, descriptors, stacks and
debuggers do.  Each program checks itself; each cycle is done, or skipped with its reason.

Where each case of hazards is proved:
  threads that block all signals, one that never sleeps, in vfork    here; tests/unit/test_world.c
  thousands of threads; born and dying during the stop               here; tests/unit/test_world.c
  a main thread that has ended; setuid; handlers reset               here; tests/unit/test_world.c
  sigwait of all signals; SIGSTOP and SIGCONT                        here
  system calls that the stop interrupts, gcstop=quiet                safety_waits.py
  fork, vfork, exec during a cycle                                   here; children.py, tight.py
  children of ours reaped by the program; threads of the kernel      here
  dlopen and dlclose under load                                      here; C++ exceptions: bindings.py
  coroutines on small stacks, alternate stacks                       here; as roots: roots.py
  exec of a set-user-ID program during a cycle                       here
  descriptors closed and reused, full pipes, a log that has gone     here; descriptors.py
  a debugger and strace that attach; a program under strace          here; in gdb: programs.py
  seccomp before and after load                                      safety_limits.py
  RLIMIT_AS, _NPROC, _NOFILE, _SIGPENDING, mlockall                  safety_limits.py; tight.py
  pids.max, memory.max, overcommit_memory=2, no /proc                safety_limits.py
  memory that no copy of the process gets                            safety_limits.py
  static programs, setuid ones, a malloc of their own                foreign.py
  one library only, MEMDEBUG unset: nothing at all                   silent.py, exports.py
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

HOSTILE, STACKS = s.PROGRAMS / 'hostile', s.PROGRAMS / 'stacks'
CYCLES = 'gctrace=1,gcinterval=10ms'


def reasons(result):
    return sorted({reason for _, reason, _, _ in result.skips})


def unharmed(t, command, name, expected, cycles=1, allowed=s.BUSY, memdebug=CYCLES, timeout=60):
    """The program ends well and says what it should; cycles were done, and skipped for these reasons only."""
    result = s.run(command, memdebug, timeout=timeout)
    t.ok(result.status == 0 and re.search(expected, result.out) and not result.rest,
         f'{name}: goes on unharmed', result)
    t.ok(len(result.lines) >= cycles and set(reasons(result)) <= set(allowed),
         f'{name}: {len(result.lines)} cycles done, {len(result.skips)} skipped {reasons(result)}', result)
    t.equal(s.trace_faults(result.lines), [], f'{name}: sane lines')
    return result


def attached(t, name, command, done):
    """A tool attaches to the program while cycles run, and lets go."""
    with s.running([HOSTILE, 'plain', '100'], CYCLES) as process:
        if not s.wait_for(lambda: 'gc 5 ' in process.text()[1], 20, process):
            t.ok(False, f'{name}: cycles before it', process.text())
            return
        tool = subprocess.run([str(part).replace('PID', str(process.pid)) for part in command],
                              capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)
        t.ok(done(tool), f'{name}: it attaches and lets go', f'{tool.stdout[-2000:]}\n{tool.stderr[-2000:]}')
        before = len(s.split_trace(process.text()[1])[0])
        t.ok(s.wait_for(lambda: len(s.split_trace(process.text()[1])[0]) >= before + 5, 20, process),
             f'{name}: cycles go on', process.text()[1][-2000:])
        process.terminate()
        t.equal(process.wait(30), 0, f'{name}: the program ends as it would')
        out, err = process.text()
        t.ok('list=whole' in out and not s.split_trace(err)[2], f'{name}: and is unharmed', (out, err[-500:]))


def markers():
    """Snapshot children of the hostile program that are alive."""
    found = []
    for directory in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if (directory / 'comm').read_text() == 'md-mark\n' and \
                    os.readlink(directory / 'exe') == str(HOSTILE):
                found.append(directory.name)
    return found


def exec_setuid(t):
    """A program of a plain user's that execs a set-user-ID one among cycles: it gets its rights."""
    name = 'exec of a set-user-ID program among cycles'
    if os.geteuid() != 0:
        t.skip(name, 'needs root, to make one')
        return
    with tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
        os.chmod(directory, 0o755)
        library, hostile, tool = (Path(directory) / part for part in ('library.so', 'hostile', 'id'))
        shutil.copy(s.LIB, library)
        shutil.copy(HOSTILE, hostile)
        shutil.copy('/usr/bin/whoami', tool)
        os.chmod(tool, 0o4755)
        user = ['setpriv', '--reuid=64999', '--regid=64999', '--clear-groups']
        if s.run([*user, tool], preload=False).out != 'root\n':
            t.skip(name, f'{directory} is mounted nosuid')
            return
        for engine in ('clone', 'wp'):
            got, cycles = set(), 0
            for i in range(12):
                result = s.run([*user, 'env', f'LD_PRELOAD={library}', f'MEMDEBUG={CYCLES},gcengine={engine}',
                                hostile, 'become', 5 + 7 * i, tool], preload=False)
                got.add((result.status, result.out))
                cycles += len(result.lines)
            t.equal(got, {(0, 'root\n')}, f'{name}, {engine}')
            if engine == 'clone' or cycles:
                t.ok(cycles >= 6, f'{name}, {engine}: {cycles} cycles')
            else:
                t.skip(f'{name}, {engine}: cycles', 'no such engine here')


with s.Tap() as t:
    unharmed(t, [HOSTILE, 'threads', '300'], '300 threads, 6000 born and dying',
             r'made=300 born=6000 .*list=whole')
    unharmed(t, [HOSTILE, 'threads', '2000'], '2000 threads, 6000 born and dying',
             r'born=6000 .*list=whole', cycles=1,
             allowed=(*s.BUSY, 'threads are born faster than they can be stopped'))
    unharmed(t, [HOSTILE, 'deaf', '0'], '8 threads that block all signals', 'count=0 list=whole')
    result = unharmed(t, [HOSTILE, 'deaf', '1'], 'one of them never sleeps', 'count=0 list=whole', cycles=0)
    t.ok('a thread did not stop' in reasons(result), 'one of them never sleeps: which is the reason', result)
    unharmed(t, [HOSTILE, 'children', '40'], 'fork, vfork, exec and _exit in four threads',
             'count=0 list=whole')
    unharmed(t, [HOSTILE, 'reaper'], 'a program that reaps children of any kind', 'count=0 list=whole')
    result = s.run([HOSTILE, 'ring'], preload=False)
    if 'list=whole' in result.out:
        unharmed(t, [HOSTILE, 'ring'], "the kernel's thread of an io_uring", 'count=0 list=whole')
    else:
        t.skip("the kernel's thread of an io_uring", result.out.strip())
    unharmed(t, [HOSTILE, 'handlers'], 'all signals set to their default, over and over', 'count=0 list=whole')
    unharmed(t, [HOSTILE, 'sigwaits'], 'a thread in sigwait of all signals gets no other', 'count=0 list=whole')
    unharmed(t, [HOSTILE, 'setids'], 'setuid and setgid over and over', 'count=0 list=whole')
    unharmed(t, [HOSTILE, 'close_all'], 'all descriptors closed, the next ones are 3 and 4',
             'count=0 list=whole')
    result = s.run([HOSTILE, 'threads', '20'], CYCLES, env={'MALLOC_CONF': 'background_thread:true'})
    t.ok(result.status == 0 and 'list=whole' in result.out and not result.rest and result.lines,
         f"jemalloc's own threads: goes on unharmed, {len(result.lines)} cycles, {reasons(result)}", result)
    unharmed(t, [HOSTILE, 'load'], 'dlopen and dlclose in four threads', 'count=0 list=whole')
    unharmed(t, [HOSTILE, 'stopped', '15'], 'SIGSTOP and SIGCONT', 'count=0 list=whole')
    unharmed(t, [HOSTILE, 'threads', '50'], 'gcstop=quiet: threads born and dying', 'list=whole',
             memdebug=CYCLES + ',gcstop=quiet', cycles=1)
    result = s.run([s.PROGRAMS / 'victim', 'exec', '30'], CYCLES, timeout=60)
    t.equal((result.status, result.out, result.rest), (5, 'end of the chain\n', []), '30 execs among cycles')

    exec_setuid(t)

    # What the stop puts on a stack of the program's.
    unharmed(t, [STACKS, 'coroutines', '8192'], 'coroutines on 8 KiB of the heap', 'count=0 list=whole')
    result = unharmed(t, [STACKS, 'coroutines', '65536'], 'coroutines on 64 KiB', 'count=0 list=whole')
    match = re.search(r'frame=(\d+) used=(\d+)', result.out)
    without = re.search(r'used=(\d+)', s.run([STACKS, 'coroutines', '65536'], preload=False).out)
    if t.ok(match and without, 'coroutines: say what they used', result):
        frame, used = int(match[1]), int(match[2])
        t.ok(used <= int(without[1]) + frame + 1024,
             f'a stop takes the signal frame ({frame} at most) and less than 1 KiB: {used}, {without[1]} without')
    unharmed(t, [STACKS, 'alternate', '16384'], 'stopped on an alternate stack of 16 KiB',
             'handled=yes .*count=0 list=whole', cycles=1)
    unharmed(t, [STACKS, 'bare'], 'a thread made past libc, without a thread pointer', 'count=0 list=whole')
    unharmed(t, [STACKS, 'switching'], 'coroutines that switch all the time', 'count=0 list=whole')

    # Debuggers.
    if not t.missing('gdb attaches', 'gdb'):
        attached(t, 'gdb attaches', ['gdb', '-batch', '-nx', '-p', 'PID', '-ex', 'bt', '-ex', 'info threads',
                                     '-ex', 'detach'],
                 lambda tool: 'memdebug' in tool.stdout and 'detached' in tool.stdout + tool.stderr)
        attached(t, 'gdb holds it for a second',
                 ['gdb', '-batch', '-nx', '-p', 'PID', '-ex', 'shell sleep 1', '-ex', 'thread apply all bt 1'],
                 lambda tool: tool.returncode == 0)
    if not t.missing('strace', 'strace'):
        attached(t, 'strace -f attaches', ['timeout', '-s', 'INT', '1', 'strace', '-f', '-o', '/dev/null',
                                           '-p', 'PID'],
                 lambda tool: 'attached' in tool.stderr)
        result = s.run(['strace', '-f', '-o', '/dev/null', '-E', f'LD_PRELOAD={s.LIB}', '-E',
                        f'MEMDEBUG={CYCLES}', HOSTILE, 'plain'], preload=False, timeout=60)
        t.ok(result.status == 0 and 'list=whole' in result.out and not result.rest,
             f'under strace -f: goes on unharmed, {len(result.lines)} cycles, {reasons(result)}', result)

    # Killed in the middle: no marker is left over.
    with s.running([HOSTILE, 'plain', '20'], CYCLES) as process:
        s.wait_for(lambda: 'gc 5 ' in process.text()[1], 20, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        t.ok(s.wait_for(lambda: not markers(), 5), 'killed in the middle: no marker is left', markers())
        for path in s.segments(process.pid):
            path.unlink()
