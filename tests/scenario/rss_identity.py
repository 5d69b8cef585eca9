#!/usr/bin/env python3
"""What a process's resident memory is made of, against what the kernel and the program say."""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

MB = 1 << 20
PARTS = ['in_use', 'slab_slack', 'thread_caches', 'dirty', 'muzzy', 'metadata', 'own', 'stacks', 'anonymous',
         'files', 'shared', 'unexplained']
# A program that stands still: jemalloc gives nothing back while it is looked at.
STILL = {'MALLOC_CONF': 'dirty_decay_ms:-1'}


def rollup(pid):
    """Resident bytes, as the kernel adds them up."""
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as text:
        return int(re.search(r'^Rss:\s+(\d+) kB', text.read(), re.M)[1]) << 10


def look(pid):
    """memtop's figures, between two of the kernel's that hardly differ."""
    found = before = after = None
    for _ in range(20):
        before = rollup(pid)
        result = s.run([s.MEMTOP, '--json', '-n', '1', str(pid)], preload=False)
        after = rollup(pid)
        found = json.loads(result.out.splitlines()[0]) if result.out else {}
        if abs(after - before) * 500 < before and (found.get('rss_parts') or {}).get('slab_slack') is not None:
            break
        time.sleep(0.2)
    return found, found.get('rss_parts') or dict.fromkeys(['rss', *PARTS]), (before + after) / 2


def check(t, pid, name, caches):
    """The identity: all parts, their sum, RSS as the kernel has it, and little that is not explained."""
    found, parts, rss = look(pid)
    t.equal(sorted(parts), sorted(['rss', *PARTS]), f'{name}: the parts')
    known = [part for part in PARTS if parts[part] is not None]
    t.equal([part for part in PARTS if part not in known], [] if caches else ['thread_caches'], f'{name}: all is known, '
            f'{"" if caches else "but what threads keep"}', found)
    total = sum(parts[part] for part in known)
    t.ok(total == parts['rss'] and abs(parts['rss'] - rss) < 0.02 * rss, f'{name}: they add up to what the kernel says',
         (total, rss, parts))
    t.ok(abs(parts['unexplained']) < 0.02 * rss and all(parts[part] >= 0 for part in known),
         f'{name}: less than 2 % is not explained', parts)
    return found, {part: parts[part] or 0 for part in PARTS}


@contextlib.contextmanager
def fragments(memdebug, blocks, size, keep, threads, untouched):
    command = [s.PROGRAMS / 'fragments', *map(str, (blocks, size, keep, threads, untouched))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env=s.environment(memdebug, extra=STILL)) as process:
        _, kept, freed = process.stdout.readline().split()
        yield process.pid, int(kept), int(freed)
        process.stdin.close()


def known_memory(t, directory):
    """Each part of a program of known memory."""
    for memdebug in (None, f'heapprofile={directory}/x,heapprofileexit=0', 'gc=ready'):
        with fragments(memdebug, 100000, 512, 8, 0, 64 * MB) as (pid, kept, freed):
            found, parts = check(t, pid, f'half-empty slabs, MEMDEBUG={memdebug}', memdebug)
            t.ok(abs(parts['in_use'] - kept) < 1.5 * MB, f'{memdebug}: in use is what it has kept and touched',
                 (kept, parts))
            t.ok(abs(parts['slab_slack'] - freed) < 0.03 * freed, 'slack is what it has freed', (freed, parts))
            t.ok(found['heap_bytes'] > kept + 60 * MB, 'memory that was never touched is in use, and in no part',
                 found)
    with fragments(None, 10000, 100, 2, 500, 0) as (pid, kept, freed):
        _, parts = check(t, pid, '500 threads', False)
        t.ok(500 * (32 << 10) <= parts['stacks'] < 500 * (56 << 10), 'stacks are what the threads have touched', parts)


def pymalloc(t):
    """Python's arenas are mapped: they are named, with what to do."""
    script = ('import sys, time\nx = [str(i) * 3 for i in range(300000)]\nprint("ready", flush=True)\n'
              'while True:\n time.sleep(0.02)\n bytearray(65536)\n')
    for python in dict.fromkeys([sys.executable, s.find('python3') or sys.executable]):
        with s.running([python, '-c', script], env=STILL, ready='ready') as process:
            found, parts = check(t, process.pid, f'{python}', False)
            anonymous = found['rss_anonymous'] or {}
            t.ok(parts['anonymous'] > 20 * MB and anonymous.get('bytes', 0) > 0.9 * parts['anonymous'] and
                 'PYTHONMALLOC=malloc' in (anonymous['hint'] or ''), 'pymalloc is named, and how to look into it', found)
            text = s.run([s.MEMTOP, '-b', '-n', '1', str(process.pid)], preload=False).out
            t.ok(re.search(r'^rss \S+: in use .* anonymous ', text, re.M) and
                 re.search(r"^anonymous: \S+ by .*pymalloc's arenas: PYTHONMALLOC=malloc", text, re.M),
                 'in text too', text)
        with s.running([python, '-c', script], env={**STILL, 'PYTHONMALLOC': 'malloc'}, ready='ready') as process:
            found, parts = check(t, process.pid, f'{python}, PYTHONMALLOC=malloc', False)
            t.ok(parts['anonymous'] < 4 * MB and parts['in_use'] > 15 * MB, 'then it is in use', parts)


