#!/usr/bin/env python3
"""libunwind, which the library needs, exports _Unwind_* as well: the exceptions of a C++ extension
module must still go through libgcc_s."""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

BINDING = re.compile(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: \w+ symbol `(\w+)'")
PROGRAM = ('import sys, time\n'
           'sys.path.insert(0, sys.argv[1])\n'
           'start = time.process_time()\n'
           'import thrower\n'
           'print(thrower.caught, file=sys.stdout)\n'
           'print("seconds", time.process_time() - start, file=sys.stderr)\n')


def seconds(result):
    found = re.search(r'^seconds ([\d.e-]+)$', result.err, re.M)
    return float(found[1]) if found else 1e9


with s.Tap() as t:
    if not t.missing('a throwing module in python3', 'python3'):
        command = ['/usr/bin/python3', '-c', PROGRAM, s.PROGRAMS]
        for memdebug in (None, 'gctrace=1', 'memprofilerate=4096'):
            with tempfile.TemporaryDirectory() as directory:
                result = s.run(command, memdebug, env={
                    'LD_DEBUG': 'bindings', 'LD_DEBUG_OUTPUT': f'{directory}/bindings',
                    'LD_BIND_NOW': '1'})
                text = ''.join(path.read_text(errors='replace')
                               for path in Path(directory).iterdir())
            name = f'MEMDEBUG={memdebug}' if memdebug else 'MEMDEBUG unset'
            t.equal((result.status, result.out), (0, '20000\n'), f'{name}: throws and catches',
                    result)
            unwinding = [(Path(source).name, Path(target).name, symbol)
                         for source, target, symbol in BINDING.findall(text)
                         if symbol.startswith('_Unwind_') and
                         Path(source).name.startswith(('libstdc++', 'libgcc_s', 'thrower'))]
            t.ok(len(unwinding) >= 2, f'{name}: _Unwind_* are bound', unwinding)
            t.equal([entry for entry in unwinding if not entry[1].startswith('libgcc_s')], [],
                    f'{name}: to libgcc_s')
        plain = min(seconds(s.run(command, preload=False)) for _ in range(3))
        ours = min(seconds(s.run(command)) for _ in range(3))
        t.ok(ours < plain * 3, f'at its speed (x{ours / plain:.2f}; by libunwind it is x10)')
