#!/bin/sh
# The Debian mirror to take a release from: the first of the repositories in this machine's apt configuration
# that has it, as a URI on stdout.  A reason on stderr, with status 1, where none has it or none answers.
#
#   tools/apt-mirror.sh RELEASE [ARCHITECTURE]
set -eu
release=$1 architecture=${2:-$(dpkg --print-architecture)}
list=$(mktemp)
trap 'rm -f "$list"' EXIT
repositories=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' | sort -u)
for uri in $repositories; do
    timeout 60 /usr/lib/apt/apt-helper download-file "${uri}dists/$release/Release" "$list" >/dev/null 2>&1 || continue
    if grep -q "^Architectures:.* $architecture\( \|\$\)" "$list"; then
        echo "$uri"
        exit 0
    fi
done
echo "no mirror of this machine's apt configuration has $release for $architecture, or none answers" >&2
exit 1
