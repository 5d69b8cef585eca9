#!/usr/bin/env python3
"""No two source files need each other: by what one calls or reads of what the other defines.

Calls through function pointers are no such need, and HOOKS are the only names that a file may take
from above itself.  Reads the text, so that no build is needed: a definition begins at the first
column, and a file that has a static of the same name means its own.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
from lint import ROOT, Tap, sources

# What each is called for: see where it is declared.
HOOKS = {'memdebug_boot'}

NO_CODE = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
FUNCTION = re.compile(r'^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w \t\n*]*?[\s*]([a-z_]\w*)\s*\([^;{}]*\)\s*\{', re.M)
VARIABLE = re.compile(r'^(?!static\b|typedef\b|extern\b|return\b|#)(?:[A-Za-z_]\w*[ \t*]+)+([a-z_]\w*)'
                      r'(?:\[[^\]\n]*\])*(?:\s*=[^;]*)?;', re.M)
STATIC = re.compile(r'^static\b[^;={]*?\b([a-z_]\w*)\s*(?:\(|\[|=|;)', re.M)
WORD = re.compile(r'(?<![\w.>])[a-z_]\w*')


def definitions(text):
    return set(FUNCTION.findall(text)) | set(VARIABLE.findall(text))


def needs(texts):
    """{file: {file: {name, ...}}} of a {file: text}."""
    texts = {name: NO_CODE.sub(' ', text) for name, text in texts.items()}
    home = {}
    for name, text in texts.items():
        for symbol in definitions(text) - HOOKS:
            home.setdefault(symbol, set()).add(name)
    found = {name: {} for name in texts}
    for name, text in texts.items():
        for symbol in set(WORD.findall(text)) - set(STATIC.findall(text)):
            # A symbol with two homes has one for each machine, or for each program.
            for other in home.get(symbol, set()) - {name}:
                if name not in home[symbol]:
                    found[name].setdefault(other, set()).add(symbol)
    return found


def circles(graph):
    """Sets of files that need each other (Tarjan's strongly connected components)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in graph[node]:
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            component = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in number:
            visit(node)
    return found


with Tap() as t:
    sample = {'up.c': 'static int own(void)\n{\n    return low() + shared;\n}\nint up(void)\n{\n    return own();\n}\n',
              'low.c': 'unsigned shared = 1;\nint low(void)\n{\n    return 1; /* not up() */\n}\n',
              'other.c': 'static void up(void)\n{\n}\nvoid other(void)\n{\n    up();\n    it->low();\n}\n'}
    t.equal(needs(sample), {'up.c': {'low.c': {'low', 'shared'}}, 'low.c': {}, 'other.c': {}},
            'calls and reads are found, members, comments and statics are none')
    t.equal(circles(needs(sample)), [], 'there is no circle')
    sample['low.c'] += 'void back(void)\n{\n    up();\n}\n'
    t.equal(circles(needs(sample)), [['low.c', 'up.c']], 'there is one')

    paths = sources('.c', folders=('src', 'tools'))
    graph = needs({str(path.relative_to(ROOT)): path.read_text() for path in paths})
    found = [f'{a} needs {", ".join(sorted(graph[a][b])[:5])} of {b}'
             for circle in circles(graph) for a in circle for b in circle if b in graph[a]]
    t.ok(sum(map(len, graph.values())) > len(paths) and not found, f'{len(paths)} files need each other in no circle',
         '\n'.join(found))
