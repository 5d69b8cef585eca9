#!/usr/bin/env python3
"""clang-format leaves every C and C++ file as it is.  Its versions do not agree with each other, so the one that the
code is formatted by is asked, or none."""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
from lint import ROOT, Tap, find, sources

VERSION = 14


def clang_format():
    """(the program, '') or (None, why not)."""
    other = 'none'
    for name in (f'clang-format-{VERSION}', 'clang-format'):
        if program := find(name):
            said = subprocess.run([program, '--version'], capture_output=True, text=True, check=True).stdout
            other = re.search(r'version (\d+)', said)[1]
            if int(other) == VERSION:
                return program, ''
    return None, f'the code is formatted by clang-format {VERSION}; here is {other}'


with Tap() as t:
    program, reason = clang_format()
    if not program:
        t.skip('formatting', reason)
    for path in sources('.c', '.cpp', '.h') if program else []:
        text = path.read_bytes()
        formatted = subprocess.run([program, '--style=file', path], capture_output=True, check=True, cwd=ROOT).stdout
        differing = [f'{i + 1}: {old.decode(errors="replace")}' for i, (old, new) in
                     enumerate(zip(text.splitlines(), formatted.splitlines())) if old != new]
        t.ok(text == formatted, f'{path.relative_to(ROOT)} is formatted',
             f'clang-format -i {path.relative_to(ROOT)}\n' + '\n'.join(differing[:5]))
