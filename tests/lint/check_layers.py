#!/usr/bin/env python3
"""The layer rule: a folder may include itself, those below it, and include/.

Reads the project's own #include "folder/file.h" lines.  memdebug.c stands above all; src/view and
tools/memtop read what the library writes and share no code with the writers but src/base.  Where a
folder has rooms of its own (ROOMS), a file of one includes that room and those below it.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
from lint import ROOT, Tap, sources

LAYERS = [{'base'}, {'stack', 'heap', 'segment'}, {'prof', 'gc'}, {'malloc'}]
READERS = {'view': {'view', 'base'}, 'memtop': {'memtop', 'view', 'base'}, 'man': {'man', 'base'}}
# From the lowest to the highest; what lies in the folder itself stands above them.  In memtop what is
# read knows nothing of how it is shown.
ROOMS = {'gc': [{'sys'}, {'mark'}, {'stop'}, {'roots'}, {'dirty'}, {'ask'}, {'engine'}],
         'memtop': [{'target'}, {'preload', 'series'}, {'ui', 'serve'}, {'cmd'}]}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
LINES = 600


def level(folder, layers=LAYERS):
    return next((i for i, layer in enumerate(layers) if folder in layer), None)


def room_of(path):
    """The room that a file lies in; '': in the folder itself, or there are none."""
    parts = path.relative_to(ROOT).parts
    folder = folder_of(path)
    inside = parts[parts.index(folder) + 1:-1] if folder in ROOMS else ()
    return inside[0] if inside else ''


def folder_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == 'src':
        return parts[1] if len(parts) > 2 else 'top'
    return parts[1] if parts[0] == 'tools' and len(parts) > 2 else None


def allowed(source, target):
    """Whether a file of folder `source` may include one of folder `target`."""
    if source == 'top' or source == target:
        return True
    if source in READERS:
        return target in READERS[source]
    if level(source) is None or level(target) is None:
        return False
    # Siblings of the layer of memory and stacks may see each other; prof and gc may not.
    same = level(source) == level(target) and source not in LAYERS[2]
    return level(target) < level(source) or same


def room_allowed(folder, source, target):
    """Whether a file of a folder's room `source` may include one of its room `target`."""
    rooms = ROOMS.get(folder, [])
    top = len(rooms)
    source_level = level(source, rooms) if source else top
    target_level = level(target, rooms) if target else top
    return None not in (source_level, target_level) and (source == target or target_level < source_level)


def violations(path, text):
    source = folder_of(path)
    found = []
    for name in INCLUDE.findall(text):
        if '/' not in name:
            if not (path.parent / name).exists() and not name.endswith('.pb-c.h'):
                found.append(f'{path}: "{name}" is not in its own folder')
            continue
        target = name.split('/')[0]
        if target == 'memdebug':
            continue
        if level(target, ROOMS.get(source, [])) is not None:  # of the source's own folder
            room = target
        elif source == target:
            room = name.split('/')[1] if name.count('/') > 1 else ''
        else:
            if source is not None and not allowed(source, target):
                found.append(f'{path}: {source} includes {name}')
            continue
        if not room_allowed(source, room_of(path), room):
            found.append(f'{path}: {source}/{room_of(path)} includes {name}')
    return found


with Tap() as t:
    # The check itself, on lines that must pass and lines that must not.
    sample = ROOT / 'src' / 'prof' / 'x.c'
    t.equal(violations(sample, '#include "base/os.h"\n#include "segment/segment.h"\n'
                       '#include <memdebug/segment.h>\n'), [], 'downward is allowed')
    for line, where in (('gc/roots/roots.h', 'src/gc/stop'), ('gc/gc.h', 'src/gc/engine'), ('gc/new/new.h', 'src/gc'),
                        ('gc/gc.h', 'src/prof'), ('malloc/entry.h', 'src/gc'), ('prof/prof.h', 'src/base'),
                        ('segment/segment.h', 'src/view'), ('prof/prof.h', 'tools/memtop'),
                        ('view/pprof.h', 'src/segment'), ('ui/screen.h', 'tools/memtop/series'),
                        ('series/watch.h', 'tools/memtop/preload'), ('cmd/cli.h', 'tools/memtop/ui'),
                        ('prof/prof.h', 'tools/memtop/cmd'), ('ui/screen.h', 'tools/memtop/serve'),
                        ('serve/route.h', 'tools/memtop/ui')):
        t.equal(len(violations(ROOT / where / 'x.c', f'#include "{line}"\n')), 1,
                f'{where} may not include {line}')
    files = sources('.c', '.h', '.def', folders=('src', 'tools'))
    found = [fault for path in files for fault in violations(path, path.read_text())]
    t.ok(len(files) > 10 and not found, f'{len(files)} files keep the layers', '\n'.join(found))
    for path in sources('.c', '.cpp', '.h', '.py'):
        lines = path.read_text().count('\n')
        if lines > LINES:
            print(f'# warning: {path.relative_to(ROOT)} has {lines} lines: what second reason does it '
                  'have to change?')
