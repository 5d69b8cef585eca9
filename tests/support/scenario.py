"""What the scenario tests share: running a program on the library, reading its output, TAP.

Python's standard library only.  Meson sets MEMDEBUG_BUILD and MEMDEBUG_ROOT; without them the
tree's own build/ is taken, so that each scenario also runs by hand: tests/scenario/NAME.py.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(os.environ.get('MEMDEBUG_ROOT', Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get('MEMDEBUG_BUILD', ROOT / 'build')).resolve()
LIB = Path(os.environ.get('MEMDEBUG_LIB', BUILD / 'libmemdebug.so')).resolve()
MEMTOP = BUILD / 'memtop'
PROGRAMS = BUILD / 'tests' / 'programs'
# The library under test does a silent cycle at every 1000th allocation (tests/run.sh).
HOSTILE = 'MEMDEBUG_HOSTILE' in os.environ
JEMALLOC = Path('/usr/lib/x86_64-linux-gnu/libjemalloc.so.2')

# ---------------------------------------------------------------------------------------- TAP


class Tap:
    """Test points of one scenario.  Use as a context; the plan is printed at its end."""

    def __init__(self):
        self.count = self.failures = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, Exception):
            import traceback
            self.ok(False, f'no exception: {error}', ''.join(traceback.format_tb(trace)))
        print(f'1..{self.count}', flush=True)
        sys.exit(1 if self.failures else 0)

    def ok(self, passed, name, detail=''):
        self.count += 1
        name = str(name).replace('\n', ' ').replace('#', '')
        print(f'{"ok" if passed else "not ok"} {self.count} - {name}', flush=True)
        if not passed:
            self.failures += 1
            for line in str(detail).splitlines()[:60]:
                print('# ' + line, flush=True)
        return bool(passed)

    def equal(self, got, expected, name, detail=''):
        return self.ok(got == expected, name, f'got      {got!r}\nexpected {expected!r}\n{detail}')

    def skip(self, name, reason):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {reason}', flush=True)

    def missing(self, name, *tools):
        """Skips `name` and returns True where one of the tools is not installed."""
        absent = [tool for tool in tools if find(tool) is None]
        if absent:
            self.skip(name, 'not installed: ' + ' '.join(map(str, absent)))
        return bool(absent)


def find(tool):
    """The path of the distribution's own program of that name, or None."""
    return shutil.which(str(tool), path='/usr/bin:/bin:/usr/sbin:/sbin')


# ------------------------------------------------------------------------------ running programs


def environment(memdebug=None, preload=True, extra=None):
    """A clean environment with the library in it.  memdebug None leaves MEMDEBUG unset."""
    kept = ('HOME', 'USER', 'TMPDIR', 'GOCACHE', 'LC_ALL', 'ASAN_OPTIONS')
    env = {key: os.environ[key] for key in kept if key in os.environ}
    env.setdefault('HOME', tempfile.gettempdir())
    env.update(PATH='/usr/bin:/bin:/usr/sbin:/sbin', LANG='C.UTF-8', TERM='dumb')
    if preload:
        env['LD_PRELOAD'] = str(LIB if preload is True else preload)
    if memdebug is not None:
        env['MEMDEBUG'] = memdebug
    env.update(extra or {})
    return env


class Result:
    """One finished run.  `lines` are the gctrace lines parsed, `rest` is the stderr without them."""

    def __init__(self, pid, status, out, err, seconds):
        self.pid, self.status, self.seconds = pid, status, seconds
        self.out, self.err = out, err
        self.lines, self.skips, self.rest = split_trace(err)

    def __repr__(self):
        return f'status {self.status}\nstdout: {self.out[-1500:]}\nstderr: {self.err[-3000:]}'


