#!/usr/bin/env bash
# Installs the Debian packages that a list names and this machine lacks; one dpkg query when nothing
# is missing. SHOAL_SKIP_APT=1 leaves the packages to whoever runs the machine.
#
#   apt.sh [LIST]    a file beside this one; apt.txt by default
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LIST="$DEPS_DIR/${1:-apt.txt}"

wanted() {
    sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$LIST"
}

missing() {
    local installed
    # shellcheck disable=SC2046 # one word a package is what dpkg-query wants
    installed=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' $(wanted) 2>/dev/null |
        sed -n 's/^installed \([^:]*\).*/\1/p' || true)
    comm -23 <(wanted | sort -u) <(printf '%s\n' "$installed" | sort -u)
}

main() {
    [ "${SHOAL_SKIP_APT:-0}" = 0 ] || return 0
    command -v dpkg-query >/dev/null ||
        die "not a Debian system: install what $(basename "$LIST") names, set SHOAL_SKIP_APT=1"
    local packages
    packages=$(missing)
    [ -n "$packages" ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "not root and no sudo: install by hand:" $packages
        as_root=(sudo)
        sudo -v # asks for a password, where one is needed, before the progress line takes over
    fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
        -o DPkg::Lock::Timeout=600)
    say "Debian packages missing:" $packages
    run_logged "apt-get update" "$SHOAL_CACHE/logs/apt-update.log" "${apt[@]}" update
    # shellcheck disable=SC2086 # the package names are words
    run_logged "apt-get install ($(wc -w <<<"$packages") packages)" \
        "$SHOAL_CACHE/logs/apt-install.log" "${apt[@]}" install -y --no-install-recommends $packages
}

main
