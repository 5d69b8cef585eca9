#!/usr/bin/env python3
"""again.py DIRECTORY [OPTION of meson test...]: tries what failed in meson's last run there three times more.

A point of 25,000 may fail because the machine was busy for a moment; three more runs of that test say more.
If all three pass, the last one's record takes its place in testlog.json, marked as unsteady and with what
failed at first, which tests/support/summary.py reports; else the failure stays.  More than two tests that
fail are no accident, and are not tried again.  Exit status 0: nothing failed in the end.
"""

import json
import subprocess
import sys
from pathlib import Path

from summary import count, tell

TIMES, TESTS_MAX = 3, 2


def read(path):
    try:
        return [json.loads(line) for line in path.read_text(encoding='utf-8', errors='replace').splitlines()]
    except (OSError, ValueError):
        return []


def passes_again(directory, name, options):
    """Whether the test, by its name in the log (PROJECT:SUITE+SUITE / NAME), passes each time; the last record."""
    suite, test = name.partition(':')[2].split(' / ', 1)
    log = directory / 'meson-logs' / 'again.json'
    log.unlink(missing_ok=True)
    subprocess.run(['meson', 'test', '-C', directory, '--no-rebuild', '--logbase', 'again', '--repeat', str(TIMES),
                    '--suite', suite.split('+')[0], *options, test], check=False)
    records = read(log)
    return len(records) == TIMES and not any(count(record)[1] for record in records), records[-1:]


def main():
    directory, options = Path(sys.argv[1]), sys.argv[2:]
    log = directory / 'meson-logs' / 'testlog.json'
    records = read(log)
    failed = [record for record in records if count(record)[1]]
    if not 0 < len(failed) <= TESTS_MAX:
        sys.exit(1)
    print(f'trying again, {TIMES} times each:', *(record['name'] for record in failed), flush=True)
    for record in failed:
        passes, last = passes_again(directory, record['name'], options)
        if passes:
            records[records.index(record)] = {**last[0], 'unsteady': tell(record)}
    log.write_text(''.join(json.dumps(record) + '\n' for record in records), encoding='utf-8')
    sys.exit(any(count(record)[1] for record in records))


if __name__ == '__main__':
    main()
