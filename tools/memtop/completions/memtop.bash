# bash completion for memtop                                              -*- shell-script -*-

# Adds of each kind that is named what begins as the word that is completed.
_memtop_add()
{
    local kind
    for kind in "$@"; do
        case $kind in
            commands) COMPREPLY+=($(compgen -W "$commands" -- "$cur")) ;;
            targets) COMPREPLY+=($(compgen -W "$(memtop ps 2>/dev/null | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1 }')" \
                -- "$cur")) ;;
            files) COMPREPLY+=($(compgen -f -- "$cur")) ;;
            programs) COMPREPLY+=($(compgen -c -- "$cur")) ;;
            services)
                [[ $prev == "$command" ]] && COMPREPLY+=($(compgen -W "$(systemctl list-unit-files --type=service \
                    --no-legend 2>/dev/null | awk '{ sub(/\.service$/, "", $1); print $1 }')" -- "$cur")) ;;
        esac
    done
}

_memtop()
{
    local cur prev words cword command options operands i
@BASH_NAMES@
    _init_completion -n = 2>/dev/null || {
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    }
    for ((i = 1; i < cword; i++)); do
        [[ " $commands " == *" ${words[i]} "* ]] && command=${words[i]} && break
    done
    if [[ $command == run ]]; then
        for ((; i < cword; i++)); do
            if [[ ${words[i]} == -- ]]; then
                declare -F _command_offset >/dev/null && _command_offset $((i + 1))
                return
            fi
        done
    fi
    case $command in
@BASH_COMMANDS@
    esac
    [[ $cur == --*=* ]] && prev=${cur%%=*} cur=${cur#*=}
    case $prev in
@BASH_ARGUMENTS@
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    _memtop_add $operands
} &&
    complete -F _memtop memtop
