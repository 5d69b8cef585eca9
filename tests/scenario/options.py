#!/usr/bin/env python3
"""MEMDEBUG: nonsense of any kind is one line, said once in a process tree, and never stops or
changes the program; what works is applied all the same."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

# What is given, and what the line must name beside it.
NONSENSE = [
    ('gctrce=1', 'gctrace'), ('gctrac', 'gctrace'), ('heapprofle=x', 'heapprofile'),
    ('memprofilerat=1', 'memprofilerate'), ('gcpersent=50', 'gcpercent'), ('folow=none', 'follow'),
    ('onli=x', 'only'), ('moniter=off', 'monitor'), ('keepded=1', 'keepdead'), ('unwnd=fp', 'unwind'),
    ('x=1', ''), ('1234', ''), ('=', ''), ('=5', ''), ('gctrace=maybe', '0|1|json'),
    ('gctrace=2', '0|1|json'), ('gctrace=', '0|1|json'), ('memprofilerate=-1', 'size'),
    ('memprofilerate=lots', 'size'), ('memprofilerate=1x', 'size'),
    ('memprofilerate=99999999999999999999', 'size'), ('gcpercent=fast', 'percentage'),
    ('gcpercent=-5', 'percentage'), ('gcinterval=soon', 'duration'), ('gcinterval=5y', 'duration'),
    ('gc=perhaps', 'observe'), ('unwind=magic', 'fp'), ('profstackdepth=0', '1 to 1024'),
    ('profstackdepth=5000', '1 to 1024'), ('heapprofilesignal=KILL', 'signal'),
    ('heapprofilesignal=NOSUCH', 'signal'), ('heapprofilelimit=101%', '1% to 100%'), ('monitor=perhaps', 'on|off'), ('keepdead=few', 'number'),
    ('a' * 3000, ''), ('gc\x01trace\x1b[31m=1', 'gctrace'), ('\xff\xfe=1', ''), ('%s%n%s%n=%s', ''),
    ('gctrace=1=2', '0|1|json'), ('; rm -rf /', ''),
]
LATER = ['gc=collect']
VICTIM = s.PROGRAMS / 'victim'


def ours(result):
    """Lines on stderr that are not the program's."""
    return [line for line in result.rest if line != 'hello on stderr']


def unharmed(result):
    return (result.status, result.out, result.rest.count('hello on stderr')) == \
        (7, 'hello on stdout\n', 1)


with s.Tap() as t:
    for given, named in NONSENSE:
        result = s.run([VICTIM, 'hello'], given)
        lines = ours(result)
        title = ascii(given if len(given) < 40 else given[:20] + '...')
        t.ok(unharmed(result) and len(lines) == 1 and re.match(r'^memdebug: ', lines[0]) and
             named in lines[0] and len(lines[0]) < 1000 and lines[0].isprintable(),
             f'{title}: one line that names {named!r}, the program unharmed', result)
        twice = s.run(['/bin/sh', '-c', f'"{VICTIM}" hello; "{VICTIM}" hello'], given)
        t.equal(len(ours(twice)), 1, f'{title}: said once in a process tree', twice)

    for given in LATER:
        result = s.run([VICTIM, 'hello'], given)
        t.ok(unharmed(result) and len(ours(result)) == 1 and
             'not in this version' in ours(result)[0] and given.split('=')[0] in ours(result)[0],
             f'{given}: not in this version', result)

    for given in ('', ' ', ',', ',,,', 'GC_TRACE=1', 'gc-trace = 1 , mem_profile_rate = 64 KiB',
                  'gctrace', 'gctrace=1,', 'memprofilerate=1g', 'memprofilerate=64kb',
                  'gcinterval=500ms', 'gcinterval=2m', 'gcpercent=off', 'gcinterval=off',
                  'follow=none', 'follow=fork,exec,gctrace=1', 'only=victim:other,gctrace=1',
                  'only=other,gctrace=1', 'monitor=off', 'keepdead=0', 'unwind=fp', 'unwind=cfi'):
        result = s.run([VICTIM, 'hello'], given)
        t.ok(unharmed(result) and ours(result) == [], f'{given!r} is no nonsense', result)
        wants_line = re.search(r'gc.?trace', given, re.I) and 'only=other' not in given
        t.equal(bool(result.lines), bool(wants_line), f'{given!r}: a line, or none', result)

    result = s.run([VICTIM, 'hello'], 'gctrce=1,gctrace=1,memprofilerate=lots,nonsense')
    t.ok(unharmed(result) and len(ours(result)) == 3 and len(result.lines) == 1,
         'three pieces of nonsense are three lines; the rest applies', result)

    text = (s.ROOT / 'src/base/options.def').read_text()
    keys = re.findall(r'^OPTION\(\w+, "(\w+)"', text, re.M)
    result = s.run([VICTIM, 'hello'], 'help')
    shown = result.out + result.err
    t.ok(len(keys) > 20 and all(re.search(rf'\b{key}\b', shown) for key in keys),
         f'help shows all {len(keys)} keys', [key for key in keys if key not in shown])
    row = next((line for line in shown.splitlines() if re.match(r'(memdebug:)? *unwind ', line)), '')
    t.ok('(auto|cfi|fp)' in row, 'and what they accept', shown)
    t.ok('~' not in shown, 'but for what is not in this version', shown)
    t.ok(result.status in (0, 7), 'help ends well', result)
    later = re.findall(r'^OPTION\(\w+, "(\w+)", \w+, "[^"]*", LATER', text, re.M)
    t.equal(re.findall(r'^(?:memdebug:)? *(\w+) .*; not in this version\)$', shown, re.M), later,
            'help says which keys are not in this version', shown)

    result = s.run([VICTIM, 'children'], 'gctrce=1')
    t.equal(len([line for line in result.rest if line.startswith('memdebug:')]), 1,
            'said once by a process and its forks, vforks and execs', result)

    for gctrace in ('1', 'json'):
        result = s.run([VICTIM, 'hello'], f'gctrace={gctrace},gc=off')
        t.ok(unharmed(result) and ours(result) == ['memdebug: gctrace has no lines to print: gc=off'],
             f'gctrace={gctrace} without cycles: not silent', result)
    result = s.run([VICTIM, 'hello'], 'gctrace=0,gc=off')
    t.ok(unharmed(result) and not ours(result), 'gc=off: as asked for', result)
    environment = s.run(['/usr/bin/env'], 'gctrace=1').out
    t.ok('MEMDEBUG=gctrace=1' in environment, 'the variable passes on to children unchanged',
         environment)
