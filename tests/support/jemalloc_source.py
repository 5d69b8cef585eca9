#!/usr/bin/env python3
"""jemalloc's source: fetches Debian's source package by apt-get into the build folder.  As a program it
prints where that is."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tarfile

import scenario as s

PLACE = s.BUILD / 'tests' / 'jemalloc'


class Missing(Exception):
    """Why it cannot be had, or not be built."""


def call(command, cwd, what):
    done = subprocess.run([str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    if done.returncode:
        raise Missing(f'{what}: ' + ' '.join(done.stdout.split('\n')[-4:]).strip()[:200])
    return done.stdout


def get():
    """The unpacked source of the jemalloc that is installed, and its version, as 5.3.0."""
    if s.find('apt-get') is None or s.find('apt-cache') is None:
        raise Missing('no apt-get')
    package = call(['dpkg-query', '-W', '-f', '${Version}', 'libjemalloc-dev'], '/', 'libjemalloc-dev')
    version = package.split('-')[0]
    tree = PLACE / 'source'
    if tree.exists():
        return tree, version
    where = re.search(r'^ +\d+ (http\S+) (\S+)/main \S+ Packages$',
                      call(['apt-cache', 'policy', 'libjemalloc-dev'], '/', 'apt-cache'), re.M)
    if not where:
        raise Missing('no archive that libjemalloc-dev comes from')
    # Two tests may be after it at the same time.
    work = PLACE / f'fetch-{os.getpid()}'
    for folder in ('lists/partial', 'cache/archives/partial', 'unpacked'):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / 'sources.list').write_text(f'deb-src {where[1]} {where[2]} main\n')
    options = [f'Dir::State::Lists={work}/lists', f'Dir::Etc::SourceList={work}/sources.list',
               'Dir::Etc::SourceParts=-', f'Dir::Cache={work}/cache', 'Debug::NoLocking=1',
               'APT::Update::Error-Mode=any', 'APT::Sandbox::User=', 'Acquire::Retries=1',
               'Acquire::http::Timeout=20']
    apt = ['apt-get', '-q'] + [word for option in options for word in ('-o', option)]
    try:
        call(apt + ['update'], work, 'apt-get update')
        call(apt + ['--download-only', 'source', f'jemalloc={package}'], work, 'apt-get source')
        archives = list(work.glob('jemalloc_*.orig.tar.*'))
        if not archives:
            raise Missing('the source package has no archive of the original')
        with tarfile.open(archives[0]) as archive:
            archive.extractall(work / 'unpacked')
        with contextlib.suppress(OSError):
            next((work / 'unpacked').iterdir()).rename(tree)
    except tarfile.TarError as why:
        raise Missing(why) from why
    finally:
        shutil.rmtree(work)
    return tree, version


if __name__ == '__main__':
    try:
        print(get()[0])
    except Missing as reason:
        sys.exit(str(reason))
