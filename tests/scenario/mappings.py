#!/usr/bin/env python3
"""The mmap kind: what a program maps itself and for its threads, by call site, against what its functions are
known to map and against the kernel's own list of the address space."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

MAPPER = s.PROGRAMS / 'mapper'
TYPES = ['mmap_space/bytes', 'mapped_space/bytes']
MIB = 1 << 20


def profile(t, pid, name, directory):
    """The profile of kind mmap, as memtop writes it and pprof reads it."""
    path = Path(directory) / 'mmap.pb.gz'
    result = s.run([s.MEMTOP, 'profile', pid, 'mmap', '-o', path], preload=False, timeout=120)
    t.ok(result.status == 0, f'{name}: a profile', result)
    read = s.read_profile(path)
    t.equal(read.types, TYPES, f'{name}: its types')
    return read


def sites(read):
    """{function: [MiB mapped, MiB still mapped]} of the program's own."""
    sums = read.by_function(lambda name: name.startswith('site_'))
    return {name: [value / MIB for value in values] for name, values in sums.items()}


def next_step(process, word, number=signal.SIGUSR1):
    os.kill(process.pid, number)
    return s.wait_for(lambda: word in process.text()[0], 60, process)


def calls(t, memdebug, directory):
    name = memdebug or 'MEMDEBUG unset'
    with s.running([MAPPER, 'calls'], memdebug, ready='mapped') as process:
        t.equal(sites(profile(t, process.pid, name, directory)),
                {'site_mmap': [90, 90], 'site_mmap64': [6, 6], 'site_sbrk': [3, 3]}, f'{name}: what each call has mapped')
        read = profile(t, process.pid, name, directory)
        labels = {}
        for sample in read.samples:
            if any(frame[0].startswith('site_') for frame in read.frames(sample)):
                labels[sample[2]['mapping']] = labels.get(sample[2]['mapping'], 0) + sample[0][1] / MIB
        t.equal(labels, {'anonymous': 96, 'break': 3}, f'{name}: what it has mapped')
        shown = s.run([s.MEMTOP, 'profile', process.pid, 'mmap', '-b'], preload=False)
        t.ok(re.search('^mapping: .*anonymous .*MB', shown.out, re.M), f'{name}: memtop sums it up', shown)
        t.ok(next_step(process, 'changed'), f'{name}: it goes on', process.text())
        t.equal(sites(profile(t, process.pid, name, directory)),
                {'site_mmap': [90, 90 - 20 - 5 - 10], 'site_mmap64': [6, 6], 'site_fixed': [5, 5], 'site_mremap': [40, 40],
                 'site_sbrk': [3, 2]}, f'{name}: what has been unmapped, moved or mapped anew')
        t.ok(next_step(process, 'unmapped'), f'{name}: it goes on', process.text())
        t.equal({site: values[1] for site, values in sites(profile(t, process.pid, name, directory)).items()},
                {'site_mmap': 0, 'site_mmap64': 6, 'site_fixed': 0, 'site_mremap': 0, 'site_sbrk': 2},
                f'{name}: what is left')


def address_space(pid):
    """Bytes of all its mappings."""
    ranges = re.findall(r'^(\w+)-(\w+) ', Path(f'/proc/{pid}/maps').read_text(), re.M)
    return sum(int(limit, 16) - int(start, 16) for start, limit in ranges)


def grows_alike(t, process, word, name, directory, number=signal.SIGUSR1):
    """Until `word`: the address space, and what the profile says is mapped, grow by the same."""
    before, space = profile(t, process.pid, name, directory).total(), address_space(process.pid)
    t.ok(next_step(process, word, number), f'{name}: it goes on', process.text())
    after, grown = profile(t, process.pid, name, directory), address_space(process.pid) - space
    said = after.total()[1] - before[1]
    t.ok(grown > 100 * MIB and abs(said - grown) < 0.02 * grown,
         f'{name}: the address space has grown by {grown / MIB:.1f} MiB, mapped_space by {said / MIB:.1f}')
    return after


