#!/usr/bin/env python3
"""redis-server, which links Debian's libjemalloc itself, runs wholly on ours."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def client(socket, *arguments, program='redis-cli', stdin=None):
    return subprocess.run([s.find(program), '-s', socket, *arguments], capture_output=True, text=True,
                          env=s.environment(preload=False), timeout=120, check=False,
                          input=stdin).stdout


def info(socket):
    return dict(line.split(':', 1) for line in client(socket, 'info', 'memory').splitlines()
                if ':' in line)


def exercise(t, name, memdebug):
    with tempfile.TemporaryDirectory() as directory:
        socket = f'{directory}/socket'
        # Debian: redis-tools has the server's program too, under another name.
        server = Path(directory) / 'redis-server'
        server.symlink_to(s.find('redis-check-rdb'))
        command = [server, '--port', '0', '--unixsocket', socket, '--dir', directory,
                   '--save', '', '--daemonize', 'no']
        with s.running(command, memdebug, ready='eady to accept connections', env={
                'LD_BIND_NOW': ''}) as process:
            s.wait_for(lambda: client(socket, 'ping') == 'PONG\n', 10, process)
            client(socket, '-q', '-n', '40000', '-r', '20000', '-d', '200', '-P', '8',
                   '-t', 'set,get,lpush,hset,zadd', program='redis-benchmark')
            time.sleep(0.2)
            memory = info(socket)
            # As it was compiled: the version is that of the distribution's jemalloc.
            allocator = memory.get('mem_allocator', '')
            t.ok(allocator.startswith('jemalloc-5.3.'), f'{name}: mem_allocator {allocator}')
            used = int(memory.get('used_memory', 0))
            allocated = int(memory.get('allocator_allocated', 0))
            resident = int(memory.get('allocator_resident', 0))
            t.ok(used > 4 << 20 and used * 0.9 < allocated < used * 1.5,
                 f'{name}: INFO memory has our figures (used {used}, allocated {allocated})', memory)
            t.ok(allocated <= resident < allocated * 3 + (64 << 20),
                 f'{name}: and the resident size ({resident})')
            t.ok('jemalloc' in client(socket, 'memory', 'malloc-stats').lower(),
                 f'{name}: MEMORY MALLOC-STATS')
            t.equal(client(socket, 'memory', 'purge'), 'OK\n', f'{name}: MEMORY PURGE')
            t.equal(client(socket, 'memory', 'usage', 'no-such-key'), '\n', f'{name}: MEMORY USAGE')
            keys = int(client(socket, 'dbsize'))
            t.ok(client(socket, 'bgsave').startswith('Background saving started'), f'{name}: BGSAVE')
            t.ok(s.wait_for(lambda: 'rdb_bgsave_in_progress:0' in client(socket, 'info', 'persistence')
                            and 'rdb_last_bgsave_status:ok' in client(socket, 'info', 'persistence'),
                            20, process), f'{name}: the forked child saves {keys} keys')
            client(socket, 'shutdown', 'nosave')
            process.wait(20)
            t.equal(process.returncode, 0, f'{name}: shuts down with status 0')
            _, err = process.text()
    cycles, skips, rest = s.split_trace(err)
    t.equal(rest, [], f'{name}: nothing else on stderr')
    t.equal(s.trace_faults(cycles, 'redis-server'), [], f'{name}: {len(cycles)} sane lines')
    if memdebug and 'gctrace' in memdebug:
        own = [cycle for cycle in cycles if cycle.pid == process.pid]
        t.ok(len(own) >= 2, f'{name}: cycles while it runs', err)
        t.ok({reason for _, reason, _, _ in skips} <= s.BUSY, f'{name}: no cycle skipped but for want of CPU', skips)
        # A server in C that leaks nothing; the odd object in flight is no leak.
        t.ok(own and own[-1].unreachable <= own[-1].objects * 0.001,
             f'{name}: all of its heap is reachable', own and own[-1].text)
        t.ok(own and max(cycle.objects for cycle in own) > keys,
             f'{name}: as many objects as keys at least')


with s.Tap() as t:
    if not t.missing('redis-server', 'redis-check-rdb', 'redis-cli', 'redis-benchmark'):
        exercise(t, 'MEMDEBUG unset', None)
        exercise(t, 'gctrace', 'gctrace=1,gcinterval=500ms')
        exercise(t, 'rate 4096', 'memprofilerate=4096')
