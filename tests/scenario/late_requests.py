#!/usr/bin/env python3
"""Requests to a process that was started with nothing set: a thread of ours comes for them, where it is safe to
start one and nowhere else, and goes away again."""

import ctypes
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

UNEASY, PLUG, CONFINE = s.PROGRAMS / 'uneasy', s.PROGRAMS / 'uneasy_plug.so', s.PROGRAMS / 'confine'
CONTROL = 3056  # of md_control in the header; it stays where it is
DUMP = 2        # MD_REQUEST_DUMP
SYS_FUTEX, FUTEX_WAKE = 202, 1
LIBC = ctypes.CDLL(None, use_errno=True)

# Allocates and frees, 4 MB for each line of its stdin; with "busy" all the time.  Its children, with "fork", too.
WORKER = '''
import os, sys, threading, time
def work():
    return [bytes(2000 + i % 7) for i in range(2000)]
def serve():
    for line in sys.stdin:
        work()
        print("worked", os.getpid(), flush=True)
work()
if "threads" in sys.argv:
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
if "fork" in sys.argv:
    child = os.fork()
    if child:
        print("child", child, flush=True)
        os.waitpid(child, 0)
    else:
        work()
print("ready", flush=True)
while "busy" in sys.argv:
    work()
    time.sleep(0.01)
serve()
'''


class Worker:
    """python3 on the library, which allocates when it is told to."""

    def __init__(self, *arguments, memdebug=None, before=()):
        self.process = subprocess.Popen(
            [str(part) for part in before] + ['/usr/bin/python3', '-c', WORKER, *arguments],
            env=s.environment(memdebug, extra={'PYTHONMALLOC': 'malloc'}), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.pid, self.child = self.process.pid, None
        while (line := self.process.stdout.readline()).strip() != 'ready':
            assert line, 'the worker has ended'
            if line.startswith('child'):
                self.child = int(line.split()[1])

    def work(self):
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        return self.process.stdout.readline().startswith('worked')

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Control:
    """The words of a process by which it is asked for something."""

    def __init__(self, pid):
        self.pid = pid
        path = s.segments(pid)[0]
        with open(path, 'r+b') as file:
            self.memory = mmap.mmap(file.fileno(), 4096)
        self.word = ctypes.c_uint32.from_buffer(self.memory, CONTROL)

    def ask(self, bits=DUMP):
        self.word.value |= bits
        LIBC.syscall(SYS_FUTEX, ctypes.byref(self.word), FUTEX_WAKE, 2**31 - 1, None, None, 0)

    def pending(self):
        return self.word.value & DUMP

    def served(self):
        return struct.unpack_from('<I', self.memory, CONTROL + 4)[0]

    def result(self):
        return struct.unpack_from('<i', self.memory, CONTROL + 8)[0]


def memtop(*arguments):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=120)


def ours(pid):
    """Threads of ours: by their name."""
    count = 0
    for task in Path(f'/proc/{pid}/task').iterdir():
        try:
            count += (task / 'comm').read_text().startswith('memdebug')
        except OSError:
            pass # it has ended
    return count


def idle(t):
    with Worker() as worker:
        pid = worker.pid
        for command, seconds in (('gc', ()), ('leaks', ('-d', '0.2')), ('purge', ('-d', '0.2'))):
            result = memtop(command, *seconds, pid)
            t.ok(result.status == 0 and f'{command} pending: read at its next 64 KiB' in result.out and not result.err
                 and s.threads_of(pid) == 1, f'{command}: an idle process: pending, and no thread', result)
        result = memtop('purge', '--json', '-d', '0.2', pid)
        t.equal((result.status, json.loads(result.out)['type'], json.loads(result.out)['asked']),
                (0, 'pending', 'purge'), 'and as JSON', result)
        result = memtop('leaks', '--exit-code', '3', '-d', '0.2', pid)
        t.equal(result.status, 1, 'a check that was not done is no pass', result)
        control = Control(pid)
        before = control.served()
        t.ok(s.wait_for(lambda: worker.work() and control.served() > before and not control.word.value, 60),
             'it is done when the process allocates', (control.word.value, control.served()))
        t.ok(ours(pid) > 0, 'by a thread of ours')
        result = memtop('purge', pid)
        t.ok(result.status == 0 and 'given back' in result.out, 'which answers at once', result)


