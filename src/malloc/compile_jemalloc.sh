#!/bin/sh
# Compiles a source tree of jemalloc for the library to carry, as embed_jemalloc.sh wants it:
#   compile_jemalloc.sh SOURCE DIRECTORY COMPILER...
# The archive is DIRECTORY/lib/libjemalloc_pic.a; nothing is written into SOURCE.  COMPILER may come with
# options, and for another machine.  What has been compiled before, in the same way, is kept but for what has
# changed since.  A failure is one line on stderr.
#
# The page of jemalloc must not be smaller than that of any system that the library comes to: 4 KiB on x86,
# and up to 64 KiB elsewhere.
set -eu

fail() {
    echo "jemalloc_source: $*" >&2
    exit 1
}

source=$1 dir=$2
shift 2
[ -f "$source/configure.ac" ] || fail "$source is no source tree of jemalloc"
[ -f "$source/configure" ] || command -v autoconf >/dev/null ||
    fail "$source has no configure, and there is no autoconf to make one"
command -v make >/dev/null || fail "there is no make"

# Told to configure, which would ask the git repository that its working directory may lie in.
if [ -f "$source/VERSION" ]; then
    version=$(cat "$source/VERSION")
elif [ -e "$source/.git" ]; then
    version=$(git -C "$source" describe --long --abbrev=40 --match='[0-9]*.[0-9]*.[0-9]*' 2>&1) ||
        fail "git does not tell the version of $source: $(echo "$version" | head -n 1)"
else
    version=$(sed -n 's/^\* \([0-9]*\.[0-9]*\.[0-9]*\) (.*/\1-0-g0/p' "$source/ChangeLog" | head -n 1)
    [ -n "$version" ] || fail "$source has neither VERSION nor a release in its ChangeLog"
fi

host=$("$@" -dumpmachine)
case $host in
x86_64*) lg_page=12 ;;
*) lg_page=16 ;;
esac
way="$source $version $lg_page $* $("$@" -dumpversion)"
if [ "$(cat "$dir/configured" 2>/dev/null)" != "$way" ]; then
    rm -rf "$dir"
    mkdir -p "$dir"
    cd "$dir"
    # By a name that make can take: in that of a folder there may be a blank or a colon.
    ln -s "$(realpath "$source")" source
    configure=source/configure
    if [ ! -f "$configure" ]; then
        autoconf -I source -o configure source/configure.ac >log 2>&1 ||
            fail "autoconf fails on $source/configure.ac: $dir/log"
        configure=./configure
    fi
    # COMPILER comes with what the environment has of flags; here they would stand in for jemalloc's own
    # optimisation.
    unset CFLAGS CPPFLAGS CXXFLAGS LDFLAGS
    # No link-time code: embed_jemalloc.sh renames symbols in the object files.
    sh "$configure" --srcdir=source --host="$host" --with-version="$version" --enable-prof \
        --with-lg-page=$lg_page --with-lg-hugepage=21 --with-lg-vaddr=48 --disable-cxx --disable-doc \
        CC="$*" AR="$("$@" -print-prog-name=ar)" LD="$("$@" -print-prog-name=ld)" \
        NM="$("$@" -print-prog-name=nm)" RANLIB="$("$@" -print-prog-name=ranlib)" \
        EXTRA_CFLAGS=-fno-lto >log 2>&1 </dev/null ||
        fail "its configure fails: $dir/log"
    echo "$way" >configured
fi
cd "$dir"
make -j "$(nproc)" lib/libjemalloc_pic.a >>log 2>&1 </dev/null || fail "it does not compile: $dir/log"
