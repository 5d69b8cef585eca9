#!/usr/bin/env python3
"""The verdict on leaks, as scripts read it: status and SUMMARY.  It comes from what was counted, sampled
or not; what could not be looked at is no pass; and the status of a process is changed only where it was
asked for."""

import contextlib
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

LEAKY, ENDINGS = s.PROGRAMS / 'leaky', s.PROGRAMS / 'endings'
PLUGIN = s.PROGRAMS / 'slow_plugin.so'
SUMMARY = re.compile(r'^SUMMARY: memdebug: (\d+) byte\(s\) leaked in (\d+) allocation\(s\)\.$', re.M)
NOT_CHECKED = re.compile(r'^==(\d+)==ERROR: memdebug: no leak check of (\S+)\n'
                         r'SUMMARY: memdebug: not checked: (.*)$', re.M)
LOST = re.compile(r'^SUMMARY: memdebug: 1920 byte\(s\) leaked in 5 allocation\(s\)\.$', re.M)  # 5 of 384


def counted(t):
    """At a rate at which most leaks have no sample."""
    for engine in ('clone', 'wp', 'stop'):
        for rate in ('512KiB', '64KiB', '1'):
            result = s.run([ENDINGS, 'count', '1200', '96'],
                           f'leakcheck=1,leakexitcode=23,memprofilerate={rate},gcengine={engine}')
            if engine == 'wp' and 'userfaultfd' in result.err:
                t.skip('wp', 'not to be had here')
                break
            t.ok(result.status == 23 and SUMMARY.findall(result.err) == [('115200', '1200')],
                 f'{engine}, memprofilerate={rate}: 1200 objects are lost', result)
    result = s.run([ENDINGS, 'count', '1200', '96'], 'leakcheck=1,leakexitcode=23,memprofilerate=0')
    t.ok(result.status == 23 and 'Leak of 115200 byte(s) in 1200 object(s), not sampled: memprofilerate=1 '
         'would show where they come from\n    1200 object(s), 115200 B, of 96 B each\n' in result.err,
         'no sample: counted by size, and what would name them', result)
    with tempfile.TemporaryDirectory() as directory:
        rules = Path(directory) / 'rules'
        rules.write_text('leak:main\nleak:leaky.c\n')
        with_rules = f'leakcheck=1,leakexitcode=23,leaksuppressions={rules},memprofilerate='
        result = s.run([ENDINGS, 'count', '1200', '96'], with_rules + '0')
        t.equal(result.status, 23, 'a suppression matches no leak without a stack', result)
        for rate in ('1', '512'):
            result = s.run([ENDINGS, 'count', '1200', '96'], with_rules + rate)
            t.ok(result.status == 7 and SUMMARY.findall(result.err) == [('0', '0')],
                 f'memprofilerate={rate}: what is suppressed speaks for the others of its size', result)
    result = s.run([LEAKY, '--scale', '20', 'return'], 'leakcheck=1,leakexitcode=23,memprofilerate=64KiB')
    t.ok(result.status == 23 and SUMMARY.findall(result.err) == [(str(20 * 329040), '320')],
         'several sizes: groups and the rest come to what was counted', result)
    # A thread that is not interrupted, and waits: what its registers point to is not known.
    for engine in ('clone', 'stop'):
        memdebug = f'leakcheck=1,leakexitcode=23,gcstop=quiet,gcengine={engine}'
        result = s.run([LEAKY, '--scale', '3', '--beside', 'return'], memdebug)
        t.ok(result.status == 23 and [found[2] for found in NOT_CHECKED.findall(result.err)] ==
             ['the registers of 1 thread(s) were not seen'],
             f'{engine}, registers that were not seen: not checked', result)
        result = s.run([LEAKY, '--scale', '3', 'return'], memdebug)
        t.ok(result.status == 23 and SUMMARY.findall(result.err) == [(str(3 * 329040), '48')],
             f'{engine}, gcstop=quiet: the thread that exits is seen', result)
    with server('1', ',gcstop=quiet') as pid:
        result = s.run([s.MEMTOP, 'leaks', pid, '--exit-code', '3'], preload=False)
        t.ok(result.status == 1 and 'SUMMARY: memdebug: not checked: the registers of 1 thread(s) were not seen\n'
             in result.out, 'memtop leaks: likewise', result)
    for rate in ('0', '512KiB', '1'):
        with server(rate) as pid:
            result = s.run([s.MEMTOP, 'leaks', pid, '--exit-code', '3'], preload=False)
            t.ok(result.status == 3 and SUMMARY.findall(result.out) == [(str(4 * 329040), '64')],
                 f'memtop leaks --exit-code, memprofilerate={rate}', result)


@contextlib.contextmanager
def server(rate, more=''):
    """leaky, which waits; its pid."""
    process = subprocess.Popen([str(LEAKY), '--serve', '--silent', '--scale', '4', 'return'], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=s.environment(f'gc=ready,memprofilerate={rate}{more}'))
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()
        for path in s.segments(process.pid):
            path.unlink()


def once(t):
    """After one cycle nobody knows what leaks."""
    with server('1') as pid:
        s.run([s.MEMTOP, 'gc', pid], preload=False)
        result = s.run([s.MEMTOP, 'leaks', pid, '--no-cycle', '--exit-code', '3'], preload=False)
        t.ok(result.status == 1 and 'SUMMARY: memdebug: not checked: ' in result.out, 'one cycle: not known', result)


