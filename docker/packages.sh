#!/usr/bin/env bash
# The one list of Debian packages that raincell is built, tested and drawn with. The names are the same on Debian 12 and 13.
# Called by app/quickstart.sh, tests/run.sh, .ci/run and docker/Dockerfile. Needs root or sudo only if something is missing.
#   docker/packages.sh            install what is missing
#   docker/packages.sh --list     print the names, one a line
#   docker/packages.sh --missing  print the names that are not installed, one a line; install nothing
set -euo pipefail

packages=(
  # tools
  ca-certificates cmake g++ git make ninja-build pkgconf
  # files and grids: NetCDF, HDF5, YAML, JSON, PROJ, patterns of names
  libdeflate-dev libhdf5-dev libnetcdf-dev libproj-dev libre2-dev libyaml-cpp-dev nlohmann-json3-dev zlib1g-dev
  # numbers: oneDNN, OpenCV's optical flow
  libdnnl-dev libopencv-core-dev libopencv-imgproc-dev libopencv-video-dev
  # the program: options, log, hashes, the reader's jail
  libboost-program-options-dev libfmt-dev libseccomp-dev libssl-dev
  # training on several processes
  libopenmpi-dev openmpi-bin
  # maps and animation
  fonts-dejavu-core libcairo2-dev libwebp-dev
  # the map page
  libjs-leaflet
  # tests: strace kills the program at a system call, or makes one fail
  libgtest-dev strace
)

fail() {
  printf 'docker/packages.sh: %s\n' "$@" >&2
  exit 2
}

# Prints the packages of the list that dpkg does not know as installed.
missing() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  printf '%s\n' "${packages[@]}" | grep -vxFf <(printf '%s\n' "$installed" | sed '/^$/d') || true
}

case "${1:-}" in
  --list) printf '%s\n' "${packages[@]}"; exit 0 ;;
  "" | --missing) ;;
  *) fail "unknown option '$1'; use --list, --missing or nothing" ;;
esac

{ command -v dpkg-query && command -v apt-get; } >/dev/null ||
  fail "this is not a Debian system (no dpkg-query or apt-get)." \
    "Install the equivalents of these packages yourself: ${packages[*]}"

mapfile -t wanted < <(missing)
if [[ ${1:-} == --missing ]]; then
  ((${#wanted[@]} == 0)) || printf '%s\n' "${wanted[@]}"
  exit 0
fi
if ((${#wanted[@]} == 0)); then
  echo "packages: all ${#packages[@]} are installed"
  exit 0
fi

root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null ||
    fail "not root, and sudo is not installed; ${#wanted[@]} packages are missing." \
      "Run this as root: apt-get install --no-install-recommends ${wanted[*]}"
  if ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; then
    fail "sudo asks for a password and there is no terminal to type it; ${#wanted[@]} packages are missing." \
      "Run this as root: apt-get install --no-install-recommends ${wanted[*]}"
  fi
  root=(sudo)
fi

echo "packages: installing ${#wanted[@]} of ${#packages[@]}: ${wanted[*]}"
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${wanted[@]}"

mapfile -t wanted < <(missing)
((${#wanted[@]} == 0)) || fail "still missing after the installation: ${wanted[*]}"
echo "packages: all ${#packages[@]} are installed"
