#!/usr/bin/env python3
"""memtop serve: profiles over HTTP as Go serves them, metrics, and who is let in.  It is asked by http.client, bare
sockets, curl, go tool pprof; promtool reads the metrics."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
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

TOKEN = 'correct-horse-battery-staple'
# Has so many blocks, then rests.
HOLDER = ('import sys,time\n'
          'keep=[bytearray(1000) for _ in range(int(sys.argv[1]))]\n'
          'print("ready", flush=True)\n'
          'time.sleep(1000)\n')
# Grows all the time.
GROWER = ('import time\n'
          'keep=[]\n'
          'def grow_here(): keep.append([bytearray(1000) for _ in range(1000)])\n'
          'for _ in range(5): grow_here()\n'
          'print("ready", flush=True)\n'
          'while True: grow_here(); time.sleep(0.02)\n')
MALLOC = {'PYTHONMALLOC': 'malloc'}
PYTHON = '/usr/bin/python3'
NAME = f'holder{os.getpid()}'  # a program's name that no other test has


@contextlib.contextmanager
def serving(*options, command=()):
    """memtop serve at a port of its own, as (port, process); at its end it gets SIGTERM."""
    arguments = [*command, s.MEMTOP, 'serve', '--listen', '127.0.0.1:0', *options]
    with tempfile.TemporaryFile('w+') as error:
        server = subprocess.Popen([str(a) for a in arguments], env=s.environment(preload=False),
                                  stdout=subprocess.PIPE, stderr=error, text=True)
        try:
            line = server.stdout.readline()
            match = re.fullmatch(r'https?://127\.0\.0\.1:(\d+)/\n', line)
            error.seek(0)
            assert match, f'{line!r} {error.read()}'
            yield int(match[1]), server
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            try:
                server.ended = server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.ended = 'killed'


class Answer:
    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {key.lower(): value for key, value in response.getheaders()}
        self.text = self.body.decode(errors='replace')

    def __repr__(self):
        return f'{self.status} {self.headers}\n{self.body[:1500]}'


def ask(port, path, method='GET', headers=None, body=None, timeout=60):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def raw(port, text, timeout=10):
    """The first bytes of the answer to some bytes; b'' if the connection is closed."""
    with socket.create_connection(('127.0.0.1', port), timeout) as connection:
        try:
            connection.sendall(text)
            return connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b''


def bearer(token=TOKEN):
    return {'Authorization': 'Bearer ' + token}


def basic(token=TOKEN, user='any'):
    return {'Authorization': 'Basic ' + base64.b64encode(f'{user}:{token}'.encode()).decode()}


@contextlib.contextmanager
def token_file(mode=0o600, text=TOKEN + '\n'):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'token'
        path.write_text(text)
        path.chmod(mode)
        yield path


def total_of(body, kind):
    """The sum of one sample type, as go tool pprof reads the profile."""
    with tempfile.NamedTemporaryFile(suffix='.pb.gz') as file:
        file.write(body)
        file.flush()
        profile = s.read_profile(file.name)
        return dict(zip((name.split('/')[0] for name in profile.types), profile.total()))[kind]


def errors_of_go(t, port, pid):
    """Go's statuses, texts and headers, where net/http/pprof would refuse."""
    base = f'/pid/{pid}/debug/pprof/'
    for query, status, text in (
            ('heap?seconds=x', 400, 'invalid value for "seconds" - must be a positive integer'),
            ('heap?seconds=0', 400, 'invalid value for "seconds" - must be a positive integer'),
            ('heap?seconds=-1', 400, 'invalid value for "seconds" - must be a positive integer'),
            ('heap?seconds=99999', 400, "profile duration exceeds server's WriteTimeout"),
            ('heap?seconds=1&debug=1', 400, 'seconds and debug params are incompatible'),
            ('peak?seconds=1', 400, '"seconds" parameter is not supported for this profile type'),
            ('nothing', 404, 'Unknown profile'), ('goroutine', 404, 'Unknown profile'),
            ('profile?seconds=1', 404, 'Unknown profile')):
        answer = ask(port, base + query)
        t.equal((answer.status, answer.text, answer.headers.get('x-go-pprof'), answer.headers['content-type'],
                 answer.headers.get('content-disposition'), answer.headers['x-content-type-options']),
                (status, text + '\n', '1', 'text/plain; charset=utf-8', None, 'nosniff'), f'{query}: as Go refuses it')
    for query in ('heap?seconds=', 'heap?debug=x', 'heap?gc=0', 'heap?%zz=1&x=;', 'heap?debug=0&debug=1'):
        t.equal(ask(port, base + query).status, 200, f'{query}: what Go passes over is passed over')