def redis(t, directory):
    if t.missing('redis-server', 'redis-server', 'redis-cli'):
        return
    socket = f'{directory}/redis'
    server = ['redis-server', '--port', '0', '--unixsocket', socket, '--save', '', '--dir', directory]
    with s.running(server, env=STILL, ready='eady to accept') as process:
        subprocess.run(['redis-cli', '-s', socket, 'debug', 'populate', '300000', 'k', '100'], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run(['redis-cli', '-s', socket, 'memory', 'purge'], check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(['redis-cli', '-s', socket, '-r', '-1', '-i', '0.01', 'echo', 'x' * 20000],
                              stdout=subprocess.DEVNULL) as client:
            check(t, process.pid, 'redis-server', False)
            client.kill()


# A heap of its own, and blocks of malloc's that come and go, by which it says what it counts.
JAVA = """public class Still {
    public static void main(String[] arguments) throws Exception {
        java.util.zip.Deflater[] kept = new java.util.zip.Deflater[50];
        for (int i = 0; ; i++) {
            if (kept[i % 50] != null)
                kept[i % 50].end();
            kept[i % 50] = new java.util.zip.Deflater();
            if (i == 200)
                System.out.println("ready");
            Thread.sleep(20);
        }
    }
}
"""
NODE = """const kept = [];
for (let i = 0; i < 100000; i++) kept.push({number: i, text: 'object ' + i});
setInterval(() => Buffer.alloc(200000), 20);
console.log('ready');
"""


CLIENT = """import socket, sys, time
while True:
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(sys.argv[1])
            peer.sendall(b'GET /page HTTP/1.0\\r\\n\\r\\n')
            while peer.recv(65536):
                pass
    time.sleep(0.1)
"""


def java(t, directory):
    if t.missing('java', 'java', 'javac'):
        return
    Path(directory, 'Still.java').write_text(JAVA)
    subprocess.run(['javac', 'Still.java'], cwd=directory, check=True, env=s.environment(preload=False))
    command = ['java', '-Xms128m', '-Xmx128m', '-XX:+AlwaysPreTouch', '-XX:+UseSerialGC', '-cp', directory, 'Still']
    with s.running(command, env=STILL, ready='ready', timeout=120) as process:
        _, parts = check(t, process.pid, 'java', False)
        t.ok(parts['anonymous'] >= 128 * MB and parts['in_use'] > 2 * MB, 'its heap, and what it has of malloc', parts)


def node(t):
    if t.missing('node', 'node'):
        return
    with s.running(['node', '-e', NODE], env=STILL, ready='ready', timeout=120) as process:
        _, parts = check(t, process.pid, 'node', False)
        t.ok(parts['anonymous'] > 10 * MB, 'its heap', parts)


def nginx(t, directory):
    if t.missing('nginx', 'nginx'):
        return
    socket, page = f'{directory}/nginx.socket', f'{directory}/page'
    Path(page).write_text('page')
    Path(directory, 'nginx.conf').write_text(
        f'daemon off; master_process off; pid nginx.pid; events {{}} http {{ access_log off; '
        + ''.join(f'{kind}_temp_path {kind}; ' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        + f'server {{ listen unix:{socket}; root {directory}; }} }}\n')
    with s.running(['nginx', '-p', directory, '-c', 'nginx.conf', '-e', f'{directory}/error.log'], env=STILL) as process:
        t.ok(s.wait_for(lambda: Path(socket).exists(), 60, process), 'nginx is up', process.text())
        with subprocess.Popen([sys.executable, '-c', CLIENT, socket]) as client:
            check(t, process.pid, 'nginx', False)
            client.kill()


def unasked(t):
    """A process that stands still and cannot be asked: what is not known is not told."""
    with s.running([sys.executable, '-c', 'import time\nx = [bytearray(1000) for _ in range(20000)]\n'
                    'print("ready", flush=True)\ntime.sleep(1000)'], ready='ready') as process:
        result = s.run([s.MEMTOP, '--json', '-n', '1', str(process.pid)], preload=False)
        found = json.loads(result.out.splitlines()[0])
        parts = found['rss_parts']
        t.ok(found['rss_pending'] and parts['slab_slack'] is None and parts['dirty'] is None and
             parts['in_use'] > 15 * MB and parts['unexplained'] > 0 and
             sum(parts[part] or 0 for part in PARTS) == parts['rss'], 'pending: the rest is not explained', result)
        text = s.run([s.MEMTOP, '-b', '-n', '1', str(process.pid)], preload=False).out
        t.ok(re.search(r'^rss \S+: in use \S+ slack - caches - .*; more at its next 64 KiB$', text, re.M), 'in text', text)


def dump(t, directory):
    """The parts in a profile's comments.  Profiles that follow fast may have the figures of one before."""
    with fragments(f'heapprofile={directory}/d,heapprofileinterval=300ms', 100000, 512, 8, 0, 0) as (_, kept, freed):
        t.ok(s.wait_for(lambda: s.dumps(f'{directory}/d'), 60), 'a profile is written')
        if t.missing('go tool pprof', 'go'):
            return

        def comments():
            text = s.pprof('-comments', s.dumps(f'{directory}/d')[-1])
            return {key: int(value) for key, value in re.findall(r'^memdebug (rss\w*)=(\d+)$', text, re.M)}
        t.ok(s.wait_for(lambda: sorted(comments()) == sorted(['rss', *('rss_' + part for part in PARTS)]), 60),
             'has all parts', comments())

        def right():
            values = comments()
            return (sum(values['rss_' + part] for part in PARTS) == values['rss'] and
                    abs(values['rss_in_use'] - kept) < 1.5 * MB and abs(values['rss_slab_slack'] - freed) < 0.03 * freed and
                    values['rss_unexplained'] < 0.02 * values['rss'])
        t.ok(s.wait_for(right, 60), 'which add up to what the program knows', (comments(), kept, freed))


with s.Tap() as t, tempfile.TemporaryDirectory() as directory:
    known_memory(t, directory)
    pymalloc(t)
    redis(t, directory)
    java(t, directory)
    node(t)
    nginx(t, directory)
    unasked(t)
    dump(t, directory)
