# fish completion for memtop

function __memtop_targets
    memtop ps 2>/dev/null | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1 "\t" $9 }'
end

set -l commands ps top run tail heap leaks gc unit container help
complete -c memtop -f
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a ps -d 'list programs on memdebug'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a top -d 'watch one'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a run -d 'run a program on memdebug'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a tail -d 'chart gctrace lines'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a heap -d 'heap profile of a program'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a leaks -d 'what a program leaks'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a gc -d 'ask a program for a cycle'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a unit -d 'memdebug in a systemd service'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a container -d 'memdebug in a container'
complete -c memtop -n "not __fish_seen_subcommand_from $commands" -a help -d 'usage'
complete -c memtop -n "__fish_seen_subcommand_from help" -a 'ps top run tail heap leaks gc unit container'
complete -c memtop -n "__fish_seen_subcommand_from unit" -a '(systemctl list-unit-files --type=service --no-legend 2>/dev/null | string replace -r "\\.service .*" "")'
complete -c memtop -n "__fish_seen_subcommand_from unit" -l install -d 'write it, have systemd read it'
complete -c memtop -n "not __fish_seen_subcommand_from ps run tail unit container help" -a '(__memtop_targets)'
complete -c memtop -n "__fish_seen_subcommand_from tail heap leaks" -F
complete -c memtop -n "__fish_seen_subcommand_from run" -xa '(__fish_complete_subcommand)'
complete -c memtop -s p -l pid -x -a '(__memtop_targets)' -d 'the target'
complete -c memtop -s d -x -d 'seconds between updates'
complete -c memtop -s n -x -d 'updates'
complete -c memtop -s b -l batch -d 'text, no terminal'
complete -c memtop -s o -l output -r -F -d 'write there'
complete -c memtop -s e -x -n "__fish_seen_subcommand_from run" -d 'MEMDEBUG option'
complete -c memtop -l json -d 'one JSON object a line'
complete -c memtop -l all -n "__fish_seen_subcommand_from ps leaks" -d 'also what is not on memdebug; all leaks'
complete -c memtop -l allocs -n "__fish_seen_subcommand_from heap" -d 'what was allocated'
complete -c memtop -l leaks -n "__fish_seen_subcommand_from heap" -d 'what leaks'
complete -c memtop -l by -x -a 'stack function type module size' -n "__fish_seen_subcommand_from leaks" -d 'what is taken together'
complete -c memtop -l since -x -n "__fish_seen_subcommand_from leaks" -d 'allocated in the last'
complete -c memtop -l diff -r -F -n "__fish_seen_subcommand_from leaks" -d 'what this profile did not have'
complete -c memtop -l exclude -x -n "__fish_seen_subcommand_from leaks" -d 'leave out stacks with this function'
complete -c memtop -l suppressions -r -F -n "__fish_seen_subcommand_from leaks" -d 'in the format of LeakSanitizer'
complete -c memtop -l no-cycle -n "__fish_seen_subcommand_from leaks" -d 'as the last cycles saw it'
complete -c memtop -l exit-code -x -n "__fish_seen_subcommand_from leaks" -d 'status if there are leaks'
complete -c memtop -l live -n "__fish_seen_subcommand_from run" -d 'watch meanwhile'
complete -c memtop -l charset -x -a 'auto braille block ascii' -d 'characters of charts'
complete -c memtop -l no-color -d 'no colours'
complete -c memtop -s h -l help -d usage
complete -c memtop -s V -l version -d version
