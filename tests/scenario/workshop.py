#!/usr/bin/env python3
"""Two exercises of Go's profiling workshops, in C: a words counter that allocates one byte per read,
and a program that allocates 100,000 slices and keeps one."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

TEXT = 'the quick brown fox jumps over the lazy dog\n' * 500


def profile_of(t, name, command, memdebug):
    with tempfile.TemporaryDirectory() as directory:
        prefix = Path(directory) / 'p'
        result = s.run(command, f'{memdebug},heapprofile={prefix}')
        found = s.dumps(prefix)
        if not t.equal(len(found), 1, f'{name}: one profile at exit', result):
            return result, None, ''
        t.equal((result.status, result.rest), (0, []), f'{name}: runs as before')
        return result, s.read_profile(found[0]), s.pprof('-top', '-sample_index=alloc_space', found[0])


with s.Tap() as t:
    if not t.missing('profiles', 'go'):
        with tempfile.NamedTemporaryFile('w', suffix='.txt') as text:
            text.write(TEXT)
            text.flush()
            result, profile, top = profile_of(t, 'words', [s.PROGRAMS / 'words', text.name],
                                              'memprofilerate=1')
            t.equal(result.out, '4500 words\n', 'words: counts right')
            if profile:
                charged = profile.by_function(lambda name: name == 'readbyte')
                t.equal(charged.get('readbyte', [0])[0], len(TEXT) + 1,
                        'words: one allocation per read is charged to readbyte')
                t.equal(charged.get('readbyte', [0] * 4)[2], 0, 'words: none is in use')
                rows = [line.split() for line in top.splitlines() if line.endswith(' readbyte')]
                t.ok(len(rows) == 1 and float(rows[0][1].rstrip('%')) > 90,
                     'words: go tool pprof -top shows readbyte first', top)
                lines = {frame for sample in profile.samples for frame in profile.frames(sample)
                         if frame[0] == 'readbyte'}
                t.ok(any(file.endswith('words.c') and line > 0 for _, file, line in lines),
                     'words: with its file and line', lines)

        for argument, inuse in (([], 1), (['leak'], 100000)):
            name = 'slices ' + ' '.join(argument)
            _, profile, _ = profile_of(t, name, [s.PROGRAMS / 'slices', *argument],
                                       'memprofilerate=1')
            if profile:
                slices = profile.by_function(lambda function: function == 'make_slice')
                t.equal(slices.get('make_slice'), [100000, 102400000, inuse, inuse * 1024],
                        f'{name}: alloc_objects 100,000, inuse_objects {inuse}')

    for memdebug in ('gctrace=1', 'gctrace=1,memprofilerate=1'):
        for argument, unreachable in (([], 0), (['leak'], 99999)):
            result = s.run([s.PROGRAMS / 'slices', *argument], memdebug)
            name = f'{memdebug}, slices {" ".join(argument)}'
            t.equal(result.rest, [], f'{name}: nothing but lines', result)
            t.equal(s.trace_faults(result.lines, 'slices', result.pid), [], f'{name}: sane lines')
            last = result.lines[-1] if result.lines else None
            if t.ok(last is not None, f'{name}: a cycle at the end at the latest', result) and \
                    argument == ['leak']:
                # So that the only cycle is that at exit.  One that a busy machine has called off is had
                # from another run.
                for _ in range(10):
                    forced = s.run([s.PROGRAMS / 'slices', *argument], memdebug + ',gcminheap=1g')
                    if forced.lines:
                        break
                last = forced.lines[-1] if forced.lines else None
            # What a stop in the middle of the work has put on the stack may lie there at its end.
            found = last.unreachable if last else -1
            t.ok(found == unreachable or (s.HOSTILE and unreachable - 3 <= found < unreachable),
                 f'{name}: unreachable {unreachable}', last and last.text)
            t.equal(last and last.unreachable_bytes, found * 1024, 'and its bytes', last and last.text)
