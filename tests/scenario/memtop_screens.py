#!/usr/bin/env python3
"""memtop's live views, in a real terminal (tmux): sizes, keys, resizes, terminals without colour or
UTF-8, and that the terminal is given back whatever ends it."""

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


def sizes(t, fake):
    for cols, rows in ((80, 24), (60, 15), (120, 40), (40, 10), (200, 60)):
        with screen(memtop(fake.pid, '-d', '0.2'), cols, rows) as view:
            text = view.until(r'(?s)(session_|cache_insert|\+\d).*^q quit')
            lines = (text or '').splitlines()
            t.ok(text and lines[0].startswith(f'memtop  {fake.pid} fake  live'), f'{cols}x{rows}: title',
                 view.text())
            t.ok(text and re.search('GROWTH|NEW in', text) and re.match('q quit', lines[rows - 1]),
                 f'{cols}x{rows}: call sites and keys', view.text())
            t.ok(text and all(len(line) <= cols for line in lines) and len(lines) == rows,
                 f'{cols}x{rows}: within the screen', view.text())
            t.ok(text and re.search('[\u2801-\u28ff]', text), f'{cols}x{rows}: a chart', view.text())
    with screen(memtop(fake.pid), 30, 8) as view:
        t.ok(view.until('terminal too small'), 'too small a terminal is told so', view.text())
        view.resize(80, 24)
        t.ok(view.until('CALL SITE'), 'and made larger it shows', view.text())
        view.resize(50, 12)
        t.ok(view.until('CALL SITE') and view.until('^q quit'), 'made smaller again', view.text())
        for size in ((100, 30), (41, 10), (10, 3), (132, 43), (1, 1), (80, 24)) * 3:
            view.resize(*size)
        t.ok(view.until('CALL SITE') and view.child(), 'resized to and fro it still runs', view.text())


def narrow(t):
    """40x12: parts of the title go whole, rows that are cut say so, and no line number is cut in two."""
    with s.running([FAKE, '--name', 'twenty-letters-wide'], preload=False, ready='ready') as fake:
        with screen(memtop(fake.pid, '-d', '0.2'), 40, 12) as view:
            text = view.until(r'~\d')
            t.ok(text and re.fullmatch(f'(memtop  )?{fake.pid} twenty-letters-wide  live \\d+s', text.splitlines()[0].rstrip()),
                 '40x12: the title has what matters, whole', view.text())
            view.key('?')
            rows = (view.until(r'(?m)^more: ') or '').splitlines()
            t.ok(rows and rows[0].startswith('memtop ') and rows[11].startswith('more: a larger window') and
                 any(row.endswith('space    pause the view; the history \u2026') for row in rows),
                 '40x12: help says that there is more of it, and where a row is cut', view.text())
            view.key('x')
        for cols in (40, 52, 60, 64, 72, 80):
            for charset, mark in (('braille', '\u2026'), ('ascii', '>')):
                with screen(memtop(fake.pid, '-d', '0.2', f'--charset={charset}'), cols, 15) as view:
                    # Until all have their names: before, a call site is an address in fake_segment.
                    text = view.until(r'(?s)\A(?!.*\w  fake_seg).*create_s')
                    rows = (text or 'CALL SITE').split('CALL SITE')[1].splitlines()[1:-1]
                    rows = [row for row in rows if row.strip()]
                    whole = re.compile(r'fake_segment\.c:\d\d|fake_segment\+')
                    bad = [row for row in rows if
                           (not row.endswith(mark) and not re.search(r':\d\d$', row)) or
                           len(whole.findall(row)) != row.count('fake_seg') or
                           not re.search(rf'(:\d\d|[^:\d]){mark}?$', row)]
                    t.ok(rows and not bad and any(row.endswith(mark) for row in rows),
                         f'{cols} columns, {charset}: rows are marked where they are cut, places are whole',
                         f'{bad}\n{view.text()}')


        with screen(memtop(fake.pid, '-d', '0.2'), 40, 14) as view:
            view.until('create_s')
            view.key('Down', 'Enter')
            text = view.until(r'^ +0 \S+')
            frames = [row.rstrip() for row in (text or '').splitlines() if re.match(r' +\d+ \S', row)]
            t.ok(len(frames) > 2 and all(re.search(r' fake_segment\.c:\d\d$| more: PgDn$', row) for row in frames),
                 'the stack: each place whole, without its folder', view.text())


def size(text):
    return float(text[:-1]) * {'K': 1 << 10, 'M': 1 << 20}[text[-1]]


