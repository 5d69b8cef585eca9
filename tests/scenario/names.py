#!/usr/bin/env python3
"""What things are called: processes that give themselves a title, and code that is made at run time;
Rust's functions."""

import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s


def memtop(*arguments, timeout=60):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=timeout)


def objects(result):
    return [json.loads(line) for line in result.out.splitlines()]


def row_of(pid):
    """What `ps` says of a process: as text, and the command as JSON."""
    text = [line for line in memtop('ps', '--all').out.splitlines() if line.split()[:1] == [str(pid)]]
    found = [row for row in objects(memtop('ps', '--json')) if row['pid'] == pid]
    return text[0] if text else '', found[0] if found else {}


def titles(t):
    with s.running([s.PROGRAMS / 'titled', 'as it was started'], ready='ready') as process:
        text, row = row_of(process.pid)
        t.ok(text.endswith('  titled: idle') and row.get('command') == 'titled: idle',
             "a living process's title", (text, row))
        os.kill(process.pid, signal.SIGUSR1)
        t.ok(s.wait_for(lambda: row_of(process.pid)[0].endswith('  titled: busy with 7')),
             'is the one it has now', row_of(process.pid))
        watched = objects(memtop('--json', '-n1', process.pid))
        t.equal(watched[0]['command'], 'titled: busy with 7', 'in the view of one process too')
        t.equal(memtop('-b', '-n1', 'titled').status, 0, 'it is found by its name')
        t.equal(memtop('-b', '-n1', 'titled: busy with 7').status, 0, 'and by its title')
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        text, row = row_of(process.pid)
        t.ok(row.get('state') == 'dead' and 'titled as it was started' in text,
             'the dead are called as they were started', (text, row))
        for segment in s.segments(process.pid):
            segment.unlink()


def frames_of(report):
    """The functions of each group of a leak report."""
    groups, last = [], None
    for line in report.splitlines():
        if line.startswith('Direct leak'):
            last = []
            groups.append((line, last))
        elif line.startswith('    #') and last is not None:
            last.append(re.sub(r'^ *#\d+ 0x[0-9a-f]+(?: in )?', '', line).split(' ../')[0].split(' (')[0])
    return groups


def main_frames(stack):
    return stack[:stack.index('main') + 1] if 'main' in stack else stack


JIT_COUNT = 40
MOST = (JIT_COUNT - 1, JIT_COUNT)  # a register may still hold the last one
FOLDED = ['lose', '[JIT]', 'call_all', 'main']


def jit_unnamed(t):
    """Code without names: forty functions that leak are one leak, for each reader."""
    with tempfile.TemporaryDirectory() as directory:
        prefix = Path(directory) / 'h'
        result = s.run([s.PROGRAMS / 'jit', JIT_COUNT], f'leakcheck=1,heapprofile={prefix}', stdin='\n')
        groups = frames_of(result.err)
        t.ok(len(groups) == 1 and any(f'in {count} object(s)' in groups[0][0] for count in MOST)
             and main_frames(groups[0][1]) == FOLDED, 'leakcheck: one leak', result)
        if not t.missing('a dump: one sample', 'go'):
            profile = s.read_profile(s.dumps(prefix)[-1])
            leaks = [sample for sample in profile.samples if sample[0][4]]
            names = [frame[0] for frame in profile.frames(leaks[0])] if leaks else []
            t.ok(len(leaks) == 1 and leaks[0][0][4] in MOST and main_frames(names) == FOLDED,
                 'a dump: one sample, whose code is one function', profile.text)
    with s.running([s.PROGRAMS / 'jit', JIT_COUNT], 'gc=ready,memprofilerate=1', ready='ready') as process:
        result = memtop('leaks', process.pid)
        groups = frames_of(result.out)
        t.ok(len(groups) == 1 and main_frames(groups[0][1]) == FOLDED, 'memtop leaks: one leak', result)
        result = memtop('leaks', '--by=module', process.pid)
        t.ok(result.out.count(' object(s)') <= 2, 'by module', result)
        table = memtop('heap', '-b', process.pid)
        t.ok(re.search(r'\[JIT\]$', table.out, re.M), 'memtop heap', table)
        view = objects(memtop('--json', '-n1', process.pid))[0]
        stacks = [[frame['function'] for frame in site['stack']] for site in view['sites']]
        t.ok(FOLDED in map(main_frames, stacks), 'the view', stacks)
        base = Path(process.output_path).with_name('base.pb.gz')
        base.write_bytes(s.run([s.MEMTOP, 'heap', process.pid], preload=False, binary=True).out)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        segment = s.segments(process.pid)[0]
        result = memtop('leaks', '--diff', base, segment)
        t.ok(result.status == 0 and not frames_of(result.out), 'compared with it alive nothing is new', result)
        groups = frames_of(memtop('leaks', segment).out)
        t.ok(len(groups) == 1 and main_frames(groups[0][1]) == ['lose', '[unknown]', 'call_all', 'main'],
             'of the dead nobody knows what lay there, and it is one leak too', groups)
        segment.unlink()


