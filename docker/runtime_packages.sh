#!/usr/bin/env bash
# Prints the Debian packages that the given programs need to run: those of their shared libraries, PROJ's tables, a font.
set -euo pipefail
(($#)) || { echo "usage: docker/runtime_packages.sh PROGRAM..." >&2; exit 2; }
{
  ldd "$@" | awk '/=> \// { print $3 }' | sort -u | while read -r library; do
    # dpkg knows a file by the path it was packed with, before or after /lib became a link to /usr/lib.
    dpkg-query -S "$library" 2>/dev/null || dpkg-query -S "/usr$library" 2>/dev/null ||
      dpkg-query -S "$(realpath "$library")" 2>/dev/null ||
      { echo "docker/runtime_packages.sh: no package owns $library" >&2; exit 1; }
  done | cut -d: -f1
  printf '%s\n' proj-data fonts-dejavu-core
} | sort -u
