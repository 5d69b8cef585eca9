#!/bin/sh
# Makes one relocatable object of jemalloc for the library to carry:
#   embed_jemalloc.sh OUTPUT ENTRIES DIRECTORY COMPILER...
# from the PIC archive of jemalloc (libjemalloc_pic.a, where the compiler finds it), with
#   - its public functions renamed to jep_NAME (the exported names are ours),
#   - its mmap and munmap renamed to ours, so that its memory is known exactly,
#   - the functions of its profiler that we stand in for renamed to jep_ at their definition only:
#     the callers then find ours under the old name,
#   - the C++ operators left out: they are ours, and libstdc++ is not needed.
set -eu
here=$(dirname "$(realpath "$0")")
output=$(realpath -m "$1") entries=$(realpath -m "$2") dir=$3
shift 3
archive=$("$@" -print-file-name=libjemalloc_pic.a)
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"
ar x "$archive"
rm -f jemalloc_cpp*.o

public="malloc calloc realloc free posix_memalign aligned_alloc memalign valloc malloc_usable_size
mallocx rallocx xallocx sallocx dallocx sdallocx nallocx mallctl mallctlnametomib mallctlbymib
malloc_stats_print malloc_conf malloc_conf_2_conf_harder"
for name in $public; do
    echo "$name jep_$name"
done > rename
echo "mmap heap_mmap" >> rename
echo "munmap heap_munmap" >> rename

# definition in FILE of each function that ours stands in for
stand_in() {
    file=$1
    shift
    for name in "$@"; do
        nm "$file" | grep -q " T je_$name\$" || {
            echo "embed_jemalloc.sh: no je_$name in $file: another jemalloc?" >&2
            exit 1
        }
        objcopy --redefine-sym "je_$name=jep_$name" "$file"
    done
}
# The same for one that its own file calls too: the definition also gets the name jep_, and ours comes
# before it everywhere.
stand_before() {
    file=$1 name=$2
    at=$(nm "$file" | sed -n "s/^\([0-9a-f]*\) T je_$name\$/\1/p")
    [ -n "$at" ] || {
        echo "embed_jemalloc.sh: no je_$name in $file: another jemalloc?" >&2
        exit 1
    }
    objcopy --add-symbol "jep_$name=.text:0x$at,function,global" --weaken-symbol "je_$name" "$file"
}
find_object() { # the archive member of this source file
    ls "$1".*o
}
for object in *.o; do
    objcopy --redefine-syms rename "$object"
done
stand_in "$(find_object prof)" prof_malloc_sample_object prof_free_sampled_object \
    prof_sample_new_event_wait prof_sample_postponed_event_wait prof_tctx_create
stand_in "$(find_object arena)" arena_palloc arena_ralloc arena_reset
stand_in "$(find_object emap)" emap_register_boundary emap_deregister_boundary
stand_in "$(find_object base)" base_new base_alloc base_alloc_edata base_delete
stand_in "$(find_object pa)" pa_dalloc
stand_in "$(find_object large)" large_ralloc_no_move
stand_in "$(find_object prof_sys)" prof_unwind_init prof_backtrace
stand_in "$(find_object tcache)" tcache_gc_event_handler tcache_gc_dalloc_event_handler \
    tcache_cleanup
stand_before "$(find_object tcache)" tsd_tcache_data_init
stand_before "$(find_object jemalloc)" arena_choose_hard
python3 "$here/copy_entries_x86_64.py" "$(find_object jemalloc)" > "$entries"
# The compiler's own helpers (popcount) come along, so that they lie where they are used and not behind
# code that rarely runs: what lies together is resident together.
ld -r -o "$output" ./*.o "$("$@" -print-libgcc-file-name)"
