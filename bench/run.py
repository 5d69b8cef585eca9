#!/usr/bin/env python3
"""The benchmarks: each a ratio against a peer that ran in the same minutes, interleaved, with the peer
against itself beside it as the noise floor.  See run.sh."""

import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

from measure import (BUILD, LIB, ROOT, environment, geomean, jemalloc, measure, ours, ratios, rounds, spread)
from workloads import Program, compile_program, prepare

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests' / 'support'))
from scenario import split_trace  # noqa: E402

PLAIN, AGAIN = 'jemalloc', 'jemalloc again'


class Report:
    """Rows of the table, kept for bench.json."""

    def __init__(self):
        self.rows = []

    def row(self, bench, what, value, unit='', low=None, high=None, runs=None, limit=None, noise=None,
            note=''):
        """One figure.  `limit` is the bound that it has to keep, `noise` the (quartiles of the) peer
        against itself."""
        self.rows.append({'bench': bench, 'what': what, 'value': value, 'unit': unit, 'low': low,
                          'high': high, 'runs': runs, 'limit': limit, 'noise': noise, 'note': note,
                          'kept': None if limit is None else value <= limit})
        print(self.text(self.rows[-1]), flush=True)

    @staticmethod
    def text(row):
        def number(value):
            return '' if value is None else f'{value:.4g}' if abs(value) < 100 else f'{value:.0f}'
        spread_text = f'({number(row["low"])}-{number(row["high"])})' if row['low'] is not None else ''
        verdict = '' if row['kept'] is None else \
            f'{"<=" if row["kept"] else "ABOVE"} {number(row["limit"])}'
        noise = row['noise']
        noise_text = '' if noise is None else f'A/A {number(noise[0])} ({number(noise[1])}-{number(noise[2])})'
        return (f'{row["bench"]:13} {row["what"]:44} {number(row["value"]):>7} {row["unit"]:3} '
                f'{spread_text:17} {verdict:12} {noise_text:26} {row["note"]}').rstrip()

    def save(self, quick):
        path = BUILD / 'bench.json'
        cpu = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
        path.write_text(json.dumps({
            'machine': {'cpu': cpu[1] if cpu else '', 'cpus': os.cpu_count(),
                        'kernel': platform.release(),
                        'memory_mb': os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 20},
            'quick': quick, 'rows': self.rows}, indent=1) + '\n')
        return path


def with_environment(run, extra):
    return lambda: run(extra)


def compare(report, bench, programs, variants, count, limits, rss_limits=None, rss_delta=None):
    """Each program under each of {variant: environment}, against plain jemalloc.  `limits` and
    `rss_limits` are {variant: (geometric mean at most, each at most)}, `rss_delta` {variant: MB}."""
    medians = {name: {} for name in list(variants) + [AGAIN]}
    quicker = {name: {} for name in list(variants) + [AGAIN]}
    rss = {name: {} for name in variants}
    for program, run in programs.items():
        table = {PLAIN: with_environment(run, jemalloc()), AGAIN: with_environment(run, jemalloc())}
        table |= {name: with_environment(run, extra) for name, extra in variants.items()}
        costs = rounds(table, count)
        relative = ratios(costs, PLAIN, AGAIN)
        noise = spread(relative[AGAIN])
        medians[AGAIN][program] = noise[0]
        base_rss = statistics.median(cost.rss for cost in costs[PLAIN])
        base = statistics.median(cost.cpu for cost in costs[PLAIN])
        # What else runs on the machine only adds time: the lower quartile is steadier than the median.
        for name in quicker:
            quicker[name][program] = spread([cost.cpu for cost in costs[name]])[1] / \
                spread([cost.cpu for cost in costs[PLAIN] + (costs[AGAIN] if name != AGAIN else [])])[1]
        for name in variants:
            middle, low, high = spread(relative[name])
            medians[name][program] = middle
            own_rss = statistics.median(cost.rss for cost in costs[name])
            rss[name][program] = (own_rss, base_rss)
            report.row(bench, f'{program}, {name}', middle, 'x', low, high, count,
                       limits.get(name, (None, None))[1], noise,
                       f'CPU of {base:.2f} s; RSS {own_rss:.1f} of {base_rss:.1f} MB')
    noise = geomean(list(medians[AGAIN].values()))
    for name in variants:
        report.row(bench, f'geometric mean of {len(programs)}, {name}', geomean(list(medians[name].values())),
                   'x', runs=count, limit=limits.get(name, (None, None))[0], noise=(noise, noise, noise),
                   note=f'of lower quartiles {geomean(list(quicker[name].values())):.3f}, '
                   f'A/A {geomean(list(quicker[AGAIN].values())):.3f}')
        if rss_limits and name in rss_limits:
            worst = max(a / b for a, b in rss[name].values())
            report.row(bench, f'RSS, worst of {len(programs)}, {name}', worst, 'x',
                       limit=rss_limits[name])
        if rss_delta and name in rss_delta:
            worst = max(a - b for a, b in rss[name].values())
            report.row(bench, f'RSS more than jemalloc, worst, {name}', worst, 'MB',
                       limit=rss_delta[name])


