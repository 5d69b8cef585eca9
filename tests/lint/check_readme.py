#!/usr/bin/env python3
"""The README's table of options is the one of src/base/options.def, its list of system calls that of
src/base/system_calls.def, and what is lost by counters.def has a row.

    check_readme.py            checks it
    check_readme.py --write    writes it between the markers
"""

import re
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
from lint import ROOT, Tap

BEGIN, END = '<!-- options: begin (from src/base/options.def) -->', '<!-- options: end -->'
CALLS_BEGIN, CALLS_END = '<!-- system calls: begin -->', '<!-- system calls: end -->'
STRING = r'"((?:[^"\\]|\\.)*)"'
WHEN = {'START': 'no', 'RUNTIME': 'yes', 'LATER': 'not in this version'}


def options(text):
    """(key, default, when, accepts, meaning) of each OPTION(...) of options.def."""
    names = dict(re.findall(rf'^#define (\w+) {STRING}$', text, re.M))
    for name, words in re.findall(r'^#define (\w+)_WORDS\(W\) (.*)$', text, re.M):
        names[rf'WORDS\({name}\)'] = '|'.join(re.findall(STRING, words))
    text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
    found = []
    for call in re.findall(r'^OPTION\((.*?)\)$', text, re.M | re.S):
        for name, value in names.items():
            call = re.sub(rf'\b{name}(?!\w)', lambda _, value=value: f'"{value}"', call)
        call = re.sub(r'"\s*\n\s*"', '', call)  # strings side by side are one
        match = re.fullmatch(rf'(\w+), {STRING}, (\w+), {STRING}, (\w+), {STRING},\s*{STRING}', call)
        if match is None:
            raise ValueError(f'OPTION({call})')
        found.append((match[2], match[4], match[5], match[6], match[7]))
    return found


def table(rows):
    lines = ['| key | default | at run time | accepts | meaning |', '|---|---|---|---|---|']
    for key, default, when, accepts, meaning in rows:
        accepts = ', '.join(word for word in accepts.split('|') if not word.startswith('~'))
        lines.append(f'| `{key}` | {f"`{default}`" if default else "-"} | {WHEN[when]} | '
                     f'{accepts or "-"} | {meaning} |')
    return '\n'.join(lines)


def system_calls(text):
    """The lines of the README's list."""
    lines = []
    for call in re.findall(r'^SYSTEM_CALLS\((.*?)\)$', text, re.M | re.S):
        name, *parts = re.findall(STRING, call)
        lines += textwrap.wrap(''.join(parts), 113, initial_indent=f'    {name + ":":12}', subsequent_indent=' ' * 16)
    return '\n'.join(lines)


def main():
    readme = ROOT / 'README.md'
    sections = ((BEGIN, END, table(options((ROOT / 'src/base/options.def').read_text())), 20, 'options.def'),
                (CALLS_BEGIN, CALLS_END, system_calls((ROOT / 'src/base/system_calls.def').read_text()), 6,
                 'system_calls.def'))
    text = readme.read_text() if readme.exists() else ''

    def section(begin, end):
        return re.search(re.escape(begin) + r'\n(.*?)\n' + re.escape(end), text, re.S)
    if '--write' in sys.argv:
        for begin, end, made, _, _ in sections:
            parts = section(begin, end)
            if parts is None:
                sys.exit(f'README.md has no section between\n{begin}\nand\n{end}')
            text = text[:parts.start(1)] + made + text[parts.end(1):]
        readme.write_text(text)
        return
    with Tap() as t:
        for begin, end, made, least, source in sections:
            t.ok(made.count('\n') > least, f'{source}: {made.count(chr(10)) + 1} lines')
            parts = section(begin, end)
            if t.ok(parts is not None, f'README.md has the section of {source}', f'{begin}\n{end}'):
                t.equal(parts[1].splitlines(), made.splitlines(),
                        f'it equals {source} (tests/lint/check_readme.py --write)')
        lost = re.findall(rf'^MD_LOSS\(\w+, \d+, {STRING}', (ROOT / 'include/memdebug/counters.def').read_text(), re.M)
        t.ok(lost and all(f'\n| {what} | ' in text for what in lost), 'README.md says of each loss what to do', lost)
        # What the README tells to run must be there.
        for command in sorted(set(re.findall(r'\b((?:tools|tests|bench)/[\w./-]+\.(?:sh|py))\b', text))):
            t.ok((ROOT / command).exists(), f'README.md: {command} exists')
        private = re.findall(r'/(?:root|work|home/\w+)/\S*', text)
        t.equal(private, [], 'README.md names no path of one machine')


main()
