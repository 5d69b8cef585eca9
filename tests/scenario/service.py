#!/usr/bin/env python3
"""Services and containers.  systemd itself, as the first process of namespaces of its own, runs
redis-server and nginx by Debian's units and a python3 service that is confined by all that systemd has;
`memtop unit --install` puts memdebug into them, and memtop, outside, sees, names and profiles them.  The
same of a container in which nothing is but the program.  (What `memtop unit` and `memtop container` write:
unit.py.)"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import cgroups
import scenario as s

SYSTEMD = next((path for path in ('/usr/lib/systemd/systemd', '/lib/systemd/systemd') if os.access(path, os.X_OK)), None)
UNITS = Path('/lib/systemd/system')
INSTALLED = Path('/opt/memdebug')  # no path that a unit allows
DROPIN = 'zz-memdebug.conf'
MOUNT = 'run-memdebug.mount'  # of the package

# All that a unit can ask for, but for what takes the network or the user's own files away.
CONFINED = r'''
[Service]
Type=exec
ExecStart=/usr/bin/python3 /run/service/grow.py
DynamicUser=yes
NoExecPaths=/
ExecPaths=/usr /lib /lib64
InaccessiblePaths=-/boot
ProtectProc=invisible
ProcSubset=pid
ProtectHome=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
PrivateNetwork=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
CapabilityBoundingSet=
NoNewPrivileges=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
MemoryMax=200M
'''
# Has no namespace of its own.
PLAIN = '''
[Service]
Type=exec
ExecStart=/usr/bin/python3 /run/service/grow.py
User=nobody
'''
GROW = '''
import json, os, time
with open('/tmp/environment', 'w') as out:
    json.dump(dict(os.environ), out)
kept = []
while True:
    kept.append([bytearray(4096) for _ in range(20)])
    if len(kept) > 500:
        kept.clear()
    time.sleep(0.005)
'''
# Before systemd is begun: what it and its services write goes to memory.
BOOT = '''
set -e
mount --make-rprivate /
mount -t proc proc /proc
for place in /run /opt /etc/systemd/system /var/log /var/lib/redis /var/lib/nginx; do
    [ ! -d $place ] || { owner=$(stat -c %u:%g $place); mount -t tmpfs -o mode=755 tmpfs $place; chown $owner $place; }
done
cp -r "$1" /run/service
mkdir -p /opt/memdebug /var/log/nginx /var/log/redis
chown redis:redis /var/log/redis 2>/dev/null || true
cp -L "$2" /opt/memdebug/memtop
cp -L "$3" /opt/memdebug/libmemdebug.so.0
for place in /dev/shm /tmp /var/tmp; do
    mount -t tmpfs -o mode=1777,size=64m tmpfs $place
done
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export container=memdebug-test SYSTEMD_UNIT_PATH=/run/service:/etc/systemd/system SYSTEMD_GENERATOR_PATH=/run/none
exec "$4" --system --unit=test.target --log-target=null --show-status=no
'''


def child_of(pid):
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.joinpath('stat').read_text().rsplit(')', 1)[1].split()[1] == str(pid):
                    return int(entry.name)
    return None


class Manager:
    """systemd, running in namespaces of its own."""

    def __init__(self, pid):
        self.pid = pid

    def run(self, *command, timeout=60):
        """From within its namespaces, as its administrator."""
        return s.run(['nsenter', '-t', self.pid, '-m', '-p', '-n', '-C', '-r', '-w', '--', *command], preload=False,
                     env={'SYSTEMD_UNIT_PATH': '/run/service:/etc/systemd/system'}, cwd='/', timeout=timeout)

    def main_pid(self, unit):
        """A service's main process, by its number out here."""
        inner = self.run('systemctl', 'show', '-p', 'MainPID', '--value', unit).out.strip()
        if inner in ('', '0'):
            return None
        for entry in Path('/proc').iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    numbers = re.search(r'^NSpid:(.*)$', entry.joinpath('status').read_text(), re.M)[1].split()
                    if numbers[1:] == [inner] and os.readlink(entry / 'ns' / 'pid') == os.readlink(
                            f'/proc/{self.pid}/ns/pid'):
                        return int(entry.name)
        return None


