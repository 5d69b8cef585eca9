#!/usr/bin/env python3
"""The library exports what exports.txt lists, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def exported(library):
    lines = subprocess.run([s.find('nm'), '-D', '--defined-only', library], capture_output=True,
                           text=True, check=True).stdout.splitlines()
    # A version's own name is an absolute symbol (A), no export.
    return {line.split()[-1].split('@')[0]: line.split()[-2] for line in lines
            if line.split()[-2] != 'A'}


def dynamic(library, tag):
    lines = subprocess.run([s.find('readelf'), '-d', library], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return [line.split('[')[1].rstrip(']') for line in lines if f'({tag})' in line]


with s.Tap() as t:
    listed = {word for line in (Path(__file__).parent / 'exports.txt').read_text().splitlines()
              for word in line.split('#')[0].split()}
    have = exported(s.LIB)
    t.equal(sorted(listed - have.keys()), [], 'nothing of the list is missing')
    t.equal(sorted(have.keys() - listed), [], 'nothing is exported beside the list')
    symbols = (s.ROOT / 'tools/debian/libmemdebug0.symbols').read_text()
    t.equal(sorted(re.findall(r'^ (\w+)@', symbols, re.M)), sorted(listed), 'the package promises the same')
    t.equal(have.get('malloc_conf'), 'V', 'malloc_conf is a weak object')
    for memdebug in (None, 'gc=ready'):
        result = s.run([s.PROGRAMS / 'settings'], memdebug, preload=False)
        t.equal((result.status, result.out, result.err), (0, '3 arenas, messages taken\n', ''),
                f"a program's own malloc_conf and malloc_message, {memdebug or 'unset'}")
    if s.JEMALLOC.exists():
        hooks = {'je_test_hooks_arena_new_hook', 'je_test_hooks_libc_hook'}
        # What jemalloc reads behind all other settings (exported by 5.3.1) has ours.
        settings = {'malloc_conf_2_conf_harder'}
        t.equal(sorted(exported(s.JEMALLOC).keys() - hooks - settings - have.keys()), [],
                "all of libjemalloc.so.2's exports but its test hooks are there")
    t.equal(dynamic(s.LIB, 'SONAME'), ['libmemdebug.so.0'], 'soname')
    needed = dynamic(s.LIB, 'NEEDED')
    unwind = [i for i, name in enumerate(needed) if name.startswith('libunwind')]
    gcc = [i for i, name in enumerate(needed) if name.startswith('libgcc_s')]
    t.ok(not unwind or (gcc and gcc[0] < unwind[0]),
         'libgcc_s stands before libunwind, or libunwind is opened later', needed)
    unwanted = [name for name in needed
                if name.startswith(('libstdc++', 'libz', 'libprotobuf', 'libdw', 'libelf',
                                    'libjemalloc', 'libncurses', 'libjansson'))]
    t.equal(unwanted, [], 'nothing enters the global scope that a program may bring itself')