def keys(t, fake):
    with screen(memtop(fake.pid, '-d', '0.2')) as view:
        t.ok(view.until(r'cache_insert fake_segment.c:\d+ \(2\) \S pars'), 'names and callers', view.text())
        first = next((line for line in view.text().splitlines() if 'fake_segment.c' in line), '')
        t.ok(first.lstrip().startswith(('+', '~+')) and 'cache_insert' in first, 'what grows is on top', view.text())
        view.key('?')
        t.ok(view.until('any key goes back'), '? is help')
        view.key('x')
        t.ok(view.until('CALL SITE'), 'any key goes back')
        view.key('Space')
        t.ok(view.until('PAUSED'), 'space pauses')
        frozen = view.text()
        time.sleep(0.7)
        t.equal(view.text(), frozen, 'and nothing moves')
        view.key('Space')
        t.ok(view.until(r'every 0.2s'), 'space goes on')
        view.key('>', '>')
        t.ok(view.until(r'(?m)^.*~100k.*\n') and s.wait_for(
            lambda: '~100k' in view.text().split('CALL SITE')[1].splitlines()[1], 5),
            '> sorts by the next column: objects', view.text())
        view.key('>', '>')
        t.ok(view.until('LEAKS'), '> and on, to what leaks', view.text())
        view.key('<', '<', '<', '<')
        view.key('+')
        t.ok(view.until('every 0.1s'), '+ looks more often')
        view.key('-', '-', '-')
        t.ok(view.until('every 1s'), '- less often')
        view.key('+', '+', ']')
        t.ok(view.until('last (60s|2m)'), '] charts a longer time', view.text())
        view.key('/')
        t.ok(view.until('filter: _'), '/ asks for a filter')
        view.key('create_ses')
        view.key('Enter')
        t.ok(s.wait_for(lambda: view.text().count('fake_segment.c') == 1, 5) and view.until(r'/create_ses'),
             'it filters', view.text())
        view.key('Escape')
        t.ok(s.wait_for(lambda: view.text().count('fake_segment.c') >= 4, 5), 'escape clears it', view.text())
        view.key('Down')
        view.key('Enter')
        t.ok(view.until(r'^ +0 xmalloc .*fake_segment.c:\d+') and view.until(r'; \d+ live'),
             'enter shows the whole stack', view.text())
        view.key('Home', 'Right')
        t.ok(view.until('stack 2 of 2'), 'right: the next stack of the site', view.text())
        view.key('Escape')
        t.ok(view.until('q quit  '), 'escape closes it')
        view.key('c')
        t.ok(view.until('\u2588'), 'c: blocks', view.text())
        view.key('c')
        t.ok(view.until('##') and not re.search('[^\x00-\x7f]', view.text()), 'c: ascii', view.text())
        view.key('s')
        text = view.until(r'saved memtop-\d+-[\d-]+\.pb\.gz')
        files = sorted(Path(view.directory.name).glob('memtop-*'))
        t.ok(text and [f.suffix for f in files] == ['.json', '.gz'] or
             [f.suffix for f in files] == ['.gz', '.json'], 's saves a profile and figures', view.text())
        saved = next((f for f in files if f.suffix == '.json'), None)
        t.ok(saved and json.loads(saved.read_text())['pid'] == fake.pid, 'the figures are JSON')
        view.key('F5', 'Tab', 'PPage', 'NPage', 'Home', 'End', 'Left', 'Right', 'BSpace')
        view.key('q')
        t.ok(view.until('STATUS=0'), 'q quits')
        t.ok(view.until('^0$'), 'and gives the terminal back', view.text())


