#!/usr/bin/env python3
"""clang-tidy with a short list of checks finds nothing in the library and its tools."""

import concurrent.futures
import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
from lint import ROOT, Tap, llvm_tool

# Without what has nothing to say in C of this kind: parameters of one type side by side, our reserved
# names (the malloc family), snprintf in place of snprintf_s, small integers that widen on purpose, the
# size of a pointer in an array of pointers.
CHECKS = ('-*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,'
          '-bugprone-reserved-identifier,-bugprone-narrowing-conversions,'
          '-bugprone-implicit-widening-of-multiplication-result,-bugprone-assignment-in-if-condition,'
          '-bugprone-macro-parentheses,-bugprone-branch-clone,-bugprone-sizeof-expression,'
          '-bugprone-integer-division,-clang-analyzer-security.insecureAPI.strcpy,'
          '-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,'
          '-clang-analyzer-unix.Malloc,-clang-analyzer-optin.performance.Padding')
BUILD = Path(os.environ.get('MEMDEBUG_BUILD', ROOT / 'build'))
FINDING = re.compile(r'^(\S+?:\d+:\d+): (?:warning|error): (.*)$', re.M)


def files():
    """Our own translation units in C under src/ and tools/, once each."""
    found = {}
    for entry in json.loads((BUILD / 'compile_commands.json').read_text()):
        path = (Path(entry['directory']) / entry['file']).resolve()
        ours = path.is_relative_to(ROOT / 'src') or path.is_relative_to(ROOT / 'tools')
        if ours and path.suffix == '.c':
            found.setdefault(path, entry)
    return sorted(found)


def tidy(path):
    done = subprocess.run([program, '--quiet', f'--checks={CHECKS}', '-p', BUILD,
                           '--extra-arg=-Wno-unknown-warning-option', path],
                          capture_output=True, text=True, check=False)
    return sorted({f'{place}: {text}' for place, text in FINDING.findall(done.stdout)})


with Tap() as t:
    program, reason = llvm_tool('clang-tidy')
    if not program:
        t.skip('clang-tidy', reason)
    else:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            paths = files()
            for path, findings in zip(paths, pool.map(tidy, paths)):
                t.equal(findings, [], f'{path.relative_to(ROOT)}')