@contextlib.contextmanager
def manager(scratch, groups):
    """systemd with the units of `scratch`, or the reason why it cannot be had."""
    group = (cgroups.ROOT if cgroups.VERSION2 else cgroups.ROOT / 'unified') / f'mdservice-{os.getpid()}'
    if os.geteuid() != 0:
        yield 'only root makes namespaces'
        return
    if SYSTEMD is None:
        yield 'systemd is not installed'
        return
    if s.run(['unshare', '-U', 'true'], preload=False).status != 0:
        yield 'user namespaces are refused, as in a chroot'
        return
    try:
        group.mkdir()
    except OSError as error:
        yield f'no cgroup of version 2: {error}'
        return
    log, process = scratch / 'systemd.log', None
    try:
        enter = ' && '.join(f'echo $$ >{directory}/cgroup.procs' for directory in (group, *groups))
        with open(log, 'wb') as out:
            process = subprocess.Popen(
                ['sh', '-c', enter + ' && exec unshare -m -p -n -C -f --kill-child sh -c "$0" boot "$@"', BOOT,
                 str(scratch / 'units'), str(s.MEMTOP), str(s.LIB), SYSTEMD],
                env=s.environment(preload=False), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd='/',
                start_new_session=True)
        s.wait_for(lambda: child_of(process.pid), 30, process)
        made = Manager(child_of(process.pid))
        up = made.pid and s.wait_for(
            lambda: made.run('systemctl', 'is-system-running').out.strip() in ('running', 'degraded'), 60, process)
        yield made if up else 'systemd does not start here: ' + ' '.join(log.read_text(errors='replace').split())[-300:]
    finally:
        if process:
            process.kill()  # and with it its child, and all of its namespace
            process.wait()
        cgroups.remove(group)


def make_units(directory):
    """Debian's own, ours, and what all of them come after, empty."""
    directory.mkdir()
    for target in ('test', 'sysinit', 'basic', 'shutdown', 'umount'):
        (directory / f'{target}.target').write_text('[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n')
    for unit in ('redis-server', 'nginx'):
        if (UNITS / f'{unit}.service').exists():
            shutil.copy(UNITS / f'{unit}.service', directory)
    shutil.copy(s.ROOT / 'tools/debian/memtop.run-memdebug.mount', directory / MOUNT)
    (directory / 'confined.service').write_text(CONFINED)
    (directory / 'plain.service').write_text(PLAIN)
    (directory / 'grow.py').write_text(GROW)


# ------------------------------------------------------------------------------------- services


def memtop(*arguments, timeout=120):
    return s.run([s.MEMTOP, *arguments], preload=False, timeout=timeout)


def unhurried(*arguments):
    """The same of what asks for cycles, until none is skipped for want of CPUs."""
    for _ in range(60):
        result = memtop(*arguments)
        if result.status == 0 or not any(reason in result.out + result.err for reason in s.BUSY):
            break
        time.sleep(0.5)
    return result


def listed(pid):
    """What `memtop ps` says of a process."""
    for line in memtop('ps', '--json').out.splitlines():
        record = json.loads(line)
        if record['pid'] == pid and record.get('state') == 'live':
            return record
    return None