def moments(t):
    """Paused: left and right go through what a program has kept of its past, which it has printed too."""
    with s.running([s.PROGRAMS / 'tides']) as tides:
        if not t.ok(s.wait_for(lambda: tides.text()[0].count('rests\n') == 2, 120, tides), 'tides has grown, fallen and grown'):
            return
        peak = max(int(use) for use in re.findall(r'in_use=(\d+)', tides.text()[0]))
        with screen(memtop(tides.pid, '-d', '0.2'), 100, 24) as view:
            view.until('CALL SITE')
            view.key('Space')
            view.until('PAUSED')
            frozen = view.text()
            heaps = [size(re.search(r'heap ([\d.]+[KM])', frozen)[1])]
            for step in range(1, 100):
                view.key('Left')
                text = view.until(r'at \d\d:\d\d:\d\d  that is \d+s before  heap \S+')
                heap = re.search(r'before  heap (\S+)', text or '')
                if not heap or heap[1] == '-':
                    break
                heaps.append(size(heap[1]))
            t.ok(step > 20 and heap and heap[1] == '-', 'left: to where nothing is known', view.text())
            t.ok(0 <= max(heaps) - peak + (64 << 10) + (50 << 10) <= 1 << 20, 'the heap at its greatest is what the program says',
                 (heaps, peak))
            t.ok(min(heaps[:20]) < max(heaps) * 0.9 and heaps[-1] < max(heaps) / 2, 'it fell and it grew', heaps)
            for _ in range(step):
                view.key('Right')
            # Below are names, which may have come meanwhile.
            t.ok(s.wait_for(lambda: view.text().splitlines()[:12] == frozen.splitlines()[:12], 10),
                 'right: back to the moment of the pause', view.text())


def marks(t):
    """m: what has come since, of a program that says what that is."""
    with s.running([s.PROGRAMS / 'tides'], memdebug='memprofilerate=1', ready='rests') as tides:
        with screen(memtop(tides.pid, '-d', '0.2'), 130, 24) as view:
            view.until(r'grow tides')
            view.key('m')
            t.ok(view.until(r'^ *SINCE \ds '), 'm: since now', view.text())
            lines = tides.text()[0].splitlines()
            before = re.findall(r'\d+', lines[-1].split(' ', 1)[1])
            if len(lines) - lines.index('rests') > 2:
                t.skip('what has come since the mark', 'the machine was too slow: the program had gone on')
                return
            s.wait_for(lambda: tides.text()[0].count('rests\n') == 2, 60, tides)
            time.sleep(0.3)
            after = re.findall(r'\d+', tides.text()[0].splitlines()[-1].split(' ', 1)[1])
            grown, allocated = ((int(after[i]) - int(before[i])) / (1 << 20) for i in (0, 1))
            row = rf'^ +\+{grown:.2f}M +[\d.]+M +0% +\d+% +\+{grown * 16:.0f} +{allocated:.1f}M .*grow tides'
            t.ok(view.until(row), 'growth, objects and bytes allocated since the mark', f'{row}\n{view.text()}')
            t.ok('+OBJECTS' in view.text() and '+ALLOC' in view.text() and f'grew +{grown:.2f}M/' in view.text(),
                 'as the headings say, and the heap has grown as much', view.text())
            view.key('m')
            t.ok(view.until('the mark is gone') and 'SINCE' not in view.text(), 'm again: no longer', view.text())


def kinds(t):
    """K: what is mapped beside the heap, by call site.  Of a program whose every step is known."""
    def table(view):
        """{site: [growth, mapped, ever]}, from the top."""
        rows = [line.split() for line in view.text().partition('CALL SITE')[2].splitlines() if '  site_' in line]
        return {words[4]: [*words[:2], words[3]] for words in rows}

    with s.running([s.PROGRAMS / 'mapper', 'calls'], 'memprofilerate=1', ready='mapped') as process, \
            screen(memtop(process.pid, '-d', '0.2'), 120, 40) as view:
        t.ok(view.until('HEAP CALL SITE') and not table(view), 'the heap comes first, and says so', view.text())
        view.key('K')
        t.ok(view.until('GROWTH +[0-9ms]+ +MAPPED +% +MMAP +MMAP CALL SITE') and
             view.until(r'^ +0 +90\.0M +\d+% +90\.0M  site_mmap '), 'K: mmap, exact', view.text())
        os.kill(process.pid, signal.SIGUSR1)
        wanted = {'site_mremap': ['+40.0M', '40.0M', '40.0M'], 'site_fixed': ['+5.00M', '5.00M', '5.00M'],
                  'site_mmap64': ['0', '6.00M', '6.00M'], 'site_sbrk': ['-1.00M', '2.00M', '3.00M'],
                  'site_mmap': ['-35.0M', '55.0M', '90.0M']}
        t.ok(s.wait_for(lambda: list(table(view).items()) == list(wanted.items()), 30),
             'what each has mapped and unmapped since, by growth', view.text())
        view.key('>', '>')
        t.ok(s.wait_for(lambda: [*table(view)][:2] == ['site_mmap', 'site_mremap'], 30), 'sorted by all that ever was',
             view.text())
        view.key('>')
        t.ok(s.wait_for(lambda: [*table(view)][:1] == ['site_mremap'] or table(view).get('site_mremap', [''])[0] == '0', 30),
             'then by growth: it has no column of objects, nor of leaks', view.text())
        view.key('/', 'mremap', 'Enter')
        t.ok(s.wait_for(lambda: [*table(view)] == ['site_mremap'], 30), 'filtered', view.text())
        view.key('Down', 'Enter')
        t.ok(view.until(r'^40\.0M mapped, 40\.0M in all') and view.until(r'^ +\d site_mremap .*mapper\.c:\d+'), 'its stack',
             view.text())
        view.key('Escape')
        view.key('Escape')
        t.ok(s.wait_for(lambda: len(table(view)) == 5, 30), 'all again', view.text())
        view.key('s')
        t.ok(view.until(r'saved memtop-\d+'), 's saves', view.text())
        told = {file.suffix: file for file in Path(view.directory.name).glob('memtop-*')}
        t.equal(json.loads(told['.json'].read_text())['sites_kind'], 'mmap', 'figures of this kind')
        result = s.run([s.MEMTOP, 'heap', '-b', told['.gz']], preload=False)
        t.ok('Type: mapped_space' in result.out, 'and the profile', result)
        view.key('>', 'K')
        t.ok(view.until('HEAP CALL SITE'), 'K: the heap again', view.text())
    with s.running([FAKE, '--name', 'unmapped'], preload=False, ready='ready') as fake:
        with screen(memtop(fake.pid)) as view:
            t.ok(view.until('HEAP CALL SITE'), 'one that has mapped nothing', view.text())
            view.key('K')
            t.ok(view.until('^mmap: It has mapped nothing itself') and 'HEAP CALL SITE' in view.text(), 'K says so', view.text())
        with screen(memtop(fake.pid, '--kind', 'mmap')) as view:
            t.ok(view.until('MMAP CALL SITE') and view.until('^  It has mapped nothing itself'), '--kind mmap: in its place',
                 view.text())


