#!/usr/bin/env python3
"""memtop --schema: the JSON that each command prints is as the schema says, to the last member."""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s
from levels import levels

try:
    import jsonschema
except ImportError:
    jsonschema = None


def memtop(*arguments):
    return s.run([s.MEMTOP, *arguments], preload=False)


def strict(schema):
    """The schema, in which an object has no member that is not named."""
    for definition in schema['$defs'].values():
        definition['additionalProperties'] = False
    return schema


class Check:
    def __init__(self, t, schema):
        self.t, self.seen, self.members = t, set(), {}
        self.validator = jsonschema.Draft202012Validator(strict(schema))
        self.definitions = schema['$defs']

    def __call__(self, result, what, status=0):
        objects = [json.loads(line) for line in result.out.splitlines()]
        faults = []
        for value in objects:
            kind = value.get('type')
            self.seen.add(kind)
            self.members.setdefault(kind, set()).update(value)
            if kind not in self.definitions:
                faults.append(f'no type {kind}')
                continue
            one = {**self.validator.schema, 'oneOf': [{'$ref': f'#/$defs/{kind}'}]} # so that it says what is wrong
            faults += [f'{kind}: {"/".join(map(str, error.absolute_path))}: {error.message[:200]}'
                       for outer in jsonschema.Draft202012Validator(one).iter_errors(value) for error in outer.context]
            faults += [] if self.validator.is_valid(value) else [f'{kind}: not one of the types']
        self.t.ok(objects and result.status == status and not faults, f'{what}: {len(objects)} objects are as the schema says',
                  '\n'.join(faults) or result)


def commands(t, check, directory):
    with levels('gc=ready,memprofilerate=4096,mmapprofile=1') as (process, tell):
        tell(5)
        pid = process.pid
        check(memtop('ps', '--json', '--all'), 'ps')
        check(memtop('stat', pid, '20ms', '3', '--json'), 'stat')
        check(memtop(pid, '-n', '2', '-d', '0.05', '--json'), 'a target before a cycle')
        for command in (('gc', pid), ('purge', pid), ('why', pid, 'fill'), ('why', pid, '0x10'),
                        ('retained', pid), ('threads', pid), (pid, '-n', '1'), (pid, '-n', '1', '--kind=mmap'),
                        (pid, '-n', '1', '--history'), ('tail', pid)):
            check(memtop(*command, '--json'), ' '.join(map(str, command)).replace(str(pid), 'TARGET'))
        a, b = directory / 'a.pb.gz', directory / 'b.pb.gz'
        memtop('heap', pid, '-o', a)
        tell(8)
        memtop('heap', pid, '-o', b)
        check(memtop('diff', a, b, '--json'), 'diff')
        check(memtop('diff', a, b, '--json', '--fail-if', 'inuse_space > 1'), 'diff with a condition', 3)
    leaky = directory / 'log'
    leaky.write_text('gc 1 @0.012s 1%: 0.01+0.2+0.01 ms clock, 0.02+0/0.1/0+0.02 ms cpu, 4->4->1 MB, 5 MB goal, 2 P\n'
                     'gcskip @12.345s threads did not stop, pid 812 redis-server\n')
    check(memtop('tail', leaky, '--json'), 'tail of a log')
    with s.running([s.PROGRAMS / 'growing', 'leak'], 'gc=ready,memprofilerate=1', ready='growing') as process:
        s.wait_for(lambda: s.segments(process.pid), 5, process)
        for by in ('stack', 'function', 'type', 'module', 'size'):
            check(memtop('leaks', process.pid, f'--by={by}', '--json'), f'leaks by {by}')
    summary = memtop('run', '--json', '--', '/bin/true')
    summary.out = summary.err.splitlines()[-1]
    check(summary, 'run')


with s.Tap() as t:
    done = memtop('--schema')
    schema = json.loads(done.out)
    t.ok(done.status == 0 and schema['$schema'].endswith('2020-12/schema') and len(schema['$defs']) > 20, 'it is printed', done.err)
    named = {'#/$defs/' + name for name in schema['$defs']}
    t.ok(set(part.split('"')[0] for part in done.out.split('"$ref": "')[1:]) <= named, 'what it refers to is there')
    t.equal(memtop('--schema', 'x').status, 2, 'with a target it has no meaning')
    if jsonschema is None:
        t.skip('what commands print', 'not installed: python3-jsonschema')
    else:
        jsonschema.Draft202012Validator.check_schema(schema)
        with tempfile.TemporaryDirectory(prefix='mdschema-') as place:
            check = Check(t, schema)
            commands(t, check, Path(place))
        wanted = {name for name, definition in schema['$defs'].items() if 'version' in definition['properties']}
        # Printed only of what is idle and was started with nothing set (memtop_commands.py has it).
        t.equal(wanted - check.seen, {'pending'}, 'each type has been seen')
        t.ok(check.seen <= wanted, 'and no other', check.seen)
