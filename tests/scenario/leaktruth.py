#!/usr/bin/env python3
"""The leak-truth suite: more than a hundred small programs, each of which knows which of its objects
are reachable, direct leaks and indirect ones.  The cycles' records say the same, to the object and
the byte, by each engine; at rate 1 the samples' flags do; LeakSanitizer says the same but for the differences that
are stated with the case, each with its reason."""

import json
import os
import re
import struct
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

PROGRAM, LSAN = s.PROGRAMS / 'leaktruth', s.PROGRAMS / 'leaktruth_lsan'
PLUGIN = s.PROGRAMS / 'libplugin.so'
UNREACHED, LEAK, INDIRECT = 2, 4, 8
CASES_MIN = 60


def cases():
    """{name: (direct, indirect, why)}: what LeakSanitizer says where it differs; why '' if it agrees."""
    result = s.run([PROGRAM, PLUGIN, '--list'], preload=False)
    rows = [line.split('\t') for line in result.out.splitlines()]
    return {name: (int(direct), int(indirect), why) for name, direct, indirect, why in rows}


def truths(text):
    """{pid: [{key: number}]}: what the program knew at each of its cycles."""
    found = {}
    for line in text.splitlines():
        if line.startswith('truth '):
            truth = {key: int(value) for key, value in (word.split('=') for word in line.split()[1:])}
            found.setdefault(truth['pid'], []).append(truth)
    return found


def records(text):
    found, rest = {}, []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            rest.append(line)
            continue
        if record['type'] == 'gc':
            found.setdefault(record['pid'], []).append(record)
    return found, rest


def leak_faults(lines):
    """What is lost at the end was lost in the cycle before; after one cycle nobody knows what leaks."""
    first, last = lines[0], lines[-1]
    faults = ['leaks known after one cycle'] if 'leaked_objects' in first else []
    if len(lines) > 1:
        got, wanted = [[last.get(f'{what}_{unit}') for unit in ('objects', 'bytes')] for what in ('leaked', 'unreachable')]
        faults += [f'leaks {got} ({wanted})'] if got != wanted else []
    return faults


def compare(result, expected_status):
    """Faults of one run: each cycle's record against what the program knew then, (in brackets)."""
    known, (told, rest) = truths(result.out), records(result.err)
    if result.status != expected_status or rest or not known:
        return [f'the program: {result!r}']
    faults = []
    for pid, truth in known.items():
        lines = told.get(pid, [])
        if len(lines) != len(truth):
            faults.append(f'{len(lines)} records for {len(truth)} cycles: {result!r}')
            continue
        faults += leak_faults(lines)
        base = None
        for t, r in zip(truth, lines):
            if t['error']:
                faults.append(f'md_gc said {t["error"]}')
            if base is None:  # the program's and libc's own, all reachable
                base = {key: r[f'live_{key}'] - t[value] for key, value in
                        (('objects', 'live'),)}
                base['bytes'] = r['heap_live_bytes'] - t['live_bytes']
            if t['open_live']:
                base = {'objects': r['live_objects'] - t['live'],
                        'bytes': r['heap_live_bytes'] - t['live_bytes']}
            wanted = {
                'live_objects': base['objects'] + t['live'],
                'heap_live_bytes': base['bytes'] + t['live_bytes'],
                'unreachable_objects': t['direct'] + t['indirect'],
                'unreachable_bytes': t['direct_bytes'] + t['indirect_bytes'],
                'direct_objects': t['direct'],
                'direct_bytes': r['direct_bytes'] if t['open_bytes'] else t['direct_bytes'],
            }
            got = {key: r[key] for key in wanted}
            wrong = [f'{key} {got[key]} ({wanted[key]})' for key in wanted if got[key] != wanted[key]]
            faults += [f'cycle {r["cycle"]}: {", ".join(wrong)}'] if wrong else []
    return faults


def live_samples(path):
    """(size, flags) of each live sample of a segment file, straight from its bytes."""
    with open(path, 'rb') as file:
        header = file.read(4096)

        def entries(section, form):
            offset, size, _, capacity, count = struct.unpack_from('<QIIQQ', header, 80 + 32 * section)
            data = os.pread(file.fileno(), min(count, capacity) * size, offset)
            return [struct.unpack_from(form, data, at) for at in range(0, len(data), size)]
        sizes = [size for _, _, size in entries(3, '<IIQ')]
        return [(sizes[bucket], flags) for addr, _, bucket, _, _, flags in entries(4, '<QQIIII') if addr]