def plain_terminals(t, fake):
    def colors(text):
        return re.findall(r'\x1b\[[0-9;]*m', text)
    with screen(memtop(fake.pid)) as view:
        view.until('CALL SITE')
        t.ok(any('38;5' in c for c in colors(view.text(True))), 'colours where there are some')
    for name, arguments, env in (('NO_COLOR', [], {'NO_COLOR': '1'}), ('--no-color', ['--no-color'], {}),
                                 ('vt100', [], {'TERM': 'vt100'})):
        with screen(memtop(fake.pid, *arguments), env=env) as view:
            t.ok(view.until('CALL SITE'), f'{name}: shows', view.text())
            used = [c for c in colors(view.text(True)) if re.search(r'[34]8;5|\[(.*;)?[349][0-7](;.*)?m', c)]
            t.equal(used, [], f'{name}: no colour')
    for name, env in (('LC_ALL=C', {'LC_ALL': 'C'}), ('LC_ALL=POSIX', {'LC_ALL': 'POSIX'})):
        with screen(memtop(fake.pid), env=env) as view:
            text = view.until('CALL SITE')
            t.ok(text and not re.search('[^\x00-\x7f]', text) and '#' in text, f'{name}: ascii only', view.text())
    with screen(memtop(fake.pid, '--charset=ascii')) as view:
        text = view.until('CALL SITE')
        t.ok(text and not re.search('[\u2500-\u28ff]', text), '--charset=ascii', view.text())
    with screen(memtop(fake.pid), env={'TERM': 'no-such-terminal'}) as view:
        t.ok(view.until(r'^memtop: TERM=no-such-terminal.*-b') and view.until('STATUS=1'),
             'a TERM that is not known', view.text())
    with screen(memtop(fake.pid, '-n', '2', '-d', '0.2'), 120, 60, env={'TERM': 'dumb'}) as view:
        text = view.until('STATUS=0')
        t.ok(text and text.count('CALL SITE') == 2 and re.search('^heap ', text, re.M),
             'TERM=dumb: text, as with -b', view.text())


