#!/usr/bin/env python3
"""Known allocation by call site against the profile.

A sample of one object of size S at mean gap R is drawn with p = 1 - exp(-S/R) and stands for 1/p
objects, so the estimate of n objects has the variance n (1-p)/p.  Each estimate of each run must
lie within four standard errors, up to the number of exceptions that chance alone gives once in
10^5; the sum over the runs, which is what shows a bias, must lie within four of its own.  A sum that
does not is drawn once more from new runs, where it must.  Together by chance less than once in 10^4.
At rate 1 every figure is exact.
"""

import math
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

VALUES = ('alloc_objects', 'alloc_space', 'inuse_objects', 'inuse_space')
LIMIT = 4.0
RUNS = int(os.environ.get('MEMDEBUG_SAMPLING_RUNS', '6'))


def one_run(size, memdebug, rate):
    """(truth, estimate) by site of one run of the program."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'profile.pb.gz'
        result = s.run([s.PROGRAMS / 'sites', size, path] + (rate.split() if rate else []), memdebug)
        if result.status != 0:
            raise RuntimeError(f'sites: {result}')
        profile = s.read_profile(path)
    if profile.types != s.SAMPLE_TYPES:
        raise RuntimeError(f'sample types {profile.types}')
    estimate = profile.by_function(lambda name: name.startswith('site_'))
    return s.key_values(result.out), estimate, profile


def standard_error(truth, value, rate):
    """Of the estimate of one run."""
    objects, space = truth[value.split('_')[0] + '_objects'], truth[value.split('_')[0] + '_space']
    if objects == 0:
        return 0.0
    size = space / objects
    p = -math.expm1(-size / rate)
    error = math.sqrt(objects * (1 - p) / p)
    return error * (size if value.endswith('space') else 1)


def batch(runs, size, memdebug, set_rate, rate):
    """(deviations of the sums in standard errors, single deviations, different results seen)."""
    sums, singles, seen = {}, [], set()
    for _ in range(runs):
        truth, estimate, _ = one_run(size, memdebug, set_rate)
        seen.add(str(sorted(estimate.items())))
        for site, values in truth.items():
            for i, value in enumerate(VALUES):
                error = standard_error(values, value, rate)
                off = estimate.get(site, [0] * 4)[i] - values[value]
                if error == 0:  # nothing of it: then the estimate is 0, to the rounding of weights
                    singles.append((abs(off) / max(values[value] * 0.002, 1), site, value))
                    continue
                # Sampled objects are whole numbers of 1/1024: allow one unit a sample.
                rounding = values[value] / 2048
                deviation = max(0.0, abs(off) - rounding) / error
                singles.append((deviation, site, value))
                total = sums.setdefault((site, value), [0.0, 0.0, 0.0])
                total[0] += off
                total[1] += error * error
                total[2] += rounding
    pooled = {key: math.copysign(max(0.0, abs(off) - rounding * 0.1) / math.sqrt(variance), off)
              for key, (off, variance, rounding) in sums.items()}
    return pooled, singles, seen


def allowed_exceptions(count):
    """Exceptions beyond LIMIT among `count` that chance exceeds once in 10^5.  The distribution is
    skewed (few samples each), so a tail of 5e-4 is taken for the normal one's 6e-5."""
    mean, k, term = count * 5e-4, 0, math.exp(-count * 5e-4)
    below = term
    while 1 - below > 1e-5:
        k += 1
        term *= mean / k
        below += term
    return k


def check_statistics(t, name, size, memdebug, set_rate, rate):
    pooled, singles, seen = batch(RUNS, size, memdebug, set_rate, rate)
    beyond = [f'{site} {value}: {deviation:.1f}' for deviation, site, value in singles
              if deviation > LIMIT]
    limit = allowed_exceptions(len(singles))
    t.ok(len(beyond) <= limit, f'{name}: {len(singles)} estimates within 4 standard errors '
         f'({len(beyond)} beyond, chance allows {limit})', '\n'.join(beyond))
    suspects = {key: z for key, z in pooled.items() if abs(z) > LIMIT}
    if suspects:
        again, _, _ = batch(RUNS, size, memdebug, set_rate, rate)
        suspects = {key: (z, again[key]) for key, z in suspects.items() if abs(again[key]) > LIMIT}
    worst = max(pooled.items(), key=lambda item: abs(item[1]))
    t.ok(not suspects, f'{name}: no bias over {RUNS} runs '
         f'(furthest: {worst[0][0]} {worst[0][1]} {worst[1]:+.1f})', suspects)
    # All sites together are five times as sharp as each.
    for value in ('alloc_objects', 'inuse_objects'):
        signed = [z for (_, which), z in pooled.items() if which == value]
        overall = sum(signed) / math.sqrt(len(signed))
        t.ok(abs(overall) < 4.5, f'{name}: no bias of {value} over all sites ({overall:+.1f})')
    t.ok(RUNS < 2 or len(seen) > 1, f'{name}: runs differ from each other')


def check_exact(t, name, memdebug, set_rate):
    truth, estimate, profile = one_run(500000, memdebug, set_rate)
    wrong = [f'{site} {value}: {estimate.get(site, [0] * 4)[i]}, truth {values[value]}'
             for site, values in truth.items() for i, value in enumerate(VALUES)
             if estimate.get(site, [0] * 4)[i] != values[value]]
    t.equal(wrong, [], f'{name}: {len(truth) * len(VALUES)} figures are exact')
    t.equal(profile.period, 1, f'{name}: the period is the rate')
    sized = all('bytes' in labels for _, _, labels in profile.samples)
    t.ok(sized and profile.samples, f'{name}: each sample has the label bytes')


with s.Tap() as t:
    if not t.missing('profiles', 'go'):
        half_mb, page = 64 << 20, 3 << 20
        check_statistics(t, 'plain at 512 KiB', half_mb, None, None, 524288)
        check_statistics(t, 'tracked at 512 KiB', half_mb, 'gc=ready', None, 524288)
        check_statistics(t, 'plain at 4 KiB', page, None, '4096', 4096)
        check_statistics(t, 'tracked at 4 KiB', page, 'gc=ready,memprofilerate=4096', None, 4096)
        check_statistics(t, 'tracked by its rate, 4 KiB', page, 'memprofilerate=4KiB', None, 4096)
        check_statistics(t, 'tracked, 4 KiB set later', page, 'gc=ready', '4096', 4096)
        # The rate at which most errors are reckoned is the greatest: they are no more than that.
        check_statistics(t, 'plain, changed each 1000 blocks', half_mb // 4, None, '64K 128K 70K', 131072)
        check_statistics(t, 'tracked, changed each 1000 blocks', page, 'gc=ready', '4096 16K 1K 9K', 16384)
        check_exact(t, 'plain at 1', None, '1')
        check_exact(t, 'tracked at 1', 'gc=ready,memprofilerate=1', None)
        check_exact(t, 'tracked by its rate, 1', 'memprofilerate=1', None)
        _, _, nothing = one_run(500000, 'memprofilerate=0', None)
        t.equal(len(nothing.samples), 0, 'rate 0 samples nothing')
