#!/usr/bin/env python3
"""clang-format leaves every C and C++ file as it is."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
from lint import ROOT, Tap, llvm_tool, sources

with Tap() as t:
    program, reason = llvm_tool('clang-format')
    if not program:
        t.skip('formatting', reason)
    for path in sources('.c', '.cpp', '.h') if program else []:
        text = path.read_bytes()
        formatted = subprocess.run([program, '--style=file', path], capture_output=True, check=True, cwd=ROOT).stdout
        differing = [f'{i + 1}: {old.decode(errors="replace")}' for i, (old, new) in
                     enumerate(zip(text.splitlines(), formatted.splitlines())) if old != new]
        t.ok(text == formatted, f'{path.relative_to(ROOT)} is formatted',
             f'clang-format -i {path.relative_to(ROOT)}\n' + '\n'.join(differing[:5]))
