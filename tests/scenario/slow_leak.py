#!/usr/bin/env python3
"""Losses that no sample names: cycles see them, samples of their sizes come closer together until they have a
name (leakrate), and the profile's sums stay what they are.  What samples cost, and that it is kept to
(memprofilecpu).  By bytes allocated and cycles asked for, not by time."""

import gzip
import json
import math
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

SLOW_LEAK = s.PROGRAMS / 'slow_leak'
# At these rates 30 KB that are lost have a sample in one of 17,000 runs, of 2,000 in the plain variant; there what
# comes after a gap is looked at too, so there must be some gaps.
VARIANTS = {'tracked': (536870912, 'gcengine=auto'), 'plain': (67108864, 'gcengine=clone')}


def profile_file(directory, seconds, memdebug):
    """(truth, profile's path) of a run as fast as it goes, at its exit."""
    prefix = Path(directory) / 'heap'
    for old in s.dumps(prefix):
        old.unlink()
    result = s.run([SLOW_LEAK, seconds, 20, 512, 'free'],
                   f'gc=ready,heapprofile={prefix},heapprofileinterval=off,{memdebug}')
    files = s.dumps(prefix)
    if result.status != 0 or len(files) != 1:
        raise RuntimeError(f'slow_leak: {result}, {files}')
    return s.key_values(result.out), files[0]


def profile_of(directory, seconds, memdebug):
    truth, path = profile_file(directory, seconds, memdebug)
    return truth, s.read_profile(path)


def comment_of(directory, memdebug):
    """What its profile says of its samples after three cycles and a little."""
    _, path = profile_file(directory, 18, memdebug)
    found = re.search(rb'memdebug sample_rate_bytes=[^\0-\x1f]*', gzip.decompress(path.read_bytes()))
    return found and found[0].decode(errors='replace')


def leaked(profile, function):
    """Leaked objects and alloc_objects of it, by the profile."""
    values = profile.by_function(lambda name: name == function).get(function, [0] * len(profile.types))
    column = [name.split('/')[0] for name in profile.types]
    return values[column.index('leak_objects')] if 'leak_objects' in column else None


def named(t, directory, variant):
    rate, engine = VARIANTS[variant]
    far = f'memprofilerate={rate},{engine}'
    _, profile = profile_of(directory, 60, f'{far},leakrate=off')
    t.equal(leaked(profile, 'lose'), 0, f'{variant}: 30 KB lost among 1.2 GB: without more samples they have no name')
    truth, profile = profile_of(directory, 60, f'{far},leakrate=1KiB')
    found = leaked(profile, 'lose')
    t.ok(found and found > 0, f'{variant}: with some each KiB they have: {found} of {truth["lose"]["objects"]} objects')
    t.equal(leaked(profile, 'serve'), 0, f'{variant}: and nothing else is called a leak')
    comment = comment_of(directory, f'{far},leakrate=1KiB')
    t.ok(comment and re.match(rf'memdebug sample_rate_bytes={rate} leak_rate_bytes=1024 '
                              r'sampling_cpu_percent=\d+\.\d{4}', comment),
         f'{variant}: a profile says at which rates it was taken, and what that cost', comment)
    comment = comment_of(directory, f'{far},leakrate=off')
    t.ok(comment and comment.startswith(f'memdebug sample_rate_bytes={rate} sampling_cpu_percent='),
         f'{variant}: and that there is no other', comment)


def unbiased(t, directory, variant, rate):
    """Blocks of one size, sampled with a toll from the third cycle on: each by the law of its own moment."""
    truth, profile = profile_of(directory, 60, f'memprofilerate={rate},leakrate=512,{VARIANTS[variant][1]}')
    column = [name.split('/')[0] for name in profile.types].index('alloc_objects')
    estimate = sum(sample[0][column] for sample in profile.samples
                   if sample[2].get('bytes', '').split()[:1] == ['32']
                   and any(frame[0] == 'serve' for frame in profile.frames(sample)))
    count = truth['serve']['objects_32']
    error = math.sqrt(count / -math.expm1(-32 / rate))  # no more than with no toll at all
    t.ok(abs(estimate - count) < 5 * error, f'{variant}: samples of 32 bytes by two laws: {estimate} of {count} objects, '
         f'{(estimate - count) / error:+.1f} standard errors')


def figures(pid):
    result = s.run([s.MEMTOP, '-b', '--json', '-n', '1', pid], preload=False)
    return json.loads(result.out.splitlines()[0])


def cycles_until(pid, process, condition):
    """One cycle after the other, until it is so."""
    def look():
        s.run([s.MEMTOP, 'gc', pid], preload=False)
        return condition()
    return s.wait_for(look, 120, process)


def live(t, variant):
    """A program that lives, at 20 MB/s."""
    rate, engine = VARIANTS[variant]
    with s.running([SLOW_LEAK, 10000, 20, 200000], f'gc=ready,memprofilerate={rate},{engine}', ready='ready') as process:
        pid = process.pid
        t.ok(cycles_until(pid, process, lambda: figures(pid)['leak_rate_bytes'] > 0),
             f'{variant}, leakrate=auto: samples of what is lost come closer together')
        near = figures(pid)
        t.ok(near['leak_rate_bytes'] < near['memprofilerate_bytes'] == near['sample_rate_bytes'],
             f'than others: one each {near["leak_rate_bytes"]} B')
        s.run([s.MEMTOP, 'set', pid, 'leakrate=off'], preload=False)
        t.ok(s.wait_for(lambda: figures(pid)['leak_rate_bytes'] == 0, 60, process), 'leakrate=off: no longer')
        s.run([s.MEMTOP, 'set', pid, 'leakrate=auto'], preload=False)

        def has_name():
            return '"lose"' in s.run([s.MEMTOP, 'leaks', '--json', pid], preload=False).out
        t.ok(s.wait_for(has_name, 120, process), 'leakrate=auto: until it has a name')
        t.ok(cycles_until(pid, process, lambda: figures(pid)['leak_rate_bytes'] == 0), 'and no longer')
        if variant == 'plain':
            return # closer together for all they do not come there

        s.run([s.MEMTOP, 'set', pid, 'memprofilerate=1KiB'], preload=False)
        t.ok(s.wait_for(lambda: figures(pid)['sample_rate_bytes'] == 1024, 60, process), 'memprofilerate=1KiB')
        s.run([s.MEMTOP, 'set', pid, 'memprofilecpu=0.001'], preload=False)
        t.ok(s.wait_for(lambda: figures(pid)['sample_rate_bytes'] >= 64 * 1024, 120, process),
             'memprofilecpu=0.001: samples come further apart')
        text = s.run([s.MEMTOP, '-b', '-n', '1', pid], preload=False).out
        t.ok('sampled one each ' in text and ' of a CPU' in text, 'memtop tells both', text)
        s.run([s.MEMTOP, 'set', pid, 'memprofilecpu=off'], preload=False)
        t.ok(s.wait_for(lambda: figures(pid)['sample_rate_bytes'] == 1024, 60, process),
             'memprofilecpu=off: as before')


with s.Tap() as t:
    if not t.missing('profiles', 'go'):
        with tempfile.TemporaryDirectory() as scratch:
            for variant, rate in ('tracked', 16384), ('plain', 65536):
                named(t, scratch, variant)
                unbiased(t, scratch, variant, rate)
    for variant in VARIANTS:
        live(t, variant)
