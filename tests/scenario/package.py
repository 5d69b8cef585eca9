#!/usr/bin/env python3
"""tools/package.sh: what it makes is put into minimal systems without a compiler, and works there.

MEMDEBUG_SYSTEMS=DIRECTORY:DIRECTORY names minimal systems that debootstrap has made; they are copied.
Without it one of Debian 12 is made.  MEMDEBUG_PACKAGES=DIRECTORY: packages that are made already.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

GROWS = 'my @kept = map { "string $_" } 1..300000; print scalar(@kept), "\\n"; $| = 1; sleep shift'
INTO = '''set -e
mount --make-rprivate /
cd "$1"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p packages
mount --bind "$2" packages
shift 2
exec chroot . "$@"
'''


class System:
    """A minimal system below `root`, with the packages at /packages.  Each run is in namespaces of its own,
    and takes all that it has started along."""

    def __init__(self, root, packages):
        self.root, self.packages = root, packages

    def run(self, script, timeout=300):
        return s.run(['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', INTO, 'sh', self.root,
                      self.packages, '/bin/sh', '-c', script], preload=False, timeout=timeout,
                     env={'DEBIAN_FRONTEND': 'noninteractive', 'LC_ALL': 'C.UTF-8', 'HOME': '/root', 'TMPDIR': '/tmp'})


def why_not():
    """Why nothing can be tried here, '' where it can."""
    if s.HOSTILE:
        return 'packages are made of the commit, not of this build'
    if os.geteuid() != 0:
        return 'root is needed, to mount and to install'
    absent = [tool for tool in ('git', 'dpkg-buildpackage', 'dh', 'lintian', 'patchelf', 'debootstrap') if not s.find(tool)]
    if absent:
        return 'not installed: ' + ' '.join(absent)
    if s.run(['git', '-C', s.ROOT, 'rev-parse', 'HEAD'], preload=False).status != 0:
        return 'this is no git checkout'
    if s.run(['unshare', '--mount', '--pid', '--fork', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], preload=False).status:
        return 'nothing can be mounted here'
    return ''


def make_packages(t, directory):
    made = os.environ.get('MEMDEBUG_PACKAGES')
    if made:
        return Path(made).resolve()
    packages = directory / 'packages'
    done = s.run([s.ROOT / 'tools/package.sh', '-o', packages], preload=False, timeout=3600,
                 env={'DEB_BUILD_OPTIONS': 'noautodbgsym', 'TMPDIR': str(directory)})
    t.ok(done.status == 0, 'tools/package.sh, and lintian is content', done)
    return packages if done.status == 0 else None


def systems(t, directory):
    """(name, root) of each minimal system, copied or made."""
    given = [Path(path) for path in os.environ.get('MEMDEBUG_SYSTEMS', '').split(':') if path]
    for path in given:
        subprocess.run(['cp', '-a', '--reflink=auto', path, directory / path.name], check=True)
        yield path.name, directory / path.name
    if given:
        return
    mirror = subprocess.run(['sh', '-c', 'eval "$(apt-config shell proxy Acquire::http::Proxy)"; '
                             'export ${proxy:+http_proxy=$proxy}; '
                             f'exec timeout 600 debootstrap --variant=minbase bookworm {directory}/bookworm'],
                            capture_output=True, text=True, check=False)
    if mirror.returncode:
        t.skip('in a minimal Debian 12', 'debootstrap: ' + (mirror.stdout.splitlines() or ['nothing said'])[-1])
    else:
        yield 'bookworm', directory / 'bookworm'


def prepare(root):
    for path in ('/etc/resolv.conf', '/etc/hosts'):
        shutil.copy(path, root / 'etc', follow_symlinks=True)
    asked = subprocess.run(['apt-config', 'dump'], capture_output=True, text=True, check=True).stdout
    (root / 'etc/apt/apt.conf.d/90memdebug').write_text(''.join(
        line + '\n' for line in asked.splitlines() if re.match(r'Acquire::(https?|Check-)', line)))
    (root / 'etc/dpkg/dpkg.cfg.d/memdebug').write_text('force-unsafe-io\n')


def works(t, system, name, prefix):
    """memtop from `prefix`, on the perl that every Debian has."""
    memtop = f'{prefix}/bin/memtop'
    done = system.run(f"""{memtop} run -e heapprofile=/tmp/h -- perl -e '{GROWS}' 0
                          {memtop} heap -b /tmp/h.*.exit.pb.gz; rm /tmp/h.*""")
    t.ok(done.status == 0 and '300000' in done.out and 'peak heap' in done.err, f'{name}: memtop run', done)
    t.ok(re.search(r'[kM]B.*Perl_\w+', done.out) and 'missing' not in done.err, f'{name}: a profile with names', done)
    done = system.run(f"""{memtop} run -- perl -e '{GROWS}' 60 >/tmp/out 2>&1 &
                          until grep -q 300000 /tmp/out; do sleep 0.1; done
                          {memtop} ps; {memtop} -b -n 1 perl; {memtop} heap -b perl""")
    t.ok(re.search(r'^ *\d+ .*perl', done.out, re.M), f'{name}: memtop ps', done)
    t.ok(done.status == 0 and len(re.findall(r'Perl_\w+', done.out)) > 1 and 'missing' not in done.err,
         f'{name}: seen and named from outside', done)
    done = system.run(f"""MEMDEBUG=leakcheck=1 LD_PRELOAD=$({memtop} run -- sh -c 'echo $LD_PRELOAD' 2>/dev/null) \\
                          perl -e '{GROWS}' 0""")
    t.ok(done.status == 0 and 'missing' not in done.err, f'{name}: a leak check finds its names, too', done)
    done = system.run(f"bash -c '. {prefix}/share/bash-completion/completions/memtop; complete -p memtop'")
    t.ok(done.status == 0 and 'memtop' in done.out, f'{name}: completions', done)
    for page in ('man1/memtop.1', 'man7/memdebug.7'):
        done = system.run(f'cat {prefix}/share/man/{page} 2>/dev/null || zcat {prefix}/share/man/{page}.gz')
        t.ok('.TH' in done.out and '.SH' in done.out, f'{name}: manual page {page}', done)


def try_tar(t, system, name):
    done = system.run('set -e; cd /srv; tar -xzf /packages/memdebug-*.tar.gz; mv memdebug-* elsewhere')
    if not t.ok(done.status == 0, f'{name}: the tar is unpacked', done):
        return
    works(t, system, f'{name}, tar', '/srv/elsewhere')
    needs = system.run('LD_TRACE_LOADED_OBJECTS=1 LD_PRELOAD=/srv/elsewhere/lib/libmemdebug.so.0 /bin/true')
    common = [line.split()[0] for line in needs.out.splitlines() if '.so.' in line and '.md.' not in line]
    own = [library for library in common if not re.match(r'linux-vdso|ld-linux|libc\.|libm\.|libgcc_s|/', library)]
    t.ok('libunwind.md.8' in needs.out and not own, f"{name}: nothing that a program may bring comes under its name",
         needs)
    shutil.rmtree(system.root / 'srv/elsewhere')


def try_debs(t, system, name):
    done = system.run('apt-get -q update', timeout=600)
    if done.status:
        t.skip(f'{name}: packages', 'the mirror cannot be reached: ' + done.err[-200:])
        return
    start = time.monotonic()
    done = system.run('apt-get -q install -y /packages/libmemdebug0_*.deb /packages/memtop_*.deb', timeout=600)
    seconds = time.monotonic() - start
    if not t.ok(done.status == 0, f'{name}: the packages are installed', done):
        return
    for line in re.findall(r'^.*newly installed.*$|^Need to get .*$|^After this operation.*$', done.out, re.M):
        print(f'# {name}: {line}')
    print(f'# {name}: installed in {seconds:.1f} s', flush=True)
    works(t, system, f'{name}, deb', '/usr')
    done = system.run('ls /usr/lib/*/libmemdebug.so; cat /usr/share/doc/libmemdebug0/copyright')
    t.ok('libmemdebug.so' not in done.out.split('Format')[0] and 'Jason Evans' in done.out,
         f'{name}: without the name that only the linker needs, with the notices of what is inside', done)
    unit = next((path for path in system.root.glob('*/systemd/system/run-memdebug.mount') if path.is_file()),
                next(system.root.glob('usr/lib/systemd/system/run-memdebug.mount'), None))
    options = unit and re.search(r'^Options=(.*)$', unit.read_text(), re.M)
    if not t.ok(options, f'{name}: a mount unit'):
        return
    wanted = {'mode=1777', 'nosuid', 'nodev', 'noexec'}
    t.ok(wanted <= set(options[1].split(',')) and 'size=' in options[1], f'{name}: bounded, for everybody', options)
    done = system.run(f"""mkdir /run/memdebug; mount -t tmpfs -o {options[1]} tmpfs /run/memdebug
                          setpriv --reuid=65534 --regid=65534 --clear-groups \\
                              memtop run -- perl -e '{GROWS}' 60 >/tmp/out 2>&1 &
                          until grep -q 300000 /tmp/out; do sleep 0.1; done
                          ls -l /run/memdebug; memtop ps""")
    t.ok(re.search(r'^-rw------- .* 65534|nobody .*\.mdseg$', done.out, re.M) and 'perl' in done.out.split('.mdseg')[-1],
         f"{name}: any user's segments lie there", done)
    if s.find('systemd-analyze'):
        done = s.run(['systemd-analyze', 'verify', '--man=no', unit], preload=False)
        t.equal((done.status, done.err), (0, ''), f'{name}: systemd understands it', done)


def try_linking(t, packages, directory):
    """What only who compiles needs, from wherever it is unpacked."""
    subprocess.run(['tar', '-C', directory, '-xzf', *packages.glob('memdebug-*.tar.gz')], check=True)
    prefix = next(directory.glob('memdebug-*-glibc*'))
    (directory / 'linked.c').write_text('#include <memdebug/memdebug.h>\n#include <stdio.h>\n'
                                        'int main(void) { puts(md_version()); return 0; }\n')
    done = s.run(['sh', '-c', f'cd {directory} && cc linked.c -o linked $(pkg-config --cflags --libs memdebug) && '
                  f'LD_LIBRARY_PATH={prefix}/lib ./linked'], preload=False,
                 env={'PKG_CONFIG_PATH': str(prefix / 'lib/pkgconfig')})
    t.ok(done.status == 0 and re.match(r'\d+\.\d+', done.out), 'a program is linked by pkg-config', done)
    # Of elfutils' libraries only those of one build go together.
    shown = ('x = [str(i) for i in range(200000)]; import time; time.sleep(1); '
             'print([l.split()[-1] for l in open("/proc/self/maps")])')
    for preload, wanted, other in (('', r'/libdw\.md\.1', r'/libdw[-.\d]*so'),
                                   ('libelf.so.1:', r'/libdw[-.\d]*so', r'/libdw\.md\.1')):
        done = s.run(['/usr/bin/python3', '-c', shown], f'heapprofile={directory}/h,heapprofileinterval=100ms',
                     preload=f'{preload}{prefix}/lib/libmemdebug.so.0', env={'PYTHONMALLOC': 'malloc'})
        t.ok(done.status == 0 and not done.err and re.search(wanted, done.out) and not re.search(other, done.out),
             f'the libdw that fits a program {"with" if preload else "without"} a libelf', done)
    done = s.run(['dpkg-deb', '-c', *packages.glob('libmemdebug-dev_*.deb')], preload=False)
    t.ok(all(part in done.out for part in ('/libmemdebug.so', '/memdebug.pc', '/memdebug/memdebug.h')),
         'libmemdebug-dev', done)


def main(t):
    reason = why_not()
    if reason:
        t.skip('packages', reason)
        return
    with tempfile.TemporaryDirectory(prefix='mdpackage-', dir='/var/tmp') as temporary:
        directory = Path(temporary)
        packages = make_packages(t, directory)
        if not packages:
            return
        try_linking(t, packages, directory)
        for name, root in systems(t, directory):
            prepare(root)
            system = System(root, packages)
            try_tar(t, system, name)  # first: what the packages depend on is not there yet
            try_debs(t, system, name)


with s.Tap() as tap:
    main(tap)