def profiles(t, port, pid):
    base = f'/pid/{pid}/debug/pprof/'
    index = ask(port, base)
    t.ok(index.status == 200 and 'href="heap"' in index.text and 'href="allocs"' in index.text, 'index', index)
    for kind in ('heap', 'allocs', 'mmap'):
        answer = ask(port, base + kind)
        t.equal((answer.status, answer.headers['content-type'], answer.headers.get('content-disposition'),
                 answer.body[:2]),
                (200, 'application/octet-stream', f'attachment; filename="{kind}"', b'\x1f\x8b'), kind)
    answer = ask(port, base + 'heap?debug=1')
    head = re.match(r'heap profile: (\d+): (\d+) \[(\d+): (\d+)\] @ heapprofile\n', answer.text)
    t.ok(answer.status == 200 and head and answer.headers['content-type'] == 'text/plain; charset=utf-8',
         'debug=1: text', answer)
    cmdline = ask(port, base + 'cmdline')
    t.equal(cmdline.body, Path(f'/proc/{pid}/cmdline').read_bytes().rstrip(b'\0'), 'cmdline: as the kernel has it')
    head_only = ask(port, base + 'heap', method='HEAD')
    t.ok(head_only.status == 200 and head_only.body == b'' and int(head_only.headers['content-length']) > 100,
         'HEAD has no body', head_only)
    if not t.missing('go tool pprof', 'go'):
        url = f'http://127.0.0.1:{port}{base}heap'
        top = s.pprof('-top', '-symbolize=none', url)
        t.ok('Type: inuse_space' in top and 'PyByteArray' in top, 'go tool pprof of the URL', top)
        top = s.pprof('-top', '-symbolize=none', url.replace('heap', 'allocs'))
        t.ok('Type: alloc_space' in top, 'allocs: by what was allocated', top)
        body = ask(port, base + 'heap').body
        for kind in ('alloc_objects', 'alloc_space', 'inuse_objects', 'inuse_space'):
            t.equal(total_of(answer.body, kind), total_of(body, kind), f'debug=1: go tool pprof has the profile\'s {kind}')


def symbols(t, port, pid):
    """…/symbol names what the profile names."""
    base = f'/pid/{pid}/debug/pprof/'
    rows = re.findall(r'^#\t(0x[0-9a-f]+)\t(\S+)\t', ask(port, base + 'heap?debug=1').text, re.M)
    if not t.ok(rows, 'there are addresses'):
        return
    wanted = {hex(int(pc, 16) - 1): name for pc, name in rows}  # of inlined calls the outermost
    query = '+'.join(wanted)
    for answer in (ask(port, base + 'symbol', 'POST', body=query), ask(port, base + 'symbol?' + query[:1900].rsplit('+', 1)[0])):
        lines = answer.text.splitlines()
        t.ok(answer.status == 200 and lines[0] == 'num_symbols: 1' and len(lines) > 1, 'symbol', answer)
        t.equal([line for line in lines[1:] if wanted[line.split()[0]] != line.split(' ', 1)[1]], [],
                'symbol: the names of the profile')


def delta(t, port, pid):
    begin = time.monotonic()
    answer = ask(port, f'/pid/{pid}/debug/pprof/heap?seconds=1')
    t.ok(answer.status == 200 and time.monotonic() - begin >= 1 and
         answer.headers['content-disposition'] == 'attachment; filename="heap-delta"', 'seconds=1: a delta', answer)
    if t.missing('the delta', 'go'):
        return
    whole = total_of(ask(port, f'/pid/{pid}/debug/pprof/heap').body, 'inuse_space')
    part = total_of(answer.body, 'inuse_space')
    t.ok(0 < part < whole, 'it has what has grown meanwhile', f'{part} of {whole}')
    with tempfile.NamedTemporaryFile(suffix='.gz') as file:
        file.write(answer.body)
        file.flush()
        t.ok('Duration: 1' in s.pprof('-top', '-symbolize=none', file.name), 'and how long that was')


