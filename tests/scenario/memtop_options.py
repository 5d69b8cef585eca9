#!/usr/bin/env python3
"""What memtop's help says of commands and options its manual page and the completions of bash, zsh and fish say
too, and no more; and these do complete."""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))
import scenario as s

MADE = s.BUILD / 'tools' / 'memtop'
OF_ALL = {'-h', '--help', '-V', '--version'}


def helped(*command):
    """(usage, {option: argument}) as help has them."""
    said = s.run([s.MEMTOP, *command, '--help'], preload=False).out
    options = {}
    for line in re.findall(r'^  (-.*)', said, re.M):
        names, argument = re.fullmatch(r'(-\w, --[\w-]+|-\w|--[\w-]+)(?:[ =](\S+))?', re.split('  +', line)[0]).groups()
        options |= {name: argument or '' for name in names.split(', ')}
    return ' '.join(said.partition('\n\n')[0].split()).removeprefix('usage: '), options


def commands():
    said = s.run([s.MEMTOP, '--help'], preload=False).out
    return re.findall(r'^  memtop ([a-z]+)', said, re.M)


def shell(directory, *command):
    """(lines, what it complained of) of a shell to which memtop is this build's."""
    done = s.run(command, preload=False, timeout=300,
                 env={'PATH': f'{s.BUILD}:/usr/bin:/bin', 'HOME': directory, 'LC_ALL': 'C.UTF-8'})
    return done.out.splitlines(), done.err


def paragraphs(section):
    """{head: options that are told of in it} of a section of the page, and those in no paragraph by ''."""
    depth, head, found = 0, '', {'': set()}
    for line in section.splitlines():
        depth += line.startswith('.RS') - line.startswith('.RE')
        if depth == 0 and re.match('[a-z]', line):
            head = line
            found[head] = set()
        elif line.startswith('-'):
            found[head if depth > 0 else ''] |= set(re.findall(r'(?:^|, )(-[\w-]+)', line))
    return found


def manual(t, known):
    page = MADE / 'memtop.1'
    if not page.is_file():
        t.skip('the manual page', 'there was no scdoc to build it')
        return
    text = re.sub(r'\\f[BIR]|\\&', '', page.read_text()).replace('\\-', '-').replace('\n.br\n', '\n')
    section = dict(re.findall(r'^\.SH ([A-Z ]+)\n(.*?)(?=^\.SH |\Z)', text, re.M | re.S))
    synopsis = [' '.join(line.split()) for line in section['SYNOPSIS'].splitlines()]
    own, general = paragraphs(section['COMMANDS']), paragraphs(section['OPTIONS'])['']
    for name, (usage, options) in known.items():
        t.ok(usage in synopsis, f'memtop(1): usage of {name or "memtop"}', synopsis)
        if name in ('', 'top'):
            t.ok(set(options) <= general and (name or set(options) == general), f'memtop(1): options of memtop {name}',
                 (options, general))
            continue
        found = [told for head, told in own.items() if head.split(' ')[0] == name]
        t.equal(found, [set(options) - OF_ALL], f'memtop(1): options of memtop {name}', own)