# --------------------------------------------------------------------------------- benchmarks


CACHEGRIND = ('valgrind', '--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null')


# valgrind cannot run a process that copies itself, as a cycle does.  So what readiness for cycles costs between
# them is counted where our thread cannot be started, and the program's own do all that they do in any case.
NO_THREAD = (('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups') if os.geteuid() == 0 else ()) + (
    'prlimit', '--nproc=1')


def instructions(run, extra, under=()):
    """Instructions that cachegrind counts for one run."""
    return int(re.search(r'I\s+refs:\s+([\d,]+)', run(extra, (*under, *CACHEGRIND)).err)[1].replace(',', ''))


def bench_instructions(report, quick):
    bt = compile_program('bt')
    deep = 12 if quick else 14
    small = 8

    def counts(extra, limited=False):
        under = (*NO_THREAD, 'env', *map('='.join, extra.items())) if limited else ()
        return tuple(instructions(Program([bt, depth, 'abrupt']), {} if limited else extra, under)
                     for depth in (deep, small))

    base, again = counts(jemalloc()), counts(jemalloc())
    noise = again[0] / base[0]
    slope_noise = (again[0] - again[1]) / (base[0] - base[1])
    for name, extra, limit in (('MEMDEBUG unset', ours(), 1.01),
                               ('memprofilerate=4096', ours('memprofilerate=4096'), None),
                               ('jemalloc lg_prof_sample:19', jemalloc('prof:true,lg_prof_sample:19'), None),
                               ('jemalloc lg_prof_sample:12', jemalloc('prof:true,lg_prof_sample:12'), None)):
        total, start = counts(extra)
        report.row('instructions', f'bt {deep}, {name}', total / base[0], 'x', limit=limit,
                   noise=(noise, noise, noise), note=f'{base[0] / 1e6:.0f} M instructions')
        report.row('instructions', f'bt {deep}, start-up taken out, {name}',
                   (total - start) / (base[0] - base[1]), 'x',
                   noise=(slope_noise, slope_noise, slope_noise))
    unset, unset_again = counts(ours(), limited=True), counts(ours(), limited=True)
    noise = (unset_again[0] - unset_again[1]) / (unset[0] - unset[1])
    for name in 'gc=ready', 'gctrace=1':
        total, start = counts(ours(f'{name},gcengine=clone'), limited=True)
        report.row('instructions', f'bt {deep}, {name} by clone, between cycles, against MEMDEBUG unset',
                   (total - start) / (unset[0] - unset[1]), 'x', limit=1.01, noise=(noise, noise, noise))


def bench_programs(report, quick):
    programs, _ = prepare(quick)
    name = 'MEMDEBUG unset'
    compare(report, 'programs', programs, {name: ours()}, 3 if quick else 21, {name: (1.02, None)},
            rss_delta={name: 2.0})
    # The same by cachegrind, which no neighbour disturbs; smaller inputs.  How many commands the server
    # finds at a time differs from run to run.
    counts = {}
    for program, run in prepare(True)[0].items():
        found = [[instructions(run, extra) for extra in (jemalloc(), jemalloc(), ours())]
                 for _ in range(1 if isinstance(run, Program) or quick else 5)]
        middle, low, high = spread([own / base for base, _, own in found])
        counts[program] = middle
        report.row('programs', f'{program}, instructions, {name}', middle, 'x', low, high, len(found),
                   noise=spread([again / base for base, again, _ in found]),
                   note=f'{found[0][0] / 1e6:.0f} M instructions')
    report.row('programs', f'geometric mean of {len(counts)}, instructions, {name}',
               geomean(list(counts.values())), 'x', limit=1.02)


def bench_rate4096(report, quick):
    programs, _ = prepare(quick)
    name = 'memprofilerate=4096'
    compare(report, 'rate4096', programs,
            {name: ours(name), 'jemalloc lg_prof_sample:12': jemalloc('prof:true,lg_prof_sample:12')},
            3 if quick else 7, {name: (1.20, 1.40)}, rss_limits={name: 1.3})


