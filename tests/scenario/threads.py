#!/usr/bin/env python3
"""memtop threads: of a program whose threads each wait in a known way, what each waits for, with its stack, and which
of them nobody can wake; where no stacks can be had, the reason."""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

WAITERS = s.PROGRAMS / 'waiters'

# What waiters.c starts: how many threads of a name, kinds of wait, functions of its own from the innermost out,
# whether they are blocked for ever, and who holds what they wait for.
MUTEX, CONDITION = {'mutex'}, {'condition'}
POOL = ['take_job', 'pool_member']
TRUTH = {
    'waiters': (1, {'signal'}, ['main'], False, None),
    'reader': (1, {'descriptor'}, ['read_deeper', 'reader'], False, None),
    'poller': (1, {'poll'}, ['poller'], False, None),
    'epoller': (1, {'descriptor'}, ['epoller'], False, None),
    'accepter': (1, {'descriptor'}, ['accepter'], False, None),
    'sleeper': (1, {'sleep'}, ['sleeper'], False, None),
    'signals': (1, {'signal'}, ['signals'], False, None),
    'child': (1, {'child'}, ['child'], False, None),
    'joiner': (1, {'thread'}, ['joiner'], False, 'sleeper'),
    'semaphore': (1, {'semaphore', 'futex'}, ['semaphores'], False, None),  # libc's names may be stripped
    'rwlock': (1, {'rwlock'}, ['rwlocks'], False, None),
    'barrier': (1, {'barrier'}, ['barriers'], False, None),
    'timed': (1, CONDITION, ['timed'], False, None),
    'pool-global': (3, CONDITION, POOL, False, None),
    'pool-main': (3, CONDITION, POOL, False, None),
    'pool-pointed': (3, CONDITION, POOL, False, None),
    'global-a': (1, MUTEX, ['lock_second', 'lock_both'], False, 'global-b'),
    'global-b': (1, MUTEX, ['lock_second', 'lock_both'], False, 'global-a'),
    'heap-a': (1, MUTEX, ['lock_second', 'lock_both'], True, 'heap-b'),
    'heap-b': (1, MUTEX, ['lock_second', 'lock_both'], True, 'heap-a'),
    'lost': (2, CONDITION, POOL, True, None),
    'lost-join': (1, {'thread'}, ['end_waiter'], True, 'heap-a'),
    'worker': (1, None, ['worker'], False, None),
}

IDLE = 'import time; keep = [bytes(3000) for i in range(1000)]; print("ready", flush=True); time.sleep(1000)'


def ask(process, *options):
    return s.run([s.MEMTOP, 'threads', *options, process.pid], preload=False)


def listed(result):
    return [json.loads(line) for line in result.out.splitlines()]


def of_program(thread):
    """Its functions in the program itself, the innermost first."""
    return [frame['function'] for frame in thread['stack'] if (frame['module'] or '').endswith('/waiters')]


def is_as_known(threads):
    """What of the truth is not told; empty: all is."""
    wrong = []
    names = {thread['tid']: thread['name'] for thread in threads}
    for name, (count, kinds, functions, for_ever, owner) in TRUTH.items():
        mine = [thread for thread in threads if thread['name'] == name]
        if len(mine) != count:
            wrong.append(f'{len(mine)} threads {name}')
        for thread in mine:
            wait = thread['wait'] or {}
            owns = names.get(wait.get('owner_tid'))
            if kinds and wait.get('kind') not in kinds:
                wrong.append(f'{name} waits for {wait}')
            if of_program(thread)[:len(functions)] != functions or thread['stack_end'] != 'whole':
                wrong.append(f'{name}: {of_program(thread)} {thread["stack_end"]} {thread["stack_missing"]}')
            if thread['blocked_for_ever'] != for_ever:
                wrong.append(f'{name}: blocked for ever: {thread["blocked_for_ever"]}')
            if owns != owner:
                wrong.append(f'{name}: held by {owns}')
            if thread['deadlock'] != (name in ('global-a', 'global-b', 'heap-a', 'heap-b')):
                wrong.append(f'{name}: deadlock: {thread["deadlock"]}')
    wrong += [f'a thread {thread["name"]}' for thread in threads if thread['name'] not in TRUTH]
    return wrong


