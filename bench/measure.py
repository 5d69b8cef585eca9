"""Runs a program once and measures what it takes; medians and spreads of many runs."""

import contextlib
import functools
import math
import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get('MEMDEBUG_BUILD', ROOT / 'build')).resolve()
LIB = BUILD / 'libmemdebug.so'
JEMALLOC = Path('/usr/lib/x86_64-linux-gnu/libjemalloc.so.2')


def environment(extra=None):
    env = {key: os.environ[key] for key in ('HOME', 'TMPDIR') if key in os.environ}
    env.update(PATH='/usr/sbin:/usr/bin:/sbin:/bin', LANG='C.UTF-8')
    env.update(extra or {})
    return env


def ours(memdebug=None):
    return {'LD_PRELOAD': str(LIB)} | ({'MEMDEBUG': memdebug} if memdebug else {})


def jemalloc(conf=None):
    return {'LD_PRELOAD': str(JEMALLOC)} | ({'MALLOC_CONF': conf} if conf else {})


class Cost:
    """What one run took: CPU seconds (user and system, with children that it waited for), wall seconds,
    peak resident MB; and its stderr."""

    def __init__(self, process):
        self.process = process
        self.cpu = self.wall = self.rss = self.err = None


@functools.cache
def launcher():
    """The small program that starts what is measured and writes down its cost (launch.c).  It is static,
    so that what is preloaded into the measured program is not preloaded into it."""
    target = BUILD / 'bench' / 'launch'
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(['cc', '-O2', '-static', '-D_GNU_SOURCE', '-o', target,
                    ROOT / 'bench' / 'programs' / 'launch.c'], check=True)
    return target


@contextlib.contextmanager
def launched(command, extra=None, stdin=None):
    """Starts `command` and yields its Cost, which is filled in once the block is done and the program has
    ended."""
    with tempfile.TemporaryFile() as figures, tempfile.TemporaryFile() as err:
        # The launcher writes its figures to descriptor 3.
        process = subprocess.Popen(
            [launcher(), *map(str, command)], env=environment(extra),
            stdin=open(stdin, 'rb') if stdin else subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=err, preexec_fn=lambda: os.dup2(figures.fileno(), 3), pass_fds=(3,))
        cost = Cost(process)
        try:
            yield cost
            process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        figures.seek(0)
        err.seek(0)
        cost.err = err.read().decode(errors='replace')
        words = figures.read().split()
        if len(words) != 4 or int(words[3]) != 0:
            raise RuntimeError(f'{command[0]} ended with {words[3:]}: {cost.err[-500:]}')
        cost.cpu, cost.wall, cost.rss = float(words[0]), float(words[1]), int(words[2]) / 1024


def measure(command, extra=None, stdin=None):
    """The cost of `command`, run to its end.  Raises if it fails, as the cost of that means nothing."""
    with launched(command, extra, stdin) as cost:
        pass
    return cost


def measure_redis(load, extra=None, under=()):
    """The cost of a redis-server under redis-benchmark; `under` is what runs it, if anything does."""
    with tempfile.TemporaryDirectory() as directory:
        server_program = Path(directory) / 'redis-server'
        server_program.symlink_to('/usr/bin/redis-check-rdb')  # Debian: one program, two names
        socket = f'{directory}/socket'
        with launched([*under, server_program, '--port', '0', '--unixsocket', socket, '--save', '', '--dir',
                       directory], extra) as cost:
            deadline = time.monotonic() + 20
            while subprocess.run(['redis-cli', '-s', socket, 'ping'], capture_output=True,
                                 env=environment(), check=False).stdout != b'PONG\n':
                if cost.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError('redis-server does not start')
                time.sleep(0.02)
            subprocess.run(['redis-benchmark', '-s', socket, '-q', '-P', '16', '-r', '100000', '-d', '100',
                            '-n', str(load), '-t', 'set,get,lpush,hset,zadd'], check=True,
                           env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run(['redis-cli', '-s', socket, 'shutdown', 'nosave'], env=environment(),
                           capture_output=True, check=False)
    return cost


def rounds(variants, count):
    """Interleaved runs: {name: [Cost]} of `count` rounds.  In each round every one of {name: function}
    runs once; the one that begins changes from round to round."""
    names, costs = list(variants), {name: [] for name in variants}
    for i in range(count):
        for name in names[i % len(names):] + names[:i % len(names)]:
            costs[name].append(variants[name]())
    return costs


def ratios(costs, base, again):
    """{name: [ratio of CPU time in each round to the mean of the two base runs of that round]}; for
    `again`, the second of the two, to the first alone: the noise floor."""
    floor = [(a.cpu + b.cpu) / 2 for a, b in zip(costs[base], costs[again])]
    found = {name: [cost.cpu / max(middle, 1e-9) for cost, middle in zip(runs, floor)]
             for name, runs in costs.items() if name not in (base, again)}
    found[again] = [a.cpu / max(b.cpu, 1e-9) for a, b in zip(costs[again], costs[base])]
    return found


def spread(values):
    """(median, lower quartile, upper quartile)."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
    return middle, low, high


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))
