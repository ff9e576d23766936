#!/usr/bin/env bash
# Makes everything Shoal needs and this machine lacks; a fraction of a second when nothing is.
#
#   install.sh            everything: Debian packages, native libraries, llama.cpp, models
#   install.sh libraries  what a build needs; no models
#   install.sh paths      prints <name>=<directory> lines for CMake, and makes nothing
#
# SHOAL_CACHE, SHOAL_MARCH, SHOAL_CC, SHOAL_CXX and SHOAL_PYTHON are described in lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-all} in
paths)
    echo "native=$("$DEPS_DIR/native.sh" path)"
    echo "llama=$("$DEPS_DIR/llama.sh" path)"
    echo "models=$("$DEPS_DIR/models.sh" path)"
    ;;
libraries | all)
    "$DEPS_DIR/apt.sh"
    "$DEPS_DIR/native.sh" build
    "$DEPS_DIR/llama.sh" build
    if [ "${1:-all}" = all ]; then
        "$DEPS_DIR/models.sh" build
    fi
    ;;
*)
    die "usage: install.sh [all | libraries | paths]"
    ;;
esac
