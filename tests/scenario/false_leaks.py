#!/usr/bin/env python3
"""Programs that are in use everywhere: cycles while they work find nothing unreachable where there is
nothing lost.  Where something is, valgrind says the same: as many blocks definitely and indirectly
lost at the program's end, direct and in all."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

SQL = """
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, score REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 1000), i * 0.5 FROM n;
CREATE INDEX by_name ON t(name);
SELECT name, count(*), sum(score) FROM t GROUP BY name ORDER BY 3 DESC LIMIT 5;
SELECT count(*) FROM t a JOIN t b ON a.name = b.name WHERE a.id < 300;
"""

PYTHON = """
import asyncio, collections, decimal, hashlib, json, random, re, threading, zlib
def tree(depth):
    return {} if depth == 0 else {'left': tree(depth - 1), 'right': tree(depth - 1), 'n': depth}
keep = [tree(12) for _ in range(4)]
text = json.dumps(keep)
words = collections.Counter(re.findall(r'\\w+', text))
results = []
def work(n):
    results.append(sum(len(str(i)) for i in range(n)))
threads = [threading.Thread(target=work, args=(20000 + i,)) for i in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
async def one(n):
    await asyncio.sleep(0.001)
    return n
async def all_of_them():
    return sum(await asyncio.gather(*(one(i) for i in range(500))))
print(asyncio.run(all_of_them()), decimal.Decimal(1) / 3, len(zlib.compress(text.encode())), words)
"""

LUA = """
local function tree(d) if d == 0 then return {} end return {tree(d - 1), tree(d - 1)} end
local long, threads = tree(15), {}
for i = 1, 1000 do
  threads[i] = coroutine.create(function() local t = {} for k = 1, 50 do t[k] = k .. 's' coroutine.yield() end end)
  coroutine.resume(threads[i])
end
for _ = 1, 30 do tree(12) end
print(#threads, string.rep('x', 1e6):len(), #long)
"""

PERL = """
my %h; $h{$_ % 5000} .= "x$_" for 1..300000;
my @a = map { {a => $_, b => [1 .. 5]} } 1 .. 20000;
eval { die {x => 1} } for 1 .. 1000;
print length(join "", map { $h{$_} } sort keys %h), scalar(@a), "\\n";
"""

NODE = """
const zlib = require('zlib'), map = new Map();
for (let i = 0; i < 200000; i++) map.set('k' + i, {a: i, b: [i]});
const packed = zlib.gzipSync(JSON.stringify([...map.keys()]));
require('fs').readFile('/etc/passwd', () => {});
setTimeout(() => console.log(map.size, packed.length), 700);
"""


def cycles(text, name):
    """The records of one program's cycles, skips apart."""
    records = []
    for line in text.splitlines():
        if line.startswith('{"version"'):
            records.append(json.loads(line))
    own = [record for record in records if record['name'] == name]
    return [r for r in own if r['type'] == 'gc'], [r for r in own if r['type'] != 'gc']


def told(done):
    """The figures of cycles, by engine, for who reads the log."""
    return ' '.join(f'{r["engine"]}:{r["unreachable_objects"]}/{r["live_objects"]}' for r in done)


def judge(t, label, name, text):
    done, skipped = cycles(text, name)
    # What only a register knows of, of a thread in uninterruptible sleep (reading the program from disk),
    # is unreachable for one cycle.  A leak is what two say, one after the other.
    seen = [r['unreachable_objects'] > 0 for r in done]
    lost = any(a and b for a, b in zip(seen, seen[1:])) or seen[-1:] == [True]
    t.ok(done and not lost, f'{label}: {len(done)} cycles, nothing unreachable in two in a row', told(done))
    # On a machine with more to do than it can, a thread may take longer to answer than it is given, and
    # the stop's part of the mark longer than a stop may last.
    other = [r for r in skipped if r['reason'] not in s.BUSY]
    t.ok(not other, f'{label}: no cycle skipped', other)


def programs(directory):
    """(label, name, command, environment)"""
    files = {'work.py': PYTHON, 'query.sql': SQL, 'trees.lua': LUA, 'work.pl': PERL, 'work.js': NODE}
    for file, text in files.items():
        (directory / file).write_text(text)
    yield 'python3', 'python3', ['python3', directory / 'work.py'], {}
    yield 'python3 on malloc', 'python3', ['python3', directory / 'work.py'], {'PYTHONMALLOC': 'malloc'}
    yield 'sqlite3', 'sqlite3', ['sqlite3', ':memory:', f'.read {directory / "query.sql"}'], {}
    yield 'lua5.4', 'lua5.4', ['lua5.4', directory / 'trees.lua'], {}
    yield 'perl', 'perl', ['perl', directory / 'work.pl'], {}
    # Newer ones use io_uring all the same, for epoll's sake.
    yield 'node', 'node', ['node', directory / 'work.js'], {'UV_USE_IO_URING': '0'}
    source = directory / 'roots.i'
    subprocess.run(['gcc', '-E', '-D_GNU_SOURCE', '-I', s.ROOT / 'tests/support', s.ROOT / 'tests/programs/roots.c',
                    '-o', source], check=True)
    cc1 = subprocess.run(['gcc', '-print-prog-name=cc1'], check=True, capture_output=True, text=True)
    yield 'cc1', 'cc1', [cc1.stdout.strip(), '-quiet', '-fpreprocessed', '-O2', source, '-o',
                         directory / 'roots.s'], {}


def repository(directory):
    """A small history to look at."""
    env = s.environment(preload=False, extra={
        'GIT_AUTHOR_NAME': 'a', 'GIT_AUTHOR_EMAIL': 'a@b', 'GIT_COMMITTER_NAME': 'a',
        'GIT_COMMITTER_EMAIL': 'a@b', 'HOME': str(directory)})

    def git(*arguments):
        subprocess.run(['git', '-C', directory, *arguments], check=True, env=env, capture_output=True)
    git('init', '-q')
    for i in range(20):
        (directory / 'file').write_text('\n'.join(f'line {n * (i + 1) % 97}' for n in range(400)))
        git('add', 'file')
        git('commit', '-qm', f'change {i}')


def by_valgrind(command, cwd):
    """(direct, all) blocks lost at the end."""
    done = subprocess.run([s.find('valgrind'), '--leak-check=full', '--show-leak-kinds=definite', *command],
                          cwd=cwd, capture_output=True, text=True, env=s.environment(preload=False),
                          stdin=subprocess.DEVNULL, check=False, timeout=120)
    lost = {kind: int(blocks.replace(',', '')) for kind, blocks in re.findall(
        r'(definitely|indirectly) lost: [\d,]+ bytes in ([\d,]+) blocks', done.stderr)}
    if not lost and 'no leaks are possible' in done.stderr:
        return 0, 0
    return lost['definitely'], lost['definitely'] + lost['indirectly']


def redis(t, engine):
    with tempfile.TemporaryDirectory() as directory:
        socket, server = f'{directory}/socket', Path(directory) / 'redis-server'
        server.symlink_to(s.find('redis-check-rdb'))  # Debian: the server too, under another name
        command = [server, '--port', '0', '--unixsocket', socket, '--dir', directory, '--save', '',
                   '--daemonize', 'no']

        def client(program, *arguments):
            subprocess.run([s.find(program), '-s', socket, *arguments], capture_output=True, check=False,
                           env=s.environment(preload=False), timeout=120)
        with s.running(command, f'gctrace=json,gcinterval=20ms,gcengine={engine}',
                       ready='eady to accept') as process:
            client('redis-benchmark', '-q', '-n', '40000', '-r', '20000', '-d', '200', '-P', '8',
                   '-t', 'set,get,lpush,hset,zadd')
            client('redis-cli', 'eval', 'local t = {} for i = 1, 10000 do t[i] = {i} end return #t', '0')
            client('redis-cli', 'shutdown', 'nosave')
            process.wait(20)
            judge(t, f'redis-server, {engine}', 'redis-server', process.text()[1])


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    directory = Path(temporary)
    for label, name, command, env in programs(directory):
        if t.missing(label, command[0]):
            continue
        for engine in ('auto', 'wp'):
            result = s.run(command, f'gctrace=json,gcinterval=20ms,gcengine={engine}', env=env)
            t.equal(result.status, 0, f'{label}, {engine}: ends as it should', result)
            if label == 'node' and engine == 'wp' and '(io_uring, aio)' in result.err:
                t.skip(f'{label}, {engine}', 'this node uses io_uring, and so wp is rightly refused')
                continue
            judge(t, f'{label}, {engine}', name, result.err)
    if not t.missing('redis-server', 'redis-check-rdb', 'redis-cli', 'redis-benchmark'):
        for engine in ('auto', 'wp'):
            redis(t, engine)

    # Programs that do lose memory; they end before anything is due, so their one cycle is the last.
    lossy = [('as', ['as', directory / 'roots.s', '-o', directory / 'roots.o'])]
    lossy += [('g++', ['g++', '-O1', '-fpreprocessed', '-S', directory / 'roots.i', '-o',
                       directory / 'none.s', '-fsyntax-only'])]
    if not t.missing('git', 'git'):
        tree = directory / 'tree'
        tree.mkdir()
        repository(tree)
        lossy += [('git', ['git', '-C', tree, *arguments]) for arguments in
                  (['log', '-p'], ['blame', 'file'], ['diff', 'HEAD~3'], ['status'], ['grep', 'line'],
                   ['rev-list', '--objects', '--all'])]
    for name, command in lossy:
        label = ' '.join([name] + [a for a in command[3:5] if name == 'git'])
        if t.missing(label, 'valgrind', command[0]):
            continue
        # On a busy machine the one at exit may get no CPU, which it says.
        for _ in range(5):
            result = s.run(command, 'gctrace=json,gcpercent=off,gcinterval=off')
            own, skipped = ([r for r in records if r['pid'] == result.pid] for records in cycles(result.err, name))
            if own or not skipped:
                break
        got = own and (own[-1]['direct_objects'], own[-1]['unreachable_objects'])
        t.equal(got, by_valgrind([str(part) for part in command], directory),
                f'{label}: (direct, all) lost blocks as valgrind has them', result)
