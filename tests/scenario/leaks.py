#!/usr/bin/env python3
"""Leaks as they are told: at exit by leakcheck=1, and at any time by memtop leaks, against what the
program knows and what LeakSanitizer says of the same source."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

LEAKY = s.PROGRAMS / 'leaky'
SOURCE = s.ROOT / 'tests' / 'programs' / 'leaky.c'
BLOCK = re.compile(r'^(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object\(s\) allocated from:\n'
                   r'((?:    .*\n)+)', re.M)
ESTIMATE = re.compile(r'^(Direct|Indirect) leak of ~([\d.]+) (\w+) ± ([\d.]+) (\w+) in ~(\d+) ± (\d+) object\(s\) '
                      r'\((\d+) samples?\) allocated from:\n((?:    .*\n)+)', re.M)
UNITS = {'B': 1, 'kB': 1 << 10, 'MB': 1 << 20, 'GB': 1 << 30}
LEAKERS = ('leak_direct', 'leak_list', 'leak_large', 'leak_later')


def leaker(frames):
    return next((name for name in LEAKERS if re.search(rf' in {name}\b', frames)), 'other')


def told(text):
    """{function: {'Direct': objects, 'Indirect': objects}} of an exact report."""
    found = {}
    for kind, _, count, frames in BLOCK.findall(text):
        kinds = found.setdefault(leaker(frames), {'Direct': 0, 'Indirect': 0})
        kinds[kind] += int(count)
    return found


def expected(out):
    return {name: {'Direct': truth['direct'], 'Indirect': truth['objects'] - truth['direct']}
            for name, truth in s.key_values(out).items()}


def plain(report):
    """Without what differs between two tellings of the same leaks."""
    return [line for line in report.splitlines() if not line.startswith('gc ')]


def at_exit(t):
    result = s.run([LEAKY, '--scale', '3', 'return'], 'leakcheck=1')
    t.equal(result.status, 7, 'the status is the program\'s own', result)
    t.equal(told(result.err), expected(result.out), 'every leak by its call site, direct and indirect', result)
    t.ok(f'=={result.pid}==ERROR: memdebug: detected memory leaks in leaky\n' in result.err, 'a head line')
    t.ok(re.search(r'^    #0 0x[0-9a-f]+ in leak_direct \S+leaky.c:\d+$', result.err, re.M),
         'the innermost frame is the caller, with file and line', result)
    last = re.search(r'^SUMMARY: memdebug: (\d+) byte\(s\) leaked in (\d+) allocation\(s\)\.\n'
                     r'gc (\d+): (\d+) unreachable object\(s\), (\d+) B; (\d+) direct', result.err, re.M)
    t.ok(last and last[2] == last[4] == '48' and last[1] == last[5] and last[6] == '34',
         'the samples come to what the cycle counted', result)
    for how in ('exit', 'quick_exit', 'pthread_exit', 'return --threads'):
        result = s.run([LEAKY, *how.split()], 'leakcheck=1,leakexitcode=23')
        t.ok(result.status == 23 and told(result.err) == expected(result.out), f'{how}: told, status 23', result)
    for how, status in (('_exit', 7), ('abort', -signal.SIGABRT)):
        result = s.run([LEAKY, how], 'leakcheck=1,leakexitcode=23')
        t.equal((result.status, result.err), (status, ''), f'{how}: no handler runs, nothing is said', result)
    result = s.run([LEAKY, '--chatty', 'return'], 'leakcheck=1,leakexitcode=23')
    t.ok(result.status == 23 and result.out.endswith('handler ran\n') and 'truth leak_list' in result.out,
         'a status of ours: handlers have run and stdio is flushed', result)
    result = s.run([LEAKY, 'none'], 'leakcheck=1,leakexitcode=23')
    t.equal((result.status, result.err), (7, ''), 'no leak: not a word, and the program\'s own status', result)
    result = s.run([LEAKY, 'return'], 'leakcheck=1,gctrace=1')
    t.equal(len(result.lines), 1, 'one cycle at exit where no other thread is', result)
    result = s.run([LEAKY, '--beside', 'return'], 'leakcheck=1,gctrace=1')
    t.equal(len(result.lines), 2, 'two where one is', result)
    result = s.run([LEAKY, 'none'], 'leakcheck=1,gctrace=1')
    t.equal(len(result.lines), 1, 'one where it finds nothing unreachable', result)
    result = s.run([LEAKY, 'return'], 'leakcheck=1,gc=off')
    t.ok(result.status == 7 and result.err == '==ERROR: memdebug: no leak check of leaky\n'
         'SUMMARY: memdebug: not checked: gc=off\n'.replace('==', f'=={result.pid}==', 1), 'gc=off: said', result)
    for memdebug, said in (('gctrace=1,leakexitcode=9', 'leakexitcode'), ('leakfile=x,leaksuppressions=y', 'leakfile, leaksuppressions'),
                           ('LeakExitCode=9', 'leakexitcode'), ('leakcheck=0,leakexitcode=9', None),
                           ('leakexitcode=9,only=other', None)):
        for command in ([LEAKY, 'return'], ['/bin/sh', '-c', f'/bin/true; {LEAKY} return']):
            result = s.run(command, memdebug)
            t.ok(result.status == 7 and 'leak of' not in result.err, f'{memdebug}: does nothing by itself', result)
            t.equal([line for line in result.rest], said and
                    [f'memdebug: MEMDEBUG: {said}: nothing is checked without leakcheck=1'] or [], 'which is said, once')


def profiles(t):
    """The last profile is written after the cycles, so what leaks is in it."""
    if t.missing('profiles', 'go'):
        return
    with tempfile.TemporaryDirectory() as directory:
        for memdebug, types in (('leakcheck=1', 6), ('gctrace=1,memprofilerate=1', 6), ('memprofilerate=1', 4)):
            prefix = Path(directory) / f'{types}{memdebug[:2]}'
            result = s.run([LEAKY, 'return'], f'{memdebug},heapprofile={prefix}')
            written = s.dumps(prefix)
            raw = s.read_profile(written[-1]) if written else None
            t.ok(raw and len(raw.types) == types, f'{memdebug}: {types} sample types', result)
            if memdebug == 'leakcheck=1' and raw:
                sums = raw.by_function(lambda name: name in LEAKERS)
                t.equal({name: values[4] for name, values in sums.items()},
                        {'leak_direct': 10, 'leak_list': 5, 'leak_large': 1}, 'leak_objects in the profile at exit')
                kept = raw.by_function(lambda name: name == 'keep')
                t.equal([values[2:5:2] for values in kept.values()], [[20, 0]], 'what is kept is in use and no leak')


def processes(t):
    result = s.run([LEAKY, '--child', '--silent', 'return'], 'leakcheck=1,leakexitcode=23')
    reports = re.findall(r'==(\d+)==ERROR', result.err)
    t.ok(len(reports) == 2 and len(set(reports)) == 2 and 'child 7' in result.out and result.status == 23,
         'a forked child is checked at its own end, its status is its own', result)
    child = result.err.split(f'=={reports[1] if reports[0] == str(result.pid) else reports[0]}==')[-1] \
        if len(reports) == 2 else ''
    t.ok('leak_later' in result.err and result.err.count(' in leak_later ') == 1, 'only the child tells its own', child)
    result = s.run(['/bin/sh', '-c', f'{LEAKY} --silent return; /bin/true; exec {LEAKY} none'], 'leakcheck=1,leakexitcode=23')
    t.ok(result.status == 7 and result.err.count('==ERROR') == 1, 'follow: programs that a shell starts', result)
    result = s.run(['/bin/sh', '-c', f'{LEAKY} --silent return'], 'leakcheck=1,follow=none')
    t.equal(result.err, '', 'follow=none: only the first')


def outputs(t):
    result = s.run(['/bin/sh', '-c', f'exec {LEAKY} --silent return 2>&-'], 'leakcheck=1,leakexitcode=23')
    t.equal((result.status, result.err), (23, ''), 'stderr closed before the start: nothing, the status all the same')
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / 'log'
        result = s.run(['/bin/sh', '-c', f'exec {LEAKY} return 2>{log}'], 'leakcheck=1')
        t.equal(told(log.read_text()), expected(result.out), 'into a file', result)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b'x' * 4096)
    except BlockingIOError:
        pass
    start = time.monotonic()
    process = subprocess.Popen([str(LEAKY), '--silent', 'return'], env=s.environment('leakcheck=1,leakexitcode=23'),
                               stdout=subprocess.DEVNULL, stderr=writer)
    try:
        status = process.wait(30)
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
    t.ok(status == 23 and time.monotonic() - start < 10, 'a pipe that nobody reads ends the wait, not the program',
         f'status {status} after {time.monotonic() - start:.1f} s')


def interrupted(t):
    """exit called by a signal handler, now and then in the middle of our own work: the program ends as
    it wanted to, at once; what could not be done is said."""
    with tempfile.TemporaryDirectory() as directory:
        for memdebug in ('leakcheck=1,leakexitcode=0', 'gctrace=1,memprofilerate=1',
                         f'heapprofile={directory}/h,memprofilerate=1'):
            faults, given_up = [], 0
            for i in range(12):
                result = s.run([s.PROGRAMS / 'sigexit', str(40000 + 1371 * i)], memdebug, timeout=30)
                given_up += 'exit was called by a signal handler' in result.err
                if result.status != 3:
                    faults.append(result)
            t.equal(faults, [], f'{memdebug.split(",")[0].split("=")[0]}: exit in a handler, 12 times ({given_up} in our work)')


def suppressed(t):
    with tempfile.TemporaryDirectory() as directory:
        rules = Path(directory) / 'leaky.supp'
        rules.write_text('# known\nleak:^leak_direct$\nleak:leaky.c\nleak:never_there\nrace:x\n')
        result = s.run([LEAKY, 'return'], f'leakcheck=1,leakexitcode=23,leaksuppressions={directory}/{{exe}}.supp')
        t.ok(result.status == 7 and '==ERROR' not in result.err and 'Suppressions used:\n  count      bytes template\n'
             in result.err and re.search(r'^ +10 +1120 \^leak_direct\$$', result.err, re.M)
             and 'memdebug: leaksuppressions: 1 line(s) are not leak:PATTERN, the first is line 5\n' in result.err,
             'all suppressed: the status is the program\'s, the rules are listed', result)
        rules.write_text('leak:leak_list\nleak:never_there\n')
        result = s.run([LEAKY, 'return'], 'leakcheck=1,leakexitcode=23,leaksuppressions=leaky.supp', cwd=directory)
        left = expected(result.out)
        left.pop('leak_list', None)
        t.ok(result.status == 23 and told(result.err) == left
             and 'Suppressions not used: 1: never_there\n' in result.err, 'one suppressed, one rule unused', result)
        hostile = {'nothing there': '/nonexistent', 'a directory': directory, 'a device': '/dev/zero'}
        for name, size in (('10 MB in one line', 10 << 20), ('rubbish', 1 << 16)):
            path = Path(directory) / name.replace(' ', '_')
            path.write_bytes(b'leak:' + b'a' * size if size > 1 << 20 else os.urandom(size))
            hostile[name] = path
        if os.geteuid() != 0:
            secret = Path(directory) / 'secret'
            secret.write_text('leak:leak_list\n')
            secret.chmod(0)
            hostile['unreadable'] = secret
        for name, path in hostile.items():
            result = s.run([LEAKY, 'return'], f'leakcheck=1,leakexitcode=23,leaksuppressions={path}')
            said = [line for line in result.err.splitlines() if line.startswith('memdebug: leaksuppressions: ')]
            t.ok(result.status == 23 and told(result.err) == expected(result.out) and len(said) == 1,
                 f'suppressions: {name}: one line, the report is whole', result)


def sampled(t):
    """At a rate the truth lies within some standard errors of the estimate."""
    result = s.run([LEAKY, '--scale', '100', 'return'], 'leakcheck=1,memprofilerate=4096')
    truth = expected(result.out)
    estimates = {}
    for match in ESTIMATE.findall(result.err):
        kind, _, _, _, _, objects, error, samples, frames = match
        if leaker(frames) == 'leak_direct' and kind == 'Direct':
            estimates[kind] = (int(objects), int(error), int(samples))
    n, error, samples = estimates.get('Direct', (0, 0, 0))
    real = truth['leak_direct']['Direct']
    # The spread about the truth, not the one that few samples estimate: a run with few says a small one.
    spread = (real * n / max(samples, 1)) ** 0.5
    t.ok(samples >= 5 and abs(n - real) < 5 * spread and abs(error - n / samples ** 0.5) < error / 10,
         f'1000 objects of 100 bytes: {n} ± {error} by {samples} samples', result)
    t.ok(told(result.err).get('leak_large') == {'Direct': 100, 'Indirect': 0}, 'large ones are all sampled: exact',
         result)
    result = s.run([LEAKY, 'return'], 'leakcheck=1,memprofilerate=0,leakexitcode=23')
    t.ok(result.status == 23 and '329040 byte(s) in 16 object(s), not sampled: memprofilerate=1 ' in result.err
         and 'SUMMARY: memdebug: 329040 byte(s) leaked in 16 allocation(s).\ngc 1: 16 unreachable' in result.err,
         'no samples: what was counted, and what would show it', result)


def sanitizer(t):
    if t.missing('LeakSanitizer', 'gcc'):
        return
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory) / 'leaky'
        built = subprocess.run([s.find('gcc'), '-fsanitize=leak', '-O1', '-g', '-fno-optimize-sibling-calls',
                                '-fno-omit-frame-pointer', SOURCE, '-o', binary, '-lpthread'],
                               capture_output=True, check=False)
        if built.returncode != 0:
            t.skip('LeakSanitizer', 'gcc has none')
            return
        theirs = s.run([binary, 'return'], preload=False)
        if 'detected memory leaks' not in theirs.err:
            t.skip('LeakSanitizer', 'it does not work here')
            return
        ours = s.run([LEAKY, 'return'], 'leakcheck=1')
        t.equal(told(ours.err), told(theirs.err), 'the same objects as LeakSanitizer, by its own text', theirs)


# ------------------------------------------------------------------------------------------ memtop


def memtop(*arguments, **more):
    return s.run([s.MEMTOP, *arguments], preload=False, **more)


class Server:
    """leaky --serve; `more()` has it leak."""

    def __init__(self, memdebug, *arguments):
        self.process = subprocess.Popen([str(LEAKY), '--serve', *arguments, 'return'], env=s.environment(memdebug),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        self.out = ''
        self.until('ready')
        self.pid = str(self.process.pid)

    def until(self, word):
        for line in self.process.stdout:
            self.out += line
            if line.strip() == word:
                return

    def more(self):
        self.process.stdin.write('x\n')
        self.process.stdin.flush()
        self.until('later')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for path in s.segments(self.pid):
            path.unlink()


def live(t):
    with Server('gc=ready,memprofilerate=1', '--scale', '4') as server, \
            tempfile.TemporaryDirectory() as directory:
        base = Path(directory) / 'base.pb.gz'
        result = memtop('leaks', server.pid, '--no-cycle')
        t.ok(result.status == 1 and 'has done no cycle' in result.err, 'without a cycle nothing is known', result)
        result = memtop('leaks', server.pid)
        t.ok(result.status == 0 and told(result.out) == expected(server.out), 'a running program: the truth', result)
        t.ok('gc 2: 64 unreachable' in result.out, 'by two cycles', result)
        t.equal(plain(memtop('leaks', server.pid, '--no-cycle').out), plain(result.out), '--no-cycle: the same again')
        result = memtop('leaks', server.pid, '--exit-code', '9')
        t.equal(result.status, 9, '--exit-code', result)
        result = memtop('leaks', server.pid, '-o', base)
        t.ok(result.status == 0 and not result.out and base.stat().st_size > 0, '-o writes a profile', result)
        result = memtop('leaks', server.pid, '--diff', base, '--exit-code', '9')
        t.ok(result.status == 0 and '0 byte(s) leaked' in result.out, '--diff: nothing new', result)
        time.sleep(6)
        more = time.monotonic()
        server.more()
        for name in ('--diff', '--since'):
            # As long ago as it is, and 5 s for memtop to look; the others are 6 s older.
            since = f'{time.monotonic() - more + 5:.0f}s'
            arguments = ('--diff', base) if name == '--diff' else ('--since', since, '--no-cycle')
            result = memtop('leaks', server.pid, *arguments)
            t.equal(told(result.out), {'leak_later': {'Direct': 40, 'Indirect': 0}}, f'{name}: what is new', result)
        result = memtop('leaks', server.pid, '--exclude', 'leak_l*', '--no-cycle')
        t.equal(set(told(result.out)), {'leak_direct'}, '--exclude a function, with a star', result)
        result = memtop('leaks', server.pid, '--exclude', 'leak_', '--no-cycle')
        t.equal(len(told(result.out)), 4, '--exclude wants whole names', result)
        rules = Path(directory) / 'rules'
        rules.write_text('leak:leak_la\n')
        result = memtop('leaks', server.pid, '--suppressions', rules, '--no-cycle')
        t.ok(set(told(result.out)) == {'leak_direct', 'leak_list'} and 'Suppressions used' in result.out,
             '--suppressions', result)
        for by, word in (('function', 'leak_large'), ('module', 'leaky'), ('size', '327680')):
            result = memtop('leaks', server.pid, f'--by={by}', '--no-cycle')
            rows = [line.split() for line in result.out.splitlines() if line.endswith(f'  {word}')]
            t.ok(result.status == 0 and len(rows) == 1 and all(len(line) <= 80 for line in result.out.splitlines()),
                 f'--by={by}: a row of {word}, 80 columns', result)
        result = memtop('leaks', server.pid, '--json', '--no-cycle')
        records = [json.loads(line) for line in result.out.splitlines()]
        groups, summary = records[:-1], records[-1]
        t.ok(summary['type'] == 'leaks' and summary['objects'] == 104 and summary['exact'] is True
             and summary['unreachable_objects'] == 104 and summary['groups'] == len(groups)
             and all(group['version'] == 1 and group['type'] == 'leak' and group['stack'] for group in groups)
             and sum(group['bytes'] for group in groups) == summary['bytes'], '--json', result)
        result = memtop('leaks', server.pid, '-n', '1', '--no-cycle')
        t.ok(len(told(result.out)) == 1 and re.search(r'^and \d+ more: ', result.out, re.M), '-n 1 and a count of the rest',
             result)
        if not t.missing('pprof', 'go'):
            raw = s.read_profile(base)
            t.equal(raw.types, [*s.SAMPLE_TYPES[:3], 'inuse_space/bytes', 'leak_objects/count', 'leak_space/bytes'],
                    'a profile has two more types')
            sums = raw.by_function(lambda name: name in LEAKERS)
            t.equal({name: values[4] for name, values in sums.items()},
                    {'leak_direct': 40, 'leak_list': 20, 'leak_large': 4}, 'leak_objects by go tool pprof')
            top = s.pprof('-top', '-sample_index=leak_space', base)
            t.ok('Type: leak_space' in top and 'leak_large' in top, '-sample_index=leak_space', top)
            top = s.pprof('-top', base)
            t.ok('Type: leak_space' in top, 'memtop leaks -o: leak_space is its default', top)
            own = Path(directory) / 'heap.pb.gz'
            memtop('heap', server.pid, '-o', own)
            t.ok('Type: inuse_space' in s.pprof('-top', own), 'memtop heap -o: inuse_space stays the default')
        result = memtop('heap', '-b', '--leaks', server.pid)
        t.ok(result.status == 0 and 'Type: leak_space' in result.out and 'leak_large' in result.out, 'heap --leaks', result)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        result = memtop('leaks', server.pid)
        t.ok(result.status == 0 and told(result.out).get('leak_later') == {'Direct': 40, 'Indirect': 0},
             'dead by SIGKILL: its segment still tells', result)


def types(t):
    """What C++ containers hold, by their allocator's own frames; else the function and the size."""
    with s.running([s.PROGRAMS / 'leaky_types'], 'gc=ready,memprofilerate=1', ready='ready') as program:
        result = memtop('leaks', str(program.pid), '--by=type')
        rows = {line[49:] for line in result.out.splitlines() if re.match(r' *[\d.]+ k?B ', line)}
        for name in ('std::_List_node<double>', 'malloc in leak_types [64]',
                     'std::_Rb_tree_node<std::pair<int const, std::string > >'):
            t.ok(name in rows, f'--by=type: {name}', result)
        result = memtop('leaks', str(program.pid), '--by=type', '--json', '--no-cycle')
        found = {record['type_name']: record['objects'] for record in map(json.loads, result.out.splitlines())
                 if record['type'] == 'leak'}
        t.ok(found.get('std::_List_node<double>') == 1000 and found.get('malloc in leak_types [64]') == 100,
             'with the objects of each', found)
        result = memtop('leaks', str(program.pid), '--by=function', '--no-cycle')
        t.ok(' leak_types\n' in result.out and 'std::' not in result.out, '--by=function: who asked the container', result)


