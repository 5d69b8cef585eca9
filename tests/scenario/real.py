#!/usr/bin/env python3
"""Servers and interpreters that people run: with us they do what they do without us, what was asked for
is said, and no segment stays.

    real.py PROGRAM           in the one mode that tells most of it, as tests/run.sh does
    real.py PROGRAM --all     in every mode, as `meson test -C build --suite real` does
"""

import base64
import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

MODES = {
    'unset': None,
    'clone': 'gctrace=1,gcinterval=500ms,gcengine=clone',
    'wp': 'gctrace=1,gcinterval=500ms,gcengine=wp',
    'stop': 'gctrace=1,gcinterval=500ms,gcengine=stop',
    'auto': 'gctrace=1,gcinterval=500ms',
    'profile': 'memprofilerate=4096,heapprofile={directory}/heap',
    'leakcheck': 'leakcheck=1',
}
LOOPBACK = '127.0.0.1'


class Ground:
    """One run of one program: its directory, its environment, and what it and its children said."""

    def __init__(self, directory, mode, preload):
        self.directory, self.mode, self.preload = Path(directory), mode, preload
        memdebug = MODES[mode] if preload else None
        self.env = s.environment(memdebug and memdebug.format(directory=directory), preload,
                                 {'HOME': str(directory), 'TMPDIR': str(directory), 'LC_ALL': 'C.UTF-8'})
        self.errors = self.directory / 'stderr'
        self.logs = [self.errors]
        self.ring = ''  # what memtop tail printed of the server

    def path(self, name, text=None):
        path = self.directory / name
        if text is not None:
            path.write_text(text)
        return path

    def run(self, *command, timeout=300, **how):
        """(status, stdout) of a program that ends by itself."""
        with open(self.errors, 'ab') as errors:
            done = subprocess.run([str(part) for part in command], env=self.env, timeout=timeout,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                  cwd=self.directory, **how)
        return done.returncode, done.stdout.decode(errors='replace')

    @contextlib.contextmanager
    def server(self, *command, is_up, stop=signal.SIGTERM, **how):
        """A server, up while the block runs, then ended by `stop`; its status is .returncode."""
        with open(self.errors, 'ab') as errors:
            process = subprocess.Popen([str(part) for part in command], env=self.env,
                                       stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                       cwd=self.directory, start_new_session=True, **how)
        try:
            if not s.wait_for(is_up, 120, process):
                raise RuntimeError(f'{command[0]} is not up: {self.said()[-3000:]}')
            yield process
            if self.preload:
                self.ring = s.run([s.MEMTOP, 'tail', process.pid], preload=False).out
            process.send_signal(stop)
            process.wait(120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def said(self):
        return ''.join(log.read_text(errors='replace') for log in self.logs if log.exists())


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def answers(port):
    def check():
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return True
        return False
    return check


def http_get(port, path='/'):
    with socket.create_connection((LOOPBACK, port), 30) as peer:
        peer.sendall(f'GET {path} HTTP/1.0\r\n\r\n'.encode())
        answer = b''
        while piece := peer.recv(65536):
            answer += piece
    return answer.split(b'\r\n', 1)[0].decode(), answer.split(b'\r\n\r\n', 1)[-1].decode()


def load(port, seconds, connections=16):
    """wrk's own count of what went wrong: a string, empty if nothing."""
    done = subprocess.run([s.find('wrk'), '-t', '1', '-c', str(connections), '-d', f'{seconds}s',
                           '--timeout', '30s', '-H', 'Connection: close', f'http://{LOOPBACK}:{port}/'], capture_output=True,
                          text=True, timeout=300, env=s.environment(preload=False), check=False)
    answered = re.search(r'(\d+) requests in', done.stdout)
    faults = [line.strip() for line in done.stdout.splitlines() if re.search('Non-2xx|Socket', line)]
    return '; '.join(faults) if answered and int(answered[1]) else done.stdout + done.stderr


# ------------------------------------------------------------------- programs: each tells its outcome


def chromium(ground):
    page = ground.path('page.html', '<body style="background:#fed"><h1>memory</h1>'
                       '<script>let a=[];for(let i=0;i<2e5;i++)a.push({n:i});'
                       'document.body.append("objects: "+a.length)</script>')
    picture = ground.path('picture.png')
    status, _ = ground.run(
        'chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--window-size=400,300', f'--user-data-dir={ground.path("profile")}',
        f'--screenshot={picture}', page.as_uri())
    pixels = picture.read_bytes() if picture.exists() else b''
    return {'status': status, 'screenshot': base64.b64encode(pixels).decode()[-200:], 'size': len(pixels)}


PHP = r"""<?php
$extensions = ['dom', 'mbstring', 'sqlite3', 'curl', 'simplexml', 'xmlwriter'];
foreach ($extensions as $e) echo $e, extension_loaded($e) ? " loaded\n" : " missing\n";
$doc = new DOMDocument; $doc->loadXML('<r>' . str_repeat('<a b="c">text</a>', 20000) . '</r>');
echo $doc->getElementsByTagName('a')->length, ' ', strlen($doc->saveXML()), "\n";
$xml = simplexml_load_string('<r><x>1</x><x>2</x></r>'); echo $xml->x[1], "\n";
echo mb_strtoupper('grüße'), ' ', mb_strlen(str_repeat('é', 100000)), "\n";
$db = new SQLite3(':memory:'); $db->exec('CREATE TABLE t(a INTEGER, b TEXT)');
$db->exec('BEGIN'); for ($i = 0; $i < 20000; $i++) $db->exec("INSERT INTO t VALUES($i, 'row $i')");
$db->exec('COMMIT'); echo $db->querySingle('SELECT sum(a) || max(b) FROM t'), "\n";
$c = curl_init('file://' . __FILE__); curl_setopt($c, CURLOPT_RETURNTRANSFER, true);
echo strlen(curl_exec($c)) > 500 ? "curl reads\n" : "curl fails\n";
$w = []; for ($i = 0; $i < 300000; $i++) $w["key$i"] = [$i, "value $i"];
echo count($w), ' ', strlen(serialize($w)), ' ', preg_match_all('/\d+/', json_encode($w)), "\n";
"""


def php(ground):
    status, out = ground.run('php', '-n', '-dmemory_limit=-1', *(f'-dextension={name}' for name in (
        'dom', 'mbstring', 'sqlite3', 'curl', 'simplexml', 'xmlwriter')), ground.path('work.php', PHP))
    return {'status': status, 'out': out}


JAVA = r"""
import java.util.*;
import java.util.zip.*;
public class Work {
    static List<Inflater> forgotten = new ArrayList<>();
    static byte[] packed;
    static void forget() throws Exception {
        Inflater inflater = new Inflater();
        inflater.setInput(packed);
        inflater.inflate(new byte[100]);
        forgotten.add(inflater);
    }
    public static void main(String[] arguments) throws Exception {
        Deflater deflater = new Deflater();
        deflater.setInput(new byte[100000]);
        deflater.finish();
        byte[] out = new byte[1000];
        packed = Arrays.copyOf(out, deflater.deflate(out));
        List<byte[]> heap = new ArrayList<>();
        for (int i = 0; i < 300; i++) heap.add(new byte[1 << 20]);
        Map<Integer, String> map = new HashMap<>();
        for (int i = 0; i < 500000; i++) map.put(i, "value " + i);
        for (int i = 0; i < 1500; i++) forget();
        Thread[] threads = new Thread[8];
        long[] sums = new long[8];
        for (int t = 0; t < 8; t++) {
            int id = t;
            threads[t] = new Thread(() -> {
                for (int i = 0; i < 2000000; i++) sums[id] += (i ^ id) % 7;
            });
            threads[t].start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println(heap.size() + " " + map.size() + " " + forgotten.size() + " " + Arrays.stream(sums).sum());
    }
}
"""


def java(ground):
    ground.path('Work.java', JAVA)
    subprocess.run([s.find('javac'), '-d', ground.directory, ground.path('Work.java')], check=True,
                   timeout=300, env=s.environment(preload=False))
    status, out = ground.run('java', '-Xms1g', '-Xmx1g', '-XX:+AlwaysPreTouch', '-XX:-UsePerfData',
                             '-cp', ground.directory, 'Work')
    return {'status': status, 'out': out}


NGINX = """
worker_processes 2;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    server {{ listen {LOOPBACK}:{port}; root www; gzip on; gzip_types *; gzip_min_length 1; }}
}}
"""


def pages(ground):
    (ground.directory / 'www').mkdir(exist_ok=True)
    (ground.directory / 'www' / 'index.html').write_text('a page\n' * 500)


def nginx(ground):
    port = free_port()
    pages(ground)
    ground.logs.append(ground.path('error.log'))
    ground.path('nginx.conf', NGINX.format(LOOPBACK=LOOPBACK, port=port))
    user = ['-g', 'user root;'] if os.geteuid() == 0 else []
    with ground.server('nginx', '-p', ground.directory, '-c', 'nginx.conf', '-e', 'error.log', *user,
                       '-g', 'daemon off;' if not user else 'user root; daemon off;',
                       is_up=answers(port), stop=signal.SIGQUIT) as server:
        before = load(port, 2)
        server.send_signal(signal.SIGHUP)
        after = load(port, 2)
        page = http_get(port)
    return {'status': server.returncode, 'faults': (before, after), 'page': page}


APACHE = """
ServerRoot "{directory}"
ServerName localhost
Listen {LOOPBACK}:{port}
PidFile apache.pid
ErrorLog error.log
DefaultRuntimeDir {directory}
Mutex file:{directory}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule deflate_module {modules}/mod_deflate.so
LoadModule filter_module {modules}/mod_filter.so
TypesConfig /dev/null
DocumentRoot "{directory}/www"
DirectoryIndex index.html
AddOutputFilterByType DEFLATE text/html
StartServers 2
"""


def apache(ground):
    port = free_port()
    pages(ground)
    ground.logs.append(ground.path('error.log'))
    configuration = ground.path('apache.conf', APACHE.format(
        LOOPBACK=LOOPBACK, port=port, directory=ground.directory, modules='/usr/lib/apache2/modules') +
        ('User nobody\nGroup nogroup\n' if os.geteuid() == 0 else ''))
    with ground.server('apache2', '-f', configuration, '-DFOREGROUND', is_up=answers(port),
                       stop=signal.SIGTERM) as server:
        before = load(port, 2)
        server.send_signal(signal.SIGUSR1)
        time.sleep(1)
        after = load(port, 2)
        page = http_get(port)
    return {'status': server.returncode, 'faults': (before, after), 'page': page}


POSTGRES = max(Path('/usr/lib/postgresql').glob('*/bin/postgres'), default=Path('postgres'))


def postgres(ground):
    tools = POSTGRES.parent
    how = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam('postgres')
        os.chown(ground.directory, account.pw_uid, account.pw_gid)
        ground.errors.touch()
        how = {'user': account.pw_uid, 'group': account.pw_gid, 'extra_groups': []}
    data = ground.path('data')
    initialised, _ = ground.run(tools / 'initdb', '-D', data, '-A', 'trust', '-U', 'bench', **how)

    def is_up():
        return subprocess.run([tools / 'pg_isready', '-h', ground.directory, '-U', 'bench'], check=False,
                              stdout=subprocess.DEVNULL).returncode == 0

    def ask(program, *words):
        done = subprocess.run([tools / program, '-h', ground.directory, '-U', 'bench', *words, 'postgres'],
                              capture_output=True, text=True, timeout=300, check=False)
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    with ground.server(tools / 'postgres', '-D', data, '-k', ground.directory, '-c', 'listen_addresses=',
                       '-c', 'fsync=off', is_up=is_up, stop=signal.SIGINT, **how) as server:
        ask('pgbench', '-i', '-q')
        bench = ask('pgbench', '-c', '8', '-j', '2', '-t', '150')
        rows = ask('psql', '-At', '-c', 'SELECT count(*), (SELECT sum(abalance) FROM pgbench_accounts)'
                   ' = sum(delta) FROM pgbench_history')
    done = re.search(r'actually processed: (\S+)', bench)
    return {'status': server.returncode, 'initdb': initialised, 'bench': done[1] if done else bench,
            'rows': rows}


def memcached(ground):
    port = free_port()
    user = ['-u', 'nobody'] if os.geteuid() == 0 else []
    with ground.server('memcached', '-l', LOOPBACK, '-p', port, '-m', '64', *user, is_up=answers(port),
                       stop=signal.SIGTERM) as server:
        with socket.create_connection((LOOPBACK, port), 30) as peer, peer.makefile('rwb') as stream:
            for i in range(20000):
                stream.write(f'set key{i} 0 0 500\r\n'.encode() + b'v' * 500 + b'\r\n')
            stream.flush()
            stored = sum(stream.readline() == b'STORED\r\n' for _ in range(20000))
            time.sleep(1.5)
            stream.write(b'get key777\r\n')
            stream.flush()
            found = stream.readline() + stream.readline()
    return {'status': server.returncode, 'stored': stored, 'found': found}


def mariadb(ground):
    data, port_file = ground.path('data'), ground.path('sock')
    data.mkdir()
    root = ['--user=root'] if os.geteuid() == 0 else []
    script = 'CREATE DATABASE test;\n'
    with open(ground.path('boot.sql', script), 'rb') as bootstrap, open(ground.errors, 'ab') as errors:
        made = subprocess.run([s.find('mariadbd'), '--no-defaults', '--bootstrap', f'--datadir={data}',
                               *root], env=s.environment(preload=False), stdin=bootstrap,
                              stdout=errors, stderr=subprocess.DEVNULL, timeout=300, check=False).returncode
    ground.logs.append(ground.path('error.log'))
    with ground.server('mariadbd', '--no-defaults', f'--datadir={data}', f'--socket={port_file}', *root,
                       '--skip-networking', '--skip-grant-tables', f'--log-error={ground.path("error.log")}',
                       '--innodb-buffer-pool-size=32M',
                       is_up=lambda: 'ready for connections' in ground.said()) as server:
        time.sleep(1)
    return {'status': server.returncode, 'made': made,
            'stopped': 'Shutdown complete' in ground.said()}


NODE = r"""
const zlib = require('zlib'), crypto = require('crypto');
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (!isMainThread) {
  let n = 0; for (let i = 0; i < 3e6; i++) n = (n * 31 + i) | 0; parentPort.postMessage(n);
} else {
  const keep = []; for (let i = 0; i < 3e5; i++) keep.push({ i, s: 'object ' + i });
  const packed = zlib.gzipSync(Buffer.from(JSON.stringify(keep)));
  console.log(crypto.createHash('sha256').update(zlib.gunzipSync(packed)).digest('hex'), keep.length);
  const all = [1, 2, 3, 4].map(() => new Promise(r => new Worker(__filename).on('message', r)));
  Promise.all(all).then(a => console.log(a.join(' ')));
}
"""


def node(ground):
    status, out = ground.run('node', ground.path('work.js', NODE))
    outcome = {'status': status, 'out': out}
    if s.find('npm'):
        ground.path('package.json', '{"name": "probe", "version": "1.0.0", "files": ["work.js"]}')
        outcome['npm'] = ground.run('npm', 'pack', '--offline', '--silent')
    return outcome


RUBY = r"""
require 'json'
keep = (1..200_000).map { |i| { 'n' => i, 's' => "object #{i}" } }
text = JSON.generate(keep)
GC.start; GC.compact
puts text.size, JSON.parse(text).size, text.scan(/object \d+7"/).size
puts 8.times.map { |t| Thread.new { (1..50_000).sum { |i| (i * t) % 11 } } }.sum(&:value)
pid = fork { keep.map!(&:to_s); exit!(keep.size % 251) }
Process.wait(pid); puts $?.exitstatus
"""


def ruby(ground):
    status, out = ground.run('ruby', ground.path('work.rb', RUBY))
    return {'status': status, 'out': out}


def git(ground):
    tree = ground.path('tree')
    tree.mkdir()
    for i in range(400):
        (tree / f'file{i}').write_text(f'line {i}\n' * (i + 1))
    ground.env.update(GIT_AUTHOR_DATE='2001-01-01T00:00:00Z', GIT_COMMITTER_DATE='2001-01-01T00:00:00Z',
                      GIT_CONFIG_NOSYSTEM='1', GIT_AUTHOR_NAME='a', GIT_AUTHOR_EMAIL='a@b',
                      GIT_COMMITTER_NAME='a', GIT_COMMITTER_EMAIL='a@b')
    outcome = [ground.run('git', '-C', tree, 'init', '-q', '-b', 'trunk'),
               ground.run('git', '-C', tree, 'add', '.'),
               ground.run('git', '-C', tree, 'commit', '-q', '-m', 'all'),
               ground.run('git', '-C', tree, 'repack', '-adq'),
               ground.run('git', 'clone', '-q', tree, ground.path('copy')),
               ground.run('git', '-C', ground.path('copy'), 'fsck', '--full', '--no-progress'),
               ground.run('git', '-C', ground.path('copy'), 'rev-parse', 'HEAD')]
    return {'statuses': [status for status, _ in outcome], 'head': outcome[-1][1]}


# program: (the mode that tells most of it, what it needs, processes of it that end by _exit or a
# signal, or call exec of what is not watched, whose segments stay)
PROGRAMS = {
    chromium: ('auto', ['chromium'], 1),  # the shell that starts it
    php: ('leakcheck', ['php'], 0),
    java: ('profile', ['java', 'javac'], 0),
    nginx: ('auto', ['nginx', 'wrk'], 0),
    apache: ('auto', ['apache2', 'wrk'], 0),
    postgres: ('auto', [POSTGRES], 0),
    memcached: ('auto', ['memcached'], 0),
    mariadb: ('auto', ['mariadbd'], 0),
    node: ('wp', ['node'], 0),
    ruby: ('leakcheck', ['ruby'], 1),
    git: ('auto', ['git'], 0),
}
# What must be found in its profile: a call site and the bytes in use there, at least and at most.
FOUND = {java: ('inflateInit2_', 1500 * 7000, 1500 * 60000)}


def run_in(program, mode, preload):
    """(outcome, what was said, what memtop tail printed, {profile: its inuse_space by function})"""
    with tempfile.TemporaryDirectory(prefix='mdreal-') as directory:
        os.chmod(directory, 0o1777)  # some give up their user
        ground = Ground(directory, mode, preload)
        outcome = program(ground)
        profiles = {dump.name: s.read_profile(dump) for dump in s.dumps(ground.directory / 'heap')}
        return outcome, ground.said(), ground.ring, profiles


def check_said(t, program, label, said, ring, profiles):
    """What was asked for came, in its form, and nothing else."""
    mode = label.split(', ')[1]
    cycles, skips, rest = s.split_trace(said)
    ours = [line for line in rest if 'memdebug' in line]
    asked = MODES[mode] or ''
    if 'gctrace' in asked and program is not chromium:  # its malloc is its own, which is said
        in_ring, skips_in_ring, _ = s.split_trace(ring)
        t.ok(cycles or skips or in_ring or skips_in_ring,
             f'{label}: lines ({len(cycles)}, {len(skips)} skipped; '
             f'by memtop tail {len(in_ring)}, {len(skips_in_ring)} skipped)', said[-3000:])
        t.equal(s.trace_faults(cycles), [], f'{label}: sane ones')
    if 'heapprofile' in asked and program is not chromium:
        t.ok(profiles and all(profile.total()[0] > 0 for profile in profiles.values()),
             f'{label}: {len(profiles)} profiles, none empty', said[-3000:])
        if program in FOUND:
            function, least, most = FOUND[program]
            best = max(profile.by_function(lambda f: f == function).get(function, [0] * 4)[3]
                       for profile in profiles.values())
            t.ok(least <= best <= most, f'{label}: {best} bytes by {function}')
    if 'leakcheck' in asked:
        reports = [line for line in ours if line.startswith('==')]
        sums = [line for line in ours if line.startswith('SUMMARY: memdebug: ')]
        unchecked = [line for line in sums if 'not checked' in line]
        t.ok(len(reports) == len(sums) and all('malloc of its own' in line for line in unchecked)
             and bool(unchecked) == (program is chromium),
             f'{label}: {len(reports)} reports, each with its sum', '\n'.join(ours))
    if not asked:
        t.equal(ours, [], f'{label}: not a word')


def main(name, everything):
    program = globals()[name]
    usual, needs, unended = PROGRAMS[program]
    with s.Tap() as t:
        if t.missing(name, *needs):
            return
        if s.HOSTILE:
            t.skip(name, 'not in the hostile build')
            return
        expected, *_ = run_in(program, 'unset', False)
        for mode in MODES if everything else [usual]:
            label = f'{name}, {mode}'
            before = set(s.segments())
            outcome, said, ring, profiles = run_in(program, mode, True)
            for key, value in expected.items():
                t.equal(outcome[key], value, f'{label}: the same {key}', said[-3000:])
            check_said(t, program, label, said, ring, profiles)
            left = [path.name for path in set(s.segments()) - before]
            t.ok(len(left) <= unended, f'{label}: no segment left of what has ended', left)


if __name__ == '__main__':
    main(sys.argv[1], '--all' in sys.argv[2:])
