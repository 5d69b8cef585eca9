#!/usr/bin/env python3
"""Cycles back to back where little is allowed: seccomp before and after load, limits of the process, of its
user and of its cgroup, locked memory, no overcommit, no /proc.  The program goes on unharmed; cycles are
done, or skipped with the reason."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from cgroups import VERSION2, cgroup

LIMITS, HOSTILE, CONFINE, POOL = (s.PROGRAMS / name for name in ('limited', 'hostile', 'confine', 'pool'))
CYCLES = 'gctrace=1,gcinterval=10ms'


def reasons(result):
    return {reason for _, reason, _, _ in result.skips}


def unharmed(t, name, result, expected='count=0 list=whole', cycles=1, skips=(), must=()):
    """It ended well and says what it should; so many cycles at least, skips for these reasons only."""
    t.ok(result.status == 0 and re.search(expected, result.out) and not result.rest,
         f'{name}: goes on unharmed', result)
    t.ok(len(result.lines) >= cycles and reasons(result) <= {*s.BUSY, *skips, *must} and
         set(must) <= reasons(result),
         f'{name}: {len(result.lines)} cycles done, {len(result.skips)} skipped {sorted(reasons(result))}',
         result)


def seccomp(t):
    before_load = (
        ('kill', 'rt_tgsigqueueinfo', 0, ['seccomp would kill the program for rt_tgsigqueueinfo']),
        ('kill', 'rt_sigpending,restart_syscall', 0, ['seccomp would kill the program for rt_sigpending']),
        ('kill', 'close_range', 0, ['seccomp would kill the program for close_range']),
        ('kill', 'waitid', 0, ['seccomp would kill the program for waitid']),
        ('trap', 'rt_tgsigqueueinfo', 0, ['seccomp would kill the program for rt_tgsigqueueinfo']),
        ('kill', 'userfaultfd,ptrace,process_vm_readv', 1, []),
        ('refuse', 'rt_tgsigqueueinfo', 0, ['signals to threads are refused']),
        ('refuse', 'rt_sigpending,restart_syscall', 1, []),
        ('refuse', 'close_range', 1, []),
        ('refuse', 'close_range,unshare', 0, ['no descriptor table for the tracer thread']),
        ('refuse', 'clone', 0, ['clone is refused (seccomp)']),
        ('refuse', 'waitid', 0, ['waitid is refused (seccomp)']),
        ('kill', 'wait4', 0, ['seccomp would kill the program for wait4']),
        ('refuse', 'wait4', 0, ['wait4 is refused (seccomp)']),
        ('kill', 'nanosleep', 0, ['seccomp would kill the program for nanosleep']),
        ('refuse', 'userfaultfd,setpriority,sched_setscheduler,prlimit64,ioctl', 1, []),
        ('kill', 'setpriority,sched_setscheduler', 1, []),
    )
    for action, calls, cycles, must in before_load:
        result = s.run([CONFINE, action, calls, HOSTILE, 'plain'], CYCLES)
        unharmed(t, f'seccomp before load, {action} {calls}', result, cycles=cycles, must=must)
    result = s.run([CONFINE, 'kill', 'setpriority,sched_setscheduler', HOSTILE, 'plain'], CYCLES + ',gcengine=wp')
    t.ok(result.status == 0 and 'list=whole' in result.out and 'the marker was killed' not in reasons(result),
         f'the same, gcengine=wp: no marker is killed, {len(result.lines)} cycles', result)
    # The copy that tries the calls shares the program's descriptors until it has a table of its own.
    with s.running([CONFINE, 'refuse', 'close_range', CONFINE, 'kill', 'ioctl', s.PROGRAMS / 'victim', 'work', '20'],
                   CYCLES, ready='ready') as process:
        t.ok(s.wait_for(lambda: 'would kill the program for ioctl' in process.text()[1], 10, process),
             'close_range refused, ioctl kills', process.text())
        links = [os.readlink(path) for path in Path(f'/proc/{process.pid}/fd').iterdir()]
        t.equal([link for link in links if link.startswith('/proc')], [], 'and no descriptor of ours is left')
    own = 'the program has sandboxed itself (seccomp)'
    for number, name in ((0, 'of the program'), (1, 'of one thread')):
        unharmed(t, f'a sandbox that kills, {name}, after load', s.run([LIMITS, 'sandbox', number], CYCLES),
                 must=[own], cycles=1)
    result = s.run([CONFINE, 'refuse', 'ptrace', LIMITS, 'sandbox', '0'], CYCLES)
    unharmed(t, 'a sandbox inside a container', result, must=[own], cycles=1)


def no_tables(t):
    """The system has no memory for the tables, at the very start."""
    victim = s.PROGRAMS / 'victim'
    if t.missing('no memory for the tables', 'strace'):
        return
    for memdebug in ('', 'memprofilerate=1', 'gctrace=1', 'leakcheck=1', 'heapprofile=/nowhere/x'):
        def strace(*options):
            return s.run(['strace', '-o', '/dev/stdout', '-e', 'trace=mmap', *options, f'-ELD_PRELOAD={s.LIB}',
                          *([f'-EMEMDEBUG={memdebug}'] if memdebug else []), victim, 'hello'], preload=False)
        maps = [line for line in strace().out.splitlines() if line.startswith('mmap(')]
        first = next((i for i, line in enumerate(maps, 1) if ', 536870912, PROT_NONE' in line), 0)
        # The second is a smaller set, which would still serve.
        result = strace('-e', f'inject=mmap:error=ENOMEM:when={first}..{first + 1}')
        said = 'memdebug: no memory for the tables: the process is not watched\n' if memdebug else ''
        t.ok(first and result.status == 7 and 'hello on stdout' in result.out and
             result.err == said + 'hello on stderr\n',
             f'no memory for the tables, {memdebug or "unset"}: the program runs, unwatched', result)


def resource_limits(t):
    none = 'no descriptor is left (RLIMIT_NOFILE)'
    # poll(2) fails then, and what cannot be polled is not written to: the lines are lost.
    unharmed(t, 'RLIMIT_NOFILE 0', s.run([LIMITS, 'nofile', 0], CYCLES), skips=[none], cycles=0)
    unharmed(t, 'RLIMIT_NOFILE 1', s.run([LIMITS, 'nofile', 1], CYCLES), must=[none], cycles=0)
    unharmed(t, 'RLIMIT_NOFILE 10', s.run([LIMITS, 'nofile', 10], CYCLES))
    result = s.run([LIMITS, 'sparse'], CYCLES, timeout=60)
    if result.status == 77:
        t.skip('32 TB of addresses', 'not to be had')
    else:
        unharmed(t, '32 TB of addresses, hardly used', result, cycles=0,
                 must=['the heap has over four times the addresses of all memory'])
    result = s.run([LIMITS, 'jailed'], 'gctrace=1,gcinterval=50ms')
    if result.status == 77:
        t.skip('chroot', 'not allowed')
    else:
        unharmed(t, 'chroot before the first cycle', result, must=['/proc cannot be read'], cycles=0)
        # 50, 50, 50, 50, 80, 160, ... ms
        t.ok(s.HOSTILE or 0 < len(result.skips) <= 12,
             f'what cannot be done is tried less and less often: {len(result.skips)} times', result)
    unharmed(t, 'RLIMIT_SIGPENDING 0', s.run([LIMITS, 'no_queue'], CYCLES), cycles=0,
             must=['the signal queue is full (RLIMIT_SIGPENDING)'])
    # At exit there is patience with what may pass.
    result = s.run([LIMITS, 'no_queue'], 'gctrace=json,gc=ready,leakcheck=1,leakexitcode=7')
    records = [json.loads(line) for line in result.err.splitlines() if line.startswith('{')]
    t.ok(result.status == 7 and
         'SUMMARY: memdebug: not checked: the signal queue is full (RLIMIT_SIGPENDING)' in result.err and
         [record['attempts'] for record in records] == [1], 'and is not tried again at exit, as none ever fits', result)

    # All of the address space used up, threads born after that: without us they are refused memory too.
    for memdebug in (None, 'gc=ready', CYCLES, 'memprofilerate=1'):
        for megabytes in (100, 400):
            result = s.run([LIMITS, 'address_space', megabytes], memdebug)
            t.ok(result.status == 0 and re.search(r'made=200 address_space count=(1\d\d|200) list=whole',
                                                  result.out) and not result.rest,
                 f'{memdebug or "MEMDEBUG unset"}: RLIMIT_AS {megabytes} MB set by the program: malloc says '
                 'NULL, also to new threads', result)

    # mlockall makes what is reserved resident, unless nobody may touch it.
    plain = re.search(r'resident=(\d+)', s.run([LIMITS, 'locked'], preload=False).out)
    if not plain:
        t.skip('mlockall', 'not allowed here')
        return
    for memdebug, more in ((None, 64), ('gc=ready', 96), (CYCLES, 96), ('memprofilerate=1', 96)):
        result = s.run([LIMITS, 'locked'], memdebug)
        if result.out == 'mlockall: ENOMEM\n' and os.geteuid() != 0:
            t.skip(f'{memdebug or "MEMDEBUG unset"}: mlockall', 'RLIMIT_MEMLOCK counts what is reserved (README)')
            continue
        match = re.search(r'resident=(\d+) locked count=0 list=whole', result.out)
        t.ok(result.status == 0 and match and int(match[1]) - int(plain[1]) < more << 10,
             f'{memdebug or "MEMDEBUG unset"}: mlockall, {match and int(match[1]) >> 10} MB resident, '
             f'{int(plain[1]) >> 10} without us', result)
        if memdebug == CYCLES:
            t.ok(len(result.lines) >= 1, f'mlockall: {len(result.lines)} cycles', result)


def hidden_memory(t):
    result = s.run([LIMITS, 'hidden'], CYCLES)
    unharmed(t, 'MADV_DONTFORK', result)
    t.equal([line.text for line in result.lines if line.unreachable > 2], [],
            'MADV_DONTFORK: what only such memory points to is reachable')


def limited_user(t):
    """RLIMIT_NPROC does not hold for root: as nobody, who has to get at the library."""
    name = 'RLIMIT_NPROC'
    if os.geteuid() != 0:
        t.skip(name, 'needs root, to run as a user without other processes')
        return
    with tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
        os.chmod(directory, 0o755)
        library, program = Path(directory) / 'library.so', Path(directory) / 'hostile'
        shutil.copy(s.LIB, library)
        shutil.copy(HOSTILE, program)
        user = ['setpriv', '--reuid=64999', '--regid=64999', '--clear-groups']
        command = [*user, 'prlimit', '--nproc=4', 'env', f'LD_PRELOAD={library}', f'MEMDEBUG={CYCLES}', program,
                   'plain']
        # The program, its thread, and our two: none is left for the copy.
        unharmed(t, name, s.run(command, preload=False), cycles=0,
                 must=['no more processes (RLIMIT_NPROC or pids.max)'])
        command[command.index('--nproc=4')] = '--nproc=3'
        # Either is there first, the program's thread or our tracer; the copy is refused in any case.
        result = s.run(command, preload=False)
        unharmed(t, f'{name}, none for the tracer thread', result, cycles=0,
                 skips=['the tracer thread cannot be started', 'no more processes (RLIMIT_NPROC or pids.max)'])
        t.ok(result.skips, f'{name}, none for the tracer thread: it says so', result)
        command[command.index('--nproc=3')] = '--nproc=2'
        result = s.run(command, preload=False)
        t.ok(result.status == 0 and 'list=whole' in result.out, f'{name}, none for our thread: goes on unharmed',
             result)


def preloaded(more=''):
    return ['env', f'LD_PRELOAD={s.LIB}', f'MEMDEBUG={CYCLES}{more}']


def inside(directory, command, more=''):
    return ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', directory, *preloaded(more), *command]


def cgroups(t):
    with cgroup('pids', {'pids.max': ('pids.max', 4)}) as group:
        if isinstance(group, str):
            t.skip('pids.max', group)
        else:
            result = s.run(inside(group, [HOSTILE, 'plain']), preload=False)
            unharmed(t, 'pids.max', result, cycles=0, must=['no more processes (RLIMIT_NPROC or pids.max)'])
    memory_limit(t, 190, {}, [LIMITS, 'crowded', '120'], 'a heap', NO_ROOM)
    # What is not heap is copied too.
    memory_limit(t, 310, {}, [POOL, 'write', '200'], 'a pool beside the heap', NO_ROOM)
    # Where the copy would not be killed alone: a container of Kubernetes, or one without an OOM killer, which
    # then stands still for ever.
    together = 'memory.oom.group' if VERSION2 else 'oom_kill_disable'
    memory_limit(t, 310, {'memory.oom.group': ('memory.oom_control', 1)}, [POOL, 'write', '200'],
                 together, f'{NO_ROOM} ({together})')
    burst(t)


NO_ROOM = 'no room for a copy in the memory cgroup'
KILLED = 'the marker was killed'


def learned(result, reason):
    """Whether a copy was not made, and the first that died, if one did, did so before."""
    order = [why for _, why, _, _ in result.skips if why not in s.BUSY]
    return reason in order and (KILLED not in order or order.index(KILLED) < order.index(reason))


def memory_group(megabytes, more):
    return cgroup('memory', {'memory.max': ('memory.limit_in_bytes', megabytes << 20),
                             'memory.swap.max': ('memory.memsw.limit_in_bytes', megabytes << 20), **more})


def memory_limit(t, megabytes, more, command, what, reason):
    """A limit that the program keeps to, and it and a copy of it do not."""
    with memory_group(megabytes, more) as group:
        name = f'memory.max, {what}'
        if isinstance(group, str):
            t.skip(name, group)
            return
        for seconds in ('2', '15'):  # on a busy machine it may take long to come to its size
            result = s.run(inside(group, [*command, seconds], ',gcengine=clone'), preload=False, timeout=100)
            if reason in reasons(result):
                break
        # A copy that had room may lose it to a program that comes to its size meanwhile, and die.  Where all
        # would die with it, that is not to be.
        alone = [KILLED] if reason == NO_ROOM else []
        unharmed(t, f'{name}: no copy is made where it has no room', result, cycles=0, skips=alone, must=[reason])
        t.ok(learned(result, reason), f'{name}: what a copy came to is learned', result)
        result = s.run(inside(group, [*command, '2']), preload=False, timeout=60)
        t.ok(result.status == 0 and 'count=0 list=whole' in result.out and not result.rest,
             f'{name}: another engine, {len(result.lines)} cycles done, skipped for {sorted(reasons(result))}', result)


def burst(t):
    """Copies that came to little are no promise: then one dies, and the next is not made."""
    name = 'memory.max, a program that is at rest and then is not'
    with memory_group(330, {}) as group:
        if isinstance(group, str):
            t.skip(name, group)
            return
        result = s.run(inside(group, [POOL, 'burst', '200', '6'], ',gcengine=clone'), preload=False, timeout=60)
        unharmed(t, name, result, skips=[KILLED, NO_ROOM])
        t.ok(learned(result, NO_ROOM), f'{name}: what copies came to is learned', result)


def no_overcommit(t):
    """vm.overcommit_memory=2 for a few seconds, if nobody is near the limit."""
    name, setting = 'vm.overcommit_memory=2', Path('/proc/sys/vm/overcommit_memory')
    memory = dict(re.findall(r'^(\w+):\s+(\d+)', Path('/proc/meminfo').read_text(), re.M))
    before = setting.read_text()
    if before.strip() != '0' or int(memory['Committed_AS']) * 3 > int(memory['CommitLimit']):
        t.skip(name, 'this machine has too little memory, or settings of its own')
        return
    try:
        setting.write_text('2')
    except OSError as error:
        t.skip(name, str(error))
        return
    try:
        # It comes back whatever becomes of this test.
        with subprocess.Popen(['sh', '-c', f'sleep 60; echo {before.strip()} > {setting}'],
                              start_new_session=True) as guard:
            result = s.run([HOSTILE, 'plain'], CYCLES)
            unset = s.run([HOSTILE, 'plain'], None)
            setting.write_text(before)
            os.killpg(guard.pid, 15)
    finally:
        setting.write_text(before)
    unharmed(t, name, result)
    t.equal((unset.status, unset.err), (0, ''), f'{name}: MEMDEBUG unset', unset)


def no_proc(t):
    as_root = [] if os.geteuid() == 0 else ['-r']
    hide = ['unshare', '-m', *as_root, 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh']
    if s.run([*hide, '/bin/true'], preload=False).status != 0:
        t.skip('no /proc', 'unshare and mount are not allowed here')
    else:
        unharmed(t, 'no /proc', s.run([*hide, *preloaded(), HOSTILE, 'plain'], preload=False), cycles=0,
                 must=['/proc cannot be read'])
        result = s.run([*hide, 'env', f'LD_PRELOAD={s.LIB}', HOSTILE, 'plain'], preload=False)
        t.equal((result.status, result.err), (0, ''), 'no /proc, MEMDEBUG unset: goes on unharmed', result)
    other = ['unshare', '--pid', '--fork', *as_root]
    if s.run([*other, '/bin/true'], preload=False).status != 0:
        t.skip("another namespace's /proc", 'unshare is not allowed here')
    else:
        unharmed(t, "another namespace's /proc", s.run([*other, *preloaded(), HOSTILE, 'plain'], preload=False),
                 cycles=0, must=['/proc is of another PID namespace'])


with s.Tap() as t:
    no_tables(t)
    seccomp(t)
    resource_limits(t)
    hidden_memory(t)
    limited_user(t)
    cgroups(t)
    no_overcommit(t)
    no_proc(t)