def refusals(t):
    with Server('gc=off', '--scale', '4') as server:
        result = memtop('leaks', server.pid)
        t.equal((result.status, result.err),
                (1, f'memtop: {server.pid} leaky was started with MEMDEBUG=gc=off; '
                 f'memtop heap {server.pid} shows what it has in use\n'),
                'a target that wants no cycles', result)
    with Server('gc=ready,memprofilerate=1', '--scale', '4') as server, tempfile.TemporaryDirectory() as directory:
        before = Path(directory) / 'before.pb.gz'
        memtop('heap', server.pid, '-o', before)
        for name, arguments, words in (
                ('--diff with a profile without leaks', ('--diff', before), 'has no leak_space'),
                ('--diff with what is no profile', ('--diff', '/etc/passwd'), ''),
                ('--diff with a directory', ('--diff', directory), ''),
                ('--suppressions with a directory', ('--suppressions', directory), 'not a regular file'),
                ('--suppressions not there', ('--suppressions', '/nonexistent'), 'No such file')):
            result = memtop('leaks', server.pid, *arguments)
            t.ok(result.status == 1 and result.err.count('\n') == 1 and words in result.err and not result.out,
                 name, result)
        os.kill(server.process.pid, signal.SIGSTOP)
        s.wait_for(lambda: Path(f'/proc/{server.pid}/stat').read_text().rpartition(')')[2].split()[0] == 'T')
        result = memtop('leaks', server.pid, '-d', '0.5')
        t.ok(result.status == 1 and 'is stopped' in result.err, 'a stopped one cannot answer, which is said at once', result)
    for arguments in (('--by=x', '1'), ('--since', 'never', '1'), ('--exit-code', '999', '1'), (), ('1', '2'),
                      ('--allocs', '1')):
        result = memtop('leaks', *arguments)
        t.ok(result.status == 2 and result.err and not result.out, f'usage: {" ".join(arguments)}', result)


