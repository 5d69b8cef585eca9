"""What the lint checks share: the tree's own source files."""

import os
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