def busy(t):
    with Worker('busy', memdebug='threadstay=200ms') as worker:
        pid = worker.pid
        for i in range(3):
            result = memtop('purge', '-d', '60', pid)
            t.ok(result.status == 0 and 'given back' in result.out, f'a busy process answers, time {i + 1}', result)
            t.ok(s.wait_for(lambda: s.threads_of(pid) == 1, 60), 'and is again without a thread when nothing is asked')
        result = memtop('gc', '-d', '60', pid)
        t.ok(result.status in (0, 1) and 'gc' in result.out and f'pid {pid}' in result.out,
             'a cycle: done, or skipped with the reason', result)
    # The variant that has what a cycle needs, and no thread.
    with Worker('busy', memdebug='memprofilerate=4096') as worker:
        result = memtop('gc', '-d', '60', worker.pid)
        t.ok(result.status == 0 and result.out.startswith('gc 1 ') or
             any(reason in result.out for reason in s.BUSY), 'a cycle that nobody had made ready for', result)
        result = memtop('leaks', '-d', '60', worker.pid)
        t.ok(result.status == 0 and 'SUMMARY: memdebug: ' in result.out or
             any(reason in result.err for reason in s.BUSY), 'leaks, there', result)


def refused(t):
    with Worker(memdebug='gc=off') as worker:
        for command in ('gc', 'leaks', 'purge'):
            result = memtop(command, worker.pid)
            t.ok(result.status == 1 and 'was started with MEMDEBUG=gc=off' in result.err, f'gc=off: no {command}', result)
        control = Control(worker.pid)
        control.ask()
        t.ok(worker.work() and s.threads_of(worker.pid) == 1, 'nor does whoever asks all the same start a thread')
    with Worker(before=[CONFINE, 'refuse', 'userfaultfd']) as worker:
        for command in ('gc', 'leaks', 'purge'):
            result = memtop(command, worker.pid)
            t.ok(result.status == 1 and 'is under seccomp' in result.err and not Control(worker.pid).word.value,
                 f'seccomp: {command} is not even asked for', result)
        control = Control(worker.pid)
        before = control.served()
        control.ask()
        t.ok(worker.work() and s.wait_for(lambda: worker.work() and control.served() > before, 60) and
             control.result() == 13 and s.threads_of(worker.pid) == 1, 'the process sees for itself',
             (control.served(), control.result()))


def copies(t):
    with Worker('fork') as worker:
        control = Control(worker.child)
        control.ask()
        t.ok(worker.work() and s.wait_for(lambda: worker.work() and not control.pending(), 60) and
             ours(worker.child) == 1, 'a forked copy is asked like any')
    # Its parent had more than one thread, when it was forked.
    with Worker('fork', 'threads') as worker:
        result = memtop('gc', worker.child)
        t.ok(result.status == 1 and 'forked from a program with threads' in result.err,
             'a copy of one thread among several is refused', result)
        control = Control(worker.child)
        control.ask()
        t.ok(worker.work() and worker.work() and s.threads_of(worker.child) == 1, 'and starts none')


# Where a request stands, and no thread comes for it until there is an ordinary allocation.
UNSAFE = ('handler', 'constructor', 'thread', 'destructor', 'vfork', 'blocked', 'made', 'callback')


def unsafe(t):
    for place in UNSAFE:
        with s.running([UNEASY, place, PLUG], 'threadstay=100ms', ready='ready') as program:
            pid = program.pid
            s.wait_for(lambda: s.segments(pid), 60, program)
            control = Control(pid)

            def rounds():
                return int(program.text()[0].split(place)[-1].split()[0])
            s.wait_for(lambda: place in program.text()[0], 60, program)
            first = rounds()
            control.ask()
            s.wait_for(lambda: rounds() >= first + 60, 60, program)
            served = control.served()
            if not t.ok(rounds() >= first + 60 and control.pending() and not ours(pid),
                        f'{place}: nothing is started there, and the request stands',
                        (first, rounds(), control.word.value)):
                continue

            def by_ordinary():
                os.kill(pid, signal.SIGUSR1)
                return control.served() > served
            t.ok(s.wait_for(by_ordinary, 60, program), 'an ordinary allocation sees to it', program.text())
            os.kill(pid, signal.SIGTERM)
            t.ok(s.wait_for(lambda: program.poll() is not None, 60) and program.poll() == 0, 'and it ends as ever',
                 (program.poll(), program.text()))
    with s.running([UNEASY, 'own'], 'threadstay=100ms', ready='ready') as program:
        s.wait_for(lambda: s.segments(program.pid), 60, program)
        control = Control(program.pid)
        control.ask()
        t.ok(s.wait_for(lambda: control.served() > 0, 60, program), 'a signal that the thread itself has blocked is no handler, '
             'where a stack cannot be followed', program.text())
    with s.running([UNEASY, 'exit'], ready='ready') as program:
        Control(program.pid).ask()
        os.kill(program.pid, signal.SIGTERM)
        t.ok(s.wait_for(lambda: program.poll() is not None, 60) and program.poll() == 0,
             'a request that stands at exit holds nothing up', (program.poll(), program.text()))