def real(t):
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / 'a.c'
        source.write_text('int main(void) { return 0; }\n')
        commands = (
            (['python3', '-c', 'import json, re; print(len(json.dumps(list(range(20000)))))'],
             {'PYTHONMALLOC': 'malloc'}),
            (['bash', '-c', 'for i in 1 2 3; do x=$(echo $i); done; echo $x'], {}),
            (['sqlite3', ':memory:', 'create table t(a); insert into t values(1); select * from t'], {}),
            (['lua5.4', '-e', 't = {} for i = 1, 20000 do t[i] = {i} end print(#t)'], {}),
            (['perl', '-e', 'my @a = map { { a => $_ } } 1 .. 10000; print scalar @a'], {}),
            (['git', '--version'], {}),
            (['gcc', '-O2', '-c', str(source), '-o', f'{directory}/a.o'], {}),
            (['node', '-e', 'const a = []; for (let i = 0; i < 1e4; i++) a.push({i}); console.log(a.length)'], {}),
            (['gdb', '-batch', '-ex', 'info files', '/bin/true'], {}))
        for command, env in commands:
            if t.missing(command[0], command[0]):
                continue
            command[0] = s.find(command[0])
            alone = s.run(command, preload=False, env=env)
            result = s.run(command, 'leakcheck=1', env=env)
            t.ok((result.status, result.out) == (alone.status, alone.out),
                 f'{command[0]}: status and output are its own', f'{alone}\n{result}')
            ours = result.err.replace(alone.err, '', 1)
            t.ok(not ours or ours.startswith('\n' + '=' * 65) and 'SUMMARY: memdebug: ' in ours
                 and 'not checked' not in ours, f'{command[0]}: a report or silence', result)


with s.Tap() as t:
    at_exit(t)
    profiles(t)
    processes(t)
    outputs(t)
    interrupted(t)
    suppressed(t)
    sampled(t)
    sanitizer(t)
    live(t)
    types(t)
    refusals(t)
    real(t)