def merged(t, port, pids):
    """/name/PROGRAM is the sum of its processes, as go tool pprof adds them up."""
    bodies = [ask(port, f'/pid/{pid}/debug/pprof/heap').body for pid in pids]
    answer = ask(port, f'/name/{NAME}/debug/pprof/heap')
    if not t.ok(answer.status == 200 and answer.body[:2] == b'\x1f\x8b', f'/name/{NAME}', answer):
        return
    if t.missing('sums', 'go'):
        return
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for i, body in enumerate([answer.body, *bodies]):
            paths.append(Path(directory) / f'{i}.pb.gz')
            paths[-1].write_bytes(body)
        ours, theirs = (s.pprof('-top', '-symbolize=none', '-nodecount=1000', *which)
                        for which in (paths[:1], paths[1:]))
        rows = [sorted(text[text.index('flat%'):].splitlines()) for text in (ours, theirs)]
        t.equal(rows[0], rows[1], "go tool pprof's sum of the two")


def choose(t, port, pids):
    """Without a pid there must be one process, else the answer says what to do."""
    answer = ask(port, '/debug/pprof/heap')
    t.ok(answer.status == 400 and answer.headers.get('x-go-pprof') == '1' and
         all(f'/pid/{pid}/debug/pprof/heap' in answer.text for pid in pids), 'several processes: which', answer)
    listed = ask(port, '/debug/pprof/')
    t.ok(listed.status == 200 and all(f'/pid/{pid}/debug/pprof/' in listed.text for pid in pids), 'list', listed)
    if not t.missing('go tool pprof shows it', 'go'):
        try:
            s.pprof('-top', f'http://127.0.0.1:{port}/debug/pprof/heap')
            t.ok(False, 'refused')
        except RuntimeError as error:
            t.ok('ask for one of them' in str(error), 'go tool pprof shows what to do', error)
    for path in ('/pid/1/debug/pprof/heap', f'/pid/{os.getpid()}/debug/pprof/heap', '/name/nobody/debug/pprof/heap'):
        answer = ask(port, path)
        t.ok(answer.status == 404 and answer.headers.get('x-go-pprof') == '1', f'{path}: none such', answer)


