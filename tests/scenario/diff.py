#!/usr/bin/env python3
"""memtop diff on profiles of a program that knows what it allocated, on Go's, and on what is no pair."""

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

GO = '''package main
import ("os"; "runtime"; "runtime/pprof"; "strconv")
var held [][]byte
//go:noinline
func hold(n int) { for i := 0; i < n; i++ { held = append(held, make([]byte, 4096)) } }
func main() {
	n, _ := strconv.Atoi(os.Args[1])
	hold(n); runtime.GC(); runtime.GC()
	f, _ := os.Create(os.Args[2])
	pprof.WriteHeapProfile(f)
	f.Close()
}
'''


def profiles(t, directory, memdebug):
    """Paths and truths of two runs, of which the second allocates three times as much."""
    found = []
    for amount in (1000000, 3000000):
        path = directory / f'{memdebug or "unset"}.{amount}.pb.gz'.replace('=', '-')
        result = s.run([s.PROGRAMS / 'sites', amount, path], memdebug)
        t.ok(result.status == 0 and path.exists(), f'{memdebug}: a profile of {amount}', result)
        found.append((path, s.key_values(result.out)))
    return found


def diff(*arguments, home):
    result = s.run([s.MEMTOP, 'diff', *arguments], preload=False, env={'XDG_CONFIG_HOME': str(home)})
    objects = [json.loads(line) for line in result.out.splitlines()] if '--json' in arguments else []
    return result, objects


def exact(t, runs, home):
    (a, before), (b, after) = runs
    for option, value in (('--leaks', None), (None, 'inuse_space'), ('--allocs', 'alloc_space')):
        result, objects = diff(a, b, *([option] if option else []), '--json', '--all', home=home)
        if value is None:
            t.ok(result.status == 1 and 'has no leak_space: no cycle' in result.err, 'no leaks are known: said', result)
            continue
        rows = {row['name']: row for row in objects if row['type'] == 'difference'}
        truth = {name: after[name][value] - before[name][value] for name in after if after[name][value] != before[name][value]}
        t.equal({name: row['difference'] for name, row in rows.items() if name in truth}, truth,
                f'{value}: each site differs by what the program says')
        t.ok(all(row['difference_error'] == 0 for row in rows.values()), f'{value}: each is exact')
        values = [abs(row['difference']) for row in objects[:-1]]
        t.equal(values, sorted(values, reverse=True), f'{value}: the greatest difference first')
        t.equal(sum(row['b'] for row in objects[:-1]) <= objects[-1]['b'], True, f'{value}: the last object has the sum')
    result, _ = diff(a, b, home=home)
    t.ok(result.status == 0 and result.out.splitlines()[-1].startswith('inuse_space grew: +'), 'text ends with the verdict', result)
    result, _ = diff(a, a, home=home)
    t.ok(result.out.splitlines()[-1].startswith('inuse_space is the same: 0'), 'a profile and itself', result)
    result, _ = diff(b, a, home=home)
    t.ok(result.out.splitlines()[-1].startswith('inuse_space fell: -'), 'the other way round', result)
    for by in ('stack', 'module', 'size'):
        _, objects = diff(a, b, f'--by={by}', '--json', '--all', home=home)
        inuse = sum(site['inuse_space'] for site in after.values()) - sum(site['inuse_space'] for site in before.values())
        slack = objects[-1]['difference'] - inuse
        t.ok(0 <= slack < 65536 and sum(row['difference'] for row in objects[:-1]) == objects[-1]['difference'],
             f'by {by}: rows come to the difference', objects)


def conditions(t, runs, home):
    (a, before), (b, after) = runs
    objects = sum(site['alloc_objects'] for site in after.values())
    for status, expressions in (
            (3, ['inuse_space > +10%']), (3, ['inuse_space > +1MB']), (0, ['inuse_space > +300%']), (0, ['inuse_space > +1G']),
            (3, [f'alloc_objects > {objects - 1}']), (0, [f'alloc_objects > {objects + 5000}']),
            (3, ['inuse_space > +300%', 'inuse_space > +1MB']), (1, ['leak_space > 0']), (1, ['nothing > 0']),
            (2, ['inuse_space']), (2, ['inuse_space > 10%']), (2, ['alloc_objects > 1MB'])):
        result, _ = diff(a, b, *(word for text in expressions for word in ('--fail-if', text)), home=home)
        t.equal(result.status, status, f'{" and ".join(expressions)}: status {status}')
        told = [line for line in result.out.splitlines() if line.startswith(('FAIL: ', 'ok: '))]
        t.equal(len(told), len(expressions) if status in (0, 3) else 0, f'{expressions[0]}: a line for each condition')
        t.equal(any(line.startswith('FAIL: ') for line in told), status == 3, f'{expressions[0]}: it says which')
        t.equal(len(result.err.splitlines()), 0 if status in (0, 3) else 1, f'{expressions[0]}: one line where it is wrong')
    result, found = diff(a, b, '--json', '--fail-if', 'inuse_space > +10%', home=home)
    t.ok(result.status == 3 and found[-1]['conditions'][0]['state'] == 'holds', 'JSON has them too', result)