def memtop_sites(t):
    """memtop's call sites of this kind, over time, as JSON and as text, against the same."""
    def told(name):
        rows = [json.loads(line) for line in watcher.text()[0].splitlines(True) if line.endswith('\n')]
        t.ok(rows and all(row['sites_kind'] == 'mmap' for row in rows), f'{name}: --kind mmap --json', watcher.text())
        return [{site['site'].split()[0]: site for site in row['sites']} for row in rows]

    def figures(found, key):
        return {name: site[key] / MIB for name, site in found.items() if name.startswith('site_')}

    def seen(wanted):
        """The first that says so."""
        return next((found for found in told('a tick') if figures(found, 'inuse_bytes') == wanted), None)

    first = {'site_mmap': 90, 'site_mmap64': 6, 'site_sbrk': 3}
    second = {'site_mmap': 55, 'site_mmap64': 6, 'site_sbrk': 2, 'site_fixed': 5, 'site_mremap': 40}
    with s.running([MAPPER, 'calls'], ready='mapped') as process, \
            s.running([s.MEMTOP, process.pid, '--kind', 'mmap', '--json', '-d', '0.2'], preload=False) as watcher:
        t.ok(s.wait_for(lambda: '\n' in watcher.text()[0], 60, watcher), 'memtop watches', watcher.text())
        found = told('the first tick')[0]
        t.equal(figures(found, 'inuse_bytes'), first, 'memtop --kind mmap: what is mapped')
        t.equal({found['site_mmap'][key] for key in ('inuse_growth_bytes', 'leak_bytes', 'inuse_objects', 'alloc_objects',
                                                     'samples', 'young_bytes')}, {None}, 'what it cannot know is null')
        t.ok(found['site_mmap']['exact'] is True and found['site_mmap']['inuse_bytes_error'] == 0, 'and what it knows exact')
        next_step(process, 'changed')
        t.ok(s.wait_for(lambda: '"site_mremap' in watcher.text()[0], 60, watcher), 'it sees the next step', watcher.text())
        s.wait_for(lambda: seen(second), 60, watcher)
        found = seen(second) or {}
        t.equal(figures(found, 'inuse_growth_bytes'), {name: value - first.get(name, 0) for name, value in second.items()},
                'what each has grown by', watcher.text()[0][-3000:])
        t.equal(figures(found, 'alloc_bytes'), {'site_mmap': 90, 'site_mmap64': 6, 'site_sbrk': 3, 'site_fixed': 5,
                                                'site_mremap': 40}, 'what each ever mapped')
        t.equal(list(found)[:1], ['site_mremap'], 'that which has grown most comes first')
        frames = [frame['function'] for frame in found['site_mremap']['stack']]
        t.ok('calls' in frames and 'main' in frames, f'its stack: {frames}')
        result = s.run([s.MEMTOP, '-b', process.pid, '--kind', 'mmap', '-n', '1'], preload=False)
        rows = result.out.splitlines()
        at = next((i for i, row in enumerate(rows) if row.endswith(' MMAP CALL SITE')), len(rows) - 1)
        t.equal(rows[at].split(), ['GROWTH', '0s', 'MAPPED', 'MMAP', 'MMAP', 'CALL', 'SITE'], 'as text: its columns', result)
        t.equal(rows[at + 1].split()[:4], ['-', '55.0M', '90.0M', 'site_mmap'], 'the greatest first, its growth not known yet',
                result)
        heap = json.loads(s.run([s.MEMTOP, process.pid, '--json', '-n', '1'], preload=False).out)
        t.ok(heap['sites_kind'] == 'heap' and not any(site['site'].startswith('site_') for site in heap['sites']),
             'the heap has none of these', heap)
        t.equal(heap['mapped_bytes'] / MIB,
                sum(site['inuse_bytes'] for site in found.values()) / MIB, 'mapped_bytes is the sum of all')


def none_known(t):
    """Where nothing is recorded text and JSON say why."""
    program = ['/usr/bin/python3', '-c', 'import time; k=[bytes(100000) for _ in range(50)]; print("ready", flush=True); '
               'time.sleep(1000)']
    why = 'mmapprofile=0: its mappings are not recorded'
    with s.running(program, 'mmapprofile=0,memprofilerate=4096', ready='ready') as process:
        result = s.run([s.MEMTOP, '-b', process.pid, '--kind=mmap', '-n', '1'], preload=False)
        t.ok(result.status == 0 and result.out.splitlines()[-1] == why, 'mmapprofile=0: text', result)
        row = json.loads(s.run([s.MEMTOP, process.pid, '--kind=mmap', '--json', '-n', '1'], preload=False).out)
        t.equal((row['sites'], row['sites_missing'], row['mapped_bytes']), ([], why, None), 'mmapprofile=0: JSON')
        row = json.loads(s.run([s.MEMTOP, process.pid, '--json', '-n', '1'], preload=False).out)
        t.ok(row['sites'] and row['sites_missing'] is None, 'while the heap has its sites', row)


def threads(t, directory):
    def shown(process):
        """By memtop's call sites, in MiB."""
        row = json.loads(s.run([s.MEMTOP, process.pid, '--kind', 'mmap', '--json', '-n', '1'], preload=False).out)
        return sum(site['inuse_bytes'] for site in row['sites'] if site['site'].startswith('site_thread')) / MIB

    name = '64 threads that come and go'
    # Drawn by chance, the first sample of a small block would map an arena in the middle.
    with s.running([MAPPER, 'threads', '64'], 'memprofilerate=1', ready='gone') as process:
        read = profile(t, process.pid, name, directory)
        space = address_space(process.pid)
        t.ok(read.total()[1] < space and sites(read)['site_thread'][1] < 65 * 9,
             f'{name}: of {sites(read)["site_thread"][0]:.0f} MiB of stacks {sites(read)["site_thread"][1]:.0f} are there')
        t.equal(shown(process), sites(read)['site_thread'][1], f'{name}: memtop\'s call site has as many')
        read = grows_alike(t, process, 'there', name, directory)
        size = 64 * (8 * MIB + os.sysconf('SC_PAGESIZE')) / MIB
        there = sites(read)['site_thread'][1]
        t.equal(shown(process), there, f'{name}: memtop\'s call site has as many as the profile')
        t.ok(abs(there - size) < 0.1 * size, f'{name}: {there:.0f} MiB by whoever calls pthread_create, of {size:.0f}')
        t.equal({sample[2].get('mapping') for sample in read.samples
                 if 'site_thread' in [frame[0] for frame in read.frames(sample)]}, {'stack'}, f'{name}: as stacks')


