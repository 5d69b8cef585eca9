#!/usr/bin/env python3
"""What `memtop unit` and `memtop container` write: what a sandbox needs is set, what it keeps from
working is said, all values are quoted for who reads them, and what is wrong is told in one line.
(service.py runs services with it.)"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

NASTY = 'heapprofile=/tmp/$x "%p\',$(HOME) \\d/{pid}'


def unit(directory, text, *settings, library=None, command=(), env=None):
    directory.joinpath('app.service').write_text('[Service]\n' + text + '\n')
    found = {'MEMDEBUG_LIBRARY': str(library)} if library else {}
    return s.run([*command, s.MEMTOP, 'unit', 'app', *settings], preload=False,
                 env={'SYSTEMD_UNIT_PATH': str(directory), **found, **(env or {})})


def parts(result):
    """(settings, obstacles) of a drop-in."""
    lines = result.out.splitlines()
    return ([line for line in lines if not line.startswith('#') and line != '[Service]'],
            [line[4:] for line in lines if line.startswith('# ! ')])


RUNS = 'ExecStart=/bin/sleep 9\n'
PRELOAD = 'Environment="LD_PRELOAD={library}"'
# (what is shown, unit, settings, what is set behind LD_PRELOAD, how each obstacle begins)
CASES = [
    ('nothing is asked for', RUNS, [], [], []),
    ('an option', RUNS, ['gc=ready'], ['Environment="MEMDEBUG=gc=ready"'], []),
    ('a percent sign and a comma', RUNS, ['gcpercent=50%', 'follow=fork,exec', 'only=a,b'],
     ['Environment="MEMDEBUG=gcpercent=50%%,follow=fork,exec,only=a\\\\,b"'], []),
    ('options that it has', RUNS + 'Environment=A=b "MEMDEBUG=gc=ready,only=%p"', ['gctrace=1'],
     ['Environment="MEMDEBUG=gc=ready,only=%p,gctrace=1"'], []),
    ('NoExecPaths=', RUNS + 'NoExecPaths=/', [], ['ExecPaths={library}'], []),
    ('NoExecPaths= that does not hold for it', RUNS + 'NoExecPaths=/\nExecPaths=/bin {folder}', [], [], []),
    ('ProtectSystem=strict', RUNS + 'ProtectSystem=strict', [], ['ReadWritePaths=-/run/memdebug'], []),
    ('monitor=off needs no segment', RUNS + 'ProtectSystem=strict\nRemoveIPC=yes', ['monitor=off'],
     ['Environment="MEMDEBUG=monitor=off"'], []),
    ('ReadWritePaths= that it has', RUNS + 'ProtectSystem=strict\nReadWritePaths=/run', [], [], []),
    ('RemoveIPC=', RUNS + 'User=nobody\nRemoveIPC=yes', [], ['RemoveIPC=no'], []),
    ('DynamicUser=', RUNS + 'DynamicUser=yes', [], ['ReadWritePaths=-/run/memdebug'], ['DynamicUser=: at each stop']),
    ('files that it writes', RUNS + 'ProtectSystem=full\nUser=root', ['heapprofile=/etc/x/h.{{pid}}', 'leakfile=/usr/leaks'],
     ['Environment="MEMDEBUG=heapprofile=/etc/x/h.{{pid}},leakfile=/usr/leaks"', 'ReadWritePaths=-/etc/x',
      'ReadWritePaths=-/usr'], ['heapprofile=/etc/x/h.{{pid}}: /etc/x: No such file']),
    ('a directory of others', RUNS + 'User=nobody', ['heapprofile=/usr/bin/heap'],
     ['Environment="MEMDEBUG=heapprofile=/usr/bin/heap"'], ['heapprofile=/usr/bin/heap: /usr/bin has mode 0755']),
    ('PrivateTmp=', RUNS + 'PrivateTmp=yes', ['heapprofile=/tmp/heap'], ['Environment="MEMDEBUG=heapprofile=/tmp/heap"'],
     ['heapprofile=/tmp/heap: PrivateTmp= gives the service a /tmp of its own']),
    ('a path that is relative', RUNS, ['gctracefile=lines'], ['Environment="MEMDEBUG=gctracefile=lines"'],
     ["gctracefile=lines: below the service's WorkingDirectory="]),
    ('something over the library', RUNS + 'TemporaryFileSystem={folder}', [], ['BindReadOnlyPaths={library}'], []),
    ('another root', RUNS + 'RootDirectory=/srv/root\nMountAPIVFS=yes', [], ['BindReadOnlyPaths={library}'],
     ['RootDirectory=: glibc 2.36, libgcc_s.so.1 and libunwind.so.8 must']),
    ('no access to the library', RUNS + 'InaccessiblePaths={folder}', [], [], ['InaccessiblePaths= hides {library}']),
    ('its environment taken away', RUNS + 'UnsetEnvironment=A LD_PRELOAD', [], [],
     ['UnsetEnvironment= takes LD_PRELOAD away']),
    ('its environment set elsewhere', RUNS + 'EnvironmentFile=-{folder}/env*', [], [],
     ['EnvironmentFile={folder}/environment sets MEMDEBUG']),
    ('a static program', f'ExecStart=-@{s.PROGRAMS}/hello_static hello', [], [],
     [f'ExecStart={s.PROGRAMS}/hello_static: static']),
    ('a program that is not here', 'ExecStart=/nowhere/app', [], [], ['ExecStart=/nowhere/app: cannot be looked at']),
    ('a filter that has all', RUNS + 'SystemCallFilter=@system-service\nSystemCallFilter=~ @privileged @resources',
     ['gc=ready'], ['Environment="MEMDEBUG=gc=ready"'], []),
    ('a filter without a call of cycles', RUNS + 'SystemCallFilter=@system-service\nSystemCallFilter=~unshare',
     ['gc=ready'], ['Environment="MEMDEBUG=gc=ready"'],
     ['SystemCallFilter= refuses unshare: no cycle will be done; to allow: SystemCallFilter=unshare']),
    ('the same without cycles', RUNS + 'SystemCallFilter=~unshare', [], [], []),
    ('a filter without a call of ours', RUNS + 'SystemCallFilter=~rename memfd_create:EPERM', [], [],
     ['SystemCallFilter= refuses memfd_create rename: the service would be KILLED']),
    ('the same, refused with an error', RUNS + 'SystemCallFilter=~rename\nSystemCallErrorNumber=EPERM', [], [],
     ['SystemCallFilter= refuses rename: not all will work']),
    ('a filter that is taken back', RUNS + 'SystemCallFilter=@basic-io\nSystemCallFilter=', [], [], []),
    ('limits and profiles', RUNS + 'LimitAS=1G\nAppArmorProfile=app\nOOMPolicy=kill\nRestrictFileSystems=ext4\n'
     'StandardError=null', ['gctrace=1'], ['Environment="MEMDEBUG=gctrace=1"'],
     ['AppArmorProfile=: it must', 'RestrictFileSystems= has no tmpfs', 'LimitAS=1G: no cycles', 'OOMPolicy=kill',
      "StandardError=null: gctrace's"]),
    ('a status that others have, too', RUNS + 'ExecStartPre=/bin/true', ['leakcheck=1', 'leakexitcode=1'],
     ['Environment="MEMDEBUG=leakcheck=1,leakexitcode=1"'], ['leakexitcode= holds for ExecStartPre=']),
]


def dropins(t, directory, analyze):
    folder = directory / 'lib'
    folder.mkdir()
    library = folder / 'libmemdebug.so.0'
    shutil.copy(s.LIB, library)
    (folder / 'environment').write_text('MEMDEBUG=gctrace=1\n')
    names = {'folder': str(folder), 'library': str(library)}
    for name, text, settings, expected, obstacles in CASES:
        if 'SystemCallFilter' in text and not analyze:
            t.skip(name, 'no systemd-analyze')
            continue
        result = unit(directory, text.format(**names), *(word.format() for word in settings), library=library)
        have, told = parts(result)
        wanted = [line.format(**names) for line in [PRELOAD, *expected]]
        t.ok(result.status == 0 and have == wanted and len(told) == len(obstacles) and
             all(line.startswith(begin.format(**names)) for line, begin in zip(told, obstacles)),
             f'memtop unit: {name}', f'{wanted}\n{obstacles}\n{result}')
    result = unit(directory, RUNS + 'Environment=LD_PRELOAD=/x/a.so:%h/b.so:/old/libmemdebug.so.0', library=library)
    t.equal(parts(result)[0], [f'Environment="LD_PRELOAD={library}:/x/a.so:%h/b.so"'],
            'what it preloads stays, behind ours')
    result = unit(directory, 'ExecStart="/no\\nUser=root"\nEnvironment="MEMDEBUG=only=a\\nUser=root\\x41\\102"',
                  library=library)
    t.ok(parts(result)[0][1:] == ['Environment="MEMDEBUG=only=a\\x0aUser=rootAB"'] and len(parts(result)[1]) == 1,
         'an escaped line break stays one', result)
    odd = directory / '100%"x'
    odd.mkdir()
    shutil.copy(library, odd)
    result = unit(directory, RUNS + 'NoExecPaths=/', library=odd / library.name)
    quoted = str(odd / library.name).replace('%', '%%').replace('"', '\\"')
    t.equal(parts(result)[0], [f'Environment="LD_PRELOAD={quoted}"', f'ExecPaths="{quoted}"'],
            'a path with what has a meaning in a unit', result)
    (folder / 'memdebug').mkdir()  # what an archive has along
    result = unit(directory, RUNS + 'NoExecPaths=/\nTemporaryFileSystem=/dev', library=library)
    t.equal(parts(result)[0][1:], [f'{key}={path}' for key in ('BindReadOnlyPaths', 'ExecPaths')
                                   for path in (library, folder / 'memdebug')], 'what the library has along comes with it',
            result)
    folder.chmod(0o700)
    result = unit(directory, RUNS + 'User=nobody', library=library)
    t.ok(result.status == 0 and parts(result)[1] == [f'{folder} has mode 0700: only its owner and group can load the '
                                                     'library'], 'a library that the user cannot read', result)
    folder.chmod(0o755)
    own = directory / 'app.service.d'
    own.mkdir()
    (own / 'zz-memdebug.conf').write_text('[Service]\nEnvironment="LD_PRELOAD=/old/one.so"\n')
    (own / 'override.conf').write_text('[Service]\nProtectSystem=strict\n')
    result = unit(directory, RUNS, library=library)
    t.equal(parts(result)[0], [PRELOAD.format(**names), 'ReadWritePaths=-/run/memdebug'],
            'other drop-ins count, its own does not', result)
    shutil.rmtree(own)


def refusals(t, directory, analyze):
    for settings, says in ((['gcintreval=1s'], 'gcintreval=1s: unknown key, nearest: gcinterval (MEMDEBUG=help lists all)'),
                           (['gc=maybe'], 'gc=maybe: bad value, accepted: auto|off|ready|observe'),
                           (['gctrace=1', 'gc=collect'], 'gc=collect: not in this version'),
                           (['only=a\nb'], 'only=a?b: control characters cannot stand there')):
        for what, result in (('unit', unit(directory, RUNS, *settings)),
                             ('container', s.run([s.MEMTOP, 'container', *settings], preload=False))):
            t.ok((result.status, result.out, result.err) == (2, '', f'memtop: {says}\n'), f'memtop {what}: {says}', result)
    result = s.run([s.MEMTOP, 'unit', 'nosuch'], preload=False, env={'SYSTEMD_UNIT_PATH': str(directory)})
    t.ok(result.status == 1 and result.out == '' and re.fullmatch(r'memtop: nosuch.service: no such service .*\n', result.err),
         'a service that there is not', result)
    if analyze:
        result = unit(directory, RUNS, b'only=\xff'.decode(errors='surrogateescape'))
        t.ok(result.status == 1 and result.out == '' and
             re.fullmatch(r'memtop: app.service: systemd does not take it: zz-memdebug.conf:.*\n', result.err),
             'what systemd would not take is not written', result)
    result = unit(directory, RUNS + 'SystemCallFilter=@system-service', env={'PATH': '/nonexistent'})
    t.ok(result.status == 0 and result.err == 'memtop: not checked: systemd-analyze is not to be had\n' and
         parts(result)[1][-1].startswith('SystemCallFilter=: systemd-analyze'), 'without systemd-analyze it says so', result)
    if os.geteuid() == 0 and not t.missing('--install without rights', 'setpriv'):
        public = directory / 'memtop'
        shutil.copy(s.MEMTOP, public)
        shutil.copy(s.LIB, directory / 'libmemdebug.so.0')
        result = s.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', public, 'unit', 'app', '--install'],
                       preload=False, env={'SYSTEMD_UNIT_PATH': str(directory)})
        t.ok(result.status == 1 and result.out == '' and
             re.fullmatch(r'memtop: /etc/systemd/system/app.service.d\S*: \S.*\n', result.err),
             '--install without rights is one line', result)


def snippets(t, directory):
    result = s.run([s.MEMTOP, 'container', NASTY, 'gc=ready'], preload=False)
    value = NASTY.replace(',', '\\,') + ',gc=ready'
    t.ok(result.status == 0 and result.err == '', 'memtop container', result)
    docker, kubernetes = result.out.split('# --- docker:')[1].split('# --- Kubernetes:')
    shell = 'docker() { [ "$1 $2" != "run --name" ] || printf "%s\\n" "$@"; }\n' + docker.split('\n', 2)[2].split('memtop ps')[0]
    said = s.run(['sh', '-c', shell], preload=False)
    t.ok(said.status == 0 and f'MEMDEBUG={value}' in said.out.splitlines(), 'docker gets the value as it was given', f'{shell}\n{said}')
    env = re.findall(r'^ENV MEMDEBUG="(.*)"$', result.out, re.M)
    t.equal([re.sub(r'\\(.)', r'\1', line) for line in env], [value, value], 'so does a Dockerfile')
    images = result.out.split('# --- docker:')[0]
    t.equal(re.findall(r'^(?:ENV LD_PRELOAD=|COPY )(.*)$', images, re.M),
            ['libmemdebug0_*.deb /tmp/', 'libmemdebug.so.0', 'memdebug/lib/ /opt/memdebug/lib/',
             '/opt/memdebug/lib/libmemdebug.so.0', 'memdebug/ /opt/memdebug/'], 'each image names what is copied into it')
    if t.missing('a pod', 'kubectl'):
        return
    (directory / 'pod.yaml').write_text('#' + kubernetes)
    # Without a server, by kubectl's own types: what they do not know is left out of its answer.
    made = s.run(['kubectl', 'set', 'env', '--local', '-f', directory / 'pod.yaml', '-c', 'memtop', 'A=b', '-o', 'json'],
                 preload=False)
    pod = json.loads(made.out or '{"spec": {"containers": []}}')['spec']
    app = next((each for each in pod['containers'] if each['name'] == 'app'), {})
    have = {each['name']: each['value'] for each in app.get('env', [])}
    t.equal(have.get('MEMDEBUG', '').replace('$$', '$'), value, 'so does a pod', made)
    t.ok(pod.get('shareProcessNamespace') is True and app['securityContext']['readOnlyRootFilesystem'] is True and
         {mount['mountPath'] for mount in app['volumeMounts']} == {'/opt/memdebug', '/run/memdebug'} and
         pod['volumes'][1]['emptyDir'] == {'medium': 'Memory', 'sizeLimit': '64Mi'} and
         all(each['securityContext']['runAsUser'] == 1000 for each in pod['containers']) and
         pod['initContainers'][0]['command'][0] == 'cp', 'kubectl knows all that the pod has', made)


with s.Tap() as t, tempfile.TemporaryDirectory(prefix='mdunit-', dir='/dev/shm') as scratch:
    scratch = Path(scratch)  # not in /tmp, which services may have one of their own of
    scratch.chmod(0o755)
    analyze = s.find('systemd-analyze')
    dropins(t, scratch, analyze)
    refusals(t, scratch, analyze)
    snippets(t, scratch)
