#!/usr/bin/env python3
"""Libraries opened with RTLD_DEEPBIND, the flag that separates their malloc from the program's: the
blocks go together, and all else about dlopen is as it was, as it is told who calls it."""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

MODES = (None, 'gctrace=1', 'memprofilerate=4096', 'leakcheck=1')

# Needs what the extensions are for, and passes memory between them and the interpreter.
PHP = r"""
$names = ['dom', 'mbstring', 'sqlite3', 'curl'];
echo implode(' ', array_map('extension_loaded', $names)), "\n";
$document = new DOMDocument;
$document->loadXML('<list>' . str_repeat('<item name="x">text</item>', 2000) . '</list>');
foreach ($document->getElementsByTagName('item') as $i => $item) $item->setAttribute('n', $i);
echo md5($document->saveXML()), "\n";
$data = new SQLite3(':memory:');
$data->exec('CREATE TABLE t(a, b)');
for ($i = 0; $i < 1000; $i++) $data->exec("INSERT INTO t VALUES($i, '" . md5($i) . "')");
echo $data->querySingle('SELECT group_concat(b) FROM t WHERE a % 100 = 0'), "\n";
echo mb_convert_case(mb_convert_encoding("\xe4\xf6\xfc", 'UTF-8', 'ISO-8859-1'), MB_CASE_UPPER), "\n";
echo iconv('UTF-8', 'ISO-8859-15//TRANSLIT', "\u{20ac}") === "\xa4" ? 'iconv' : 'no iconv', "\n";
$handle = curl_init('file:///proc/self/comm');
curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
echo curl_exec($handle);
echo gethostbyname('localhost'), "\n";
"""

with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdtest-') as made:
    directory = Path(made)
    program, plug = s.PROGRAMS / 'deepbind', s.PROGRAMS / 'libdeepbind_plug.so'
    opener = directory / 'libdeepbind_opener.so'
    shutil.copy(s.PROGRAMS / opener.name, opener)  # its RUNPATH is $ORIGIN/plugins
    (directory / 'plugins').mkdir()
    shutil.copy(plug, directory / 'plugins' / 'hidden.so')

    actions = {
        'blocks of both sides': ['exchange', plug],
        'by the old version of dlopen': ['exchange-old', plug],
        "by dlmopen into the program's namespace": ['exchange-base', plug],
        "the caller's RUNPATH": ['opener', opener, 'hidden.so'],
        "the caller's RUNPATH, with the flag": ['opener-deep', opener, 'hidden.so'],
        "the caller's $ORIGIN": ['opener', opener, '$ORIGIN/plugins/hidden.so'],
        "the caller's $ORIGIN, with the flag": ['opener-deep', opener, '$ORIGIN/plugins/hidden.so'],
        'what only another may find, and the error': ['direct', 'hidden.so'],
        'the program itself': ['null'],
        'dlmopen': ['namespace', plug],
    }
    for name, action in actions.items():
        plain = s.run([program] + action, preload=False)
        t.ok(plain.out and plain.status == (action[0] == 'direct'), f'{name}: without us', plain)
        for memdebug in MODES:
            ours = s.run([program] + action, memdebug)
            t.equal((ours.status, ours.out, ours.rest), (plain.status, plain.out, []),
                    f'{name}: {memdebug or "unset"}', ours)

    # What changes: a name that both have is the program's now, as without the flag.
    for memdebug, whose in ((None, "the program's\n"), ('deepbind=keep', "the plug-in's\n")):
        ours = s.run([program, 'names', plug], memdebug)
        t.equal((ours.status, ours.out, ours.err), (0, whose, ''),
                f'a name that both have, {memdebug or "unset"}', ours)
    # A program whose malloc is not ours needs nothing of it.
    if s.JEMALLOC.exists():
        ours = s.run([program, 'names', plug], preload=f'{s.JEMALLOC}:{s.LIB}')
        t.equal((ours.status, ours.out, ours.err), (0, "the plug-in's\n", ''),
                'a name that both have, where another malloc stands first', ours)

    if not t.missing('php', 'php'):
        plain = s.run(['php', '-r', PHP], preload=False)
        t.ok(plain.status == 0 and plain.out.startswith('1 1 1 1\n'), 'php: without us', plain)
        for memdebug in (None, 'gctrace=1', f'memprofilerate=4096,heapprofile={directory}/php',
                         'leakcheck=1'):
            ours = s.run(['php', '-r', PHP], memdebug)
            t.equal((ours.status, ours.out), (0, plain.out), f'php: {memdebug or "unset"}', ours)
            if memdebug != 'leakcheck=1':
                t.equal(ours.rest, [], f'php: nothing else is said, {memdebug or "unset"}', ours)
            if memdebug == 'gctrace=1':
                t.ok(ours.lines and not s.trace_faults(ours.lines, 'php'), 'php: its cycles', ours)
        t.equal(len(s.dumps(directory / 'php')), 1, 'php: its profile')
        t.equal(s.segments(ours.pid), [], 'php: no segment is left')
