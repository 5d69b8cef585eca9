#!/usr/bin/env python3
"""memtop's first page in a real terminal (tmux): the list of all processes on memdebug, its columns,
order, filter, tree and totals, the mouse, a death and a birth while it is watched, other users."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from screen import memtop, screen

FAKE = s.BUILD / 'tests' / 'scenario' / 'fake_segment'
LIST = ('-d', '0.2')


def fake(name, *arguments):
    return s.running([FAKE, '--name', name, *arguments], preload=False, ready='ready')


def order(view, pids):
    """Those of the pids that the list shows, from the top."""
    shown = [line.split()[0] for line in view.text().splitlines() if line.split()[:1]]
    return [int(word) for word in shown if word.isdigit() and int(word) in pids]


def row(view, pid):
    return next((line for line in view.text().splitlines() if line.split()[:1] == [str(pid)]), '')


def titles(t, big):
    for cols, rows, wanted in ((40, 12, 'PID HEAP GROWTH COMMAND'),
                               (80, 24, 'PID USER STATE UP HEAP GROWTH LEAKED ALLOC/s RSS COMMAND'),
                               (120, 40, 'PID USER STATE UP HEAP GROWTH LEAKED ALLOC/s RSS PAUSE THR HEAP 2m COMMAND')):
        with screen(memtop(*LIST), cols, rows) as view:
            view.until(rf'^ *{big} ')
            lines = view.text().splitlines()
            t.equal(' '.join(lines[2].split()), wanted, f'{cols}x{rows}: the columns')
            t.ok(len(lines) == rows and all(len(line) <= cols for line in lines) and lines[-1].startswith('q quit'),
                 f'{cols}x{rows}: within the screen', view.text())
            t.ok('fake_seg' in row(view, big), f'{cols}x{rows}: a command that is too long still names its program', view.text())


def keys(t, pids):
    small, middle, big = pids
    with screen(memtop(*LIST), 120, 30) as view:
        t.ok(view.until(rf'^ *{big} \S+ +live '), 'it lists', view.text())
        t.ok(s.wait_for(lambda: order(view, pids) == [big, middle, small], 40), 'what grows most is on top', view.text())
        figures = row(view, big).split()
        t.ok(re.fullmatch(r'\+[\d.]+M', figures[5]) and figures[8].endswith('M') and figures[10] == '1',
             'growth a minute, RSS, threads', view.text())
        view.key('/', 'middle', 'Enter')
        t.ok(s.wait_for(lambda: order(view, pids) == [middle], 10), '/ filters', view.text())
        view.key('Escape')
        t.ok(s.wait_for(lambda: len(order(view, pids)) == 3, 10), 'escape clears it', view.text())
        view.tmux('send-keys', '-l', '\x1b[<0;6;3M\x1b[<0;6;3m')  # a click, and its release
        t.ok(s.wait_for(lambda: order(view, pids) == sorted(pids), 10), 'a click on PID sorts by it', view.text())
        place = view.text().splitlines().index(row(view, middle)) + 1
        view.tmux('send-keys', '-l', f'\x1b[<0;6;{place}M\x1b[<0;6;{place}m')
        view.key('Enter')
        t.ok(view.until(rf'^memtop  {middle} middle  live'), 'a click on a row and enter: the live view of it', view.text())
        view.key('Escape')
        t.ok(view.until('on memdebug'), 'escape goes back', view.text())
        view.key('Enter')
        t.ok(view.until(rf'^memtop  {middle} middle  live'), 'the cursor is where it was', view.text())
        view.key('q')
        t.ok(view.until('on memdebug'), 'so does q', view.text())
        view.key('<', '>', '>', '>', '>', '>')
        t.ok(s.wait_for(lambda: order(view, pids) == [big, middle, small], 10), '> on to the heap', view.text())
        view.key('u')
        t.ok(view.until('by program') and view.until(r' big *$'), 'u: totals', view.text())
        view.key('t')
        t.ok(view.until('as a tree'), 't: a tree', view.text())
        view.key('t', 'End', 'Home', 'PPage', 'NPage', '?')
        t.ok(view.until('any key goes back'), '? is help', view.text())
        view.key('x')
        view.until('on memdebug')
        view.key('q')
        t.ok(view.until('STATUS=0') and view.until('^0$'), 'q quits and gives the terminal back', view.text())


def comings(t, pids):
    """Who comes and goes while it is watched."""
    with screen(memtop(*LIST), 120, 30) as view:
        view.until(rf'^ *{pids[0]} ')
        with fake('latecomer') as late:
            view.key('/', str(late.pid), 'Enter')  # whatever others have left behind here
            t.ok(view.until(rf'^ *{late.pid} \S+ +live ', 20), 'one that has just begun appears', view.text())
            os.kill(late.pid, signal.SIGSTOP)
            t.ok(view.until(rf'^ *{late.pid} \S+ +stopped ', 20), 'that it is stopped is seen', view.text())
            os.kill(late.pid, signal.SIGKILL)
            late.wait()
            t.ok(view.until(rf'^ *{late.pid} \S+ +dead ', 20), 'killed it is dead, with what is left of it', view.text())
            Path(late.text()[0].splitlines()[0]).unlink()
            t.ok(s.wait_for(lambda: not row(view, late.pid), 20), 'and gone with its file', view.text())
        view.key('Escape')
        with fake('leaver') as leaver:
            t.ok(view.until(rf'^ *{leaver.pid} \S+ +live ', 20), 'another one', view.text())
            os.kill(leaver.pid, signal.SIGTERM)
            leaver.wait()
            t.ok(s.wait_for(lambda: not row(view, leaver.pid), 20), 'that ends as it should leaves the list', view.text())


def tree(t):
    """A server and its forked worker."""
    program = ('import os, time\nkeep = [bytes(1000) for _ in range(20000)]\nchild = os.fork()\n'
               'more = [bytes(1000) for _ in range(20000)]\nif child: print("ready", child, flush=True)\ntime.sleep(1000)\n')
    with s.running(['/usr/bin/python3', '-c', program], ready='ready') as server:
        worker = int(re.search(r'ready (\d+)', server.text()[0])[1])
        try:
            with screen(memtop(*LIST), 140, 30) as view:
                t.ok(view.until(rf'^ *{worker} ', 20), 'a forked worker is in the list', view.text())
                view.key('t')
                t.ok(s.wait_for(lambda: re.search(rf'(?m)^ *{server.pid} .*\n *{worker} .*\u2514\u2500', view.text()), 10),
                     'and in the tree below its parent', view.text())
                view.key('u')
                t.ok(view.until(r'python3\S* \([2-9]\)'), 'in the totals they are one row', view.text())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def mouse_off(t):
    """The terminal is told to report no clicks, whatever ends it."""
    for name, end in (('q', None), ('SIGTERM', signal.SIGTERM), ('SIGSEGV', signal.SIGSEGV)):
        with screen(memtop(*LIST)) as view:
            view.until('on memdebug')

            def mouse(view=view):
                return view.tmux('display-message', '-p', '#{mouse_standard_flag}#{mouse_sgr_flag}').strip()
            on = s.wait_for(lambda: mouse() == '11', 10)
            if end:
                os.kill(view.child(), end)
            else:
                view.key('q')
            t.ok(on and view.until('STATUS=') and s.wait_for(lambda: mouse() == '00', 10), f'{name}: the mouse is given back', mouse())


def users(t):
    """Another user's processes: root sees them, a user those of their own."""
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        t.skip('other users', 'needs root and setpriv')
        return
    nobody = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    with tempfile.TemporaryDirectory(prefix='mdbin-') as place, fake('roots') as roots:
        os.chmod(place, 0o755)
        program = shutil.copy(s.MEMTOP, place)
        with s.running([*nobody, shutil.copy(FAKE, place)], preload=False, ready='ready') as own:
            with screen(memtop(*LIST), 120, 30) as view:
                t.ok(view.until(rf'^ *{own.pid} nobody +live ') and view.until(rf'^ *{roots.pid} root +live '),
                     'root sees everybody', view.text())
            with screen(shlex.join([*nobody, program, *LIST]), 120, 30) as view:
                t.ok(view.until(rf'^ *{own.pid} nobody +live ') and not re.search(rf'^ *{roots.pid} \S+ +live', view.text(), re.M),
                     'a user those of their own', view.text())


def batch(t, pids):
    result = s.run([s.MEMTOP, '-b', '-n', '1', '--json'], preload=False)
    told = {json.loads(line)['pid'] for line in result.out.splitlines()}
    t.ok(result.status == 0 and told >= set(pids), '-b -n 1 --json: the same processes', result)


with s.Tap() as t:
    if not t.missing('the list', 'tmux'):
        with screen(memtop(*LIST), 80, 24, env={'MEMDEBUG': ''}) as view:
            t.ok(view.until('on memdebug'), 'it opens', view.text())
        with fake('small', '--leak', '0') as small, fake('middle', '--leak', '2000000') as middle, \
                fake('big', '--leak', '8000000') as big:
            time.sleep(0.5)
            pids = (small.pid, middle.pid, big.pid)
            titles(t, big.pid)
            keys(t, pids)
            comings(t, pids)
            batch(t, pids)
        tree(t)
        mouse_off(t)
        users(t)
