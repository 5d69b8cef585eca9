#!/usr/bin/env python3
"""What things are called: processes that give themselves a title."""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def memtop(*arguments, timeout=60):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=timeout)


def objects(result):
    return [json.loads(line) for line in result.out.splitlines()]


def row_of(pid):
    """What `ps` says of a process: as text, and the command as JSON."""
    text = [line for line in memtop('ps').out.splitlines() if line.split()[:1] == [str(pid)]]
    found = [row for row in objects(memtop('ps', '--json')) if row['pid'] == pid]
    return text[0] if text else '', found[0] if found else {}


def titles(t):
    with s.running([s.PROGRAMS / 'titled', 'as it was started'], ready='ready') as process:
        text, row = row_of(process.pid)
        t.ok(text.endswith('  titled: idle') and row.get('command') == 'titled: idle',
             "a living process's title", (text, row))
        os.kill(process.pid, signal.SIGUSR1)
        t.ok(s.wait_for(lambda: row_of(process.pid)[0].endswith('  titled: busy with 7')),
             'is the one it has now', row_of(process.pid))
        watched = objects(memtop('--json', '-n1', process.pid))
        t.equal(watched[0]['command'], 'titled: busy with 7', 'in the view of one process too')
        t.equal(memtop('-b', '-n1', 'titled').status, 0, 'it is found by its name')
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        text, row = row_of(process.pid)
        t.ok(row.get('state') == 'dead' and 'titled as it was started' in text,
             'the dead are called as they were started', (text, row))
        for segment in s.segments(process.pid):
            segment.unlink()


with s.Tap() as t:
    titles(t)