def sample_faults(samples, last):
    """Each unreachable block is a flagged sample, no other is; seen twice they are leaks."""
    flagged = [(size, flags) for size, flags in samples if flags & UNREACHED]
    wanted = {
        'unreachable samples': (len(flagged), last['unreachable_objects']),
        'their bytes': (sum(size for size, _ in flagged), last['unreachable_bytes']),
        'direct ones': (sum(not flags & INDIRECT for _, flags in flagged), last['direct_objects']),
        'their bytes, direct': (sum(size for size, flags in flagged if not flags & INDIRECT),
                                last['direct_bytes']),
        'leaks': (sum(bool(flags & LEAK) for _, flags in flagged), last['unreachable_objects']),
        'leaks in the record': (last['leak_samples'], last['unreachable_objects']),
        'LEAK or INDIRECT alone': (sum(bool(flags & (LEAK | INDIRECT)) and not flags & UNREACHED
                                       for _, flags in samples), 0),
        'samples in all': (len(samples) >= last['live_objects'] * 9 // 10, True),
    }
    return [f'{key}: {got} ({truth})' for key, (got, truth) in wanted.items() if got != truth]


def by_engine(name, engine):
    return s.run([PROGRAM, PLUGIN, name], f'gctrace=json,gc=ready,gcengine={engine}')


def judge(name, engines):
    """Faults of one case: by each engine, and with every block sampled."""
    faults = []
    for engine in engines:
        if (engine, name) != ('clone', 'pool-unforked'):  # which a clone refuses
            faults += [f'{engine}: {fault}' for fault in compare(by_engine(name, engine), 0)]
    with tempfile.TemporaryDirectory(prefix='mdtruth-', dir='/dev/shm') as directory:
        memdebug = f'gctrace=json,gc=ready,memprofilerate=1,dir={directory}'
        result = s.run([PROGRAM, PLUGIN, name, 'kill'], memdebug)
        faults += ['at rate 1: ' + fault for fault in compare(result, -9)]
        last = records(result.err)[0].get(result.pid, [None])[-1]
        files = list(Path(directory).glob(f'{result.pid}-*.mdseg'))
        if last is None or len(files) != 1:
            faults.append(f'no segment: {files} {result!r}')
        else:
            faults += sample_faults(live_samples(files[0]), last)
    return faults


LEAKS = re.compile(r'^(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object\(s\)', re.M)


def lsan(name):
    """(direct, indirect) objects by LeakSanitizer, or None and what it said."""
    result = s.run([LSAN, PLUGIN, name], preload=False,
                   env={'LSAN_OPTIONS': 'exitcode=0:symbolize=0'})
    if result.status != 0 or 'fatal error' in result.err:
        return None, result.err[-300:]
    count = {'Direct': 0, 'Indirect': 0}
    for kind, _, objects in LEAKS.findall(result.err):
        count[kind] += int(objects)
    return (count['Direct'], count['Indirect']), truths(result.out)


with s.Tap() as t:
    known = cases()
    wanted = sys.argv[1:] or list(known)
    if len(sys.argv) == 1:
        t.ok(len(known) >= CASES_MIN, f'{len(known)} programs')
    engines = ['clone', 'stop']
    if 'truth' in (probe := by_engine('single', 'wp')).out and 'gcskip' not in probe.err:
        engines.append('wp')
    else:
        t.skip('the engine that tracks writes', 'not to be had here: ' + probe.err[-200:])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, faults in zip(wanted, pool.map(lambda name: judge(name, engines), wanted)):
            t.ok(not faults, f'{name}: live, direct and indirect are the truth',
                 '\n'.join(faults))
    reason = None
    if not LSAN.exists():
        reason = 'built without -fsanitize=leak'
    elif lsan('single')[0] is None:
        reason = 'LeakSanitizer does not run here: ' + ' '.join(lsan('single')[1].split())[:120]
    if reason:
        t.skip('LeakSanitizer beside it', reason)
    else:
        asked = [name for name in wanted if known[name][0] >= 0]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, (got, truth) in zip(asked, pool.map(lsan, asked)):
                direct, indirect, why = known[name]
                last = list(truth.values())[0][-1] if got and truth else {}
                # A newer one may have learnt what an older one does not see: the truth is never wrong.
                right = [(last.get('direct'), last.get('indirect'))] + ([(direct, indirect)] if why else [])
                t.ok(got in right, f'{name}: LeakSanitizer ' + (f'may differ: {why}' if why else 'says the same'),
                     f'got {got}, expected one of {right}' + ('' if got else f'\n{truth}'))
