# bash completion for memtop                                              -*- shell-script -*-

_memtop()
{
    local cur prev words cword command i
    local commands='ps top run tail heap leaks gc unit container help'
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
    case $prev in
        -o | --output | --diff | --suppressions) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        -d | -n | -e | --since | --exclude | --exit-code) return ;;
    esac
    case $cur in
        --by=*) COMPREPLY=($(compgen -W 'stack function type module size' -- "${cur#*=}")); return ;;
        --charset=*) COMPREPLY=($(compgen -W 'auto braille block ascii' -- "${cur#*=}")); return ;;
        -*)
            local options='-h --help -V --version'
            case $command in
                ps) options+=' --all --json -b' ;;
                run) options+=' --live -e --json -o -d --charset= --no-color --' ;;
                tail) options+=' -b --json -d --charset= --no-color' ;;
                heap) options+=' -o --allocs --leaks -p' ;;
                leaks) options+=' --by= --since --diff --exclude --suppressions --no-cycle --exit-code -n --all --json -o -d -p' ;;
                gc) options+=' -d -p --json' ;;
                unit) options+=' --install' ;;
                container | help) ;;
                *) options+=' -p -d -n -b --json --charset= --no-color' ;;
            esac
            COMPREPLY=($(compgen -W "$options" -- "$cur"))
            [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
            return ;;
    esac
    local targets
    targets=$(memtop ps 2>/dev/null | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1 }')
    case $command in
        '') COMPREPLY=($(compgen -W "$commands $targets" -- "$cur")) ;;
        help) COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
        top | gc) COMPREPLY=($(compgen -W "$targets" -- "$cur")) ;;
        heap | leaks) COMPREPLY=($(compgen -W "$targets" -- "$cur") $(compgen -f -- "$cur")) ;;
        tail) COMPREPLY=($(compgen -f -- "$cur")) ;;
        run) COMPREPLY=($(compgen -c -- "$cur")) ;;
        unit)
            [[ $prev == unit ]] && COMPREPLY=($(compgen -W "$(systemctl list-unit-files --type=service --no-legend \
                2>/dev/null | awk '{ sub(/\.service$/, "", $1); print $1 }')" -- "$cur")) ;;
    esac
} &&
    complete -F _memtop memtop