def jit_named(t):
    with s.running([s.PROGRAMS / 'jit', 3, 'map'], 'gc=ready,memprofilerate=1', ready='ready') as process:
        path = Path(f'/tmp/perf-{process.pid}.map')
        try:
            groups = frames_of(memtop('leaks', process.pid).out)
            stacks = sorted(main_frames(stack) for _, stack in groups)
            t.equal(stacks, [['lose', f'made_{i} of the map', 'call_all', 'main'] for i in range(3)],
                    'memtop leaks: the names that the map has')
            table = memtop('heap', '-b', process.pid)
            t.ok('made_2 of the map' in table.out and '[JIT]' not in table.out, 'memtop heap', table)
            view = objects(memtop('--json', '-n1', process.pid))[0]
            functions = {frame['function'] for site in view['sites'] for frame in site['stack']}
            t.ok(functions & {f'made_{i} of the map' for i in range(3)}, 'the view', functions)
            text = path.read_bytes().replace(b'made_1 ', b'\x1b[2J\xc2\x9b ')
            path.write_bytes(text)
            result = s.run([s.MEMTOP, 'leaks', process.pid], preload=False, binary=True)
            t.ok(b'made_0' in result.out and b'\x1b' not in result.out and b'\xc2\x9b' not in result.out,
                 'a name steers no terminal', result.out)
            path.unlink()
            os.mkfifo(path)
            groups = frames_of(memtop('leaks', process.pid, timeout=20).out)
            t.ok(len(groups) == 1 and '[JIT]' in groups[0][1], 'a FIFO is not read', groups)
            path.unlink()
            path.write_bytes(text)
            if os.getuid() == 0:
                os.chown(path, 12345, 12345)
                groups = frames_of(memtop('leaks', process.pid).out)
                t.ok(len(groups) == 1 and '[JIT]' in groups[0][1], "nor another user's map", groups)
            else:
                t.skip("nor another user's map", 'needs root')
        finally:
            path.unlink(missing_ok=True)
    # More than once: what earlier calls have left on the stack, below the end of the program, must hide nothing.
    results = [s.run([s.PROGRAMS / 'jit', 2, 'map'], 'leakcheck=1', stdin='\n') for _ in range(16)]
    for result in results:
        Path(f'/tmp/perf-{result.pid}.map').unlink(missing_ok=True)
    bad = [result for result in results
           if 'made_0 of the map' not in result.err or 'made_1 of the map' not in result.err]
    t.ok(not bad, f'leakcheck reads it itself ({len(bad)} of {len(results)} did not)', bad[:1])


NODE = ('const zlib = require("zlib"); const kept = [];\n'
        'function keepDeflate(i) { kept.push(zlib.deflateSync(Buffer.alloc(1000, i)));'
        ' kept.push(Buffer.alloc(20000)); }\n'
        'for (let i = 0; i < 2000; i++) keepDeflate(i);\n'
        'console.log("ready"); setInterval(() => {}, 1000);\n')
JAVA = ('import java.util.*; import java.util.zip.*;\n'
        'public class Keep {\n'
        '  static List<Object> kept = new ArrayList<>();\n'
        '  static void keepInflater() { kept.add(new Inflater()); }\n'
        '  public static void main(String[] a) throws Exception {\n'
        '    for (int i = 0; i < 30000; i++) keepInflater();\n'
        '    System.out.println("ready"); Thread.sleep(600000);\n'
        '  }\n'
        '}\n')


def heap_functions(pid):
    result = memtop('heap', '-b', pid, timeout=120)
    return result.out + result.err


def node(t):
    if t.missing('node names its frames', 'node'):
        return
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / 'app.js').write_text(NODE)
        for option, expected in (('--perf-basic-prof', r'keepDeflate .*app\.js'), ('--no-opt', r'\[JIT\]')):
            with s.running([s.find('node'), option, 'app.js'], 'memprofilerate=16KiB', ready='ready',
                           cwd=directory, timeout=120) as process:
                try:
                    text = heap_functions(process.pid)
                    t.ok(re.search(expected, text), f'node {option}', text)
                finally:
                    Path(f'/tmp/perf-{process.pid}.map').unlink(missing_ok=True)


def java(t):
    if t.missing('java names its frames', 'java', 'javac', 'jcmd'):
        return
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / 'Keep.java').write_text(JAVA)
        s.run(['javac', 'Keep.java'], preload=False, cwd=directory)
        with s.running([s.find('java'), '-XX:+PreserveFramePointer', '-Xmx256m', 'Keep'], 'memprofilerate=16KiB',
                       ready='ready', cwd=directory, timeout=120) as process:
            path = Path(f'/tmp/perf-{process.pid}.map')
            try:
                text = heap_functions(process.pid)
                t.ok('[JIT]' in text and 'Inflater.init' not in text, 'java as it is', text)
                s.run(['jcmd', process.pid, 'Compiler.perfmap'], preload=False)
                text = heap_functions(process.pid)
                t.ok(re.search(r'Inflater\.init', text), 'java after jcmd PID Compiler.perfmap', text)
            finally:
                path.unlink(missing_ok=True)


def rust(t):
    """Names as rustc mangles them, in the reports of the library and in memtop's table."""
    with tempfile.TemporaryDirectory() as directory:
        prefix = Path(directory) / 'h'
        result = s.run([s.PROGRAMS / 'mangled'], f'leakcheck=1,heapprofile={prefix}')
        stacks = [main_frames(stack) for _, stack in frames_of(result.err)]
        t.equal(sorted(stacks), [['lose', '<mycrate::Cache as core::ops::drop::Drop>::drop', 'main'],
                                 ['lose', 'mycrate::cache::store', 'main']], 'a leak report', result)
        if not t.missing('a profile', 'go'):
            profile = s.read_profile(s.dumps(prefix)[-1])
            names = {frame[0] for sample in profile.samples for frame in profile.frames(sample)}
            t.ok({'mycrate::cache::store', '<mycrate::Cache as core::ops::drop::Drop>::drop'} <= names,
                 'a profile', names)


with s.Tap() as t:
    titles(t)
    rust(t)
    jit_unnamed(t)
    jit_named(t)
    node(t)
    java(t)
