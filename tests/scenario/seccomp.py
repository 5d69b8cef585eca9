#!/usr/bin/env python3
"""System calls: the README's list names each that the library makes, in every mode; a filter that
allows no other and kills for it leaves the program as it is, and so do those of systemd and Docker.
(strace does not see the copies in which the heap is marked: the filters do.)"""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

HOSTILE, CONFINE, VICTIM = (s.PROGRAMS / name for name in ('hostile', 'confine', 'victim'))
HEADER = Path('/usr/include/x86_64-linux-gnu/asm/unistd_64.h')
# What systemd 252's @system-service leaves out, of all calls that this processor has, and of those
# that Docker's profile leaves out for a process without capabilities.
NO_SERVICE = '''acct adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init fanotify_mark
    finit_module fsconfig fsmount fsopen fspick init_module ioperm iopl kexec_file_load kexec_load landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lookup_dcookie memfd_secret mincore modify_ldt mount mount_setattr move_mount
    open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root pkey_alloc pkey_free pkey_mprotect
    process_mrelease ptrace quotactl quotactl_fd reboot seccomp setdomainname sethostname settimeofday swapoff swapon
    syslog umount2 ustat vhangup'''.split()
NO_DOCKER = '''acct add_key bpf clock_settime delete_module finit_module get_mempolicy init_module ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mbind mount move_pages open_by_handle_at perf_event_open pivot_root
    process_madvise quotactl reboot request_key set_mempolicy setns settimeofday swapoff swapon syslog umount2 unshare
    uselib userfaultfd vhangup'''.split()
MODES = {
    'unset': None, 'monitor=off': 'monitor=off', 'monitor=off, rate': 'monitor=off,memprofilerate=64k',
    'memprofilerate=4096': 'memprofilerate=4096',
    'heapprofile': 'heapprofile={dir}/heap,heapprofileinterval=50ms',
    'leakcheck': 'leakcheck=1,memprofilerate=512k',
    **{f'gctrace, {engine}': f'gctrace=1,gcinterval=20ms,gcengine={engine}' for engine in ('clone', 'wp', 'stop')},
}


def numbers():
    return {name: int(number) for name, number in re.findall(r'__NR_(\w+) (\d+)', HEADER.read_text())}


def listed():
    """The README's lines, by what they begin with."""
    text = s.ROOT.joinpath('README.md').read_text()
    block = text.split('<!-- system calls: begin -->')[1].split('<!-- system calls: end -->')[0]
    found, key = {}, None
    for line in block.splitlines():
        if line.startswith('    '):
            if ':' in line:
                key = line.split(':')[0].strip()
            found.setdefault(key, set()).update(line.split(':')[-1].split())
    return found


def allowed(lists, mode):
    """What may be called in this mode, by the list."""
    calls = set(lists['jemalloc'])
    if mode != 'monitor=off':
        calls |= lists['always']
    if 'monitor=off' not in mode:
        calls |= lists['segment']
    if mode.split(',')[0] in ('gctrace', 'leakcheck', 'memprofilerate=4096'):
        calls |= lists['tracked']
    if mode.split(',')[0] in ('gctrace', 'leakcheck', 'heapprofile'):
        calls |= lists['thread']
    if mode.split(',')[0] in ('gctrace', 'leakcheck'):
        calls |= lists['cycle'] | lists['if allowed']
    return calls


def traced(command, library, memdebug=None):
    """The names of the calls that a program and its children make."""
    with tempfile.NamedTemporaryFile(mode='r') as log:
        result = s.run(['strace', '-f', '-qq', '-o', log.name, *([f'-ELD_PRELOAD={s.LIB}'] if library else []),
                        *([f'-EMEMDEBUG={memdebug}'] if memdebug else []), *command], preload=False, timeout=120)
        names = re.findall(r'^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)', Path(log.name).read_text(), re.M)
    return set(names), result


def calls_are_listed(t, lists, directory):
    programs = {'hostile': [HOSTILE, 'plain'], 'victim': [VICTIM, 'hello'],
                'python': [sys.executable, '-c', '[b"x" * n for n in range(9000)]']}
    for name, command in programs.items():
        own = traced(command, False)[0]
        for mode, memdebug in MODES.items():
            calls, result = traced(command, True, memdebug and memdebug.format(dir=directory))
            t.equal(sorted(calls - own - allowed(lists, mode)), [], f'{name}, {mode}: no call that the README lacks',
                    result)


def filters(t, lists, directory):
    number = numbers()

    def confine(action, names, memdebug):
        text = ','.join(str(number[name]) for name in sorted(names) if name in number)
        return s.run([CONFINE, action, text, HOSTILE, 'plain'], memdebug and memdebug.format(dir=directory))
    own = traced([HOSTILE, 'plain'], False)[0] | {'execve', 'rt_sigreturn', 'restart_syscall'}
    for mode, memdebug in MODES.items():
        result = confine('kill-others', own | allowed(lists, mode), memdebug)
        done = len(result.lines)
        t.ok(result.status == 0 and 'list=whole' in result.out and
             (done > 0 or not mode.startswith('gctrace') or 'wp' in mode),
             f'{mode}: a filter that kills for all but the list, {done} cycles', result)
    for who, names in (("systemd's @system-service", NO_SERVICE), ("Docker's", NO_DOCKER)):
        for mode in ('unset', 'monitor=off', 'monitor=off, rate'):
            result = confine('kill', names, MODES[mode])
            t.ok(result.status == 0 and 'list=whole' in result.out, f'{mode}: {who} list, all else kills', result)
            for group in ('jemalloc', 'always', 'segment'):
                t.equal(sorted(lists[group] & set(names)), [], f'{who} has all of the list: {group}')


with s.Tap() as t, tempfile.TemporaryDirectory() as scratch:
    result = s.run([VICTIM, 'strict'], 'monitor=off')
    t.ok((result.status, result.out, result.rest) == (0, 'done\n', []),
         'monitor=off: the library makes no call of its own, 256 MB under SECCOMP_MODE_STRICT', result)
    if not HEADER.exists():
        t.skip('the list of system calls', f'no {HEADER}')
    elif not t.missing('the list of system calls', 'strace'):
        calls_are_listed(t, listed(), scratch)
        filters(t, listed(), scratch)
