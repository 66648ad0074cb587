#!/usr/bin/env bash
# From nothing to a verified nowcast: installs the packages, builds the program, simulates a radar archive, packs it, trains a
# small network on its first eight hours, forecasts from the next two and scores the forecasts against the baselines.
#   bash app/quickstart.sh [--no-packages]
# Everything it makes lies in ./quickstart and is made anew each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=yes
case "${1:-}" in
  "") ;;
  --no-packages) packages=no ;;
  --help | -h) sed -n '2,5s/^# \{0,1\}//p' app/quickstart.sh; exit 0 ;;
  *) echo "app/quickstart.sh: unknown option '$1'; only --no-packages is known" >&2; exit 2 ;;
esac

out=quickstart
raincell=build/cpu/bin/raincell
clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
step() { printf '\n== %s (at %s)\n' "$1" "$(clock)"; }
# Shows the command as the user would type it, then runs it.
run() {
  printf '$ %s\n' "$*"
  "$@"
}
stopped() {
  local code=$?
  ((code == 0)) ||
    printf '\nquickstart stopped with exit code %d after %s; what it made so far is in %s/\n' "$code" "$(clock)" "$out" >&2
}
trap stopped EXIT

if [[ $packages == yes ]]; then
  step "1/7 Packages"
  bash docker/packages.sh
fi
SECONDS=0

step "2/7 Build"
jobs=$(nproc)
fit=$(awk '/^MemAvailable:/ { print int($2 / 1200000) }' /proc/meminfo)
((fit >= jobs)) || jobs=$((fit > 0 ? fit : 1))
cmake --preset cpu >/dev/null
cmake --build build/cpu -j "$jobs" --target raincell raincell-reader

step "3/7 Simulate ten hours of radar"
rm -rf "${out:?}"
mkdir "$out"
run $raincell simulate --output $out/radar --frames 120 --size 128x128 --step 5min --seed 1 --format odim

step "4/7 Pack them into a training archive"
run $raincell pack $out/radar --output $out/archive.nc

step "5/7 Train on 00:00 to 07:55"
run $raincell train configs/quickstart.yaml --run $out/run --set data.archive=$out/archive.nc

step "6/7 Nowcast at 08:55"
run $raincell nowcast --model $out/run/best.safetensors --input $out/radar --at 2024-06-01T08:55Z \
  --output $out/nowcast.nc --png $out/maps

step "7/7 Verify on 08:00 to 09:55"
run $raincell verify --model $out/run/best.safetensors --input $out/radar \
  --from 2024-06-01T08:00Z --to 2024-06-01T09:55Z \
  --forecasters persistence,advection,convlstm,blend --json $out/scores.json --report $out/scores.html

step "Done"
cat <<TEXT
product   $out/nowcast.nc      opens in xarray, QGIS, CDO, pysteps
pictures  $out/maps/           one map a lead time, and an animation
scores    $out/scores.json     report: $out/scores.html
weights   $out/run/best.safetensors
TEXT
printf '          %s\n' $out/maps/*