def run(command, memdebug=None, preload=True, env=None, timeout=120, cwd=None, stdin=None,
        pass_fds=(), stdout=None, binary=False):
    """Runs `command` to its end.  A run past `timeout` is killed with its group and has the status
    'timeout'; a death by signal is negative, as subprocess has it."""
    start = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command], env=environment(memdebug, preload, env), cwd=cwd,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=stdout if stdout is not None else subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, pass_fds=pass_fds)
    try:
        out, err = process.communicate(stdin.encode() if isinstance(stdin, str) else stdin, timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status = 'timeout'
    seconds = time.monotonic() - start
    out = out or b''
    return Result(process.pid, status, out if binary else out.decode(errors='replace'),
                  err.decode(errors='replace'), seconds)


@contextlib.contextmanager
def running(command, memdebug=None, preload=True, env=None, cwd=None, ready=None, timeout=30):
    """A program that runs while the block does.  With `ready`, waits for that line on its stdout.
    What it wrote is in .output_path and .error_path (files: nothing ever blocks on a pipe)."""
    with tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
        output, error = Path(directory) / 'out', Path(directory) / 'err'
        with open(output, 'wb') as out, open(error, 'wb') as err:
            process = subprocess.Popen([str(part) for part in command],
                                       env=environment(memdebug, preload, env), cwd=cwd,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                       start_new_session=True)
        process.output_path, process.error_path = output, error
        process.text = lambda: (output.read_text(errors='replace'), error.read_text(errors='replace'))
        try:
            if ready is not None and not wait_for(
                    lambda: ready in output.read_text(errors='replace'), timeout, process):
                raise RuntimeError(f'{command[0]} never said {ready!r}: {process.text()}')
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition, timeout=10, process=None):
    """Polls until `condition()` is true.  False: it was not when time was up, or the process had ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        if process is not None and process.poll() is not None:
            return bool(condition())
        time.sleep(0.02)
    return False


def cpu_of_others():
    """Seconds of CPU used on this machine so far, without this test and the children that it waited for."""
    with open('/proc/stat', encoding='ascii') as stat:
        ticks = [int(word) for word in stat.readline().split()[1:]]
    idle = ticks[3] + ticks[4] # and iowait
    return (sum(ticks[:8]) - idle) / os.sysconf('SC_CLK_TCK') - sum(os.times()[:4])


def threads_of(pid):
    return len(os.listdir(f'/proc/{pid}/task'))


def segment_directories():
    uids = {os.getuid(), os.geteuid()}
    return [Path('/run/memdebug')] + [Path(f'/dev/shm/memdebug-{uid}') for uid in uids]


def segments(pid=None, directories=None):
    """Segment files, those of one process or all."""
    found = []
    for directory in directories or segment_directories():
        if directory.is_dir():
            found += directory.glob(f'{pid if pid is not None else "*"}-*.mdseg')
    return sorted(found)


# ------------------------------------------------------------------------------- gctrace lines

_MS = r'(0|0\.0(?!00)\d\d|0\.[1-9]\d|[1-9]\.\d|[1-9]\d+)'
_N = r'(0|[1-9]\d*)'
GC_LINE = re.compile(
    rf'^gc ([1-9]\d*) @(\d+\.\d{{3}})s {_N}%: {_MS}\+{_MS}\+{_MS} ms clock, '
    rf'{_MS}\+{_MS}/{_MS}/{_MS}\+{_MS} ms cpu, {_N}->{_N}->{_N} MB, {_N} MB goal, {_N} MB stacks, '
    rf'{_N} MB globals, {_N} P, {_N} objects, {_N} unreachable {_N} B(?:, (\d+) threads unseen)?, pid ([1-9]\d*) ([^ ,]+)'
    r'( \(forced\))?$')
SKIP_LINE = re.compile(r'^gcskip @(\d+\.\d{3})s (.+), pid ([1-9]\d*) ([^ ,]+)$')


# Reasons for which a cycle may be skipped on a loaded machine.  They are no fault, unless a test is about
# one of them.
BUSY = frozenset(('a thread did not stop', 'the allocator was mapping memory', 'marking took too long',
                  'a thread moved during the snapshot', 'the stop took too long and was called off',
                  'the program writes faster than it can be followed'))


class Cycle:
    """One gctrace line, in the units that the line has."""

    def __init__(self, match):
        group = match.groups()
        self.text = match.string
        self.number, self.start, self.utilization = int(group[0]), float(group[1]), int(group[2])
        self.stop1, self.mark, self.stop2 = map(float, group[3:6])
        self.cpu = tuple(map(float, group[6:11]))
        self.before, self.end, self.live, self.goal = map(int, group[11:15])
        self.stacks, self.globals, self.cpus = map(int, group[15:18])
        self.objects, self.unreachable, self.unreachable_bytes = map(int, group[18:21])
        self.unseen = int(group[21] or 0)
        self.pid, self.name, self.forced = int(group[22]), group[23], group[24] is not None


def split_trace(text):
    """(cycles, skips, everything else) of a stderr.  A line that begins like ours and does not match
    stays in `everything else`, where a test that compares it finds it."""
    cycles, skips, rest = [], [], []
    for line in text.splitlines():
        if match := GC_LINE.match(line):
            cycles.append(Cycle(match))
        elif match := SKIP_LINE.match(line):
            skips.append(match.groups())
        else:
            rest.append(line)
    return cycles, skips, rest


def trace_faults(cycles, name=None, pid=None):
    """What is wrong with the lines of one run: gaps, impossible figures.  Empty when sane."""
    faults, last = [], {}
    for cycle in cycles:
        before = last.get(cycle.pid)
        expected = before.number + 1 if before else 1
        if cycle.number != expected:
            faults.append(f'cycle {cycle.number} of pid {cycle.pid}, expected {expected}')
        if before and cycle.start < before.start:
            faults.append(f'cycle {cycle.number} starts before cycle {before.number}')
        if cycle.live > cycle.before:
            faults.append(f'more reachable than in use: {cycle.text}')
        if cycle.unreachable > 0 and cycle.unreachable_bytes < 16 * cycle.unreachable:
            faults.append(f'objects of less than 16 bytes: {cycle.text}')
        if cycle.unreachable == 0 and cycle.unreachable_bytes:
            faults.append(f'bytes without objects: {cycle.text}')
        if cycle.objects == 0 and cycle.before > 0:
            faults.append(f'nothing reachable: {cycle.text}')
        if cycle.cpus > os.cpu_count():
            faults.append(f'more CPUs than there are: {cycle.text}')
        if cycle.utilization > 100:
            faults.append(f'more than all of the CPU: {cycle.text}')
        if name and cycle.name != name:
            faults.append(f'name {cycle.name}, expected {name}')
        if pid and cycle.pid != pid:
            faults.append(f'pid {cycle.pid}, expected {pid}')
        last[cycle.pid] = cycle
    return faults


# ------------------------------------------------------------------------------------- profiles


class Profile:
    """A profile as `go tool pprof -raw` prints it."""

    def __init__(self, text):
        self.text = text
        self.types, self.samples, self.locations, self.mappings = [], [], {}, []
        self.period, self.period_type = None, None
        section = None
        last = None
        for line in text.splitlines():
            if line.startswith('PeriodType: '):
                self.period_type = line.split(': ', 1)[1]
            elif line.startswith('Period: '):
                self.period = int(line.split(': ', 1)[1])
            elif line in ('Samples:', 'Locations', 'Mappings'):
                section = line.rstrip(':')
            elif section == 'Samples':
                if not self.types:
                    self.types = [word.split('[')[0] for word in line.split()]
                elif match := re.match(r'^((?:\s*-?\d+)+): ((?:\d+ ?)*)$', line):
                    self.samples.append(([int(word) for word in match[1].split()],
                                         [int(word) for word in match[2].split()], {}))
                elif match := re.match(r'^\s+(\w+):\[(.*)\]$', line):
                    self.samples[-1][2][match[1]] = match[2]
            elif section == 'Locations':
                if match := re.match(r'^\s*(\d+): 0x([0-9a-f]+) (?:M=(\d+) )?(.*)$', line):
                    last = int(match[1])
                    self.locations[last] = []
                    rest = match[4]
                else:
                    rest = line.strip()
                # file:line, and a newer Go's has :column
                if match := re.match(r'^(.*?) (\S*?):(\d+)(?::\d+)? s=\d+', rest):
                    self.locations[last].append((match[1], match[2], int(match[3])))
                elif rest:
                    self.locations[last].append((rest.split(' s=')[0], '', 0))
            elif section == 'Mappings' and line.strip():
                self.mappings.append(line)

    def frames(self, sample):
        """(function, file, line) innermost first, inlined frames included."""
        return [frame for location in sample[1] for frame in self.locations.get(location, [])]

    def by_function(self, wanted):
        """{function: [values]}: each sample charged to the innermost frame that `wanted` accepts."""
        sums = {}
        for sample in self.samples:
            for function, _, _ in self.frames(sample):
                if wanted(function):
                    total = sums.setdefault(function, [0] * len(self.types))
                    for i, value in enumerate(sample[0]):
                        total[i] += value
                    break
        return sums

    def total(self):
        return [sum(values) for values in zip(*(sample[0] for sample in self.samples))]


SAMPLE_TYPES = ['alloc_objects/count', 'alloc_space/bytes', 'inuse_objects/count',
                'inuse_space/bytes']


def pprof(*arguments, timeout=120):
    """`go tool pprof ARGUMENTS`: its stdout.  Raises with its stderr when it fails."""
    with tempfile.TemporaryDirectory(prefix='mdpprof-') as directory:
        done = subprocess.run([find('go'), 'tool', 'pprof', *map(str, arguments)],
                              env=environment(preload=False, extra={
                                  'PPROF_TMPDIR': directory, 'PPROF_BINARY_PATH': directory,
                                  'GOFLAGS': '', 'GOTOOLCHAIN': 'local', 'GOPROXY': 'off'}),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f'go tool pprof {" ".join(map(str, arguments))}: {done.stderr}')
    return done.stdout


def read_profile(path):
    return Profile(pprof('-raw', '-symbolize=none', path))


def dumps(prefix):
    """Profiles written with heapprofile=PREFIX, in order."""
    prefix = Path(prefix)
    return sorted(prefix.parent.glob(prefix.name + '.*.pb.gz'))


def key_values(text):
    """{'NAME': {'key': int}} from the programs' own `truth NAME key=1 key=2` lines."""
    truth = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ['truth']:
            truth[words[1]] = {key: int(value) for key, value in
                               (word.split('=') for word in words[2:])}
    return truth
