#!/usr/bin/env python3
"""The mmap kind: what a program maps itself and for its threads, by call site, against what its functions are
known to map and against the kernel's own list of the address space."""

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


def threads(t, directory):
    name = '64 threads that come and go'
    with s.running([MAPPER, 'threads', '64'], ready='gone') as process:
        read = profile(t, process.pid, name, directory)
        space = address_space(process.pid)
        t.ok(read.total()[1] < space and sites(read)['site_thread'][1] < 65 * 9,
             f'{name}: of {sites(read)["site_thread"][0]:.0f} MiB of stacks {sites(read)["site_thread"][1]:.0f} are there')
        read = grows_alike(t, process, 'there', name, directory)
        size = 64 * (8 * MIB + os.sysconf('SC_PAGESIZE')) / MIB
        there = sites(read)['site_thread'][1]
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
        threads(t, folder)
        java(t, folder)
        others(t, folder)
