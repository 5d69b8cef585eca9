"""The program that holds as much memory as it is told to (tests/programs/levels.c)."""

import contextlib
import select
import subprocess
import tempfile

import scenario as s


@contextlib.contextmanager
def levels(memdebug, before=None, env=None, command=()):
    """The program, and a function that tells it something and waits until it is so.  process.said() are the lines on
    its stderr so far.  With `command` that is what runs it."""
    with tempfile.TemporaryFile('w+') as err:
        process = subprocess.Popen([*command, s.PROGRAMS / 'levels'], env=s.environment(memdebug, extra=env), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=err, text=True, preexec_fn=before)

        def tell(what):
            process.stdin.write(f'{what}\n')
            process.stdin.flush()
            if not select.select([process.stdout], [], [], 100)[0]:
                return None # it is stuck
            return process.stdout.readline().strip()

        def said():
            err.seek(0)
            return err.read().splitlines()
        process.said = said
        try:
            yield process, tell
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