def endings(t):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV,
                   signal.SIGABRT):
        with s.running([FAKE], preload=False, ready='ready') as fake, \
                screen(memtop(fake.pid)) as view:
            view.until('CALL SITE')
            os.kill(view.child(), number)
            t.ok(view.until(f'STATUS={128 + number}') and view.until('^0$'),
                 f'{number.name} gives the terminal back', view.text())
    with s.running([FAKE, '--name', 'mortal'], preload=False, ready='ready') as fake, \
            screen(memtop(fake.pid, '-d', '0.2')) as view:
        view.until('CALL SITE')
        os.kill(fake.pid, signal.SIGKILL)
        fake.wait()
        t.ok(view.until(r'mortal +ended after') and 'cache_insert' in view.text(),
             'a target that dies stays on the screen', view.text())
        view.key('q')
        t.ok(view.until('STATUS=0'), 'and can be left')
        Path(fake.text()[0].splitlines()[0]).unlink()
    with s.running([FAKE, '--name', 'leaver'], preload=False, ready='ready') as fake, \
            screen(memtop(fake.pid, '-d', '0.2')) as view:
        view.until('CALL SITE')
        os.kill(fake.pid, signal.SIGTERM)
        fake.wait()
        t.ok(view.until(r'leaver +ended after') and 'cache_insert' in view.text(),
             'even when its file is gone', view.text())


def closed(t):
    """Who has a program on memdebug, and may not look at root's."""
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        t.skip('the list of one who may not see all', 'needs root and setpriv')
        return
    nobody = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    roots = Path('/dev/shm/memdebug-0')
    with tempfile.TemporaryDirectory(prefix='mdbin-') as place:
        os.chmod(place, 0o755)
        program = shutil.copy(s.MEMTOP, place)
        with s.running([*nobody, shutil.copy(FAKE, place)], preload=False, ready='ready') as own, \
                screen(shlex.join([*nobody, program])) as view:
            roots.mkdir(0o700, exist_ok=True)
            t.ok(view.until(rf'(?s)^what (root|\S+ and others) may have on memdebug is not to be seen: run memtop as root.*'
                            rf'^ *{own.pid} \S+ +live '), 'the list says that it may lack something', view.text())
            view.key('q')
        with screen(memtop()) as view:
            t.ok(view.until('on memdebug') and 'not to be seen' not in view.text(), 'to root it lacks nothing', view.text())
            view.key('q')


def lists(t):
    with s.running([FAKE, '--name', 'listed'], preload=False, ready='ready') as fake:
        with screen(memtop(), 80, 24) as view:
            t.ok(view.until(rf'^ *{fake.pid} \S+ +live .*/fake_segm'), 'memtop alone lists', view.text())
            rows = view.text().splitlines()[3:]
            place = next(i for i, row in enumerate(rows) if row.split()[:1] == [str(fake.pid)])
            view.key(*['Down'] * place, 'Enter') if place else view.key('Enter')
            t.ok(view.until(rf'^memtop  {fake.pid} listed  live'), 'enter watches', view.text())
            view.key('q')
            t.ok(view.until('on memdebug'), 'q leads back to the list', view.text())
            view.key('q')
            t.ok(view.until('STATUS=0'), 'and out')
    closed(t)
    with s.running([FAKE, '--empty', '--name', 'fresh'], preload=False, ready='ready') as fake, \
            screen(memtop(fake.pid)) as view:
        t.ok(view.until('No samples yet'), 'an empty view says what to do', view.text())


SMALL = ('/bin/sh', '-c', 'echo ready; while [ ! -e "$0" ]; do sleep 0.05; done; exec "$@"')
GROWN = ('/usr/bin/python3', '-c', 'import time; k=[bytes(100000) for _ in range(50)]; time.sleep(1000)')
# A copy that allocates when it is told to.
FORKER = ('import os,signal\n'
          'keep=[bytearray(100000) for _ in range(50)]\n'
          'signal.signal(signal.SIGUSR1, lambda *_: keep.extend(bytearray(100000) for _ in range(50)))\n'
          'child=os.fork()\n'
          'if child: print("ready", child, flush=True)\n'
          'while True: signal.pause()\n')