def bench_rate1(report, quick):
    _, small = prepare(quick)
    count = 2 if quick else 5
    with tempfile.TemporaryDirectory() as directory:
        def heaptrack():
            return measure(['heaptrack', '-o', f'{directory}/h', *small.command])

        costs = rounds({PLAIN: with_environment(small, jemalloc()),
                        AGAIN: with_environment(small, jemalloc()),
                        'memprofilerate=1': with_environment(small, ours('memprofilerate=1')),
                        'heaptrack': heaptrack,
                        'jemalloc lg_prof_sample:0': with_environment(
                            small, jemalloc('prof:true,lg_prof_sample:0'))}, count)
    relative = ratios(costs, PLAIN, AGAIN)
    base = statistics.median(cost.cpu for cost in costs[PLAIN])
    base_rss = statistics.median(cost.rss for cost in costs[PLAIN])
    for name, values in relative.items():
        if name != AGAIN:
            middle, low, high = spread(values)
            own_rss = statistics.median(cost.rss for cost in costs[name])
            report.row('rate1', f'cc1, {name}', middle, 'x', low, high, count,
                       4.0 if name == 'memprofilerate=1' else None, spread(relative[AGAIN]),
                       f'CPU of {base:.2f} s; RSS {own_rss:.0f} of {base_rss:.0f} MB')


def bench_gctrace(report, quick):
    programs, _ = prepare(quick)
    outside = 'gc=ready (as gctrace=1 outside cycles)'
    within = 'gctrace=1, cycles included'
    compare(report, 'gctrace', programs, {outside: ours('gc=ready'), within: ours('gctrace=1')},
            3 if quick else 7, {outside: (1.10, None)})


