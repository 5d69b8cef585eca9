#!/usr/bin/env python3
"""Which jemalloc the build takes: one compiled from its source, one whose malloc and free cannot be copied,
and no other, for a reason that is told in one line.

    jemalloc_builds.py ARCHIVE COMPILER...     the archive that the library has, and the compiler"""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import jemalloc_source
import scenario as s

ARCHIVE, COMPILER = Path(sys.argv[1]), sys.argv[2:]
EMBED, COPY = (s.ROOT / 'src' / 'malloc' / name for name in ('embed_jemalloc.sh', 'copy_entries_x86_64.py'))


def call(*command, cwd=None):
    return subprocess.run([str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, errors='replace', check=False)


def embed(archive, place):
    return call(EMBED, archive, place, COPY, *COMPILER)


def rename(old, new):
    return lambda member: call('objcopy', '--redefine-sym', f'{old}={new}', member)


def version(text):
    def change(member):
        data = member.read_bytes()
        member.write_bytes(re.sub(rb'5\.3\.\d-\d+-g', text, data))
    return change


def page_of_16_kib(member):
    """The table of page sizes is of 8 entries less: its size in the symbol table, 24 bytes an entry."""
    sections = call('readelf', '-SW', member).stdout
    table = int(re.search(r'\.symtab +SYMTAB +\S+ (\S+)', sections)[1], 16)
    index = int(re.search(r'^ *(\d+): .* je_sz_pind2sz_tab$', call('readelf', '-sW', member).stdout, re.M)[1])
    data = bytearray(member.read_bytes())
    at = table + 24 * index + 16
    struct.pack_into('<Q', data, at, struct.unpack_from('<Q', data, at)[0] - 8 * 8)
    member.write_bytes(data)


def changed(place, name, change):
    """An archive like the library's but for one member, which `change` has been at."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    call('ar', 'x', ARCHIVE, cwd=place)
    change(place / name)
    call('ar', 'rcs', 'libjemalloc_pic.a', *(path.name for path in place.glob('*.o')), cwd=place)
    return place / 'libjemalloc_pic.a'


REFUSED = {
    'jemalloc 5.2.1': ('ctl.pic.o', version(b'5.2.1-0-g'), 'it is jemalloc 5.2.1-0-g'),
    'a version between two releases': ('ctl.pic.o', version(b'5.3.0-9-g'), 'it is jemalloc 5.3.0-9-g'),
    'an archive without the profiler': ('jemalloc.pic.o', rename('je_prof_tctx_create', 'je_other'),
                                        'it is built without the profiler'),
    'pages of 16 KiB on x86-64': ('sz.pic.o', page_of_16_kib, r'its page is 2\^14 bytes'),
    'an archive without what is replaced': ('pa.pic.o', rename('je_pa_dalloc', 'je_other'),
                                            'it has no je_pa_dalloc in pa.pic.o'),
}


def build(t, place, *options):
    """The library, built anew with these options; what setup has said. """
    setup = call('meson', 'setup', place, s.ROOT, *options)
    if not t.ok(setup.returncode == 0, 'it is set up', (setup.stdout + setup.stderr)[-3000:]):
        return None, ''
    name = re.search(r'^build (libmemdebug\.so\.[^\s/]+):', (place / 'build.ninja').read_text(), re.M)[1]
    made = call('ninja', '-C', place, name)
    return (place / name if t.ok(made.returncode == 0, 'and built', made.stdout[-3000:]) else None), setup.stdout


def serves(t, library):
    """A program's memory is served, watched and traced by it."""
    for memdebug in (None, 'memprofilerate=1', 'gc=ready', 'gctrace=1,gcinterval=20ms'):
        result = s.run([s.PROGRAMS / 'conform', '--ours'], memdebug, preload=library, timeout=300)
        bad = [line for line in result.out.splitlines() if line.startswith('not ok')]
        t.ok(result.status == 0 and not bad, f'conform, {memdebug or "unset"}', bad or result)
    result = s.run([s.PROGRAMS / 'leaky', '--scale', '1'], 'leakcheck=1,leakexitcode=3', preload=library)
    t.ok(result.status == 3 and 'SUMMARY: memdebug: ' in result.err, 'its leaks are found', result)


def code(path, name):
    """Address and bytes of a function."""
    line = next(fields for fields in map(str.split, call('readelf', '-sW', path).stdout.splitlines())
                if len(fields) == 8 and fields[3] == 'FUNC' and fields[7] == name)
    start, size = int(line[1], 16), int(line[2])
    listing = call('objdump', '-s', '-j', '.text', f'--start-address={start}', f'--stop-address={start + size}', path)
    found = re.findall(r'^ [0-9a-f]+ ((?:[0-9a-f]{2,8} ){1,4})', listing.stdout, re.M)
    return start, bytes.fromhex(''.join(found))


def copied(t, library, member, name):
    """That function of the library is jemalloc's, but for the places that lead out of it."""
    (start, its), (_, ours) = code(member, name), code(library, name)
    out = set()
    text = call('readelf', '-rW', member).stdout.split("Relocation section '.rela.text'")[1].split('Relocation section')[0]
    for offset, kind in re.findall(r'^([0-9a-f]{16})  [0-9a-f]+ (\S+)', text, re.M):
        at = int(offset, 16) - start
        if 0 <= at < len(its): # the linker may make a load of an address its computation
            out.update(range(at - 2 if kind.endswith('GOTPCRELX') else at, at + 4))
    differ = {i for i, (a, b) in enumerate(zip(its, ours)) if a != b} - out
    jumps = [i for i in range(len(its)) if its[i] == 0xE9 and differ and differ <= set(range(i + 1, i + 5))]
    t.ok(len(its) == len(ours) > 100 and (not differ or jumps),
         f'{name} is that of jemalloc, {len(its)} bytes, but for one jump', sorted(differ))


def state(tree):
    """All that is in a folder, and when it was last written to."""
    return {path: path.stat().st_mtime_ns for path in [tree, *tree.rglob('*')]}


def as_packed(tree, place):
    """A copy of it as some archives unpack it: nothing executable, in a folder of a name like no other."""
    shutil.copytree(tree, place)
    for path in place.iterdir():
        if path.is_file():
            path.chmod(0o444)
    return place


def no_version(place, path):
    """What is said of a clone without tags, with this PATH."""
    place.mkdir()
    (place / 'configure.ac').touch()
    call('git', 'init', place)
    return call('env', f'PATH={path}', s.ROOT / 'src' / 'malloc' / 'compile_jemalloc.sh', place, place / 'out', *COMPILER)


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
    place = Path(directory)
    result = embed(ARCHIVE, place / 'out')
    t.ok(result.returncode == 0 and re.match(r'5\.3\.[01]-0-g\w*\n\d+\n', result.stdout),
         'the archive that the library has does', result)
    undefined = call('nm', '-u', place / 'out' / 'jemalloc.o').stdout.split()
    t.ok('cleared_memmove' in undefined and not {'memmove', '__memmove_chk'} & set(undefined),
         'what it moves goes through no vector register', undefined)
    if re.fullmatch(r'\S+\n\d+\n\n', result.stdout):
        call('ar', 'x', ARCHIVE, 'jemalloc.pic.o', cwd=place)
        for name in ('malloc', 'free'):
            copied(t, s.LIB, place / 'jemalloc.pic.o', name)
    for what, (member, change, reason) in REFUSED.items():
        result = embed(changed(place / 'changed', member, change), place / 'out')
        t.ok(result.returncode == 1 and len(result.stderr.splitlines()) == 1 and re.search(reason, result.stderr),
             f'{what}: refused in a line', result)
    result = embed('libjemalloc_pic.a', place / 'out')
    t.ok(result.returncode == 1 and re.fullmatch('.*there is no PIC archive.*jemalloc_source=DIR\n', result.stderr),
         'no archive: the line says how to make one', result)
    # For another machine: all that is asked of the archive before its page is of any.
    other = place / 'cc'
    other.write_text('#!/bin/sh\n[ "$*" = -dumpmachine ] && echo aarch64-linux-gnu || exec cc "$@"\n')
    other.chmod(0o755)
    result = call(EMBED, ARCHIVE, place / 'other', COPY, other)
    t.ok(result.returncode == 1 and re.fullmatch(r".* does not do: its page is 2\^12 bytes .* of 65536\n", result.stderr),
         'pages of 4 KiB on arm64: refused, the line says why', result)
    result = call('meson', 'setup', place / 'none', s.ROOT, f'-Djemalloc_source={place}')
    t.ok(result.returncode != 0 and f'{place} is no source tree of jemalloc' in result.stdout,
         'a folder that is no source: the line says so', result)
    for what, path, reason in (('no autoconf', '/nonexistent', 'has no configure, and there is no autoconf'),
                               ('a clone without tags', os.environ['PATH'], 'does not tell the version .*: fatal: ')):
        if s.find('git') and s.find('autoconf'):
            result = no_version(place / what, path)
            t.ok(result.returncode == 1 and len(result.stderr.splitlines()) == 1 and re.search(reason, result.stderr),
                 f'{what}: the line says so', result)

    if s.HOSTILE:
        t.skip('builds of the library', 'they are done with the usual build')
    else:
        # Its slow path goes by another name: as good a jemalloc, with another malloc.
        changed(place / 'other', 'jemalloc.pic.o', rename('je_malloc_default', 'je_malloc_other'))
        library, said = build(t, place / 'build', f'-Dc_args=-B{place}/other/')
        t.ok(re.search('malloc and free *: behind a jump each: no je_malloc_default', said),
             'where malloc is not copied it is said', said[-1500:])
        if library:
            serves(t, library)
        shutil.rmtree(place / 'build', ignore_errors=True)
        try:
            tree, version_ = jemalloc_source.get()
            packed = as_packed(tree, place / 'a blank: and a colon')
            before = state(packed)
            library, said = build(t, place / 'build', f'-Djemalloc_source={packed}')
            t.ok(state(packed) == before, 'nothing has been written into the tree')
            t.ok(f'version : {version_}-0-g' in re.sub(' +', ' ', said), f'jemalloc {version_}, of its source', said[-1500:])
            if library:
                serves(t, library)
        except (jemalloc_source.Missing, OSError) as why:
            t.skip('jemalloc of its source', f"Debian's source package cannot be had: {why}")
