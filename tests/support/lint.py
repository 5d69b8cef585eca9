"""What the lint checks share: the tree's own source files."""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from scenario import Tap, find  # noqa: F401  (for the checks)

ROOT = Path(os.environ.get('MEMDEBUG_ROOT', Path(__file__).resolve().parents[2]))


def sources(*suffixes, folders=('include', 'src', 'tools', 'tests', 'bench')):
    """Files of the tree with one of the suffixes, without build directories and vendored code."""
    found = []
    for folder in folders:
        for directory, names, files in os.walk(ROOT / folder):
            names[:] = [name for name in names if not name.startswith('.') and name != 'vendor']
            found += [Path(directory) / name for name in files if name.endswith(suffixes)]
    return sorted(found)


# Two versions of LLVM's tools agree neither on a layout nor on what is to be complained of: the code is
# kept to what one of them says.
LLVM = 14


def llvm_tool(name):
    """(the program, '') or (None, why it is not asked)."""
    other = None
    for program in (find(f'{name}-{LLVM}'), find(name)):
        if program:
            said = subprocess.run([program, '--version'], capture_output=True, text=True, check=True).stdout
            other = re.search(r'version (\d+)', said)[1]
            if int(other) == LLVM:
                return program, ''
    return None, f'not installed: {name} {LLVM}' + (f' (here is {other})' if other else '')
