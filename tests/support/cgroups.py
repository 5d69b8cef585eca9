"""Control groups of a test's own, in version 2's hierarchy or in those of version 1."""

import contextlib
import os
from pathlib import Path

import scenario as s

ROOT = Path('/sys/fs/cgroup')
VERSION2 = (ROOT / 'cgroup.controllers').exists()


def remove(directory):
    """The group and those that were made in it, once nothing runs there any more."""
    def removed(group):
        with contextlib.suppress(OSError):
            group.rmdir()
        return not group.exists()
    for path, _, _ in os.walk(directory, topdown=False):
        s.wait_for(lambda path=path: removed(Path(path)), 10)


@contextlib.contextmanager
def cgroup(controller, values):
    """A group with these settings, {v2 name: (v1 name, value)}; or the reason why there is none."""
    directory = (ROOT if VERSION2 else ROOT / controller) / f'mdtest-{os.getpid()}'
    try:
        if VERSION2 and controller not in (ROOT / 'cgroup.subtree_control').read_text().split():
            yield f'{controller} is not delegated in {ROOT}'
            return
        directory.mkdir()
    except OSError as error:
        yield str(error)
        return
    try:
        for name, (old_name, value) in values.items():
            with contextlib.suppress(FileNotFoundError):  # swap accounting may be off
                (directory / (name if VERSION2 else old_name)).write_text(str(value))
        yield directory
    except OSError as error:
        yield str(error)
    finally:
        remove(directory)
