# fish completion for memtop

function __memtop_targets
    memtop ps 2>/dev/null | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1 "\t" $9 }'
end

function __memtop_services
    systemctl list-unit-files --type=service --no-legend 2>/dev/null | string replace -r "\\.service .*" ""
end

@FISH_NAMES@
complete -c memtop -f
@FISH_COMMANDS@