def waits(t):
    """A process without a segment is waited for."""
    with tempfile.TemporaryDirectory() as directory:
        go = Path(directory) / 'go'
        with s.running([*SMALL, go, *GROWN], ready='ready') as process, screen(memtop(process.pid)) as view:
            t.ok(view.until(f'^memtop  {process.pid} sh  waiting') and view.until('512 KiB'),
                 'a small one is waited for, and it says why', view.text())
            go.touch()
            t.ok(view.until(f'^memtop  {process.pid} python3  live', 60), 'once it is there it is shown', view.text())
            view.key('q')
            t.ok(view.until('STATUS=0'), 'and left')
            go.unlink()
        with s.running([*SMALL, go, *GROWN], ready='ready') as process:
            with screen(memtop(process.pid), 40, 12) as view:
                t.ok(view.until('waiting') and view.until('512 KiB'), 'on 40x12 too', view.text())
                view.key('q')
                t.ok(view.until('STATUS=0') and view.until('^0$'), 'q leaves at once', view.text())
            with screen(memtop(process.pid)) as view:
                view.until('waiting')
                os.kill(view.child(), signal.SIGTERM)
                t.ok(view.until(f'STATUS={128 + signal.SIGTERM}') and view.until('^0$'),
                     'a signal gives the terminal back', view.text())
            with screen(memtop(process.pid)) as view:
                view.until('waiting')
                process.kill()
                process.wait()
                t.ok(view.until('has ended before it had a segment'), 'that it ends meanwhile is told', view.text())
                view.key('q')
                t.ok(view.until('^memtop: .* has ended before') and view.until('STATUS=1'), 'afterwards too', view.text())
    with s.running(['/usr/bin/python3', '-c', FORKER], ready='ready') as parent:
        child = int(parent.text()[0].split()[1])
        with screen(memtop(child)) as view:
            t.ok(view.until('a forked copy'), 'a forked copy is waited for', view.text())
            s.wait_for(lambda: os.kill(child, signal.SIGUSR1) or view.until('live', 1), 60)
            t.ok(view.until(f'^memtop  {child} python3  live'), 'until it has a segment of its own', view.text())


def replaced(t):
    program = ['/usr/bin/python3', '-c',
               'import os,sys,time\nx=[bytes(100000) for _ in range(50)]; print("ready", flush=True)\n'
               'time.sleep(3)\n'
               'os.execv("/usr/bin/perl", ["perl", "-e", "my @x = map { \'x\' x 100000 } 1..50; sleep 60"])']
    with s.running(program, ready='ready') as process, screen(memtop(process.pid, '-d', '0.2')) as view:
        t.ok(view.until(f'^memtop  {process.pid} python3'), 'before the exec', view.text())
        t.ok(view.until(f'^memtop  {process.pid} perl  live', 20), 'after it: the same process, its new program',
             view.text())


def titled(t):
    with s.running([s.PROGRAMS / 'titled', 'as it was started'], ready='ready') as process, \
            screen(memtop(process.pid, '-d', '0.2')) as view:
        t.ok(view.until(f'^memtop  {process.pid} titled  live .*  titled: idle'), 'the title has its title', view.text())
        os.kill(process.pid, signal.SIGUSR1)
        t.ok(view.until(f'^memtop  {process.pid} titled  live .*  titled: busy with 7'), 'which changes', view.text())


GO = ('gc {n} @{t:.3f}s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, '
      '{n}->{n}->{n} MB, {g} MB goal, 0 MB stacks, 0 MB globals, 2 P\n')


def rows_of(text):
    """What stands in the column of names."""
    lines = [] if text is None else text.split('CALL SITE')[-1].splitlines()[1:]
    return [line[34:].strip() for line in lines if re.match(r' *~\+?[\d-]', line)]


