#!/usr/bin/env python3
"""Every instruction of the library has unwind information, and that of the hand-made code is true: a
profiler's or a crash handler's stack does not end in malloc."""

import bisect
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

# Of the compiler's start files, which have none.
START = {'_init', '_fini', 'deregister_tm_clones', 'register_tm_clones', '__do_global_dtors_aux', 'frame_dummy'}
# Unwinders know the end of a signal handler by its bytes (src/gc/sys/raw_x86_64.S).
RESTORERS = {'raw_restorer'}
PADDING = ('nop', 'int3', 'xchg %ax,%ax', 'data16 cs nop', 'cs nop')


def tool(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True,
                          env=s.environment(preload=False)).stdout


def instructions():
    """{function: [(address, mnemonic, operands)]}"""
    found, name = {}, None
    for line in tool('objdump', '-d', '--no-show-raw-insn', '-j', '.text', s.LIB).splitlines():
        if match := re.match(r'^[0-9a-f]+ <(\S+)>:$', line):
            name = match[1]
        elif match := re.match(r'^\s+([0-9a-f]+):\s+(\S+)\s*(.*)$', line):
            found.setdefault(name, []).append((int(match[1], 16), match[2], match[3]))
    return found


def frames():
    """[(start, end)] that are described, and {address: bytes from rsp to the CFA} at each change."""
    ranges, rows, bounds = [], {}, None
    for line in tool('readelf', '--debug-dump=frames-interp', s.LIB).splitlines():
        if match := re.search(r' FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)', line):
            bounds = (int(match[1], 16), int(match[2], 16))
            ranges.append(bounds)
            rows[bounds[0]] = 8  # one that has no row of its own is as its CIE says
        elif ' CIE ' in line:
            bounds = None
        elif bounds and (match := re.match(r'^([0-9a-f]{16}) rsp\+(\d+) ', line)):
            rows[int(match[1], 16)] = int(match[2])
    return sorted(ranges), rows


def depths(code):
    """The true distance, of code that runs straight through."""
    depth = 8
    for address, mnemonic, operands in code:
        yield address, depth
        if mnemonic == 'push':
            depth += 8
        elif mnemonic == 'pop':
            depth -= 8
        elif 'rsp' in operands.rsplit(',', maxsplit=1)[-1] and '(' not in operands:
            yield address, None  # it does something else


with s.Tap() as t:
    code, (ranges, rows) = instructions(), frames()
    starts = sorted(rows)
    bare = {}
    first = [start for start, _ in ranges]
    for name, listing in code.items():
        for address, *text in listing:
            text = ' '.join(text)
            i = bisect.bisect_right(first, address) - 1
            if name not in START | RESTORERS and not text.startswith(PADDING) and (i < 0 or address >= ranges[i][1]):
                bare[name] = bare.get(name, 0) + 1
    # The page of jumps runs in the place of malloc and free only (mremap).
    bare.pop('entry_page_tracked', None)
    t.ok(len(code) > 1000, f'{sum(map(len, code.values()))} instructions of {len(code)} functions')
    t.equal(bare, {}, 'every instruction has unwind information')

    exports = {word for line in (Path(__file__).parent / 'exports.txt').read_text().splitlines()
               for word in line.split('#')[0].split()} - {'malloc_conf', 'malloc_message', 'dlclose', 'md_version',
                                                          'md_set', 'md_gc', 'md_heap_profile', 'md_free_os_memory'}
    boots = {name for name in code if name.startswith('boot_')}
    hand_made = sorted(exports | boots)
    t.ok(len(boots) > 40 and 'boot_keeping_arguments' in boots, f'{len(boots)} of first calls', boots)
    t.equal([name for name in hand_made if name not in code], [], f'{len(hand_made)} functions made by hand')
    wrong = [f'{name} {address:x}: {rows[starts[bisect.bisect_right(starts, address) - 1]]}, not {depth}'
             for name in hand_made for address, depth in depths(code.get(name, []))
             if rows[starts[bisect.bisect_right(starts, address) - 1]] != depth]
    t.equal(wrong, [], 'the stack pointer that each of their instructions is said to have')

    for memdebug in ('memprofilerate=0', 'gc=ready,memprofilerate=0'):
        result = s.run([s.PROGRAMS / 'stepped'], memdebug)
        t.equal((result.status, result.out), (0, 'steps=many lost=0 first=0\n'),
                f'{memdebug}: one instruction at a time', result)
