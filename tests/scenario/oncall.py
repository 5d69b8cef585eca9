#!/usr/bin/env python3
"""On call: programs whose memory grows, started with nothing set, each as well-known programs did.  On the
first screen of 80x24, with a cycle asked for by a key now and then, stands what it is and by whom.  All run at
the same time; how long it took is told and not judged."""

import contextlib
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from screen import memtop, screen

PATIENCE = 300 # with a machine that is busy; only a failure takes that long
ONCALL, GROWING = s.PROGRAMS / 'oncall', s.PROGRAMS / 'growing'
# A library's documents under an interpreter's wrapper: of twelve one is not closed, and collected.
DOCUMENTS = f'''import ctypes, time
library = ctypes.CDLL({str(s.PROGRAMS / 'libdocuments.so')!r})
library.parse_document.restype = ctypes.c_void_p
library.free_document.argtypes = [ctypes.c_void_p]
class Document:
    def __init__(self, text, elements):
        self.document = library.parse_document(text, elements)
    def close(self):
        library.free_document(self.document)
kept = {{}}
print('ready', flush=True)
while True:
    for i in range(12):
        document = Document(b'title', 25)
        kept[i] = [str(i)] * 100
        if i:
            document.close()
    time.sleep(0.02)
'''
# An interpreter's arenas.  It says what it counts each 64 KiB of the heap.
ARENAS = '''import time
kept = []
print('ready', flush=True)
while True:
    kept += [(i, i + 0.5) for i in range(800)]
    bytearray(70000)
    time.sleep(0.1)
'''
GROWTH = r'^\+\d\S* MB in \d+ s: '
OUTSIDE = r'^RSS \+\d\S* MB in \d+ s outside the heap: '


def row(site, leaks):
    """A row of the call sites, whose last figure is what leaks."""
    return rf' LEAKS  HEAP CALL SITE.*\n(.*\n)* *~\+\S+ .* {leaks}  {site}'


def leaked(site):
    """The verdict, and a row of the call sites that has leaks."""
    return rf'{GROWTH}\d+ % leaked, (nearly all|mostly|\d+ %) by {site}', row(site, r'~[1-9]\S*')


# Its name, the program, the verdict, what else the screen has, and whether cycles are asked for.
CASES = {
    'a connection, forgotten on the way of an error': ([ONCALL, 'connection'], *leaked(r'conn_new oncall\.cpp:\d+'), True),
    'the reply of one command': ([ONCALL, 'reply'], *leaked(r'object_help_command oncall\.cpp:\d+'), True),
    'what a parser has read when it gives up': ([ONCALL, 'nodes'], *leaked(r'new_node oncall\.cpp:\d+'), True),
    'a reference too many': ([ONCALL, 'retained'], *leaked(r'object_new oncall\.cpp:\d+'), True),
    'the pool of a request, beside a cache': ([ONCALL, 'pool'], *leaked(r'create_request_pool oncall\.cpp:\d+'), True),
    'a handle': ([ONCALL, 'transfer'], *leaked(r'easy_init oncall\.cpp:\d+'), True),
    'what an exception passes by': ([ONCALL, 'exception'], *leaked(r'(scan_value|load_mapping) oncall\.cpp:\d+'), True),
    'a list of properties': ([ONCALL, 'properties'], *leaked(r'property_add oncall\.cpp:\d+'), True),
    'a string that is replaced': ([ONCALL, 'status'], *leaked(r'status_replace oncall\.cpp:\d+'), True),
    'a library under python3': (['/usr/bin/python3', '-c', DOCUMENTS], *leaked(r'add_element documents\.c:\d+'), True),
    'a slow leak': ([s.PROGRAMS / 'slow_leak', 100000, 20, 16384], None, row(r'lose slow_leak\.c:\d+', r'~[1-9]\S*'),
                    True),
    'a queue': ([GROWING, 'queue'], rf'{GROWTH}reachable, nearly all by push_job growing\.c:\d+ ← main:\d+ '
                r'\(a cache or a queue\)$', row(r'push_job growing\.c:\d+', '~0'), True),
    'fragmentation': ([GROWING, 'holes'], r'^RSS \+\d\S* MB in \d+ s, heap (flat|\+\d\S* MB): \d\d % fragmentation',
                      r'^ *~\+\S+ .*  make_holes growing\.c:\d+', False),
    'stacks of threads': ([GROWING, 'threads'], rf'{OUTSIDE}stacks of threads, nearly all by start_worker growing\.c:\d+',
                          r'^rss of \S+ .*stacks \d', False),
    "an interpreter's arenas": (['/usr/bin/python3', '-c', ARENAS], rf'{OUTSIDE}anonymous maps, (nearly all|mostly) by '
                                r'(_PyObject_Arena|python3)', r'^rss of \S+ .*anonymous \S+ \(pymalloc\)', False),
}


class Case:
    def __init__(self, stack, name, command, verdict, row, cycles):
        self.name, self.verdict, self.row, self.cycles = name, verdict, row, cycles
        self.process = stack.enter_context(s.running(command))
        s.wait_for(lambda: s.segments(self.process.pid), 60, self.process)
        self.view = stack.enter_context(screen(memtop(self.process.pid)))
        self.start, self.seconds = time.monotonic(), None

    def look(self):
        """Whether the screen says it; below the title, a long verdict in two rows."""
        text = self.view.text()
        first, second = (text.splitlines() + ['', '', ''])[1:3]
        verdict = first.rstrip() + ' ' + second.strip() if second.startswith('  ') else first.rstrip()
        if (self.verdict is None or re.search(self.verdict, verdict)) and re.search(self.row, text, re.M):
            self.seconds = time.monotonic() - self.start
        return self.seconds


def oncall(t):
    with contextlib.ExitStack() as stack:
        cases = [Case(stack, name, *case) for name, case in CASES.items()]
        begin = asked = time.monotonic()
        while [case for case in cases if not (case.seconds or case.look())] and time.monotonic() < begin + PATIENCE:
            if time.monotonic() > asked + 13:
                asked = time.monotonic()
                for case in cases:
                    if case.cycles and case.seconds is None:
                        case.view.key('G')
            time.sleep(1)
        for case in cases:
            t.ok(case.seconds and case.process.poll() is None,
                 f'{case.name}: ' + (f'told and named after {case.seconds:.0f} s' if case.seconds else 'not told'), case.view.text())


with s.Tap() as t:
    if s.HOSTILE:
        t.skip('on call', 'with a cycle at each 1000th allocation programs have another pace')
    elif not t.missing('on call', 'tmux', 'python3'):
        oncall(t)