def bash(t, known, directory):
    def complete(*words):
        script = f"""compopt() {{ :; }}; . {MADE}/memtop
                     COMP_WORDS=(memtop {' '.join(f"'{word}'" for word in words)}) COMP_CWORD={len(words)}
                     COMPREPLY=(); _memtop; printf '%s\\n' "${{COMPREPLY[@]}}\""""
        return shell(directory, 'bash', '-c', script)

    for name, (_, options) in known.items():
        wanted = sorted(f'{option}=' if '|' in argument else option for option, argument in options.items())
        found, errors = complete(*filter(None, [name]), '-')
        t.equal((sorted(set(found) - {'--'}), errors), (wanted, ''), f'bash: options of {name or "memtop"}')
        for option, argument in options.items():
            if '|' in argument:
                words = sorted(argument.split('|'))
                t.equal(sorted(complete(*filter(None, [name]), f'{option}=')[0]), words, f'bash: {name} {option}=')
                t.equal(sorted(complete(*filter(None, [name]), option, '')[0]), words, f'bash: {name} {option}')
    found, errors = complete('')
    t.ok(set(known) - {''} <= set(found) and not errors, 'bash: commands', (found, errors))
    t.equal(complete('help', 'le'), (['leaks'], ''), 'bash: memtop help')
    for words in (('heap', 'TEXT'), ('tail', 'TEXT'), ('heap', '-o', 'TEXT'), ('leaks', '--diff=TEXT')):
        found, errors = complete(*(word.replace('TEXT', f'{directory}/pro') for word in words))
        t.equal((found, errors), ([f'{directory}/profile'], ''), f'bash: a file behind {words}')
    t.equal(complete('gc', f'{directory}/pro'), ([''], ''), 'bash: none where there is nothing to be read')


def zsh(t, known, directory):
    if not s.find('zsh'):
        t.skip('zsh', 'there is none')
        return

    def load(before):
        return shell(directory, 'zsh', '-f', '-c', f'{before}; . {MADE}/_memtop')

    for name, (_, options) in known.items():
        words = f'memtop {name} -' if name else 'memtop -'
        found, errors = load(f'_arguments() {{ print -rl -- "$@" }}; words=({words}); CURRENT=$#words')
        specs = {}
        for line in found[1:]:  # behind -S
            spec = re.match(r'(?:\([^)]*\)|\*)?(-[\w-]+)[+=]?\[([^\]]+)\](?::([^:]+):(.*))?$', line)
            if spec:
                specs[spec[1]] = spec[4] if spec[4] and spec[4].startswith('(') else spec[3] or ''
        wanted = {option: f'({argument.replace("|", " ")})' if '|' in argument else argument
                  for option, argument in options.items()}
        t.equal((specs, errors), (wanted, ''), f'zsh: options of {name or "memtop"}', found)
    found, errors = load('_describe() { print -rl -- ${(P)2} }; _arguments() { _describe command memtop_commands }; '
                         'words=(memtop x); CURRENT=2')
    t.equal((sorted(line.split(':')[0] for line in found), errors), (sorted(set(known) - {''}), ''), 'zsh: commands')


def fish(t, known, directory):
    if not s.find('fish'):
        t.skip('fish', 'there is none')
        return

    def complete(line):
        found, errors = shell(directory, 'fish', '--no-config', '-c', f"source {MADE}/memtop.fish; complete -C'{line}'")
        return [line.split('\t')[0] for line in found], errors

    for name, (_, options) in known.items():
        words = f'memtop {name} -' if name else 'memtop -'
        found, errors = complete(words)
        t.equal((sorted(option.rstrip('=') for option in set(found)), errors), (sorted(options), ''),
                f'fish: options of {name or "memtop"}')
        for option, argument in options.items():
            if '|' in argument:
                t.equal(sorted(complete(f'{words[:-1]}{option} ')[0]), sorted(argument.split('|')),
                        f'fish: {name} {option}')
    t.ok(set(known) - {''} <= set(complete('memtop ')[0]), 'fish: commands')
    t.equal(complete(f'memtop heap -o {directory}/pro')[0], [f'{directory}/profile'], 'fish: a file')


with s.Tap() as tap, tempfile.TemporaryDirectory() as temporary:
    (Path(temporary) / 'profile').touch()
    everything = {'': helped()} | {name: helped(name) for name in commands()}
    tap.ok({'ps', 'run', 'leaks', 'help'} < set(everything) and '--by' in everything['leaks'][1], 'help tells of them',
           everything)
    manual(tap, everything)
    bash(tap, everything, temporary)
    zsh(tap, everything, temporary)
    fish(tap, everything, temporary)
