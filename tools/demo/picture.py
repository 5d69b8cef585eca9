#!/usr/bin/env python3
"""Draws the README's picture of memtop, as SVG, from what a terminal (tmux) shows of it while it
watches the demo.

    tools/demo/picture.py [--seconds N] [--build DIRECTORY] [-o FILE]"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
COLUMNS, ROWS = 120, 34
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 17, 14 # of a monospaced font of 14 px
FOREGROUND, BACKGROUND = '#d8dee9', '#1b1f27'
# The terminal's eight colours, and their bright ones.
COLOURS = ['#3b4252', '#e06c75', '#98c379', '#e5c07b', '#61afef', '#c678dd', '#56b6c2', '#d8dee9',
           '#7f8796', '#ff7b86', '#b5e890', '#ffd88a', '#7cc4ff', '#dd94f2', '#6fd6e2', '#ffffff']


def colour_of(number):
    """Of the 256 that terminals number: 16, a cube of 6 by 6 by 6, 24 greys."""
    if number < 16:
        return COLOURS[number]
    if number >= 232:
        return '#' + f'{8 + 10 * (number - 232):02x}' * 3
    steps = [0, 95, 135, 175, 215, 255]
    number -= 16
    return '#' + ''.join(f'{steps[number // weight % 6]:02x}' for weight in (36, 6, 1))


class Style:
    """What the escape sequences for colour (ECMA-48's SGR) have set so far."""

    def __init__(self):
        self.foreground = self.background = None
        self.bold = self.dim = self.reverse = False

    def apply(self, codes):
        codes = [int(code or 0) for code in re.split('[;:]', codes)]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 22:
                self.bold = self.dim = False
            elif code in (7, 27):
                self.reverse = code == 7
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.foreground = COLOURS[code - 30 if code < 90 else code - 82]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.background = COLOURS[code - 40 if code < 100 else code - 92]
            elif code == 39:
                self.foreground = None
            elif code == 49:
                self.background = None
            elif code in (38, 48):
                colour = (colour_of(codes.pop(1)) if codes[0] == 5 else
                          '#' + ''.join(f'{codes.pop(1):02x}' for _ in range(3)))
                codes.pop(0)
                if code == 38:
                    self.foreground = colour
                else:
                    self.background = colour

    def colours(self):
        foreground, background = self.foreground or FOREGROUND, self.background
        if self.reverse:
            foreground, background = background or BACKGROUND, foreground
        return foreground, background


def width_of(text):
    return sum(2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in text)


def draw(screen):
    """The SVG of a screen: a text for each run of one style, stretched to the cells it takes."""
    lines = screen.rstrip('\n').split('\n')
    width = 2 * MARGIN + COLUMNS * CELL_WIDTH
    height = 2 * MARGIN + len(lines) * CELL_HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
             'font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">',
             f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>']
    style = Style()
    for row, line in enumerate(lines):
        column, top = 0, MARGIN + row * CELL_HEIGHT
        for text in re.split('(\x1b\\[[0-9;:]*m)', line):
            if text.startswith('\x1b'):
                style.apply(text[2:-1])
                continue
            cells = width_of(text)
            foreground, background = style.colours()
            if background and cells:
                parts.append(f'<rect x="{MARGIN + column * CELL_WIDTH:g}" y="{top}" '
                             f'width="{cells * CELL_WIDTH:g}" height="{CELL_HEIGHT}" fill="{background}"/>')
            # Of a run only what is seen; words far apart are one text each.
            for word in re.finditer(r'\S+(?: \S+)*', text):
                x = MARGIN + (column + width_of(text[:word.start()])) * CELL_WIDTH
                extra = ' font-weight="bold"' if style.bold else ''
                extra += ' opacity="0.6"' if style.dim else ''
                parts.append(f'<text x="{x:g}" y="{top + 13}" fill="{foreground}"{extra} textLength='
                             f'"{width_of(word[0]) * CELL_WIDTH:g}" lengthAdjust="spacingAndGlyphs" '
                             f'xml:space="preserve">{escape(word[0])}</text>')
            column += cells
    return '\n'.join(parts + ['</svg>', ''])


def capture(build, seconds):
    """What memtop shows, after so many seconds of the demo."""
    with tempfile.TemporaryDirectory(prefix='memtop-picture-') as directory:
        demo = Path(directory) / 'sessions'
        subprocess.run(['cc', '-O2', '-g', '-o', demo, ROOT / 'tools/demo/sessions.c', '-pthread'], check=True)
        with subprocess.Popen([demo, str(seconds + 30)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              env={**os.environ, 'LD_PRELOAD': str(build / 'libmemdebug.so'),
                                   'MEMDEBUG': 'gctrace=1,gcinterval=2s,memprofilerate=64KiB'}) as server:
            def tmux(*arguments):
                return subprocess.run(['tmux', '-L', f'memtop-picture-{server.pid}', '-f', '/dev/null', *arguments],
                                      capture_output=True, text=True, check=True,
                                      env={**os.environ, 'LC_ALL': 'C.UTF-8'}).stdout
            try:
                time.sleep(1)
                tmux('new-session', '-d', '-x', str(COLUMNS), '-y', str(ROWS),
                     f'TERM=tmux-256color exec {shlex.quote(str(build / "memtop"))} {server.pid}')
                time.sleep(seconds)
                return tmux('capture-pane', '-e', '-p')
            finally:
                subprocess.run(['tmux', '-L', f'memtop-picture-{server.pid}', 'kill-server'], check=False,
                               stderr=subprocess.DEVNULL)
                server.kill()


def main():
    parser = argparse.ArgumentParser(description="Draws the README's picture of memtop.")
    parser.add_argument('--seconds', type=int, default=60, help='how long memtop has watched (default: %(default)s)')
    parser.add_argument('--build', type=Path, default=ROOT / 'build', help='where memdebug is built')
    parser.add_argument('-o', dest='output', type=Path, default=ROOT / 'tools/demo/memtop.svg')
    options = parser.parse_args()
    if not (options.build / 'memtop').exists():
        sys.exit(f'picture.py: {options.build}/memtop is not built')
    try:
        screen = capture(options.build.resolve(), options.seconds)
    except FileNotFoundError as error:
        sys.exit(f'picture.py: there is no {error.filename}')
    except subprocess.CalledProcessError as error:
        sys.exit(f'picture.py: {shlex.join(map(str, error.cmd))} failed')
    options.output.write_text(draw(screen), encoding='utf-8')


if __name__ == '__main__':
    main()
