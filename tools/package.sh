#!/bin/bash
# Makes packages of the commit that is checked out:
#
#   tools/package.sh [-o DIRECTORY] [deb] [tar]     both, into build-package
#
#   deb    libmemdebug0, libmemdebug-dev, memtop, by dpkg-buildpackage and tools/debian, seen by lintian
#   tar    memdebug-VERSION-ARCH-glibcVERSION.tar.gz, which works wherever it is unpacked, with the
#          libraries that it needs and their licences: for any system with the glibc of the one that
#          it is made on, or a newer one
set -euo pipefail
export LC_ALL=C.UTF-8

out=build-package
wanted=
while [ $# -gt 0 ]; do
    case $1 in
    -o)
        out=$(realpath -m "${2:?-o: a directory is wanted}")
        shift
        ;;
    deb | tar) wanted="$wanted $1" ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
fail() {
    echo "package: $*" >&2
    exit 1
}
tools/install-deps.sh build package
git rev-parse --verify -q HEAD >/dev/null || fail "packages are made of a commit, and this is no git checkout"
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "package: what is not committed is left out" >&2

mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d "${TMPDIR:-/tmp}/memdebug-package.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Between releases a version is older than the one to come, and newer than those of commits before.
version=$(git show HEAD:meson.build | sed -n "s/^ *version: '\(.*\)',$/\1/p")
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
if [ "$(git describe --exact-match --tags HEAD 2>/dev/null || :)" != "v$version" ]; then
    version="$version~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(git rev-parse --short=8 HEAD)"
fi
source=$work/memdebug-$version
mkdir "$source"
git archive HEAD | tar -x -C "$source"

# ----------------------------------------------------------------------------------------- deb

make_deb() {
    cp -a "$source" "$work/deb"
    cp -a "$work/deb/tools/debian" "$work/deb/debian"
    cat >"$work/deb/debian/changelog" <<END
memdebug ($version) unstable; urgency=medium

  * Made from commit $(git rev-parse --short=8 HEAD).

 -- $(sed -n 's/^Maintainer: //p' "$source/tools/debian/control")  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
    (cd "$work/deb" && dpkg-buildpackage -b -us -uc) >"$out/deb.log" 2>&1 || {
        tail -n 40 "$out/deb.log" >&2
        fail "dpkg-buildpackage failed: $out/deb.log"
    }
    # As root, which it warns of, it only reads.
    lintian --allow-root --fail-on error,warning,info "$work"/*.changes || fail "lintian is not content"
    mv "$work"/*.deb "$out"
}

# ----------------------------------------------------------------------------------------- tar

# The libraries that come along have names of their own, libz.md.1 in place of libz.so.1: they never
# stand in for a library of the program, nor one of the program's for them.  The new name is as long
# as the old one, so that nothing moves in our library, whose layout matters.
rename_library() {
    echo "${1/.so./.md.}"
}
# rename_needs FILE: there, in the loader's table of names and nowhere else.
rename_needs() {
    local offset size library
    read -r offset size < <(readelf -SW "$1" | sed -n 's/.* \.dynstr  *STRTAB  *[0-9a-f]* \([0-9a-f]*\) \([0-9a-f]*\) .*/0x\1 0x\2/p')
    dd if="$1" bs=1 skip=$((offset)) count=$((size)) status=none >"$work/names"
    for library in "${!taken[@]}"; do
        LC_ALL=C sed -i "s/\x00${library//./\\.}\x00/\x00$(rename_library "$library")\x00/g" "$work/names"
    done
    dd if="$work/names" of="$1" bs=1 seek=$((offset)) conv=notrunc status=none
}

# take FILE: what it needs is put into lib/memdebug, but for what every program has of the system.
declare -A taken
take() {
    local name path
    while read -r name path; do
        case $name in
        libc.so.* | libm.so.* | libgcc_s.so.* | ld-linux*) continue ;;
        esac
        [ -z "${taken[$name]:-}" ] || continue
        taken[$name]=$(realpath "$path")
        install -m 644 "$path" "$tree/lib/memdebug/$(rename_library "$name")"
        take "$path"
    done < <(ldd "$1" | sed -n 's/^\t\([^ ]*\) => \(\/[^ ]*\) .*/\1 \2/p')
}

# licence PACKAGE: its notices, with the texts that they refer to.
licence() {
    local from=/usr/share/doc/$1/copyright
    [ -r "$from" ] || fail "no $from: the notices of what comes along must come along"
    # shellcheck disable=SC2046  # one word each
    install -m 644 -t "$tree/licenses" "$from" \
        $(grep -o '/usr/share/common-licenses/[A-Za-z0-9.-]*[A-Za-z0-9]' "$from" | sort -u)
    mv "$tree/licenses/copyright" "$tree/licenses/$1"
}

make_tar() {
    local name file package
    name=memdebug-$version-$(uname -m)-glibc$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
    if ! { meson setup "$work/build" "$source" --prefix=/opt/memdebug --libdir=lib --strip -Db_ndebug=true \
        -Dtests=false -Dbundled=true -Dpkgconfig.relocatable=true && meson compile -C "$work/build" &&
        DESTDIR=$work/stage meson install -C "$work/build" --no-rebuild; } >"$out/tar.log" 2>&1; then
        tail -n 40 "$out/tar.log" >&2
        fail "it does not build: $out/tar.log"
    fi
    tree=$work/$name
    mv "$work/stage/opt/memdebug" "$tree"
    mkdir -p "$tree/lib/memdebug" "$tree/licenses"
    # memtop and the library open it, instead of being linked with it.
    libdw=$(realpath "$(cc -print-file-name=libdw.so)")
    install -m 644 "$libdw" "$tree/lib/memdebug/$(rename_library libdw.so.1)"
    taken[libdw.so.1]=$libdw
    take "$libdw"
    take "$tree/bin/memtop"
    take "$tree/lib/libmemdebug.so.0"
    for file in "$tree/bin/memtop" "$tree"/lib/libmemdebug.so.*.*.* "$tree"/lib/memdebug/*; do
        rename_needs "$file"
    done
    # One that is opened is not looked for where the opener's own needs are.
    patchelf --set-rpath "\$ORIGIN" "$tree"/lib/memdebug/*
    {
        echo "Libraries in lib/memdebug, as the packages named have them but for their names,"
        echo "and that they look for each other there."
        for library in "${!taken[@]}"; do
            # Packages of before /lib was a link know the file by that name.
            package=$({ dpkg-query -S "${taken[$library]}" || dpkg-query -S "${taken[$library]#/usr}"; } 2>/dev/null) ||
                fail "no package has ${taken[$library]}"
            package=${package%%:*}
            licence "$package"
            printf '%-20s %s\n' "$(rename_library "$library")" \
                "$(dpkg-query -W -f '${Package} ${Version}, source ${source:Package} ${source:Version}' "$package")"
        done | sort
        echo "Linked into lib/libmemdebug.so.0:"
        for package in libjemalloc-dev libprotobuf-c-dev zlib1g-dev; do
            licence $package
            dpkg-query -W -f '${Package} ${Version}, source ${source:Package} ${source:Version}\n' $package
        done
    } >"$tree/licenses/LIBRARIES"
    install -m 644 "$source/LICENSE" "$source/README.md" "$tree"
    tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c "$name" |
        gzip -9n >"$out/$name.tar.gz"
}

for kind in ${wanted:-deb tar}; do
    "make_$kind"
done
ls -l "$out"/*"$version"*
