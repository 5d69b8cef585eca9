#!/usr/bin/env python3
"""Real programs give the same output, status and stderr as without us; our lines on stderr are to
the letter, and their numbers have no gap."""

import hashlib
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
import json, re, threading
def tree(depth):
    return {} if depth == 0 else {'left': tree(depth - 1), 'right': tree(depth - 1), 'n': depth}
keep = [tree(12) for _ in range(4)]
text = json.dumps(keep)
words = {}
for word in re.findall(r'\\w+', text):
    words[word] = words.get(word, 0) + 1
results = []
def work(n):
    results.append(sum(len(str(i)) for i in range(n)))
threads = [threading.Thread(target=work, args=(20000 + i,)) for i in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(text), sorted(words.items()), sorted(results), len(json.loads(text)))
"""

LUA = """
local function tree(d) if d == 0 then return {} end return {tree(d - 1), tree(d - 1)} end
local function check(t) if t[1] then return 1 + check(t[1]) + check(t[2]) end return 1 end
local long = tree(15)
for d = 4, 14, 2 do
  local sum = 0
  for _ = 1, 2 ^ (14 - d) do sum = sum + check(tree(d)) end
  print(d, sum)
end
print(check(long), #string.rep("x", 1e6))
"""

CXX = """
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
int main() {
    std::map<std::string, std::vector<int>> m;
    std::regex r("(a+)(b+)");
    std::smatch found;
    std::string text = "xxaabbb";
    if (std::regex_search(text, found, r)) m[found[1]].push_back(1);
    std::cout << m.size() << std::endl;
}
"""


def cases(directory):
    (directory / 'query.sql').write_text(SQL)
    (directory / 'work.py').write_text(PYTHON)
    (directory / 'trees.lua').write_text(LUA)
    (directory / 'regex.cpp').write_text(CXX)
    made = directory / 'regex.o'
    yield 'sqlite3', ['sqlite3', ':memory:'], {'stdin': SQL}, None
    yield 'python3', ['python3', directory / 'work.py'], {}, None
    yield 'python3', ['python3', directory / 'work.py'], {'env': {'PYTHONMALLOC': 'malloc'}}, None
    yield 'lua5.4', ['lua5.4', directory / 'trees.lua'], {}, None
    yield None, ['g++', '-O1', '-c', directory / 'regex.cpp', '-o', made], {}, made
    yield 'perl', ['perl', '-e', 'my %h; $h{$_ % 5000} .= "x$_" for 1..200000; '
                   'print length(join "", map { $h{$_} } sort keys %h), "\\n"'], {}, None
    yield None, ['sh', '-c', 'seq 1 200000 | sort -R --random-source=/bin/sh | sort -n | tail -1'], {}, None
    yield 'crowd', [s.PROGRAMS / 'crowd', '4', '400'], {}, None
    yield 'crowd', [s.PROGRAMS / 'crowd', '64', '60'], {}, None
    yield None, ['gdb', '-batch', '-nx', '-ex', 'print 6*7', '-ex', 'info line main',
                 s.PROGRAMS / 'victim'], {}, None


VARIANTS = (None, 'gctrace=1,gcinterval=100ms', 'gctrace=1,memprofilerate=4096', 'memprofilerate=1')


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    for name, command, options, product in cases(Path(temporary)):
        title = Path(command[0]).name + ''.join(f' {key}={value}' for key, value in
                                                options.get('env', {}).items())
        title += f' {command[1]}' if name == 'crowd' else ''
        if t.missing(title, command[0]):
            continue

        def outcome(result):
            made = hashlib.sha256(product.read_bytes()).hexdigest() if product else None
            if product:
                product.unlink()
            return result.status, result.out, made

        plain = s.run(command, preload=False, **options)
        expected = outcome(plain)
        for memdebug in VARIANTS:
            result = s.run(command, memdebug, timeout=240, **options)
            label = f'{title}, {memdebug or "MEMDEBUG unset"}'
            got = outcome(result)
            t.equal(got, expected, f'{label}: same output and status', result.err[-2000:])
            t.equal(result.rest, plain.err.splitlines(), f'{label}: nothing else on stderr')
            if memdebug and 'gctrace' in memdebug:
                t.equal(s.trace_faults(result.lines, name, result.pid if name else None), [],
                        f'{label}: {len(result.lines)} sane lines')
                t.ok(result.lines, f'{label}: at least one line', result)
                t.ok({reason for _, reason, _, _ in result.skips} <= s.BUSY,
                     f'{label}: no cycle skipped but for want of CPU', result.skips)
                if '100ms' in memdebug and result.seconds > 1 and name:
                    t.ok(len(result.lines) >= 2, f'{label}: lines by time ({len(result.lines)} '
                         f'in {result.seconds:.1f} s)', result)
