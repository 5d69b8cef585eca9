#!/bin/sh
# Makes one relocatable object of jemalloc for the library to carry:
#   embed_jemalloc.sh ARCHIVE DIRECTORY COPY_ENTRIES COMPILER...
# from a PIC archive of jemalloc 5.3.0 or 5.3.1, with
#   - its public functions renamed to jep_NAME (the exported names are ours),
#   - its mmap and munmap renamed to ours, so that its memory is known exactly,
#   - its memmove renamed to ours, which leaves no block's address in a vector register (common.c),
#   - the functions of its profiler that we stand in for renamed to jep_ at their definition only:
#     the callers then find ours under the old name,
#   - the C++ operators left out: they are ours, and libstdc++ is not needed.
# Leaves DIRECTORY/jemalloc.o, and DIRECTORY/entries.S where COPY_ENTRIES knows the form of malloc and free.
# Prints, a line each: the version; the binary logarithm of its page; why there is no entries.S, empty if there is
# one; why its records of blocks cannot be read (metadata.c), empty if they can.  An archive that does not do is told on stderr, in one line.
set -eu
archive=$1 dir=$2 copy_entries=$3
shift 3

fail() {
    echo "$archive does not do: $*" >&2
    exit 1
}
for name in ar nm ld objcopy strings; do
    eval "$name=\$(\"\$@\" -print-prog-name=$name)"
done

# The compiler prints a name without a folder where it finds no such archive.
[ -f "$archive" ] || fail "there is no PIC archive of jemalloc; another is made of its source by -Djemalloc_source=DIR"
archive=$(realpath "$archive") output=$(realpath -m "$dir")
libgcc=$("$@" -print-libgcc-file-name)
dir=$output/members
rm -rf "$output"
mkdir -p "$dir"
cd "$dir"
"$ar" x "$archive" || fail "it is no archive"
rm -f jemalloc_cpp*.o

# size of a table of jemalloc's, in entries
entries() {
    size=$("$nm" -S sz.pic.o 2>/dev/null | sed -n "s/^[0-9a-f]* \([0-9a-f]*\) . je_$1\$/\1/p")
    echo $((0x${size:-0} / 8))
}
version=$("$strings" ctl.pic.o 2>/dev/null | grep -E '^[0-9]+\.[0-9]+\.[0-9]+-[0-9]+-g' | head -n 1)
case $version in
5.3.[01]-0-g*) ;;
*) fail "it is jemalloc ${version:-of no known version}, not 5.3.0 or 5.3.1" ;;
esac
"$nm" jemalloc.pic.o | grep -q ' U je_prof_tctx_create$' ||
    fail "it is built without the profiler (--enable-prof); another is made of its source by -Djemalloc_source=DIR"
# Of the size classes that are whole pages there are four less for a page twice as large: 200 with 4 KiB.
classes=$(entries sz_pind2sz_tab)
lg_page=$((12 + (200 - classes) / 4))
case $("$@" -dumpmachine) in
x86_64*) [ $lg_page = 12 ] || fail "its page is 2^$lg_page bytes (--with-lg-page), not 4096" ;;
*) [ $lg_page -ge 16 ] || fail "its page is 2^$lg_page bytes (--with-lg-page), and the system's may be of 65536" ;;
esac

public="malloc calloc realloc free posix_memalign aligned_alloc memalign valloc pvalloc free_sized
free_aligned_sized malloc_usable_size mallocx rallocx xallocx sallocx dallocx sdallocx nallocx mallctl
mallctlnametomib mallctlbymib malloc_stats_print malloc_conf malloc_conf_2_conf_harder"
for name in $public; do
    echo "$name jep_$name"
done >../rename
echo "mmap heap_mmap" >>../rename
echo "munmap heap_munmap" >>../rename
echo "memmove cleared_memmove" >>../rename
for object in *.o; do
    "$objcopy" --redefine-syms ../rename "$object"
done

# What of jemalloc is to be replaced, a function or a table: defined in that file.
check() {
    "$nm" "$1" 2>/dev/null | grep -q " [TD] je_$2\$" || fail "it has no je_$2 in $1"
}
# definition in FILE of each name that ours stands in for
stand_in() {
    file=$1.pic.o
    shift
    for name in "$@"; do
        check "$file" "$name"
        "$objcopy" --redefine-sym "je_$name=jep_$name" "$file"
    done
}
# The same for one that its own file calls too: the definition also gets the name jep_, and ours comes
# before it everywhere.
stand_before() {
    file=$1.pic.o name=$2
    check "$file" "$name"
    at=$("$nm" "$file" | sed -n "s/^\([0-9a-f]*\) T je_$name\$/\1/p")
    "$objcopy" --add-symbol "jep_$name=.text:0x$at,function,global" --weaken-symbol "je_$name" "$file"
}
# Ours alone, in its own file too.
replace() {
    check "$1.pic.o" "$2"
    "$objcopy" --weaken-symbol "je_$2" "$1.pic.o"
}
stand_in prof prof_malloc_sample_object prof_free_sampled_object prof_tctx_create
stand_in arena arena_palloc arena_ralloc arena_reset arena_postfork_child
stand_in emap emap_register_boundary emap_deregister_boundary
stand_in base base_new base_alloc base_alloc_edata base_delete
stand_in pa pa_dalloc
stand_in large large_ralloc_no_move
stand_in prof_sys prof_unwind_init prof_backtrace
stand_in tcache tcache_cleanup
stand_before jemalloc arena_choose_hard
case $version in
5.3.0-*)
    stand_in prof prof_sample_new_event_wait prof_sample_postponed_event_wait
    stand_in tcache tcache_gc_event_handler tcache_gc_dalloc_event_handler
    stand_before tcache tsd_tcache_data_init
    ;;
5.3.1-*)
    replace prof prof_sample_new_event_wait
    stand_in tcache tcache_gc_te_handler
    ;;
esac
why=
case $("$@" -dumpmachine) in
x86_64*)
    status=0
    why=$(python3 "$copy_entries" jemalloc.pic.o 2>&1 >../entries.S) || status=$?
    [ $status = 0 ] || [ $status = 3 ] || fail "$why"
    ;;
*) why="only those of x86-64 are" ;;
esac
[ -z "$why" ] || rm -f ../entries.S

# Where the roots of its profiler's own blocks lie is named, and what metadata.c takes to be so is looked at: the
# tree of pages depends on the bits of an address that the machine had on which the archive was made.
"$objcopy" --redefine-sym tdatas=je_tdatas --redefine-sym bt2gctx=je_bt2gctx prof_data.pic.o
"$objcopy" --globalize-symbol=je_tdatas --globalize-symbol=je_bt2gctx prof_data.pic.o
unread=
has() {
    "$nm" -S "$1.pic.o" | grep -q "^[0-9a-f]* 0*$3 . je_$2\$" || unread="its je_$2 is not of 0x$3 bytes"
}
case $version/$lg_page in
5.3.0-*/12)
    has arena arena_emap_global 200078
    has jemalloc arenas 7ff8
    has bin_info bin_infos 5a0
    has sz sz_index2size_tab 740
    has tsd tsd_tls a48
    has prof_data tdatas 8
    has prof_data bt2gctx 30
    ;;
*) unread="they are known of 5.3.0 with pages of 4096 bytes" ;;
esac
# The compiler's own helpers (popcount) come along, so that they lie where they are used and not behind
# code that rarely runs: what lies together is resident together.
"$ld" -r -o ../jemalloc.o ./*.o "$libgcc"
printf '%s\n%s\n%s\n%s\n' "$version" "$lg_page" "$why" "$unread"
