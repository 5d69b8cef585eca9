#!/usr/bin/env python3
"""Who holds a block, and what would go with a call site: memtop why and memtop retained, of a program whose graph is
known; asked of both variants, and of a process that was started with nothing set."""

import contextlib
import ctypes
import json
import math
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

HELD = s.PROGRAMS / 'held'
# include/memdebug/segment.h
CONTROL = 3056
QUESTION, QUESTION_SERVED, QUESTION_LOCK, QUESTION_TEXT = 32, 284, 280, 296
SYS_FUTEX, FUTEX_WAKE = 202, 1


def memtop(*arguments, timeout=120):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=timeout)


@contextlib.contextmanager
def held(memdebug, *arguments, program=HELD):
    """(pid, where each of its blocks lies)."""
    process = subprocess.Popen([program, *arguments], env=s.environment(memdebug), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        blocks = {}
        while (line := process.stdout.readline().split()) != ['ready']:
            assert line, 'held has ended'
            blocks[line[0]] = int(line[1], 16)
        yield process.pid, blocks
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def asked(*arguments):
    """As memtop; on a machine that has no CPU for it a stop may come to nothing, which is said."""
    for _ in range(10):
        result = memtop(*arguments)
        if 'could not answer: ' not in result.err:
            break
    return result


def why(pid, what, *arguments):
    """What is said of it, one object for each block; or the result that says nothing."""
    what = hex(what) if isinstance(what, int) else what
    result = asked('why', str(pid), what, '--json', *arguments)
    lines = [json.loads(line) for line in result.out.splitlines()]
    return lines if result.status == 0 and lines else result


def blocks_of(answer):
    return [int(step['block'], 16) for step in answer['path']]


def is_path(t, pid, at, block, variable, through, offsets, what):
    """The one path to a block: from a global variable, through these, by pointers at these places in them."""
    answer = why(pid, at[block])
    if not isinstance(answer, list):
        t.ok(False, what, answer)
        return
    answer = answer[0]
    t.ok(answer['state'] == 'reachable' and answer['root']['kind'] == 'module' and
         answer['root']['variable'] == variable and answer['root']['path'] == str(HELD) and
         blocks_of(answer) == [at[name] for name in through] and
         [step['offset_bytes'] for step in answer['path']] == offsets, what, answer)


def graph(t, memdebug, *arguments, sites):
    """`sites`: every block has a sample, so each on the path has the name of who allocated it."""
    with held(memdebug, *arguments) as (pid, at):
        name = f'{memdebug or "nothing set"}: '
        is_path(t, pid, at, 'table', 'table', ['table'], [None], name + 'what a global holds')
        is_path(t, pid, at, 'payload', 'table', ['table', 'buckets', 'node', 'payload'], [8, 40, 8, None],
                name + 'through a table')
        answer = why(pid, at['last_payload'])[0]
        t.ok(len(answer['path']) == 6 and blocks_of(answer)[:2] == [at['table'], at['buckets']] and
             [step['offset_bytes'] for step in answer['path']] == [8, 24, 0, 0, 8, None],
             name + 'down a bucket: the shortest path', answer)
        is_path(t, pid, at, 'ring_third', 'ring', ['ring', 'ring_second', 'ring_third'], [0, 0, None],
                name + 'round a ring the short way')
        is_path(t, pid, at, 'inside', 'inside', ['inside'], [None], name + 'a pointer into the middle')
        answer = why(pid, at['list_tail'])[0]
        shown = blocks_of(answer)
        t.ok(answer['path_blocks'] == 1000 and answer['root']['variable'] == 'list' and len(shown) < 100 and
             shown[0] == at['list'] and shown[-1] == at['list_tail'], name + 'a long path is cut in its middle', answer)
        answer = why(pid, at['shared'])[0]
        t.ok(answer['root']['variable'] in ('left', 'right') and answer['path'][0]['offset_bytes'] == 16,
             name + 'what two hold is held by one of them', answer)
        answer = why(pid, at['stack'])[0]
        t.ok(answer['root']['kind'] in ('stack', 'register') and answer['root']['thread'] == 'holder' and
             answer['root']['tid'] == at['thread_is'] and blocks_of(answer) == [at['stack']],
             name + 'on the stack of a thread, by its name', answer)
        if answer['root']['kind'] == 'stack':
            t.ok(answer['root']['frame'].startswith('hold held.c:'), name + 'and the function whose frame it is', answer)
        answer = why(pid, at['local'])[0]
        t.ok(answer['root']['kind'] == 'thread_local' and answer['root']['thread'] == 'holder' and
             answer['root']['tid'] == at['thread_is'], name + 'a thread-local', answer)
        for lost in ('lost', 'lost_held'):
            answer = why(pid, at[lost])[0]
            t.ok(answer['state'] == 'unreachable' and answer['root'] is None and answer['path'] == [],
                 f'{name}{lost}: nothing leads there', answer)
        answer = why(pid, at['inside'] + 100)[0]
        t.ok(int(answer['block'], 16) == at['inside'] and answer['state'] == 'reachable',
             name + 'an address inside a block is of that block', answer)
        t.equal(why(pid, 0x1000)[0]['state'], 'no_heap', name + 'an address outside the heap')
        t.equal(why(pid, at['freed'])[0]['state'], 'free', name + 'a free one')
        if sites:
            answer = why(pid, at['payload'])[0]
            t.equal([step['site'].split()[0] for step in answer['path']],
                    ['fill_table', 'new_buckets', 'new_node', 'new_payload'], name + 'who allocated each')
            answer = why(pid, 'new_buckets')
            t.ok(len(answer) == 1 and blocks_of(answer[0]) == [at['table'], at['buckets']], name + 'by call site',
                 answer)
            answer = why(pid, 'new_nod', '-n2')
            t.ok(len(answer) == 2 and all(part['state'] == 'reachable' and part['site'].startswith('new_node')
                                          for part in answer), name + 'by part of a name, as many as were asked for', answer)
            answer = why(pid, 'fill_lists', '-n1')
            t.ok(len(answer) == 1 and answer[0]['site'].startswith('new_node') and 'fill_lists' in answer[0]['site'],
                 name + 'by a caller, where no call site has the name', answer)
        text = asked('why', str(pid), hex(at['payload'])).out.splitlines()
        t.ok(len(text) == 6 and text[1].strip() == 'table in held' and text[2].startswith(f"  -> {at['table']:#x}+8 "),
             name + 'as text', text)
        result = memtop('why', str(pid), 'no_such_function')
        t.ok(result.status == 1 and 'no live sample' in result.err, name + 'of a site that there is not', result)


def retained(pid):
    """The sites by the function that begins their names, and what is said of the heap."""
    result = asked('retained', str(pid), '--json')
    rows = [json.loads(line) for line in result.out.splitlines()] if result.status == 0 else []
    sites = {}
    for row in rows:
        if row['type'] == 'retained':
            function = row['site'].split()[0] + (' of the list' if 'new_list_node' in row['site'] else '')
            sites.setdefault(function, []).append(row)
    return sites, rows[-1] if rows else result


NODE, PAYLOAD = 96, 1024 # usable bytes


def exact(t):
    """Every block is sampled."""
    with held('gc=ready,memprofilerate=1') as (pid, _):
        sites, heap = retained(pid)
        t.ok(all(row['exact'] and not row['retained_bytes_error'] and not row['own_bytes_error']
                 for rows in sites.values() for row in rows), 'exact where every block is sampled', sites)
        table = 512 + 200 * (NODE + PAYLOAD)
        for function, size in {'new_buckets': table, 'new_node': 200 * (NODE + PAYLOAD), 'new_payload': 200 * PAYLOAD,
                               'new_node of the list': 1000 * NODE, 'new_shared': 640}.items():
            row = max(sites.get(function, [{'retained_bytes': None, 'own_bytes': 0}]), key=lambda row: row['own_bytes'])
            t.equal(row['retained_bytes'], size, f'{function}: what it retains')
        row = max(sites['fill_table'], key=lambda row: row['retained_bytes'])
        t.equal((row['retained_bytes'], row['own_bytes'], row['objects']), (16 + table, 16, 1), 'all hangs on the table')
        holders = sites['new_holder']
        t.equal(sorted(row['retained_bytes'] for row in holders), [0, 48, 48],
                'what two sites hold goes with neither; nothing goes with what is lost')
        ring = [row['retained_bytes'] for row in sites['new_node'] if row['own_bytes'] == NODE]
        t.equal(sorted(ring), [NODE, 2 * NODE, 3 * NODE], 'of a ring each has what comes behind it')
        t.ok(heap['type'] == 'retained_heap' and not heap['cut'] and
             max(row['retained_bytes'] for rows in sites.values() for row in rows) < heap['reachable_bytes'],
             'the heap is said too', heap)
        text = asked('retained', str(pid), '-n', '3').out.splitlines()
        t.ok(text[0].split()[0] == 'RETAINED' and 'fill_table' in text[1] and text[4].endswith('more: --all') and
             len(text) == 6, 'as text, the greatest first', text)


def estimated(t, memdebug, rate, *arguments):
    """By samples.  The list is known, as some node of so many is sampled; of the rest the error can be told."""
    with held(memdebug, *arguments, '200') as (pid, _):
        name = f'{memdebug or "nothing set"}: '
        sites, heap = retained(pid)
        nodes = 40000
        # Of 64 buckets each is a chain, which is seen if one of its nodes is sampled.
        seen = 1 - math.exp(-nodes / 64 * NODE / rate)
        truth = {'new_node of the list': (200000 * NODE, 0.002),
                 'new_payload': (nodes * PAYLOAD, math.sqrt(rate / (nodes * PAYLOAD))),
                 'new_node': (nodes * (NODE + PAYLOAD), math.sqrt((1 - seen) / (seen * 64)))}
        for function, (size, error) in truth.items():
            if 5 * error >= 1:
                continue # at this rate
            row = max(sites.get(function, [{'retained_bytes': 0}]), key=lambda row: row['retained_bytes'])
            t.ok(abs(row['retained_bytes'] - size) <= 5 * error * size, f'{name}{function}: within its error',
                 (row, size, error))
            t.ok(function == 'new_node of the list' or
                 0.3 < row['retained_bytes_error'] / (error * row['retained_bytes']) < 3,
                 f'{name}{function}: the error that is told', (row, size, error))
        for row in sites.get('new_tiny', []):
            usable = 16 if memdebug else 8 # README, "Blocks of 8 bytes"
            t.ok(all(abs(row[key] - usable * row['objects']) < usable for key in ('own_bytes', 'retained_bytes')),
                 name + 'the smallest blocks have their bytes', row)
        t.ok('new_tiny' in sites or rate > 65536, name + 'and they are there', sites)
        t.ok(all(row['retained_bytes'] <= heap['reachable_bytes'] for rows in sites.values() for row in rows),
             name + 'no site retains more than there is', (sites, heap))


def unnamed(t):
    """A variable without a symbol has not the name of a mark before it (__TMC_END__ is where .bss begins)."""
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / 'stripped'
        subprocess.run(['objcopy', '--strip-all', '-K', '__TMC_END__', HELD, program], check=True)
        with held('gc=ready', program=program) as (pid, at):
            root = why(pid, at['table'])[0]['root']
            t.ok(root['kind'] == 'module' and root['variable'] is None and root['text'].startswith('stripped+0x'),
                 'a variable without a symbol is told by its place in the module', root)


def refused(t):
    with held('gc=off') as (pid, at):
        result = memtop('why', str(pid), hex(at['table']))
        t.ok(result.status == 1 and 'gc=off' in result.err, 'gc=off is honoured', result)
    result = memtop('why', '1', 'zzz')
    t.ok(result.status != 0, 'who is not on memdebug is told so', result)


def hostile(t):
    """Anybody who may write to the segment may write a question that nobody would."""
    with held('gc=ready', 'busy') as (pid, at):
        s.wait_for(lambda: s.segments(pid), 20)
        with open(s.segments(pid)[0], 'r+b') as file:
            memory = mmap.mmap(file.fileno(), 4096)
        word = ctypes.c_uint32.from_buffer(memory, CONTROL)
        libc = ctypes.CDLL(None)

        def ask(text):
            served = struct.unpack_from('<I', memory, CONTROL + QUESTION_SERVED)[0]
            memory[CONTROL + QUESTION_TEXT:CONTROL + QUESTION_TEXT + 200] = text.ljust(200, b'\0')[:200]
            word.value |= QUESTION
            libc.syscall(SYS_FUTEX, ctypes.byref(word), FUTEX_WAKE, 2**31 - 1, None, None, 0)
            return s.wait_for(lambda: struct.unpack_from('<I', memory, CONTROL + QUESTION_SERVED)[0] != served, 60)

        texts = [b'', b' ', b'why', b'why ', b'why zz', b'why 0', b'why ' + b'f' * 300, b'\xff' * 200,
                 b'why ' + b'1 ' * 98, b'why 7fffffffffff ffffffffffffffff 8000000000000000 10', b'retained', b'retained ' + b'x' * 190, b'whyy 1']
        t.ok(all(ask(text) for text in texts), 'questions that nobody would ask are answered or refused')
        # A memtop that was killed while it asked.
        ended = subprocess.Popen(['true'])
        ended.wait()
        struct.pack_into('<I', memory, CONTROL + QUESTION_LOCK, ended.pid)
        answer = why(pid, at['table'])
        t.ok(isinstance(answer, list) and answer[0]['root']['variable'] == 'table',
             'and the next one is answered as if they had not been', answer)
        answers = []
        several = [threading.Thread(target=lambda name=name: answers.append((name, why(pid, at[name]))))
                   for name in ('table', 'list', 'ring', 'left')]
        for one in several:
            one.start()
        for one in several:
            one.join()
        t.ok(all(isinstance(answer, list) and answer[0]['root']['variable'] == name for name, answer in answers),
             'four who ask at once get each their own answer', answers)
        del word
        memory.close()


with s.Tap() as tap:
    graph(tap, 'gc=ready,memprofilerate=1', sites=True)
    graph(tap, 'gc=ready,gcengine=clone', sites=False)
    graph(tap, None, 'busy', sites=False)
    exact(tap)
    estimated(tap, 'gc=ready,gcengine=clone,memprofilerate=65536', 65536, 'still')
    estimated(tap, None, 524288, 'busy')
    unnamed(tap)
    refused(tap)
    hostile(tap)