def module(t):
    """A server of the distribution's under load, with a module that forgets what it makes: who asks late hears how
    many, and who."""
    if t.missing('redis-server', 'redis-check-rdb', 'redis-cli'):
        return
    with tempfile.TemporaryDirectory() as directory:
        socket, server = f'{directory}/socket', Path(directory) / 'redis-server'
        server.symlink_to(s.find('redis-check-rdb'))
        command = [server, '--port', '0', '--unixsocket', socket, '--save', '', '--dir', directory,
                   '--loadmodule', s.PROGRAMS / 'quotes.so']
        client = ['redis-cli', '-s', socket]
        with s.running(command, ready='eady to accept') as process:
            made = s.run([*client, 'quotes.make', 500000], preload=False)
            t.equal(made.out, '50000\n', 'redis-server, a module that forgets 50,000 quotes', made)
            with subprocess.Popen([*client, '-r', '-1', '-i', '0.01', 'echo', 'x' * 20000], stdout=subprocess.DEVNULL,
                                  env=s.environment(preload=False)) as load:
                result = None

                def told():
                    nonlocal result
                    result = s.run([s.MEMTOP, 'leaks', '-d', '20', process.pid], preload=False)
                    return 'SUMMARY: memdebug: ' in result.out and 'not checked' not in result.out
                t.ok(s.wait_for(told, 120, process), 'memtop leaks: a report', result)
                load.kill()
            # The last ones may be seen in a dead frame or a register for a while.
            found = re.search(r'^SUMMARY: memdebug: (\d+) byte\(s\) leaked in (\d+) allocation\(s\)\.$', result.out, re.M)
            t.ok(found and 49990 <= int(found[2]) <= 50000 and int(found[1]) == 224 * int(found[2]),
                 'which counts them', result)
            t.ok(re.search(r'^Direct leak of .*\n    #0 \S+ in price_quote .*quotes\.c:\d+\n    #1 \S+ in make .*\n'
                           r'    #2 \S+ in RedisModuleCommandDispatcher', result.out, re.M), 'and names who made them', result)


# What goes on while hundreds of requests come, each with a thread that ends at once.
SHELL = 'n=0; while :; do for i in 1 2 3 4 5 6 7 8; do x=$(/bin/echo $n) & done; wait; n=$((n + 1)); ' \
        'y=$(printf "%070000d" $n); y=$y$y; echo ready; done'
FORKS = '''
import os
kept = []
print("ready", flush=True)
while True:
    kept[:] = [bytes(2000 + i % 7) for i in range(200)]
    if os.fork() == 0:
        kept += [bytes(2000) for i in range(200)]
        os._exit(0)
    os.wait()
'''


def under_load(t):
    places = {place: [UNEASY, place, PLUG] for place in ('handler', 'constructor', 'thread', 'destructor', 'vfork')}
    places['a shell that starts programs'] = ['/bin/bash', '-c', SHELL]
    places['a program that forks'] = ['/usr/bin/python3', '-c', FORKS]
    for name, command in places.items():
        with s.running(command, 'threadstay=1ms', env={'PYTHONMALLOC': 'malloc'}, ready='ready') as program:
            pid = program.pid
            s.wait_for(lambda: s.segments(pid), 60, program)
            control = Control(pid)
            first, begin = control.served(), time.monotonic()
            while program.poll() is None and (lasted := time.monotonic() - begin) < 60 and \
                    (lasted < 1.5 or control.served() == first):
                if not control.pending():
                    control.ask()
                if str(command[0]) == str(UNEASY):
                    os.kill(pid, signal.SIGUSR1)
                time.sleep(0.001)
            served = control.served() - first
            alive = program.poll() is None
            before = program.output_path.stat().st_size
            grows = s.wait_for(lambda: 'a program' in name or program.output_path.stat().st_size > before, 60, program)
            t.ok(alive and grows and served > 0, f'{name}: {served} requests, and it goes on', (served, program.text()))
            if str(command[0]) == str(UNEASY):
                os.kill(pid, signal.SIGTERM)
                t.ok(s.wait_for(lambda: program.poll() is not None, 60) and program.poll() == 0, 'it ends as ever',
                     (program.poll(), program.text()))


def main():
    with s.Tap() as t:
        idle(t)
        busy(t)
        refused(t)
        copies(t)
        unsafe(t)
        under_load(t)
        module(t)


if __name__ == '__main__':
    main()
