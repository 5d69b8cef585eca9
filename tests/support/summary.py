#!/usr/bin/env python3
"""Counts the test points of meson's testlog.json files: `N passed, N failed, N skipped`.

A test that speaks TAP counts as its points; one that does not counts as one.  One that failed although
its points did not (a crash, a timeout) has one failed point.  Fails if a test failed, or if none ran.
"""

import json
import re
import sys

POINT = re.compile(r'^(not )?ok\b(.*)$', re.M)
DONE = {'OK': 'passed', 'EXPECTEDFAIL': 'passed', 'SKIP': 'skipped'}


def count(record):
    """(passed, failed, skipped) of one test."""
    passed = failed = skipped = 0
    for bad, rest in POINT.findall(record.get('stdout', '')):
        if re.search(r'# *skip', rest, re.I):
            skipped += 1
        elif bad:
            failed += 1
        else:
            passed += 1
    verdict = DONE.get(record['result'], 'failed')
    if passed + failed + skipped == 0:
        return verdict == 'passed', verdict == 'failed', verdict == 'skipped'
    if verdict == 'failed' and failed == 0:
        failed = 1
    return passed, failed, skipped


def tell(record):
    """The points that failed with what they say, or how it ended."""
    lines, failing = [], False
    for line in record.get('stdout', '').splitlines():
        failing = line.startswith('not ok') or (failing and line.startswith('#'))
        if failing:
            lines.append(line)
    return lines[:40] or record.get('stderr', '').splitlines()[-20:]


def main():
    sums, failing, unsteady = [0, 0, 0], [], []
    for path in sys.argv[1:]:
        try:
            with open(path, encoding='utf-8', errors='replace') as file:
                records = [json.loads(line) for line in file]
        except (OSError, ValueError) as error:
            print(f'{path}: {error}')
            records = [{'name': path, 'result': 'ERROR'}]
        for record in records:
            points = count(record)
            sums = [a + b for a, b in zip(sums, points)]
            name = f'{path.split("/")[0]}: {record["name"]}'
            if points[1]:
                failing.append(f'{name} ({record["result"]})')
                failing += ['  ' + line for line in tell(record)]
            if 'unsteady' in record:
                unsteady.append(f'{name}: failed once, then passed each time (tests/support/again.py)')
                unsteady += ['  ' + line for line in record['unsteady']]
    # Last, where the end of a long log still shows it.
    for line in unsteady:
        print('unsteady:', line)
    for line in failing:
        print('failed:', line)
    print(f'{sums[0]} passed, {sums[1]} failed, {sums[2]} skipped')
    sys.exit(1 if sums[1] or not sums[0] else 0)


if __name__ == '__main__':
    main()