def wrapped(t):
    """A cache and a leak through one wrapper are two rows, the leak first; a user's list of wrappers looks further;
    a name that does not fit is cut before its line."""
    memdebug = 'gctrace=1,gcinterval=200ms,memprofilerate=32KiB'
    with tempfile.TemporaryDirectory() as config, s.running([s.PROGRAMS / 'wrapped'], memdebug, ready='ready') as program:
        nothing, own = {'XDG_CONFIG_HOME': '/nonexistent'}, {'XDG_CONFIG_HOME': config}
        path = Path(config) / 'memtop' / 'wrappers'
        path.parent.mkdir()
        path.write_text('# ours\ntake_buffer\n')
        with screen(memtop(program.pid), env=nothing) as view:
            rows = rows_of(view.until(r'(?s)~0  take_buffer wrapped\.c.*\nq quit', 60))
            t.ok(len(rows) == 2 and all(row.startswith('take_buffer wrapped.c:') for row in rows) and
                 rows[0].find('\u2190 lose_the') > 0 and rows[1].find('\u2190 cache_p') > 0,
                 '80x24: through a usual wrapper, what leaks of its caller is a row of its own', view.text())
        with screen(memtop(program.pid), env=own) as view:
            def leaks():
                """Of the first row all in use leaks, but for what came after the last cycle; of the second nothing."""
                lines = [line for line in view.text().splitlines() if ' wrapped.c:' in line]
                figures = [re.findall(r'~\+?([\d.]+)M?', line) for line in lines]
                return [len(row) for row in figures] == [3, 3] and figures[1][2] == '0' and \
                    0.9 * float(figures[0][1]) < float(figures[0][2]) <= float(figures[0][1])
            t.ok(s.wait_for(leaks, 60), 'IN USE and LEAKS of each', view.text())
            rows = rows_of(view.text())
            t.ok(len(rows) == 2 and re.match(r'lose_the_message_of_a_session wrapped\.c:\d+', rows[0]) and
                 re.match(r'cache_put wrapped\.c:\d+', rows[1]), '80x24: two callers are two rows, the leak first', view.text())
            t.ok(len(rows) == 2 and ' via ' not in rows[0], 'the wrapper leaves room for callers', view.text())
            view.resize(72, 24)
            t.ok(view.until('lose_the_message\\w*\u2026 wrapped\\.c:\\d+$', 60),
                 '72 columns: a name is cut before its line', view.text())
            view.resize(140, 24)
            t.ok(view.until(r'lose_the_message_of_a_session wrapped\.c:\d+ via take_buffer \u2190 main', 60),
                 '140: the wrapper is told', view.text())
            view.key('Enter')
            t.ok(view.until(r'~[\d.]+M \(error \d+%\) leaks', 60), 'enter: the error of what leaks', view.text())
        path.write_text('take_buffer\n!mem_alloc\n!\n')
        result = s.run([s.MEMTOP, '--json', '-n1', program.pid], preload=False, env=own)
        site = json.loads(result.out)['sites'][0]
        t.ok(result.err == f'memtop: {path}: line 3 is no pattern; the rest holds\n' and
             re.match(r'mem_alloc wrapped\.c:\d+ ', site['site']) and site['via'] is None,
             'a line that is no pattern is told once, and the rest holds', result)
        path.write_text('take_buffer\n')
        result = s.run([s.MEMTOP, '--json', '-n1', program.pid], preload=False, env=own)
        site = json.loads(result.out)['sites'][0]
        t.equal([frame['function'] for frame in site['stack'] if frame['looked_through']], ['mem_alloc', 'take_buffer'],
                'JSON: frames that are looked through')
        t.ok(site['via'] == 'take_buffer' and site['leak_bytes'] > 6e6 and site['leak_bytes_error'] > 0 and
             site['alloc_objects_error'] > 0, 'the wrapper, and errors', site)
        result = s.run([s.MEMTOP, 'leaks', '--by=function', program.pid], preload=False, env=own)
        t.ok(re.search(r'^ *~[\d.]+ MB +[\d.]+ kB +~[\d.]+ MB +~\d+ +\d  lose_the_message_of_a_session$', result.out, re.M),
             'leaks: charged to the same, marked as estimates', result)


def asked(t):
    """A process that was started with nothing set is asked by a key, and the view goes on meanwhile."""
    with s.running([s.PROGRAMS / 'wrapped'], ready='ready') as program, screen(memtop(program.pid)) as view:
        view.until('L leaks', 60)
        view.key('G')
        t.ok(view.until(r'cycle 1: [1-9]\d* unreachable object', 60), 'G: a cycle, and what it has found', view.text())
        view.key('L')
        t.ok(view.until(r'cycle 3: [1-9]\d* unreachable object', 60) and view.until('(?m)LEAKS', 60) and
             view.until(r'~[1-9][\d.]*M +\S+ +~[1-9][\d.]*M  take_buffer wrapped', 60),
             'L: two, and LEAKS is known', view.text())
    with s.running([s.PROGRAMS / 'wrapped'], 'gc=off', ready='ready') as program, screen(memtop(program.pid)) as view:
        view.until('L leaks', 60)
        view.key('G')
        t.ok(view.until('was started with MEMDEBUG=gc=off', 60), 'gc=off: why not', view.text())


def unnamed(t):
    """What leaks and no sample names is told by size."""
    told = r'not sampled: [1-9]\d* objects, [\d.]+[KM], of \d+ B \(\d+\)'
    with s.running([s.PROGRAMS / 'wrapped'], 'gctrace=1,gcinterval=200ms,memprofilerate=0', ready='ready') as program:
        with screen(memtop(program.pid)) as view:
            t.ok(view.until(r'(?m)^  ' + told, 60), 'below the call sites: leaks that no sample names, by size', view.text())
        result = s.run([s.MEMTOP, '-b', '-n1', program.pid], preload=False)
        t.ok(re.search('(?m)^leaks ' + told, result.out), 'the same with -b', result)