def graph_cycles(megabytes, cycles, shape='tree', engine='auto', writer=''):
    """Lines of a run on the malloc graph with a writer: as fast as it can, or so many MB/s."""
    graph = compile_program('graph', '-pthread')
    done = subprocess.run([graph, str(megabytes), str(cycles), shape, *writer.split()],
                          env=environment(ours(f'gctrace=1,gc=ready,gcengine={engine}')),
                          capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    lines, skips, rest = split_trace(done.stderr)
    if rest or len(lines) < cycles * 0.8:
        raise RuntimeError(f'{len(lines)} lines for {cycles} cycles, skips {skips}, {rest}')
    return lines, skips


def collected(command, variables=None):
    """Times that bdwgc's and Go's graph print, in ms; the first is left out."""
    done = subprocess.run(list(map(str, command)), env=environment(variables or {}), check=True,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return list(map(float, re.findall(r'collected ([\d.]+) ms', done.stdout)))[1:]


def bench_pause(report, quick):
    """All stops of a cycle together, with a second thread that writes 200 MB/s; with tracking also where
    something new is lost before each cycle; and among a hundred threads more that never rest."""
    cycles = 6 if quick else 11
    bounds = {(100, 'clone'): 2.0, (1024, 'clone'): 15.0,
              (100, 'wp'): 1.0, (1024, 'wp'): 2.0, (8192, 'wp'): 5.0}
    bdwgc = compile_program('graph', '-DWITH_BDWGC', '-pthread', '-lgc', output='graph-bdwgc')
    source, go = ROOT / 'bench/programs/graph.go', BUILD / 'bench/graph-go'
    if shutil.which('go'):
        subprocess.run(['go', 'build', '-o', go, source], check=True)

    def row(megabytes, engine, theirs, what='', bound=None):
        try:
            lines, skips = graph_cycles(megabytes, cycles, engine=engine, writer=f'200 {what}')
        except RuntimeError as error:
            print(f'pause         {megabytes} MB, {engine} {what}: {error}')
            return
        pauses = [line.stop1 + line.stop2 for line in lines[1:]]
        middle, low, high = spread(pauses)
        name = {'': '', 'leaks': ', new leaks', 'awake=100': ', 100 threads awake'}[what]
        report.row('pause', f'{megabytes} MB of 64-byte nodes, {engine}{name}', middle, 'ms', low, high,
                   len(pauses), bound, note=f'maximum {max(pauses):.2f} ms, the first '
                   f'{lines[0].stop1 + lines[0].stop2:.2f}; {len(skips)} skipped; {theirs}')

    for megabytes in (100,) if quick else (100, 1024, 8192):
        peers = {'bdwgc': [bdwgc, megabytes, 3 if megabytes > 4096 else cycles, 'tree', 200]}
        if go.exists():
            peers['Go'] = [go, megabytes, cycles, 200]
        theirs = ', '.join(f'{name} {statistics.median(collected(command)):.3g}'
                           for name, command in peers.items())
        row(megabytes, 'clone', theirs, bound=bounds.get((megabytes, 'clone')))
        row(megabytes, 'wp', theirs, bound=bounds[megabytes, 'wp'])
        row(megabytes, 'wp', theirs, 'leaks', bounds[megabytes, 'wp'])
    theirs = statistics.median(collected([bdwgc, 100, cycles, 'tree', 200, 'awake=100']))
    for engine in ('clone', 'wp', 'stop'):
        row(100, engine, f'bdwgc {theirs:.3g}', 'awake=100')


def graph_records(command, options):
    """The records of the cycles of a run of a graph program, and what it printed."""
    done = subprocess.run(command, env=environment(ours('gctrace=json,gc=ready,' + options)),
                          capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    records = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{')]
    return [record for record in records if 'mark_ns' in record], done.stdout


def bench_mark(report, quick):
    """Wall and CPU time of a mark beside bdwgc's collection of the same graph, both on one CPU and both
    with a marker for each CPU; memory; what a program that wants all CPUs loses."""
    megabytes, cycles, count = (100, 4, 1) if quick else (1024, 5, 3)
    graph = compile_program('graph', '-pthread')
    bdwgc = compile_program('graph', '-DWITH_BDWGC', '-pthread', '-lgc', output='graph-bdwgc')
    nodes = megabytes * (1 << 20) / 64
    for shape in ('tree', 'random'):
        for markers in (1, os.cpu_count()):
            arguments = [str(megabytes), str(cycles if shape == 'tree' else 3), shape, 'nowriter']
            on = ['taskset', '-c', '0'] if markers == 1 else []
            walls, cpus, used, theirs = [], [], set(), []
            for _ in range(count if shape == 'tree' else 1):
                records, _ = graph_records([*on, graph, *arguments], 'gcengine=clone')
                walls += [record['mark_ns'] / nodes for record in records[1:]]
                cpus += [record['mark_cpu_ns'] / nodes for record in records[1:]]
                used |= {record['markers'] for record in records[1:]}
                done = subprocess.run([*on, bdwgc, *arguments],
                                      env=environment({'GC_MARKERS': str(markers)}), capture_output=True,
                                      text=True, check=True, stdin=subprocess.DEVNULL)
                theirs += [float(ms) * 1e6 / nodes
                           for ms in re.findall(r'collected ([\d.]+) ms', done.stdout)][1:]
            base = statistics.median(theirs)
            middle, low, high = (value / base for value in spread(walls))
            report.row('mark', f'{megabytes} MB {shape}, {markers} markers, wall, to bdwgc', middle, 'x',
                       low, high, len(walls), 0.7, tuple(value / base for value in spread(theirs)),
                       f'{statistics.median(walls):.0f} ns a node, CPU {statistics.median(cpus):.0f}, '
                       f'bdwgc {base:.0f}; markers at work: {"-".join(map(str, sorted(used)))}')
    for engine in ('clone', 'wp'):
        arguments = [graph, str(megabytes), '3', 'tree', 'nowriter']
        costs = rounds({PLAIN: lambda: measure(arguments, jemalloc()),
                        engine: lambda: measure(arguments, ours(f'gc=ready,gcengine={engine}'))},
                       1 if quick else 3)
        base, own = (statistics.median(cost.rss for cost in costs[name]) for name in (PLAIN, engine))
        report.row('mark', f'peak RSS of a traced {megabytes} MB heap, {engine}', own / base, 'x',
                   limit=1.10, note=f'{own:.0f} of {base:.0f} MB')
    mutate = compile_program('mutate', '-D_GNU_SOURCE', '-pthread')
    count = 6 if quick else 20
    for threads, wanted in ((1, 'one CPU'), (os.cpu_count(), 'all CPUs')):
        for engine in ('clone', 'wp'):
            done = subprocess.run([mutate, '256', '400', str(count), str(threads)],
                                  env=environment(ours(f'gc=ready,gcengine={engine}')), capture_output=True,
                                  text=True, check=True, stdin=subprocess.DEVNULL)
            found = re.findall(r'without ([\d.]+) with ([\d.]+)', done.stdout)
            if not found:
                raise RuntimeError(f'mutate with {engine}: no cycle in {done.stdout!r}')
            middle, low, high = spread([float(a) / float(b) for a, b in found])
            report.row('mark', f'program on {wanted}, during a cycle, {engine}', middle, 'x', low, high,
                       len(found), 1.15)


def seconds_to_end(command, extra, words):
    """From the program's last statement to its end, and its peak MB.  Raises unless its stderr has
    what `words` (a regular expression) finds."""
    with tempfile.TemporaryFile('w+') as err:
        process = subprocess.Popen([*map(str, command)], env=environment(extra), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=err)
        _, _, usage = os.wait4(process.pid, 0)
        end = time.monotonic()
        process.returncode = 0  # wait4 has taken it
        err.seek(0)
        text = err.read()
    begin = re.search(r'^end ([\d.]+)$', text, re.M)
    if not begin or not re.search(words, text):
        raise RuntimeError(f'{command[0]}: no {words!r} in {text[-500:]}')
    return end - float(begin[1]), usage.ru_maxrss / 1024


def bench_leakcheck(report, quick):
    megabytes, count = (100, 1) if quick else (1024, 5)
    program = compile_program('leakcheck')
    sanitized = compile_program('leakcheck', '-fsanitize=leak', output='leakcheck-lsan')
    # A stale word on a stack may hold one of the hundred.
    counted, told = r' (99|100) unreachable object', r'leaked in (99|100) allocation'
    table = {'no check': (program, jemalloc(), ''),
             'leakcheck=1,memprofilerate=512k': (program, ours('leakcheck=1,memprofilerate=512k'), counted),
             'LeakSanitizer': (sanitized, None, told)}
    if quick:  # at 1 GB there is no room for a sample of each block
        table['leakcheck=1'] = (program, ours('leakcheck=1'), told)
    times, peaks = {name: [] for name in table}, {name: [] for name in table}
    for i in range(count):
        names = list(table)
        for name in names[i % len(names):] + names[:i % len(names)]:
            seconds, peak = seconds_to_end([table[name][0], megabytes], *table[name][1:])
            times[name].append(seconds)
            peaks[name].append(peak)
    free = statistics.median(times['no check'])
    theirs = statistics.median(times['LeakSanitizer']) - free
    plain = statistics.median(peaks['no check'])
    for name in table:
        middle, low, high = ((value - free) / theirs for value in spread(times[name]))
        if name != 'no check':
            report.row('leakcheck', f'{megabytes} MB, at exit, {name}', middle, 'x', low, high, count,
                       1 / 3 if name == 'leakcheck=1,memprofilerate=512k' else None,
                       note=f'{statistics.median(times[name]) - free:.2f} s; RSS '
                       f'{statistics.median(peaks[name]):.0f} of {plain:.0f} MB')


def bench_startup(report, quick):
    count = 40 if quick else 300
    costs = rounds({PLAIN: lambda: measure(['/bin/true'], jemalloc()),
                    AGAIN: lambda: measure(['/bin/true'], jemalloc()),
                    'MEMDEBUG unset': lambda: measure(['/bin/true'], ours()),
                    'gctrace=1': lambda: measure(['/bin/true'], ours('gctrace=1')),
                    'no library': lambda: measure(['/bin/true'])}, count)
    base = statistics.median(cost.wall for cost in costs[PLAIN])
    again = [cost.wall / base for cost in costs[AGAIN]]
    for name in ('MEMDEBUG unset', 'gctrace=1', 'no library'):
        middle, low, high = spread([cost.wall / base for cost in costs[name]])
        report.row('startup', f'/bin/true, {name}', middle, 'x', low, high, count,
                   1.0 if name == 'MEMDEBUG unset' else None, spread(again), f'{base * 1e3:.2f} ms')


def latency(program, seconds, variables):
    """ns that all but a thousandth of its pairs of free and malloc take at most."""
    done = subprocess.run([program, str(seconds)], env=environment(variables), capture_output=True, text=True, check=True)
    return float(re.search(r'p99\.9 (\d+)', done.stdout)[1])


def bench_dumps(report, quick):
    """One malloc while profiles are written one after the other, against the same process with none."""
    count, seconds = (3, 2) if quick else (9, 5)
    program = compile_program('latency')
    with tempfile.TemporaryDirectory() as directory:
        # The thread is there in both, and samples come at the same rate.
        idle = f'heapprofile={directory}/x,heapprofileexit=0,memprofilerate=64KiB,heapprofileinterval='
        table = {'idle': idle + 'off', 'idle again': idle + 'off', 'dumps': idle + '10ms,heapprofilekeep=2'}
        found = rounds({name: lambda memdebug=memdebug: latency(program, seconds, ours(memdebug))
                        for name, memdebug in table.items()}, count)
    floor = [(a + b) / 2 for a, b in zip(found['idle'], found['idle again'])]
    middle, low, high = spread([dump / base for dump, base in zip(found['dumps'], floor)])
    report.row('dumps', 'p99.9 of free and malloc while profiles are written', middle, 'x', low, high, count, 2.0,
               spread([b / a for a, b in zip(found['idle'], found['idle again'])]),
               f'{statistics.median(found["dumps"]) / 1e3:.2f} of {statistics.median(floor) / 1e3:.2f} us')


def bench_fleet(report, quick):
    """The list of a thousand processes at 1 Hz, in a terminal; the peer is `memtop ps` at the same pace.
    CPU by /proc/PID/stat, of one CPU."""
    count, seconds = (200, 10) if quick else (1000, 30)
    memtop = BUILD / 'memtop'
    with tempfile.TemporaryDirectory(prefix='mdfleet-', dir='/dev/shm') as place:
        # MEMDEBUG's dir= is where memtop looks for segments too.
        others = [subprocess.Popen([BUILD / 'tests' / 'scenario' / 'fake_segment', '--dir', place, '--name', f'fake{i}',
                                    '--step-ms', '2000', '--leak', str(i * 1000)], stdout=subprocess.PIPE)
                  for i in range(count)]
        try:
            for other in others:
                other.stdout.readline()
            settings = os.environ | {'MEMDEBUG': f'dir={place}', 'LC_ALL': 'C.UTF-8'}
            before = os.times()
            for _ in range(3):
                subprocess.run([memtop, 'ps'], env=settings, stdout=subprocess.DEVNULL, check=False)
            after = os.times()
            peer = (after.children_user + after.children_system - before.children_user - before.children_system) / 3 * 100
            keyboard, terminal = os.openpty()
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 120, 0, 0))
            begin = time.monotonic()
            with subprocess.Popen([memtop], env=settings | {'TERM': 'xterm-256color'}, stdin=terminal, stdout=terminal,
                                  stderr=terminal, start_new_session=True) as view:
                shown = b''
                while b'fake' not in shown:
                    shown += os.read(keyboard, 65536)
                first = time.monotonic() - begin
                reader = threading.Thread(target=drain, args=(keyboard,), daemon=True)
                reader.start()
                time.sleep(5)
                used, begin = cpu_seconds(view.pid), time.monotonic()
                time.sleep(seconds)
                share = (cpu_seconds(view.pid) - used) / (time.monotonic() - begin) * 100
                rss = int(re.search(r'VmRSS:\s+(\d+)', Path(f'/proc/{view.pid}/status').read_text())[1]) / 1024
                view.terminate()
            report.row('fleet', f'CPU, {count} processes at 1 Hz', share, '%', limit=1,
                       note=f'memtop ps each second: {peer:.1f} %')
            report.row('fleet', f'first screen, {count} processes', first * 1000, 'ms', limit=300)
            report.row('fleet', f'RSS, {count} processes', rss, 'MB', limit=64)
        finally:
            for other in others:
                other.terminate()
            for other in others:
                other.wait()


def cpu_seconds(pid):
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def drain(descriptor):
    with contextlib.suppress(OSError):
        while os.read(descriptor, 65536):
            pass


BENCHES = {'fleet': bench_fleet, 'instructions': bench_instructions, 'programs': bench_programs, 'rate4096': bench_rate4096,
           'rate1': bench_rate1, 'gctrace': bench_gctrace, 'pause': bench_pause, 'mark': bench_mark,
           'leakcheck': bench_leakcheck, 'startup': bench_startup, 'dumps': bench_dumps}


def main():
    quick = '--quick' in sys.argv
    names = [word for word in sys.argv[1:] if word != '--quick'] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f'no benchmark {", ".join(unknown)}; there are {", ".join(BENCHES)}')
    if not LIB.exists():
        sys.exit(f'{LIB} is not built')
    report, failed = Report(), 0
    for name in names:
        try:
            BENCHES[name](report, quick)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f'{name:13} could not be measured: {error}', flush=True)
    path = report.save(quick)
    above = sum(row['kept'] is False for row in report.rows)
    print(f'{len(report.rows)} figures, {above} above their limit, {failed} not measured; {path}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
