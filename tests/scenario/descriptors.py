#!/usr/bin/env python3
"""Lines go to the descriptor 2 that the program was started with, or nowhere; they never block."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

VICTIM = s.PROGRAMS / 'victim'


def full_pipe():
    """(read end, write end) of a pipe without room for a byte, in blocking mode."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b'x' * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    return reader, writer


with s.Tap() as t, tempfile.TemporaryDirectory() as temporary:
    directory = Path(temporary)

    for memdebug in ('gctrace=1', 'gctrace=json', 'gctrace=1,nonsense=1', 'gctrace=1,heapprofile=/none/x'):
        path = directory / 'own'
        result = s.run([VICTIM, 'reuse2', path], memdebug)
        t.equal((result.status, result.out), (0, 'done\n'), f'{memdebug}: a daemon reuses descriptor 2',
                result)
        t.equal(path.read_text(), "the program's own file\n", f'{memdebug}: nothing of ours in its file')
        result = s.run([VICTIM, 'close2'], memdebug)
        t.equal((result.status, result.out), (0, 'done\n'), f'{memdebug}: descriptor 2 closed', result)
        result = s.run(['/bin/sh', '-c', f'exec "{VICTIM}" reuse2 "{path}" 2>&-'], memdebug)
        t.equal((result.status, result.out), (0, 'done\n'),
                f'{memdebug}: descriptor 2 closed from the start', result)
        t.equal(path.read_text(), "the program's own file\n", f'{memdebug}: nothing in the file then')

    # A pipe that nobody reads.
    for memdebug in ('gctrace=1', 'gctrace=1,nonsense=1,more=2', 'gctrace=1,gcinterval=50ms'):
        reader, writer = full_pipe()
        start = time.monotonic()
        process = subprocess.Popen([VICTIM, 'cycles', '10'], stderr=writer, stdout=subprocess.PIPE,
                                   env=s.environment(memdebug), stdin=subprocess.DEVNULL)
        try:
            out, _ = process.communicate(timeout=60)
            t.equal((process.returncode, out), (0, b'done=10 last=0\n'),
                    f'{memdebug}: a full pipe on stderr blocks nothing')
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            t.ok(False, f'{memdebug}: a full pipe on stderr blocks nothing', 'still running after 60 s')
        flags = fcntl.fcntl(writer, fcntl.F_GETFL)
        t.ok(not flags & os.O_NONBLOCK, f'{memdebug}: the pipe is still in blocking mode')
        os.set_blocking(reader, False)
        left = b''
        try:
            while chunk := os.read(reader, 65536):
                left += chunk
        except BlockingIOError:
            pass
        t.equal(left.strip(b'x'), b'', f'{memdebug}: no part of a line in it')
        os.close(reader)
        os.close(writer)

    # A reader that is slow gets whole lines.
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 16384)
    process = subprocess.Popen([VICTIM, 'cycles', '150'], stderr=writer, stdout=subprocess.PIPE,
                               env=s.environment('gctrace=1,gc=ready'), stdin=subprocess.DEVNULL)
    process.wait(60)
    os.close(writer)
    with os.fdopen(reader, 'rb') as pipe:
        text = pipe.read().decode()
    cycles, _, rest = s.split_trace(text)
    t.equal(rest, [], f'only whole lines fit into a small pipe ({len(cycles)} of 150 did)')
    t.ok(30 <= len(cycles) <= 110, 'and about as many as there is room for')

    # The reader has gone: no SIGPIPE for the program.
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen([VICTIM, 'cycles', '5'], stderr=writer, stdout=subprocess.PIPE,
                               env=s.environment('gctrace=1,gc=ready'), stdin=subprocess.DEVNULL)
    os.close(writer)
    out, _ = process.communicate(timeout=60)
    t.equal((process.returncode, out), (0, b'done=5 last=0\n'), 'a reader that has gone kills nobody')

    # gctracefile, and JSON.
    trace = directory / 'trace-{pid}.log'
    for _ in range(2):
        result = s.run([VICTIM, 'cycles', '3'], f'gctrace=1,gc=ready,gctracefile={trace}')
        t.equal((result.err, result.out), ('', 'done=3 last=0\n'), 'gctracefile: nothing on stderr')
        path = directory / f'trace-{result.pid}.log'
        cycles, _, rest = s.split_trace(path.read_text() if path.exists() else '')
        t.equal((len(cycles), rest), (3, []), 'gctracefile: the lines are in it')
    shared = directory / 'shared.log'
    for _ in range(2):
        s.run([VICTIM, 'cycles', '3'], f'gctrace=1,gc=ready,gctracefile={shared}')
    t.equal(len(s.split_trace(shared.read_text())[0]), 6, 'gctracefile: appends')
    result = s.run([VICTIM, 'hello'], 'gctrace=1,gctracefile=/nowhere/at/all')
    t.ok(result.status == 7 and len(result.rest) == 2 and '/nowhere/at/all' in result.err,
         'gctracefile that cannot be opened: one line', result)

    result = s.run([VICTIM, 'cycles', '3'], 'gctrace=json,gc=ready')
    records = []
    for line in result.err.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            t.ok(False, 'json: each line is JSON', line)
    t.equal(len(records), 3, 'json: one record a cycle', result)
    numbers = sorted(value for record in records for key, value in record.items()
                     if key in ('gc', 'number', 'cycle'))
    t.equal(numbers, [1, 2, 3], 'json: numbered from 1', records[:1])