def tails(t):
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / 'log'
        log.write_text('noise\n' + GO.format(n=1, t=0.1, g=4))
        with screen(memtop('tail', log, '-d', '0.2')) as view:
            t.ok(view.until('Go program') and view.until('cycles 1'), 'tail FILE', view.text())
            with open(log, 'a') as file:
                for n in range(2, 30):
                    file.write(GO.format(n=n, t=n / 10, g=n + 4))
            t.ok(view.until('cycles 29') and view.until(r'29->29->29 MB'), 'follows it as it grows', view.text())
            log.unlink()
            log.write_text(OURS)
            t.ok(view.until('program 1 of 2'), 'and a new file of that name', view.text())
            view.key('Tab')
            t.ok(view.until('812 redis-server') and view.until('unreachable 12'), 'tab: the next program',
                 view.text())
            view.key('q')
            t.ok(view.until('Go program: 29 cycles') and view.until('STATUS=0'),
                 'the summary stays on the terminal', view.text())
        feeder = ('for n in 1 2 3 4 5 6; do echo "gc $n @0.${n}00s 0%: 0.014+0.30+0.002 ms clock, '
                  '0.028+0/0.064/0.086+0.005 ms cpu, 10->10->6 MB, 10 MB goal, 0 MB stacks, '
                  '0 MB globals, 2 P"; sleep 0.1; done')
        pipe = Path(directory) / 'pipe.sh'
        pipe.write_text(f'({feeder}; sleep 1) | {memtop("tail")}\n')
        with screen(f'/bin/sh {pipe}') as view:
            t.ok(view.until('cycles 6'), 'tail of a pipe, keys from the terminal', view.text())
            t.ok(view.until('ended, 6 of 6 lines'), 'which ends', view.text())
            view.key('q')
            t.ok(view.until('STATUS=0') and view.until('Go program: 6 cycles'), 'and is left by q', view.text())


OURS = ('gc 1 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, 10->10->6 MB, '
        '10 MB goal, 0 MB stacks, 0 MB globals, 2 P, 48211 objects, 12 unreachable 1536 B, '
        'pid 812 redis-server\n')


def verdict(t):
    with s.running([s.PROGRAMS / 'growing', 'leak'], 'gctrace=1,gcinterval=2s', ready='growing') as leak:
        s.wait_for(lambda: s.segments(leak.pid), 60, leak)
        with screen(memtop(leak.pid)) as view:
            text = view.until(r'^\+\d\S* MB in \d+ s: \d+ % leaked, nearly all by renew_session', 90)
            t.ok(text and text.splitlines()[1].startswith('+'), 'the verdict is below the title', view.text())
    with s.running([s.PROGRAMS / 'growing', 'churn'], 'gctrace=1,gcinterval=2s', ready='growing') as churn:
        s.wait_for(lambda: s.segments(churn.pid), 60, churn)
        with screen(memtop(churn.pid)) as view:
            text = view.until(r'^heap \S+  grew ', 30)
            t.ok(text and text.splitlines()[1].startswith('heap '), 'without one there is no room for it', view.text())


def live_run(t):
    program = ['/usr/bin/python3', '-c',
               'import time\nk=[]\nfor i in range(40): k.append([bytearray(1000) for _ in range(1000)]); '
               'print("line", i, flush=True); time.sleep(0.05)']
    with screen(memtop('run', '--live', '-d', '0.2', '-o', 'out.log', '--', *program),
                env={'PYTHONMALLOC': 'malloc'}) as view:
        t.ok(view.until('python3.*live'), 'run --live shows the view', view.text())
        t.ok(view.until('ended after', 20), 'until the program ends', view.text())
        view.key('q')
        t.ok(view.until('peak heap') and view.until('STATUS=0'), 'then the summary', view.text())
        log = Path(view.directory.name) / 'out.log'
        t.ok(log.exists() and 'line 39' in log.read_text(), 'its output is in the file')


with s.Tap() as t:
    if not t.missing('screens', 'tmux'):
        with s.running([FAKE, '--step-ms', '50'], preload=False, ready='ready') as fake:
            sizes(t, fake)
            keys(t, fake)
            plain_terminals(t, fake)
        endings(t)
        lists(t)
        narrow(t)
        waits(t)
        replaced(t)
        titled(t)
        moments(t)
        marks(t)
        kinds(t)
        wrapped(t)
        asked(t)
        unnamed(t)
        verdict(t)
        tails(t)
        live_run(t)