def not_done(t):
    for memdebug, reason in (('gc=off', 'gc=off'), ('gc=off,only=endings', 'gc=off')):
        result = s.run([ENDINGS, 'count', '0'], f'leakcheck=1,leakexitcode=23,{memdebug}')
        t.ok(result.status == 23 and NOT_CHECKED.findall(result.err) == [(str(result.pid), 'endings', reason)],
             f'{memdebug}: no pass', result)
    result = s.run(['/bin/sh', '-c', f'ulimit -v 2000000; exec {ENDINGS} count 0'], 'leakcheck=1,leakexitcode=23,only=endings')
    t.ok(result.status == 23 and len(NOT_CHECKED.findall(result.err)) == 1 and 'address space' in result.err,
         'no object map under RLIMIT_AS: no pass', result)
    result = s.run([ENDINGS, 'constructor', PLUGIN], 'leakcheck=1,leakexitcode=23')
    t.equal((result.status, NOT_CHECKED.findall(result.err)),
            (23, [(str(result.pid), 'endings', 'the exiting thread is loading a library')]),
            'exit from a constructor: it is seen that it holds the loader\'s lock', result)


def busy(t):
    """Beside more threads than a stop of some ms could ever reach: the program waits at its end, and nobody
    feels the stop."""
    result = s.run([ENDINGS, 'deaf', '1500'], 'leakcheck=1,leakexitcode=23')
    t.ok(result.status == 23 and LOST.search(result.err), 'a thread that stops after 1.5 s only is waited for', result)
    for threads in (30, 100):
        result = s.run([ENDINGS, 'busy', threads], 'leakcheck=1,leakexitcode=23', timeout=400)
        t.ok(result.status == 23 and LOST.search(result.err), f'{threads} threads that never rest: what is lost is found',
             result)


class Loading:
    """endings, at its end while another of its threads is in a constructor."""

    def __init__(self, memdebug):
        self.process = subprocess.Popen([str(ENDINGS), 'loading', str(PLUGIN)], env=s.environment(memdebug),
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.err = ''

    def until(self, text, seconds):
        end = time.monotonic() + seconds
        while text not in self.err and time.monotonic() < end:
            if select.select([self.process.stderr], [], [], 0.1)[0]:
                data = self.process.stderr.read1()
                if not data:
                    break
                self.err += data.decode()
        return text in self.err

    def finish(self):
        try:
            _, err = self.process.communicate(b'x', 60)
            self.err += err.decode()
        finally:
            self.process.kill()
            self.process.wait()
        return self.process.returncode


def loading(t):
    with tempfile.TemporaryDirectory() as directory:
        memdebug = f'leakcheck=1,leakexitcode=23,heapprofile={directory}/a'
        program = Loading(memdebug)
        program.until('memdebug', 4)
        status = program.finish()
        t.ok(status == 23 and LOST.search(program.err) and 'no profile' not in program.err
             and len(s.dumps(Path(directory) / 'a')) == 1,
             'another thread loads a library, for 4 s: profile and leaks are waited for', (status, program.err))
        # The profile is given up, and comes while the report is waited for.
        program = Loading(memdebug.replace('/a', '/b'))
        said = program.until('no profile at exit: another thread has been loading a library for 10 s', 60)
        status = program.finish()
        t.ok(said and status == 23 and LOST.search(program.err),
             'a profile that comes late is not taken for the report', (status, program.err))


def scope(t):
    """In whose status leakexitcode acts."""
    memdebug = 'leakcheck=1,leakexitcode=23'
    leaky = f'{LEAKY} --silent return'
    for only in ('', ',only=leaky'):
        result = s.run(['/bin/sh', '-c', f'{leaky}; echo status $?; echo a b | tr a b | tail -1'], memdebug + only)
        t.equal(result.out.split('\n')[0], 'status 23' if only else 'status 7',
                'a shell\'s child ' + ('that only= names' if only else 'has its own status'), result)
        if only:
            t.equal(re.findall(r'detected memory leaks in (\S+)', result.err), ['leaky'], 'and nobody else reports', result)
        result = s.run([LEAKY, '--child', '--silent', 'return'], memdebug + only)
        t.ok(result.status == 23 and f'child {23 if only else 7}\n' in result.out and result.err.count('==ERROR') == 2,
             f'a forked worker{only}', result)
        for how, command in (('one exec', f'exec {leaky}'), ('two', f"exec /bin/sh -c 'exec {leaky}'"),
                             ('through a program of another environment order', f'exec env A=1 {leaky}')):
            result = s.run(['/bin/sh', '-c', command], memdebug + only)
            t.equal(result.status, 23, f'{how}{only}: the same process', result)
    result = s.run(['/bin/sh', '-c', f'/bin/sh -c "exec {leaky}"; echo $?'], memdebug)
    t.equal(result.out, '7\n', 'a child that execs is a child', result)
    result = s.run(['/bin/sh', '-c', f'{leaky} | cat; exec {LEAKY} none'], memdebug)
    t.ok(result.status == 7 and 'detected memory leaks in leaky' in result.err, 'a pipeline: told, no more', result)
    if not t.missing('python', 'python3'):
        code = f'import os, sys; os.execv("{LEAKY}", ["leaky", "--silent", "return"])'
        result = s.run([s.find('python3'), '-c', code], memdebug)
        t.equal(result.status, 23, 'execv by another program', result)
        code = f'import subprocess; print(subprocess.run(["{LEAKY}", "--silent", "return"]).returncode)'
        result = s.run([s.find('python3'), '-c', code], 'leakcheck=1,leakexitcode=23')
        t.equal(result.out, '7\n', 'vfork or posix_spawn, and exec', result)


with s.Tap() as t:
    counted(t)
    once(t)
    not_done(t)
    busy(t)
    loading(t)
    scope(t)