# The threads of each round are there at once, so that the second finds malloc's memory for its own in place.
JAVA = '''import java.util.concurrent.CountDownLatch;
public class Grow {
    static CountDownLatch threads(int count) throws Exception {
        CountDownLatch begun = new CountDownLatch(count), end = new CountDownLatch(1);
        Thread[] threads = new Thread[count];
        for (int i = 0; i < count; i++) {
            threads[i] = new Thread(() -> {
                begun.countDown();
                try { end.await(); } catch (Exception e) {}
            });
            threads[i].setDaemon(true);
            threads[i].start();
        }
        begun.await();
        return end;
    }
    public static void main(String[] arguments) throws Exception {
        CountDownLatch more = new CountDownLatch(1);
        sun.misc.Signal.handle(new sun.misc.Signal("USR2"), signal -> more.countDown());
        threads(300).countDown();
        Thread.sleep(1000);
        System.out.println("gone");
        more.await();
        threads(300);
        System.out.println("there");
        Thread.sleep(1000000);
    }
}'''


def java(t, directory):
    if t.missing('java: the address space and mapped_space grow alike', 'java', 'javac'):
        return
    (Path(directory) / 'Grow.java').write_text(JAVA)
    subprocess.run(['javac', 'Grow.java'], cwd=directory, check=True, stderr=subprocess.DEVNULL,
                   env=s.environment(preload=False))
    with s.running(['java', '-Xms64m', '-Xmx64m', '-XX:+UseSerialGC', '-cp', directory, 'Grow'], ready='gone',
                   timeout=120) as process:
        after = grows_alike(t, process, 'there', 'java', directory, signal.SIGUSR2)
        reserve = [name for name in after.by_function(lambda name: 'reserve' in name)]
        t.ok(reserve, f'java: its heap is mapped by {reserve}')


def others(t, directory):
    # glibc writes the pthread_t before the thread begins and never looks at it again: nor may we.
    with s.running([MAPPER, 'vanish', '5000'], ready='vanished') as process:
        read = profile(t, process.pid, 'vanish', directory)
        t.ok(read.total()[1] < 64 * MIB, 'threads that unmap where their own pthread_t lies: it goes on')
    with s.running([MAPPER, 'signals'], ready='done') as process:
        handled = int(re.search(r'(\d+) handled', process.text()[0])[1])
        # A handler inside the unwinder takes no stack.
        read = profile(t, process.pid, 'signals', directory).by_function(
            lambda name: name in ('site_mmap', 'site_mmap64', '[unknown stack]'))
        said = [sum(values) / MIB for values in zip(*read.values())]
        t.equal(said, [20000 + handled + 6, 6], f'a handler that maps {handled} times in the middle of mappings: {read}')
    with s.running([MAPPER, 'fork'], ready='child') as process:
        child = int(re.search(r'child (\d+)', process.text()[0])[1])
        t.equal({site: values[1] for site, values in sites(profile(t, child, 'fork', directory)).items()},
                {'site_mmap': 10, 'site_fixed': 16}, 'a forked copy has what its parent had mapped, and its own')
        os.kill(child, signal.SIGUSR1)
        t.ok(s.wait_for(lambda: 'parent' in process.text()[0], 30, process), 'it ends well', process.text())
        t.equal(sites(profile(t, process.pid, 'parent', directory))['site_mmap'][1], 50, 'and the parent its own')
    with s.running([MAPPER, 'calls'], 'mmapprofile=0,memprofilerate=4096', ready='mapped') as process:
        result = s.run([s.MEMTOP, 'profile', process.pid, 'mmap', '-b'], preload=False)
        t.ok('is not on memdebug' in result.err or 'mmapprofile=0: its mappings are not recorded' in result.err,
             'mmapprofile=0: nothing is recorded, and memtop says why', result)
    result = s.run([s.MEMTOP, 'profile', 'whatever', 'cpus'], preload=False)
    t.ok(result.status == 2 and 'heap (blocks of malloc), mmap (' in result.err, 'a kind that is none: those that there are', result)


with s.Tap() as t:
    if t.missing('the mmap kind', 'go'):
        sys.exit()
    with tempfile.TemporaryDirectory(prefix='mdtest-') as folder:
        for settings in (None, 'memprofilerate=1', 'gctrace=1,gcinterval=20ms', 'unwind=fp'):
            calls(t, settings, folder)
        memtop_sites(t)
        none_known(t)
        threads(t, folder)
        java(t, folder)
        others(t, folder)
