#!/usr/bin/env python3
"""jemalloc's own integration programs pass on the library in each mode as they do on jemalloc.

    jemalloc_integration.py [COMPILED]     where the build has compiled a source tree of jemalloc

They are of that tree, linked to a libjemalloc of what was compiled; else of Debian's source package, linked to
the system's.  The package is had by apt-get, into the build folder, and only where it can be: the programs are
built with the headers that its configure makes."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import jemalloc_source
import scenario as s
from jemalloc_source import Missing, call

MODES = (None, 'memprofilerate=1', 'memprofilerate=4096', 'gc=ready', 'gctrace=1,gcinterval=20ms',
         'gc=ready,memprofilerate=1')
# What the package's own shell scripts set for these programs.
CONF = {'extent': 'junk:false', 'mallocx': 'junk:false', 'xallocx': 'junk:false',
        'slab_sizes': 'slab_sizes:1-4096:17|100-200:1|128-128:2'}
LIBRARY = 'btalloc btalloc_0 btalloc_1 math mtx sleep SFMT test thd timer'.split()
INSIDE = 'nstime malloc_io ticker test_hooks'.split()


def of_debian(work):
    """Debian's source, a folder with the headers that its configure makes, and how a program is linked."""
    tree, version = jemalloc_source.get()
    configure = tree / 'configure'
    if not configure.exists():
        configure = work / 'configure'
        call(['autoconf', '-I', tree, '-o', configure, tree / 'configure.ac'], work, 'autoconf')
    call([configure, f'--srcdir={tree}', f'--with-version={version}-0-g0', '--enable-prof', '--with-lg-page=12',
          '--with-lg-hugepage=21', '--disable-doc', '--disable-cxx'], work, 'configure')
    (work / 'include/jemalloc/internal/private_namespace.h').touch() # nothing inside is linked
    return tree, work, ['-ljemalloc']


def of_the_build(compiled, work):
    """The same of the tree that the library has its jemalloc from."""
    library = work / 'libjemalloc.so.2'
    call(['cc', '-shared', '-Wl,-soname,libjemalloc.so.2', '-o', library, '-Wl,--whole-archive',
          compiled / 'lib/libjemalloc_pic.a', '-Wl,--no-whole-archive', '-lm', '-pthread'], work, 'libjemalloc.so.2')
    return compiled / 'source', compiled, [library, f'-Wl,-rpath,{work}']


def build(work):
    """Paths of the programs, by name."""
    tree, made, jemalloc = of_the_build(Path(sys.argv[1]), work) if sys.argv[1:] else of_debian(work)
    names = [path.stem for path in sorted((tree / 'test' / 'integration').glob('*.c'))
             if path.stem != 'smallocx'] # an experiment that the package leaves out
    compiler = ['cc', '-O1', '-w', '-D_GNU_SOURCE', '-D_REENTRANT', '-DJEMALLOC_INTEGRATION_TEST']
    for base in (made, tree):
        compiler += [f'-I{base}/include', f'-I{base}/test/include']
    parts = [tree / 'test/src' / f'{name}.c' for name in LIBRARY]
    parts += [tree / 'src' / f'{name}.c' for name in INSIDE]
    objects = []
    for part in parts:
        objects.append(work / f'part-{part.stem}.o')
        call(compiler + ['-c', part, '-o', objects[-1]], work, f'cc {part.name}')
    for name in names:
        call(compiler + [tree / 'test/integration' / f'{name}.c', *objects, '-o', work / name,
                         *jemalloc, '-lm', '-pthread'], work, f'cc {name}')
    return {name: work / name for name in names}


def passes(path, name, memdebug, preload=True):
    result = s.run([path], memdebug, preload=preload, env={'MALLOC_CONF': CONF.get(name, '')}, timeout=300)
    return result.status == 0 and ': fail' not in result.out + result.err, result


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdtest-') as directory:
    try:
        programs = build(Path(directory))
    except (Missing, OSError) as why:
        if sys.argv[1:]:
            raise # it is at hand
        t.skip("jemalloc's integration programs", f'their source cannot be had or built: {why}')
        programs = {}
    alone = {name: passes(path, name, None, preload=False) for name, path in programs.items()}
    for name, (passed, result) in alone.items():
        if not passed:
            t.skip(name, f'fails on jemalloc itself: status {result.status}')
    for memdebug in MODES if programs else ():
        failed = []
        for name, path in programs.items():
            if alone[name][0]:
                passed, result = passes(path, name, memdebug)
                failed += [] if passed else [f'{name}: {result}']
        t.ok(not failed, f'{memdebug or "unset"}: {len(programs)} integration programs of jemalloc pass',
             '\n'.join(failed))
