#!/usr/bin/env bash
# The one list of Debian packages that raincell builds, tests and draws with.
# Used by app/quickstart.sh, tests/run.sh and docker/Dockerfile. Run as root or with sudo.
#   docker/packages.sh           install what is missing
#   docker/packages.sh --list    print the names, one a line
set -euo pipefail

build=(
  ca-certificates git g++ make cmake ninja-build pkg-config
  libnetcdf-dev libhdf5-dev libyaml-cpp-dev libboost-program-options-dev
  libdnnl-dev libproj-dev libopencv-core-dev libopencv-imgproc-dev libopencv-video-dev
  libspdlog-dev libfmt-dev nlohmann-json3-dev libcairo2-dev libwebp-dev zlib1g-dev
  libssl-dev libseccomp-dev fonts-dejavu-core
)
test=(libgtest-dev libgmock-dev)

if [[ ${1:-} == --list ]]; then
  printf '%s\n' "${build[@]}" "${test[@]}"
  exit 0
fi