def status_of(pid):
    return dict(line.split(':\t', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines() if ':\t' in line)


def mounted(pid, point):
    """The options of a mount as a process sees it."""
    for line in Path(f'/proc/{pid}/mountinfo').read_text().splitlines():
        words = line.split()
        if words[4] == point:
            return words[5].split(',')
    return []


def start(t, m, unit, *settings, says=()):
    result = m.run(INSTALLED / 'memtop', 'unit', unit, *settings, '--install')
    path = f'/etc/systemd/system/{unit}.service.d/{DROPIN}'
    t.ok(result.status == 0 and result.out.splitlines()[:1] == [path] and
         all(line in result.err for line in says) and len(result.err.splitlines()) == len(says),
         f'{unit}: memtop unit --install, {len(says)} obstacles', result)
    result = m.run('systemctl', 'restart', unit)
    state = m.run('systemctl', 'is-active', unit).out.strip()
    t.ok(result.status == 0 and state == 'active', f'{unit}: starts with it',
         f'{result}\n{m.run("systemctl", "status", unit)}')
    return m.main_pid(unit)


def is_watched(t, pid, what, name, function):
    """memtop, from outside, sees, names and profiles the process and has it do a cycle."""
    s.wait_for(lambda: listed(pid), 30)
    record = listed(pid) or {}
    t.ok(record.get('name') == name, f'{what}: memtop ps lists it, {record.get("name")}', memtop('ps', '--all'))
    result = unhurried('gc', str(pid))
    cycle = s.GC_LINE.match(result.out.strip())
    t.ok(result.status == 0 and cycle and int(s.Cycle(cycle).objects) > 0, f'{what}: memtop gc: a cycle', result)
    result = memtop('heap', '-b', str(pid))
    t.ok(result.status == 0 and function in result.out, f'{what}: memtop heap has {function}', result)


def redis(t, m):
    pid = start(t, m, 'redis-server', 'gc=ready', 'memprofilerate=16KiB')
    if not t.ok(pid, 'redis-server: has a main process'):
        return
    status = status_of(pid)
    t.ok(status['Seccomp'] == '2' and status['NoNewPrivs'] == '1' and int(status['CapBnd'], 16) == 0 and
         {'ro', 'noexec'} <= set(mounted(pid, '/')),
         "redis-server: confined as Debian's unit has it: filters, no capabilities, all read-only and noexec",
         f'{status}\n{mounted(pid, "/")}')
    load = m.run('redis-cli', 'eval', 'for i=1,20000 do redis.call("set", i, string.rep("x", i % 500)) end return '
                 'redis.call("dbsize")', '0')
    t.equal(load.out.strip(), '20000', 'redis-server: does its work', load)
    is_watched(t, pid, 'redis-server', 'redis-server', 'zmalloc')
    segment = list(Path(f'/proc/{m.pid}/root/dev/shm').glob('memdebug-*/*.mdseg'))
    t.equal(len(segment), 1, 'redis-server: its segment lies in the /dev/shm of its namespace', segment)
    m.run('systemctl', 'kill', '-s', 'KILL', 'redis-server')
    s.wait_for(lambda: m.main_pid('redis-server') not in (None, pid), 60)  # started anew: the old one is done with
    stopped = m.run('systemctl', 'stop', 'redis-server')
    dead = [json.loads(line) for line in memtop('ps', '--json').out.splitlines()]
    dead = [record for record in dead if record.get('state') == 'dead' and record['segment'].endswith(segment[0].name)]
    t.ok(stopped.status == 0 and len(dead) == 1,
         'redis-server: RemoveIPC=no: of one that was killed, and of its user nothing runs, all that was known is there',
         f'{dead}\n{stopped}\n{memtop("ps")}')
    alone = m.run('sh', '-c', f'sed -i /^ExecPaths/d /etc/systemd/system/redis-server.service.d/{DROPIN} && '
                  'systemctl daemon-reload && systemctl start redis-server')
    pid = m.main_pid('redis-server')
    others = memtop('ps', '--all').out
    t.ok(alone.status == 0 and re.search(rf'^ *{pid} .*the loader refused it', others, re.M),
         'redis-server: without ExecPaths= the loader refuses the library, the service runs, memtop says so',
         f'{alone}\n{others}')
    m.run('systemctl', 'stop', 'redis-server')


def nginx(t, m):
    pid = start(t, m, 'nginx', 'gc=ready', 'memprofilerate=16KiB')
    if not t.ok(pid, 'nginx: has a main process'):
        return
    fetch = m.run('python3', '-c', 'import urllib.request\nfor _ in range(300):\n'
                  '  r = urllib.request.urlopen("http://127.0.0.1/")\n  r.read()\nprint(r.status)')
    t.equal(fetch.out.strip(), '200', 'nginx: does its work', fetch)

    def workers():
        return [entry for entry in map(json.loads, memtop('ps', '--json').out.splitlines())
                if entry.get('state') == 'live' and entry['name'] == 'nginx' and entry['pid'] != pid]
    s.wait_for(workers, 30)
    found = workers()
    t.ok(found and all(status_of(worker['pid'])['Uid'].split()[0] != '0' and
                       status_of(worker['pid'])['PPid'] == str(pid) for worker in found),
         f'nginx: {len(found)} forked workers, of another user', f'{found}\n{memtop("ps", "--all")}')
    if found:
        is_watched(t, found[0]['pid'], 'an nginx worker', 'nginx', 'ngx_')
    others = memtop('ps', '--all').out
    t.ok(listed(pid) or re.search(rf'^ *{pid} .*: .*less than [56].* KiB allocated', others, re.M),
         'nginx: the first process is listed, or why it is not', others)
    m.run('systemctl', 'stop', 'nginx')


def confined(t, m, limited):
    value = 'a b%p,"$HOME"\\{pid}'
    pid = start(t, m, 'confined', 'gc=ready', f'only={value}:python3', 'memprofilerate=16KiB',
                says=['DynamicUser=: at each stop systemd removes what the user has in /dev/shm'])
    if not t.ok(pid, 'python3: has a main process'):
        return
    status = status_of(pid)
    t.ok(status['Seccomp'] == '2' and int(status['CapBnd'], 16) == 0 and int(status['Uid'].split()[0]) >= 61184 and
         {'ro', 'noexec'} <= set(mounted(pid, '/')),
         'python3: confined by all that systemd has, as a user that is made for it', f'{status}\n{mounted(pid, "/")}')
    environment = f'/proc/{pid}/root/tmp/environment'
    s.wait_for(lambda: os.path.exists(environment) and os.path.getsize(environment), 30)
    t.equal(json.loads(Path(environment).read_text())['MEMDEBUG'].split(',@')[0],
            f'gc=ready,only={value}:python3,memprofilerate=16KiB'.replace('p,"', 'p\\,"'),
            'python3: a value with all that has a meaning somewhere comes as it was given')
    if limited:
        t.ok('mdtest' in Path(f'/proc/{pid}/cgroup').read_text(), 'python3: in a cgroup with a limit of memory')
    is_watched(t, pid, 'python3', 'python3', 'PyByteArray')


def own_directory(t, m):
    """/run/memdebug, as the package has systemd mount it, and a service that may hardly write anywhere."""
    place = Path(f'/proc/{m.pid}/root/run/memdebug')

    def lies(pid):
        return (listed(pid) or {}).get('segment', '')

    def restarted(unit='confined'):
        m.run('systemctl', 'restart', unit)
        s.wait_for(lambda: listed(m.main_pid(unit)), 60)
        return m.main_pid(unit)

    result = m.run('systemctl', 'start', MOUNT)
    options = mounted(m.pid, '/run/memdebug')
    size = os.statvfs(place)
    t.ok(result.status == 0 and {'nosuid', 'nodev', 'noexec'} <= set(options) and
         place.stat().st_mode & 0o7777 == 0o1777 and size.f_blocks * size.f_frsize == 256 << 20 and
         size.f_files == 16 << 10, "/run/memdebug: mounted by the package's unit", f'{result}\n{options}\n{size}')
    pid = restarted()
    t.ok('/run/memdebug/' in lies(pid), 'python3: its segment lies there', lies(pid))
    is_watched(t, pid, 'python3, by /run/memdebug', 'python3', 'PyByteArray')
    m.run('systemctl', 'kill', '-s', 'KILL', 'confined')
    m.run('systemctl', 'stop', 'confined')
    t.equal(len(list(place.glob('*.mdseg'))), 1,
            'python3: there systemd leaves what the dead have left', list(place.iterdir()))
    pid, plain = restarted(), start(t, m, 'plain', 'gc=ready', 'memprofilerate=16KiB')
    t.ok(s.wait_for(lambda: '/run/memdebug/' in lies(plain), 60), 'a service without a sandbox: there too', lies(plain))
    result = m.run('systemctl', 'stop', MOUNT)
    t.ok(result.status == 0 and not mounted(m.pid, '/run/memdebug'), '/run/memdebug: unmounted beneath both', result)
    # A sandbox has a mount of its own.
    is_watched(t, pid, 'python3, unmounted', 'python3', 'PyByteArray')
    t.ok(s.wait_for(lambda: '/dev/shm/' in lies(plain), 60),
         'a service without a sandbox: makes its segment anew, in /dev/shm', lies(plain))
    is_watched(t, plain, 'without a sandbox, unmounted', 'python3', 'PyByteArray')
    t.equal((m.main_pid('confined'), m.main_pid('plain')), (pid, plain), 'both go on')
    pid = restarted()
    t.ok('/dev/shm/' in lies(pid), 'python3: of the next one it lies in /dev/shm', lies(pid))
    m.run('systemctl', 'start', MOUNT)
    pid = restarted()
    t.ok('/run/memdebug/' in lies(pid), 'python3: mounted again, that is the place again', lies(pid))
    m.run('systemctl', 'stop', 'confined', 'plain')


def services(t, scratch):
    make_units(scratch / 'units')
    with contextlib.ExitStack() as stack:
        group = None
        if not cgroups.VERSION2:  # there systemd itself does MemoryMax=
            group = stack.enter_context(cgroups.cgroup('memory', {'memory.max': ('memory.limit_in_bytes', 512 << 20)}))
            if isinstance(group, str):
                t.skip('services under a limit of memory', group)
                group = None
        m = stack.enter_context(manager(scratch, [group] if group else []))
        if isinstance(m, str):
            t.skip('services', m)
            return
        for unit, tool, test in (('redis-server', 'redis-cli', redis), ('nginx', 'nginx', nginx)):
            if not (UNITS / f'{unit}.service').exists():
                t.skip(unit, 'its unit is not installed')
            elif not t.missing(unit, tool):
                test(t, m)
        confined(t, m, group)
        own_directory(t, m)
        broken = m.run(INSTALLED / 'memtop', 'unit', 'confined', 'gcintervall=1s', '--install')
        t.ok(broken.status == 2 and broken.err == 'memtop: gcintervall=1s: unknown key, nearest: gcinterval '
             '(MEMDEBUG=help lists all)\n', 'an unknown option installs nothing and is told in one line', broken)


# ------------------------------------------------------------------------------------ containers

# The runtime: a root in which nothing is but a program, what that needs, and us; it is read-only, a user
# without rights runs it, and what Docker's profile refuses is refused.
CONTAINER = """
import ctypes, os, re, shutil, subprocess, sys
how, root, program, confine, refused, library = sys.argv[1:7]

def mount(*arguments):
    subprocess.run(['mount', *arguments], check=True)

mount('--make-rprivate', '/')
mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', root)
needed = subprocess.run(['ldd', program, confine, library], check=True, capture_output=True, text=True).stdout
for file in [program, confine, *re.findall(r'(/\\S+) \\(', needed)]:
    os.makedirs(root + os.path.dirname(file), exist_ok=True)
    shutil.copy(file, root + file)
shutil.copy(library, root + '/libmemdebug.so.0')
for place in ('proc', 'dev/shm', 'run'):
    os.makedirs(f'{root}/{place}')
mount('-t', 'proc', 'proc', root + '/proc')
mount('-t', 'tmpfs', '-o', 'mode=1777,size=64m', 'tmpfs', root + '/dev/shm')
mount('-o', 'remount,ro', root)
os.chdir(root)
if how == 'pivot_root':
    libc = ctypes.CDLL(None)
    assert libc.pivot_root(b'.', b'.') == 0 and libc.umount2(b'.', 2) == 0
else:
    os.chroot(root)
os.chdir('/')
os.setgroups([])
os.setgid(65532)
os.setuid(65532)
os.execve(confine, [confine, 'refuse', refused, program, '--scale', '50', '--serve', 'return'],
          {'LD_PRELOAD': '/libmemdebug.so.0', 'MEMDEBUG': 'gc=ready,memprofilerate=1'})
"""
# What Docker's profile refuses a process without capabilities (seccomp.py has all of it): of these the
# library calls some.
DOCKER_REFUSES = 'unshare,userfaultfd,ptrace,process_vm_readv'


def container(t, scratch, how):
    what = f'a container by {how}'
    if os.geteuid() != 0:
        t.skip(what, 'only root makes namespaces')
        return
    scratch.mkdir()
    scratch.parent.chmod(0o755)
    root = scratch / 'root'
    root.mkdir()
    program, confine, beside = (scratch / name for name in ('leaky', 'confine', 'memtop'))
    for file, to in ((s.PROGRAMS / 'leaky', program), (s.PROGRAMS / 'confine', confine), (s.MEMTOP, beside)):
        shutil.copy(file, to)
    script = scratch / 'container.py'
    script.write_text(CONTAINER)
    enter = ['unshare', '-m', '-p', '-n', '-u', '-i', '-f', '--kill-child', '--']
    refusal = s.run([*enter, 'sh', '-c', 'mount --make-rprivate / && mount -t tmpfs tmpfs "$0"', root], preload=False)
    if refusal.status != 0:
        t.skip(what, f'namespaces are refused: {refusal.err}')
        return
    with open(scratch / 'out', 'wb') as out, subprocess.Popen(
            [*enter, sys.executable, script, how, root, program, confine, DOCKER_REFUSES, s.LIB],
            env=s.environment(preload=False), stdin=subprocess.PIPE, stdout=out, stderr=out, cwd='/',
            start_new_session=True) as process:
        def text():
            return (scratch / 'out').read_text(errors='replace')
        try:
            s.wait_for(lambda: 'ready' in text(), 60, process)
            pid = child_of(process.pid)
            if not t.ok('ready' in text() and pid, f'{what}: the program runs', text()):
                return
            status = status_of(pid)
            t.ok(status['Seccomp'] == '2' and int(status['CapEff'], 16) == 0 and status['NSpid'].split()[1:] == ['1'] and
                 not os.path.exists(f'/proc/{pid}/root/bin/sh') and 'ro' in mounted(pid, '/'),
                 f'{what}: first process of its own, read-only, no shell, no rights, a filter', status)
            is_watched(t, pid, what, 'leaky', 'leak_large')
            lost = s.key_values(text())['leak_direct']['objects']
            result = unhurried('leaks', str(pid))
            t.ok(result.status == 0 and f'in {lost} object(s)' in result.out and ' in leak_direct ' in result.out,
                 f'{what}: memtop leaks: leak_direct, {lost} objects', result)
            # The sidecar: in the same PID namespace, with files of its own, of the same user.
            side = s.run(['nsenter', '-t', pid, '-p', '--', 'unshare', '-m', '--', 'sh', '-c',
                          'mount -t proc proc /proc && exec setpriv --reuid 65532 --regid 65532 --clear-groups '
                          '--no-new-privs --bounding-set -all --inh-caps -all -- "$@"', 'sh', beside, 'heap', '-b', '1'],
                         preload=False, cwd='/')
            t.ok(side.status == 0 and 'leak_large' in side.out,
                 f'{what}: memtop beside it, as its user and without rights, has names too', side)
        finally:
            process.kill()
            process.stdin.close()


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdservice-') as scratch:
    services(t, Path(scratch))
    for how in ('pivot_root', 'chroot'):
        container(t, Path(scratch) / how, how)
