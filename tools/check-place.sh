#!/bin/sh
# Why memdebug cannot be built in a directory, or its library not be preloaded from there: some words, with
# status 1; nothing, with status 0, if it can.
#
#   tools/check-place.sh build|preload DIRECTORY      build: preload too
set -eu
directory=$(realpath -m -- "$2")
case $directory in
*[\ :]*)
    echo "nothing can be preloaded from '$directory', as LD_PRELOAD separates by blanks and colons"
    exit 1
    ;;
esac
[ "$1" = build ] || exit 0
place=$directory
while [ ! -e "$place" ]; do
    place=$(dirname "$place")
done
if [ ! -d "$place" ] || [ ! -w "$place" ]; then
    echo "nothing can be built in $directory, as $place cannot be written to"
    exit 1
fi