def estimated(t, directory, home):
    runs = profiles(t, directory, 'memprofilerate=8192')
    (a, before), (b, after) = runs
    truth = sum(after[name]['inuse_space'] - before[name]['inuse_space'] for name in after)
    _, objects = diff(a, b, '--json', home=home)
    total = objects[-1]
    # Five errors: once in two million.
    t.ok(total['difference_error'] > 0 and abs(total['difference'] - truth) < 5 * total['difference_error'] + 65536,
         'an estimate is within its error', total)
    t.ok(total['certain'] and total['verdict'].startswith('inuse_space grew'), 'three times as much is growth', total)
    other = profiles(t, directory, None)
    _, found = diff(other[0][0], other[0][0], '--json', home=home)
    t.ok(not found[-1]['certain'], 'no difference is no growth')
    result, _ = diff(a, other[0][0], home=home)
    t.ok('different rates, 8.00K and 512K' in result.err, 'different rates are told', result)
    # 5.3 MB at 512 KiB are some ten samples: a tenth more is within the error, whatever was drawn.
    result, _ = diff(other[0][0], other[0][0], '--fail-if', 'inuse_space > +0', home=home)
    t.equal(result.status, 0, 'the same is not more')


def of_go(t, directory, home):
    if t.missing('profiles of Go', 'go'):
        return
    source = directory / 'hold.go'
    source.write_text(GO)
    environment = s.environment(preload=False, extra={'GOFLAGS': '', 'GOTOOLCHAIN': 'local', 'GOPROXY': 'off', 'GO111MODULE': 'off',
                                                      'GOCACHE': str(directory / 'cache')})
    built = subprocess.run([s.find('go'), 'build', '-o', directory / 'hold', source], env=environment, cwd=directory,
                           capture_output=True, text=True, check=False)
    if not t.equal(built.returncode, 0, 'a program of Go', built.stderr):
        return
    paths = [directory / f'go{count}.pb.gz' for count in (4000, 24000)]
    for count, path in zip((4000, 24000), paths):
        subprocess.run([directory / 'hold', str(count), path], env=environment, check=True)
    result, objects = diff(*paths, '--json', home=home)
    row = next((row for row in objects if row['name'] == 'main.hold'), None)
    # 20,000 blocks of 4 KiB, and the slice that holds them.
    if t.ok(row is not None, 'Go: the function that holds is a row', result):
        t.ok(abs(row['difference'] - 20000 * 4096) < 5 * row['difference_error'] + 2e6, 'Go: by what it has kept', row)


def hostile(t, runs, directory, home):
    (a, _), (b, _) = runs
    text = directory / 'text'
    text.write_text('no profile\n')
    cut = directory / 'cut.pb.gz'
    cut.write_bytes(a.read_bytes()[:200])
    empty = directory / 'empty.pb.gz'
    empty.write_bytes(gzip.compress(b''))
    for bad in (text, cut, empty, directory, directory / 'absent'):
        for pair in ((a, bad), (bad, b)):
            result, _ = diff(*pair, home=home)
            t.ok(result.status == 1 and len(result.err.splitlines()) == 1 and not result.out,
                 f'{bad.name}: one line, status 1', result)
    for arguments in ((a,), (), (a, b, a), (a, b, '--by=type'), (a, b, '--by=colour')):
        result, _ = diff(*arguments, home=home)
        t.ok(result.status == 2 and result.err and not result.out, f'{len(arguments)} arguments: usage, status 2', result)


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mddiff-') as place:
    base = Path(place)
    (base / 'config' / 'memtop').mkdir(parents=True)
    # site_malloc_16 and the like would be wrappers by their names.
    (base / 'config' / 'memtop' / 'wrappers').write_text('!site_*\n')
    pairs = profiles(t, base, 'memprofilerate=1')
    exact(t, pairs, base / 'config')
    conditions(t, pairs, base / 'config')
    estimated(t, base, base / 'config')
    of_go(t, base, base / 'config')
    hostile(t, pairs, base, base / 'config')
