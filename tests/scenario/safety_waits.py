#!/usr/bin/env python3
"""System calls that a stop interrupts: which go on as if nothing had happened, which return EINTR (the
README lists them), that gcstop=quiet interrupts none, and that the program's own signals still do."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

WAITS = s.PROGRAMS / 'waits'
MS = 700
# What waits for a time that begins anew with the call; and what the program calls by syscall(), or by code of
# its own that chooses a number.
INTERRUPTED = {'epoll_wait', 'semtimedop', 'sigtimedwait', 'io_getevents', 'recv-timed', 'read-timed',
               'send-timed', 'accept-timed', 'connect-timed', 'epoll_pwait2-endless',
               'io_getevents-endless', 'poll-by-choice'}
# The kernel has written back what is left of their time; stops are not counted in.
LATER = {'ppoll', 'select', 'pselect'}
OWN_SIGNALS = ('epoll_wait-endless', 'epoll_pwait-endless', 'select-endless', 'ppoll', 'pause', 'sigsuspend',
               'sigwaitinfo', 'semop', 'msgrcv', 'nanosleep', 'clock_nanosleep', 'poll')


def outcomes(result):
    return {name: (how, int(ms)) for name, how, ms in re.findall(r'^(\S+) (\S+) (\d+)$', result.out, re.M)}


def with_cycles(options):
    """A run of all waits in which ten cycles are done, and how long they wait: longer on a busy machine."""
    for ms in (MS, 4 * MS, 16 * MS):
        result = s.run([WAITS, 'all', ms], f'gctrace=1,gcinterval=10ms{options}')
        if len(result.lines) >= 10:
            break
    return result, ms


with s.Tap() as t:
    plain = outcomes(s.run([WAITS, 'all', MS], preload=False))
    t.equal({name for name, (how, _) in plain.items() if how != 'ok'}, set(),
            f'without us: {len(plain)} calls come back in time', plain)

    result, waited = with_cycles('')
    got = outcomes(result)
    t.ok(len(result.lines) >= 10, f'{len(result.lines)} cycles while they wait', result)
    t.equal(set(got), set(plain), 'all have come back', result)
    for name, (how, ms) in got.items():
        if name in INTERRUPTED:
            t.equal(how, 'EINTR', f'{name}: EINTR after {ms} ms, as the README says')
        elif name in LATER:
            t.ok(how in ('ok', 'late') and ms < 3 * waited, f'{name}: goes on, {ms} ms')
        else:
            t.equal(how, 'ok', f'{name}: goes on, {ms} ms')

    result, waited = with_cycles(',gcstop=quiet')
    got = outcomes(result)
    t.ok(len(result.lines) >= 10, f'gcstop=quiet: {len(result.lines)} cycles while they wait', result)
    t.ok(max([cycle.unseen for cycle in result.lines], default=0) >= len(INTERRUPTED),
         'gcstop=quiet: the line says how many threads were not seen', result)
    for name, (how, ms) in got.items():
        # A stop may meet a thread on its way out, when its time was up.
        up = name in INTERRUPTED and how == 'EINTR' and ms >= waited
        t.ok(how == 'ok' or up or name in LATER and ms < 3 * waited, f'gcstop=quiet, {name}: {how}, {ms} ms')

    # Whatever the libc: nothing that can go on comes back with EINTR.
    for engine in ('clone', 'wp', 'stop'):
        result = s.run([s.PROGRAMS / 'eintr', '10', '100', '20'], f'gctrace=1,gcinterval=5ms,gcengine={engine}',
                       timeout=100)
        counts = re.findall(r'^(\S+) calls=1000 eintr=(\d+) wrong=(\d+)$', result.out, re.M)
        t.equal([count for count in counts if count[1:] != ('0', '0')], [],
                f'{engine}: 0 of 1000 calls of each of {len(counts)} kinds return EINTR ({len(result.lines)} cycles)',
                result)
        t.ok(len(counts) == 17 and len(result.lines) > 1, f'{engine}: all were made', result)

    for name in ('pselect', 'select', 'ppoll'):
        result = s.run([WAITS, 'children', name, '100'], 'gctrace=1,gcinterval=1ms', timeout=60)
        t.equal((result.status, result.out), (0, f'{name} ok\n'),
                f'{name} while children end: goes on ({len(result.lines)} cycles)', result)

    # A wait that the program means to end by a signal does end.
    for memdebug in ('gctrace=1,gcinterval=10ms', 'gctrace=1,gcinterval=10ms,gcstop=quiet'):
        for name in OWN_SIGNALS:
            result = s.run([WAITS, 'signals', name, '400'], memdebug, timeout=60)
            match = re.match(r'sent=400 ended=400 again=(\d+) wrong=0 caught=all\n$', result.out)
            # The signal is sent when the thread sits in its call.  A few of 10,000 meet the microsecond in
            # which a stop has taken it out and sets it back (gc/stop/restart.h).
            t.ok(match and int(match[1]) <= 2 and len(result.lines) > 1,
                 f"{memdebug}, {name}: each of the program's own signals ends it "
                 f'({len(result.lines)} cycles)', result)
