"""The real programs of the benchmarks, with inputs made here so that they are the same everywhere."""

import functools
import subprocess

from measure import BUILD, ROOT, environment, measure, measure_redis

DIRECTORY = BUILD / 'bench'

PYTHON = """
import json, re, sys
n = int(sys.argv[1])
def tree(depth):
    return {'n': depth} if depth == 0 else {'left': tree(depth - 1), 'right': tree(depth - 1)}
total = 0
for i in range(n):
    text = json.dumps([tree(10), {str(k): [k, str(k * k)] for k in range(1500)}])
    words = {}
    for word in re.findall(r'\\w+', text):
        words[word] = words.get(word, 0) + 1
    total += len(json.loads(text)) + len(sorted(words.items(), key=lambda x: (-x[1], x[0])))
print(total)
"""

LUA = """
local n = tonumber(arg[1])
local function tree(d) if d == 0 then return {} end return {tree(d - 1), tree(d - 1)} end
local function check(t) if t[1] then return 1 + check(t[1]) + check(t[2]) end return 1 end
local long, sum = tree(n), 0
for d = 4, n, 4 do
  for _ = 1, 2 ^ (n - d + 2) do sum = sum + check(tree(d)) end
end
print(sum, check(long))
"""

SQL = """
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, score REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 5000), i * 0.5 FROM n;
CREATE INDEX by_name ON t(name);
SELECT name, count(*), group_concat(score) FROM t GROUP BY name ORDER BY 2 DESC LIMIT 5;
SELECT count(*) FROM t a JOIN t b ON a.name = b.name WHERE a.id < {rows} / 100;
UPDATE t SET name = name || 'x' WHERE id % 3 = 0;
DELETE FROM t WHERE id % 5 = 0;
"""


def c_source(functions):
    """A C file of that many functions, already preprocessed."""
    parts = ['typedef unsigned long size_t; void *memcpy(void *, const void *, size_t);\n'
             'struct item { struct item *next; int kind, weight; char name[24]; };\n']
    for i in range(functions):
        parts.append(f"""
static int step_{i}(struct item *item, int depth, int *out)
{{
    int sum = {i}, table[{i % 13 + 4}];
    for (int k = 0; k < {i % 13 + 4}; k++)
        table[k] = (depth * {i * 7 + 3}) ^ (k << {i % 7});
    while (item) {{
        switch (item->kind % {i % 6 + 3}) {{
        case 0: sum += item->weight * {i % 31 + 2}; break;
        case 1: sum ^= table[item->weight & 3]; /* fall through */
        case 2: if (depth > {i % 5}) sum -= {f"step_{i - 1}(item->next, depth - 1, out)" if i else "1"}; break;
        default: memcpy(item->name, table, sizeof item->name); sum += item->name[{i % 24}];
        }}
        item = item->next;
    }}
    out[{i % 8}] += sum;
    return sum + table[{i % 4}];
}}
""")
    parts.append(f'int all(struct item *i, int *o) {{ return step_{functions - 1}(i, 9, o); }}\n')
    return ''.join(parts)


class Program:
    """A command with its environment and input.  A call with an extra environment measures it; `under` is
    a command that runs it, as valgrind."""

    def __init__(self, command, env=None, stdin=None):
        self.command, self.env, self.stdin = command, env or {}, stdin

    def __call__(self, extra=None, under=()):
        return measure([*under, *self.command], self.env | (extra or {}), self.stdin)


def compiler(cc1, source):
    return Program([cc1, '-quiet', '-O2', '-fpreprocessed', source, '-o', '/dev/null'])


def prepare(quick):
    """{name: function(extra environment, under) -> Cost} of the five real programs, and one small one."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / 'work.py').write_text(PYTHON)
    (DIRECTORY / 'trees.lua').write_text(LUA)
    (DIRECTORY / 'query.sql').write_text(SQL.format(rows=60000 if quick else 200000))
    (DIRECTORY / 'big.i').write_text(c_source(250 if quick else 900))
    (DIRECTORY / 'small.i').write_text(c_source(100))
    cc1 = subprocess.run(['gcc', '-print-prog-name=cc1'], capture_output=True, text=True, check=True,
                         env=environment()).stdout.strip()

    programs = {
        'python3': Program(['/usr/bin/python3', '-S', DIRECTORY / 'work.py', 25 if quick else 60],
                           {'PYTHONMALLOC': 'malloc', 'PYTHONHASHSEED': '0'}),
        'lua5.4': Program(['/usr/bin/lua5.4', DIRECTORY / 'trees.lua', 15 if quick else 16]),
        'sqlite3': Program(['/usr/bin/sqlite3', ':memory:'], stdin=DIRECTORY / 'query.sql'),
        'redis-server': functools.partial(measure_redis, 40000 if quick else 200000),
        'cc1': compiler(cc1, DIRECTORY / 'big.i'),
    }
    return programs, compiler(cc1, DIRECTORY / 'small.i')


def compile_program(name, *flags, output=None):
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    target = DIRECTORY / (output or name)
    subprocess.run(['cc', '-O2', '-g', '-D_GNU_SOURCE', '-o', target,
                    ROOT / 'bench' / 'programs' / f'{name}.c', *flags], check=True)
    return target
