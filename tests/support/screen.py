"""A terminal of its own for a command that draws on one (tmux): its screen as text, keys, sizes."""

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import scenario as s


class Screen:
    """A command in a terminal of its own."""

    def __init__(self, command, cols=80, rows=24, env=None, cwd=None):
        self.socket = f'memtop-test-{os.getpid()}-{time.monotonic_ns()}'
        self.directory = tempfile.TemporaryDirectory(prefix='mdscreen-')
        settings = s.environment(preload=False, extra={'TERM': 'tmux-256color', 'SHELL': '/bin/sh',
                                                       'LC_ALL': 'C.UTF-8', **(env or {})})
        words = ' '.join(f'{key}={shlex.quote(value)}' for key, value in settings.items())
        script = Path(self.directory.name) / 'script'
        # tmux sets TERM itself: set ours behind it.
        script.write_text(f'cd {shlex.quote(str(cwd or self.directory.name))}\n'
                          f'env -i {words} {command}\necho "STATUS=$?"; stty -a | tr ";" "\\n" '
                          '| grep -c -w -e "-echo" -e "-icanon"; exec sleep 1000\n')
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', str(cols), '-y', str(rows),
                  f'/bin/sh {script}', env={**settings, 'LC_ALL': 'C.UTF-8'})

    def tmux(self, *arguments, env=None):
        return subprocess.run([s.find('tmux'), '-L', self.socket, *arguments], capture_output=True,
                              text=True, check=False, timeout=30,
                              env=env or s.environment(preload=False, extra={'LC_ALL': 'C.UTF-8'})).stdout

    def text(self, escapes=False):
        return self.tmux('capture-pane', '-p', *(['-e'] if escapes else []))

    def until(self, pattern, timeout=15):
        """The screen once it shows the pattern; None if it never does."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            text = self.text()
            if re.search(pattern, text, re.M):
                return text
            time.sleep(0.05)
        return None

    def key(self, *keys):
        self.tmux('send-keys', *keys)

    def resize(self, cols, rows):
        self.tmux('resize-window', '-x', str(cols), '-y', str(rows))

    def child(self):
        """The pid of memtop itself."""
        waiting = [int(self.tmux('display-message', '-p', '#{pane_pid}').strip())]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                if os.path.realpath(f'/proc/{pid}/exe') == os.path.realpath(s.MEMTOP):
                    return pid
                waiting += map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split())
        return None

    def close(self):
        self.tmux('kill-server')
        self.directory.cleanup()


@contextlib.contextmanager
def screen(*arguments, **more):
    view = Screen(*arguments, **more)
    try:
        yield view
    finally:
        view.close()


def memtop(*arguments):
    return shlex.join([str(s.MEMTOP), *map(str, arguments)])