def known_waits(tap, variant, memdebug):
    begin = time.monotonic()
    with s.running([WAITERS], memdebug, ready='ready') as process:
        results = []

        def settled():
            results.append(ask(process, '--json'))
            return results[-1].status == 0 and not is_as_known(listed(results[-1]))
        tap.ok(s.wait_for(settled, 120, process), f'{variant}: each thread, its wait, its stack, and the five that '
               'nobody can wake', '\n'.join(is_as_known(listed(results[-1]))) + repr(results[-1]))
        # A stop has interrupted those that wait for a time: it is seen by their functions.
        again = ask(process, '--json')
        threads, elapsed = listed(again), time.monotonic() - begin
        tap.ok(again.status == 0 and not is_as_known(threads), f'{variant}: the same when it is asked once more',
               '\n'.join(is_as_known(threads)) + repr(again))
        idle = {thread['name']: thread['not_run_seconds'] for thread in threads}
        if idle['reader'] is None:
            tap.skip(f'{variant}: since when', 'this kernel does not say when a thread ran last')
        else:
            tap.ok(all(value is not None and 0 <= value <= elapsed + 1 for value in idle.values()) and
                   all(thread['not_run_at_least'] for thread in threads if thread['name'] == 'reader'),
                   f'{variant}: not longer than the program has run, and at least since the last stop', idle)
        tap.ok(process.poll() is None and len(os.listdir(f'/proc/{process.pid}/task')) >= len(threads),
               f'{variant}: the program goes on')
        return [results[-1], ask(process), ask(process, '--all', '-b')] if not memdebug else None


def text(tap, result, all_result):
    lines = result.out.splitlines()
    deadlocks = [line for line in lines if line.startswith('DEADLOCK: ')]
    tap.ok(result.status == 0 and len(deadlocks) == 2 and
           any('heap-a waits for a mutex of' in line and 'heap-b, which waits for a mutex of' in line
               for line in deadlocks), 'text: each deadlock is a line', result)
    tap.ok(any(line.startswith('5 threads are blocked for ever?') for line in lines) and
           '2 threads, deadlocked, blocked for ever?:' in lines, 'text: and so is who is blocked for ever', result)
    tap.ok('9 threads:' in lines and sum('take_job' in line for line in lines) == 2,
           'text: threads with one stack are taken together', result)
    tap.ok(any('reader' in line and 'read, descriptor ' in line and '(pipe:[' in line for line in lines) and
           any('global_pool+0x' in line for line in lines) and
           any('lost ' in line and 'bytes into a block of 112' in line for line in lines),
           'text: descriptors, variables and blocks are named', result)
    tap.ok(all_result.status == 0 and
           sum('take_job' in line for line in all_result.out.splitlines()) == 11,
           '--all: each thread has its stack', all_result)


def without_stacks(tap):
    with s.running([WAITERS], 'gc=off', ready='ready') as process:
        result = ask(process, '--json')
        threads = listed(result)
        tap.ok(result.status == 1 and {thread['name'] for thread in threads} == set(TRUTH) and
               all('gc=off' in thread['stack_missing'] and not thread['stack'] and
                   thread['blocked_for_ever'] is None for thread in threads),
               'gc=off: the threads that /proc shows, and why there are no stacks', result)
    with s.running(['/usr/bin/python3', '-c', IDLE], env={'PYTHONMALLOC': 'malloc'}, ready='ready') as process:
        result = ask(process, '-d', '0.1')
        tap.ok(result.status == 0 and 'no stacks: pending' in result.out and 'python3: 1 thread\n' in result.out,
               'an idle program: likewise', result)
        pid = process.pid
    result = s.run([s.MEMTOP, 'threads', pid], preload=False)
    tap.ok(result.status == 1 and not result.out and result.err.count('\n') == 1, 'a program that has ended', result)
    result = s.run([s.MEMTOP, 'threads'], preload=False)
    tap.ok(result.status == 2 and 'TARGET' in result.err, 'no target', result)


with s.Tap() as tap:
    shown = known_waits(tap, 'nothing set', None)
    text(tap, *shown[1:])
    known_waits(tap, 'with the object map', 'gc=ready')
    known_waits(tap, 'by clone', 'gc=ready,gcengine=clone')
    without_stacks(tap)