def metrics(t, port, program, name):
    text, opened = ask(port, '/metrics'), ask(port, '/metrics', headers={
        'Accept': 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'})
    t.equal(text.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8', 'text by default')
    t.ok(opened.headers['content-type'].startswith('application/openmetrics-text; version=1.0.0') and
         opened.text.endswith('# EOF\n') and '# UNIT memdebug_heap_bytes bytes\n' in opened.text, 'OpenMetrics if asked for')
    label = f'{{pid="{program.pid}",program="{name}"}}'
    for family, answer in (('memdebug_alloc_bytes_total', text), ('memdebug_heap_bytes', text),
                         ('memdebug_resident_bytes', text), ('memdebug_alloc_bytes_total', opened)):
        t.ok(f'\n{family}{label} ' in answer.text, family, answer.text[:2000])
    heap = int(re.search(rf'^memdebug_heap_bytes{re.escape(label)} (\d+)$', text.text, re.M)[1])
    said = json.loads(s.run([s.MEMTOP, '--json', '-n', '1', str(program.pid)], preload=False).out)
    t.equal(heap, said['heap_bytes'], 'the heap: as memtop --json has it')
    one = ask(port, f'/pid/{program.pid}/metrics')
    t.equal(set(re.findall(r'pid="(\d+)"', one.text)), {str(program.pid)}, '/pid/N/metrics: of that one')
    if not t.missing('promtool', 'promtool'):
        for answer in (text, one):
            done = subprocess.run(['promtool', 'check', 'metrics'], input=answer.body, capture_output=True)
            t.equal((done.returncode, done.stdout, done.stderr), (0, b'', b''), 'promtool finds nothing')
    groups = json.loads(ask(port, '/targets').text)
    mine = [group for group in groups if group['labels']['__meta_memdebug_pid'] == str(program.pid)]
    t.equal([(group['targets'], group['labels']['__metrics_path__']) for group in mine],
            [[[f'127.0.0.1:{port}'], f'/pid/{program.pid}/metrics']] and [([f'127.0.0.1:{port}'], f'/pid/{program.pid}/metrics')],
            '/targets: a group for http_sd')


def resident_parts(t, port, pid, name):
    """They add up to resident memory, and are looked into while somebody scrapes."""
    def told():
        text = ask(port, '/metrics').text
        return dict(re.findall(r'^memdebug_resident_part_bytes\{pid="%d",program="%s",part="(\w+)"\} (\d+)$' % (pid, name), text, re.M))
    t.ok(s.wait_for(told, timeout=90), 'parts of resident memory come')
    parts = told()
    rss = int(re.search(r'^VmRSS:\s*(\d+) kB', Path(f'/proc/{pid}/status').read_text(), re.M)[1]) * 1024
    t.ok({'files', 'anonymous', 'unexplained', 'stacks'} <= parts.keys(), 'their names', parts)
    total = sum(map(int, parts.values()))
    t.ok(abs(total - rss) < 0.1 * rss, 'their sum is what is resident', f'{parts}: {total} of {rss}')


def as_json(t, port, pid):
    """The same objects as memtop's commands write."""
    theirs = {}
    for line in s.run([s.MEMTOP, 'ps', '--json'], preload=False).out.splitlines():
        theirs[json.loads(line)['segment']] = json.loads(line)
    answer = ask(port, '/json/ps')
    ours = {one['segment']: one for one in map(json.loads, answer.text.splitlines())}
    mine = [name for name, one in ours.items() if one['pid'] == pid]
    t.ok(answer.headers['content-type'] == 'application/x-ndjson' and len(mine) == 1, '/json/ps', answer)
    moving = {'time_seconds', 'uptime_seconds', 'rss_bytes', 'own_bytes'}
    same = [{key: value for key, value in all_[mine[0]].items() if key not in moving} for all_ in (ours, theirs)]
    t.equal(same[0], same[1], 'as memtop ps --json')
    answer = ask(port, f'/json/pid/{pid}')
    command = json.loads(s.run([s.MEMTOP, '--json', '-n', '1', str(pid)], preload=False).out)
    if t.ok(answer.status == 200 and answer.headers['content-type'] == 'application/json', '/json/pid/N', answer):
        one = json.loads(answer.text)
        t.equal((list(one), one['type'], one['heap_bytes'], [site['site'] for site in one['sites']]),
                (list(command), 'target', command['heap_bytes'], [site['site'] for site in command['sites']]),
                'as memtop --json')
    t.equal(ask(port, '/json/pid/1').status, 404, 'of a process that is not on memdebug')


def events(t, port):
    """One object a second, until the client or the process has gone."""
    with s.running([PYTHON, '-c', GROWER], ready='ready', env=MALLOC) as program:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
        connection.request('GET', f'/events/pid/{program.pid}')
        answer = connection.getresponse()
        t.equal((answer.status, answer.getheader('content-type')), (200, 'text/event-stream'), '/events')
        objects, begin = [], time.monotonic()
        for _ in range(3):
            line, end = answer.readline().decode(), answer.readline()
            t.ok(line.startswith('data: {') and end == b'\n', 'an event', line[:200])
            objects.append(json.loads(line[6:]))
        t.ok(time.monotonic() - begin > 1.5 and objects[0]['heap_bytes'] < objects[2]['heap_bytes'] and
             objects[2]['type'] == 'target' and objects[2]['alloc_bytes_per_second'], 'one a second, of what goes on')
        others = [socket.create_connection(('127.0.0.1', port)) for _ in range(6)]  # who go at once
        for other in others:
            other.sendall(f'GET /events/pid/{program.pid} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode())
        time.sleep(0.5)
        for other in others:
            other.close()
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        last = [line for line in answer.read().decode().splitlines() if line.startswith('data: ')]
        t.equal(json.loads(last[-1][6:])['state'], 'ended', 'the process ends: so do the events')
        connection.close()
    t.equal(ask(port, f'/events/pid/{program.pid}').status, 404, 'then there are none')


def pauses(t):
    """The histogram has every cycle."""
    with s.running([PYTHON, '-c', HOLDER, '2000'], memdebug='gc=ready', ready='ready', env=MALLOC) as program, \
            token_file() as token, serving('--token-file', token, '--allow-actions') as (port, _):
        ask(port, '/metrics', headers=bearer())
        for _ in range(3):
            s.run([s.MEMTOP, 'gc', str(program.pid)], preload=False)
        text = ask(port, '/metrics', headers=bearer()).text
        label = f'pid="{program.pid}",program="python3"'
        counts = {name: float(value) for name, value in re.findall(rf'^(memdebug_\w+)\{{{label}\}} (\S+)$', text, re.M)}
        buckets = [int(n) for n in re.findall(rf'^memdebug_pause_seconds_bucket\{{{label},le="[^"]+"\}} (\d+)$', text, re.M)]
        done = counts['memdebug_cycles_total']
        t.ok(done >= 3 and counts['memdebug_pause_seconds_count'] == done == buckets[-1] and
             buckets == sorted(buckets) and 0 < counts['memdebug_pause_seconds_sum'] < 60, 'a pause for each cycle', text)


def hostile(t, port, pid):
    """Requests that no scraper makes."""
    ok = ('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n').encode()
    heap = f'/pid/{pid}/debug/pprof/heap'
    for method in ('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'BREW'):
        for path in ('/metrics', heap):
            answer = raw(port, f'{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode())
            t.ok(answer.startswith(b'HTTP/1.1 405 ') and b'\r\nAllow: GET, HEAD\r\n' in answer, f'{method} {path}: 405', answer)
    for host, good in (('localhost', True), ('LOCALHOST:6061', True), ('127.0.0.1', True), ('[::1]:80', True),
                       ('10.1.2.3:6061', True), (socket.gethostname(), True), ('evil.example', False),
                       ('localhost.evil.example', False), ('127.0.0.1.evil.example', False), ('', False),
                       ('[::1', False), ('localhost:x', False), ('a' * 300, False), ('::1', False)):
        answer = raw(port, f'GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode())
        wanted = b'HTTP/1.1 200 ' if good else b'HTTP/1.1 421 '
        t.ok(answer.startswith(wanted) or (not good and answer.startswith(b'HTTP/1.1 400 ')), f'Host {host[:30]!r}', answer[:300])
    for path in ('/../etc/passwd', '/debug/pprof/../../etc/passwd', '/%2e%2e/etc/passwd', '/pid/../metrics', '/pid/0/metrics',
                 '/pid/-1/debug/pprof/heap', '/pid/99999999999999999999/debug/pprof/heap', '/pid/1x/metrics',
                 f'/pid/{pid}%00/metrics', f'/pid/{pid}/debug/pprof/heap/', f'/pid/{pid}/debug/pprof', '//metrics', '/metrics/',
                 '/name//debug/pprof/heap', '/name/%0a/debug/pprof/heap', '/debug', '/nothing', '/healthz/x', '/%', '/%f'):
        answer = raw(port, f'GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode())
        t.ok(answer.startswith(b'HTTP/1.1 404 '), f'{path}: 404', answer[:300])
    for what, text in (
            ('a URI of 8000 bytes', b'GET /' + b'a' * 8000 + b' HTTP/1.1\r\nHost: localhost\r\n\r\n'),
            ('a header of 100 KB', b'GET / HTTP/1.1\r\nHost: localhost\r\nX: ' + b'a' * 100000 + b'\r\n\r\n'),
            ('10000 headers', b'GET / HTTP/1.1\r\nHost: localhost\r\n' + b'A: b\r\n' * 10000 + b'\r\n'),
            ('no HTTP', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(200) + b'\r\n\r\n'),
            ('a NUL in the path', b'GET /nothing\0/../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'),
            ('no Host', b'GET /metrics HTTP/1.1\r\n\r\n'),
            ('a body that is too long', b'POST ' + f'/pid/{pid}/debug/pprof/symbol'.encode() +
             b' HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n' + b'+' * 1000000),
            ('a negative length', b'POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n')):
        answer = raw(port, text)
        t.ok(not answer.startswith(b'HTTP/1.1 2'), f'{what}: not served', answer[:300])
        t.ok(raw(port, ok).startswith(b'HTTP/1.1 200 '), f'and the next request is, after {what}')
    for name, value in (('Origin', 'http://evil.example'), ('Sec-Fetch-Site', 'cross-site')):
        answer = ask(port, heap + '?gc=1', headers={name: value})
        t.equal(answer.status, 403, f'gc=1 with {name}: {value}')
    t.ok('access-control-allow-origin' not in ask(port, '/metrics', headers={'Origin': 'http://evil.example'}).headers,
         'no site may read it')


def crowds(t, port, pid):
    """Connections that say nothing, and many that say the same."""
    idle = [socket.create_connection(('127.0.0.1', port)) for _ in range(200)]
    for i, connection in enumerate(idle):
        if i % 2:
            connection.sendall(b'GET /metrics HTT')
    begin = time.monotonic()
    slow = concurrent.futures.ThreadPoolExecutor(100)
    waiting = [slow.submit(ask, port, f'/pid/{pid}/debug/pprof/heap?seconds=3') for _ in range(20)]
    time.sleep(0.2)
    health = ask(port, '/healthz')
    in_time = time.monotonic() - begin < 3
    t.ok(health.text == 'ok\n' and not (in_time and any(one.done() for one in waiting)), 'healthz beside 200 silent connections and slow profiles')
    many = list(slow.map(lambda _: ask(port, '/metrics').status, range(100)))
    t.equal(set(many), {200}, '100 scrapes at a time')
    many = list(slow.map(lambda _: ask(port, f'/pid/{pid}/debug/pprof/cmdline', timeout=120).status, range(100)))
    t.equal(set(many), {200}, '100 requests to one process at a time, while profiles of it wait')
    t.equal({one.result().status for one in waiting}, {200}, 'and the slow profiles come')
    for connection in idle:
        connection.close()
    t.ok(time.monotonic() - begin >= 3, 'they took their time')


def death(t, port):
    """A process that ends during a request: an error, no half of a profile."""
    for _ in range(5):  # a busy machine may begin with the request only when the process has gone
        with s.running([PYTHON, '-c', HOLDER, '20000'], ready='ready', env=MALLOC) as program, \
                concurrent.futures.ThreadPoolExecutor() as pool:
            ask(port, f'/pid/{program.pid}/debug/pprof/heap')
            one = pool.submit(ask, port, f'/pid/{program.pid}/debug/pprof/heap?seconds=3')
            time.sleep(1)
            os.kill(program.pid, signal.SIGKILL)
            program.wait()
            answer = one.result()
        if answer.text.startswith('failed to collect profile: '):
            break
    t.ok(answer.status == 404 and answer.text.startswith('failed to collect profile: ') and
         answer.headers.get('x-go-pprof') == '1', 'the target dies: failed to collect profile', answer)
    t.equal(ask(port, f'/pid/{program.pid}/debug/pprof/heap').status, 404, 'then it is gone')
    t.ok(f'pid="{program.pid}"' not in ask(port, '/metrics').text, 'from the metrics too')


def token(t, program):
    """With a token nothing but /healthz is to be had without it."""
    heap = f'/pid/{program.pid}/debug/pprof/heap'
    for mode, text, why in ((0o644, TOKEN, 'chmod 600'), (0o640, TOKEN, 'chmod 600'), (0o600, 'short', 'the first line'),
                            (0o600, '', 'the first line'), (0o600, 'with blanks in it and long', 'the first line'),
                            (0o600, 'x' * 300, 'the first line')):
        with token_file(mode, text) as path:
            result = s.run([s.MEMTOP, 'serve', '--listen', '127.0.0.1:0', '--token-file', path], preload=False)
            t.ok(result.status == 1 and why in result.err and result.err.count('\n') == 1, f'token file {mode:o} {text[:20]!r}: {why}', result)
    result = s.run([s.MEMTOP, 'serve', '--token-file', '/nonexistent'], preload=False)
    t.ok(result.status == 1 and result.err.count('\n') == 1, 'no token file', result)
    with token_file() as path, serving('--token-file', path) as (port, _):
        t.equal(ask(port, '/healthz').status, 200, '/healthz wants no token')
        for headers in ({}, bearer('x' * len(TOKEN)), bearer(TOKEN + 'x'), bearer(TOKEN[:-1]), bearer(''), basic('wrong-password-here'),
                        {'Authorization': 'Basic ???'}, {'Authorization': 'Bearer'}, {'Authorization': TOKEN},
                        {'Authorization': 'Basic ' + base64.b64encode(TOKEN.encode()).decode()}):
            for target in ('/metrics', heap, '/', '/nothing'):
                answer = ask(port, target, headers=headers)
                t.ok(answer.status == 401 and 'www-authenticate' in answer.headers and 'memdebug_' not in answer.text,
                     f'{target} with {headers}: 401', answer)
        for query in (f'?token={TOKEN}', f'?access_token={TOKEN}'):
            t.equal(ask(port, '/metrics' + query).status, 401, 'the token does not count in a query')
        for headers in (bearer(), basic(), {'Authorization': 'bearer ' + TOKEN}):
            t.equal(ask(port, '/metrics', headers=headers).status, 200, f'/metrics with {list(headers.values())[0][:8]}')
        t.equal(ask(port, heap + '?gc=1', headers=bearer()).status, 403, 'gc=1 without --allow-actions')
        t.equal(ask(port, f'/pid/{program.pid}/gc', 'POST', headers=bearer()).status, 403, 'a cycle without --allow-actions')
        if not t.missing('go tool pprof', 'go'):
            top = s.pprof('-top', '-symbolize=none', f'http://any:{TOKEN}@127.0.0.1:{port}{heap}')
            t.ok('Type: inuse_space' in top, 'go tool pprof with user and token in the URL', top)


def actions(t):
    with s.running([PYTHON, '-c', HOLDER, '2000'], memdebug='gc=ready', ready='ready', env=MALLOC) as program, \
            s.running([PYTHON, '-c', HOLDER, '2000'], memdebug='gc=ready', ready='ready', env=MALLOC) as other, \
            token_file() as path, serving('--token-file', path, '--allow-actions') as (port, _):
        base = f'/pid/{program.pid}'
        t.equal(ask(port, base + '/gc', headers=bearer()).status, 405, 'a cycle by GET: 405')
        t.equal(ask(port, base + '/gc', 'POST').status, 401, 'without the token: 401')
        answer = ask(port, base + '/gc', 'POST', headers=bearer())
        cycle = json.loads(answer.text) if answer.status == 200 else {}
        t.ok(cycle.get('pid') == program.pid and cycle.get('forced') is not False, 'POST /gc: the cycle as JSON', answer)
        for again in (ask(port, base + '/gc', 'POST', headers=bearer()),
                      ask(port, base + '/debug/pprof/heap?gc=1', headers=bearer())):
            t.ok(again.status == 429 and int(again.headers['retry-after']) > 0, 'a second within 10 s: 429', again)
        answer = ask(port, f'/pid/{other.pid}/debug/pprof/heap?gc=1', headers=basic())
        t.ok(answer.status == 200 and answer.body[:2] == b'\x1f\x8b', 'gc=1 of another process', answer)
        if answer.status == 200 and not t.missing('what gc=1 did', 'go'):
            with tempfile.NamedTemporaryFile(suffix='.gz') as file:
                file.write(answer.body)
                file.flush()
                cycles = re.search(r'^memdebug_cycles_total\{pid="%d",.*\} (\d+)$' % other.pid,
                                   ask(port, '/metrics', headers=bearer()).text, re.M)
                t.equal(cycles and cycles[1], '1', 'one cycle was done')
        t.equal(ask(port, base + '/purge', 'POST', headers=bearer()).status, 200, 'POST /purge')


def users(t):
    """Root's serve shows root's alone, unless there is a token."""
    if os.geteuid() != 0:
        t.skip('of another user', 'needs root')
        return
    drop = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
    if t.missing('of another user', 'setpriv'):
        return
    with s.running([*drop, PYTHON, '-c', HOLDER, '2000'], ready='ready', env=MALLOC) as theirs, \
            s.running([PYTHON, '-c', HOLDER, '2000'], ready='ready', env=MALLOC) as ours:
        with serving() as (port, _):
            t.ok(f'pid="{ours.pid}"' in ask(port, '/metrics').text, "root's serve: root's process")
            for path in ('/metrics', '/targets', '/debug/pprof/', '/', f'/pid/{theirs.pid}/metrics'):
                t.ok(not re.search(rf'(pid="|/pid/){theirs.pid}\b', ask(port, path).text), f"{path}: not another's")
            answer = ask(port, f'/pid/{theirs.pid}/debug/pprof/heap')
            t.ok(answer.status == 403 and '--token-file' in answer.text, "nor another's profile", answer)
        with token_file() as path, serving('--token-file', path) as (port, _):
            t.ok(f'pid="{theirs.pid}"' in ask(port, '/metrics', headers=bearer()).text, 'with the token: all')
            t.equal(ask(port, f'/pid/{theirs.pid}/debug/pprof/heap', headers=bearer()).status, 200, 'and their profiles')
        with serving(command=drop) as (port, _):
            pids = set(re.findall(r'pid="(\d+)"', ask(port, '/metrics').text))
            t.ok(str(theirs.pid) in pids and str(ours.pid) not in pids, "a user's serve: the user's", pids)


def undisturbed(t):
    """A target makes no system call because it is scraped."""
    if t.missing('no system call', 'strace'):
        return
    with s.running([PYTHON, '-c', HOLDER, '20000'], ready='ready', env=MALLOC) as program, serving() as (port, _):
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / 'log'
            tracer = subprocess.Popen([s.find('strace'), '-f', '-o', log, '-p', str(program.pid)], stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            for _ in range(20):
                ask(port, '/metrics')
            for path in ('heap', 'allocs', 'mmap', 'heap?seconds=1', 'heap?debug=1', ''):
                t.equal(ask(port, f'/pid/{program.pid}/debug/pprof/{path}').status, 200, path)
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            calls = [line for line in log.read_text().splitlines() if 'resumed' not in line and 'unfinished' not in line
                     and 'detached' not in line and 'restart_syscall' not in line and 'clock_nanosleep' not in line
                     and 'select(' not in line]
            t.equal(calls, [], 'no system call in the target while it is scraped')


def command(t):
    for arguments, status, why in ((['--listen', 'x'], 1, 'an address and a port'), (['--listen', '127.0.0.1:99999999'], 1, 'address'),
                                   (['--listen', '0.0.0.0:0'], 1, '--token-file'), (['--listen', ':0'], 1, '--token-file'),
                                   (['--listen', '[::]:0'], 1, '--token-file'), (['--allow-actions'], 2, '--token-file'),
                                   (['--tls-cert', 'x'], 2, 'together'), (['--tls-cert', '/nonexistent', '--tls-key', '/nonexistent'], 1, 'No such file'),
                                   (['what'], 2, 'too many')):
        result = s.run([s.MEMTOP, 'serve', *arguments], preload=False, timeout=20)
        t.ok(result.status == status and why in result.err, f'serve {" ".join(arguments)}: {why}', result)
    with serving() as (port, server):
        result = s.run([s.MEMTOP, 'serve', '--listen', f'127.0.0.1:{port}'], preload=False, timeout=20)
        t.ok(result.status == 1 and 'in use' in result.err and result.err.count('\n') == 1, 'the port is taken', result)
        with socket.create_connection(('127.0.0.1', port)) as half:
            half.sendall(b'GET /metr')
            server.send_signal(signal.SIGTERM)
            t.equal(server.wait(10), 0, 'SIGTERM: a clean end, with a request half come')
    with serving() as (port, server):
        server.send_signal(signal.SIGINT)
        t.equal(server.wait(10), 0, 'SIGINT too')


def ends_while_working(t, pid):
    with serving() as (port, server), concurrent.futures.ThreadPoolExecutor() as pool:
        one = pool.submit(ask, port, f'/pid/{pid}/debug/pprof/heap?seconds=60')
        time.sleep(0.5)
        server.send_signal(signal.SIGTERM)
        t.equal(server.wait(45), 0, 'SIGTERM during a delta profile of 60 s')
        try:
            t.ok(one.result().status >= 500, 'which is told as an error')
        except (http.client.HTTPException, OSError):
            t.ok(True, 'which is told as an error')


def tls(t):
    if t.missing('TLS', 'openssl', 'curl'):
        return
    with tempfile.TemporaryDirectory() as directory:
        key, certificate = Path(directory) / 'key.pem', Path(directory) / 'cert.pem'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '2',
                        '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
        with serving('--tls-cert', certificate, '--tls-key', key) as (port, _):
            done = subprocess.run(['curl', '-s', '--cacert', certificate, f'https://127.0.0.1:{port}/healthz'], capture_output=True, text=True)
            t.equal((done.returncode, done.stdout), (0, 'ok\n'), 'HTTPS, by its certificate', done.stderr)
            t.ok(not raw(port, b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n').startswith(b'HTTP/1.1 200'), 'and no HTTP there')
        key.write_text('nonsense')
        result = s.run([s.MEMTOP, 'serve', '--listen', '127.0.0.1:0', '--tls-cert', certificate, '--tls-key', key], preload=False, timeout=20)
        t.ok(result.status == 1 and result.err.count('\n') == 1, 'a key that is none', result)


with s.Tap() as tap:
    with subprocess.Popen([s.MEMTOP, 'serve', '--listen', 'x'], stderr=subprocess.PIPE, text=True) as probe:
        missing = probe.stderr.read()
    if 'libmicrohttpd' in missing:
        tap.skip('memtop serve', missing.strip())
        sys.exit(0)
    command(tap)
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / NAME
        shutil.copy(PYTHON, named)
        holder = [named, '-c', HOLDER]
        with s.running([*holder, '20000'], ready='ready', env=MALLOC) as first, \
                s.running([*holder, '40000'], ready='ready', env=MALLOC) as second:
            with serving() as (number, process):
                profiles(tap, number, first.pid)
                errors_of_go(tap, number, first.pid)
                symbols(tap, number, first.pid)
                merged(tap, number, (first.pid, second.pid))
                choose(tap, number, (first.pid, second.pid))
                metrics(tap, number, first, NAME)
                resident_parts(tap, number, first.pid, NAME)
                as_json(tap, number, first.pid)
                with s.running([PYTHON, '-c', GROWER], ready='ready', env=MALLOC) as grower:
                    delta(tap, number, grower.pid)
                events(tap, number)
                hostile(tap, number, first.pid)
                crowds(tap, number, first.pid)
                death(tap, number)
                tap.equal((process.poll(), ask(number, '/healthz').status), (None, 200), 'it still serves')
            tap.equal(process.ended, 0, 'and ends cleanly')
            token(tap, first)
            ends_while_working(tap, first.pid)
    pauses(tap)
    actions(tap)
    users(tap)
    undisturbed(tap)
    tls(tap)
