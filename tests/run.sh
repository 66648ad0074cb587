#!/usr/bin/env bash
# Installs the packages, builds, and runs the tests; ends with a summary that names every skipped test's reason.
#   bash tests/run.sh [--preset cpu|cuda|asan|tsan|fuzz] [--build DIR] [--slow] [--no-packages] [--jobs N] [-- CTEST-OPTION...]
# --build DIR    build folder (default build/PRESET)         --slow         the slow tests too
# --no-packages  leave the packages alone                    --jobs N       processes (default: cores, memory permitting)
# Tests on real radar files look for them in the folder that RAINCELL_TEST_DATA names, and are skipped without it.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

preset=cpu build="" slow=no packages=yes jobs="" ctest_options=()
while (($#)); do
  case $1 in
    --preset | --build | --jobs)
      (($# > 1)) || { echo "tests/run.sh: $1 wants a value" >&2; usage >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"
      shift ;;
    --slow) slow=yes ;;
    --no-packages) packages=no ;;
    --help | -h) usage; exit 0 ;;
    --) shift; ctest_options=("$@"); break ;;
    *) echo "tests/run.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
[[ -z $build || $build == /* ]] || build=$called_from/$build
build=${build:-build/$preset}
if [[ -n ${RAINCELL_TEST_DATA:-} ]]; then
  RAINCELL_TEST_DATA=$(cd "$called_from" && cd "$RAINCELL_TEST_DATA" && pwd) ||
    { echo "tests/run.sh: RAINCELL_TEST_DATA names no folder that can be read; correct or unset it" >&2; exit 2; }
  export RAINCELL_TEST_DATA
fi

# A compiler process of this project takes up to 1.2 GiB.
if [[ -z $jobs ]]; then
  jobs=$(nproc)
  fit=$(awk '/^MemAvailable:/ { print int($2 / 1200000) }' /proc/meminfo)
  ((fit >= jobs)) || jobs=$((fit > 0 ? fit : 1))
fi

header() { printf '\n== %s (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

if [[ $packages == yes ]]; then
  header "Packages"
  bash docker/packages.sh
fi

header "Configure: preset $preset in $build"
configured=$(cmake --preset "$preset" -B "$build" -DRAINCELL_TESTS=ON 2>&1) ||
  { printf '%s\n' "$configured" >&2; exit 1; }

header "Build: $jobs at a time"
cmake --build "$build" -j "$jobs"

header "Test"
# Sanitizers: stop at the first finding; third-party leaks are listed in tests/lsan.supp.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/tests/lsan.supp:print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
exclude=(-LE 'slow|bench')
[[ $slow == no ]] || exclude=(-LE bench)
results=$build/Testing/results.xml
rm -f "$results"
status=0
ctest --test-dir "$build" "${exclude[@]}" -j "$jobs" --output-on-failure --no-tests=error \
  --output-junit Testing/results.xml "${ctest_options[@]}" || status=$?

header "Summary"
if [[ ! -f $results ]]; then
  echo "no test ran (ctest exit code $status)"
  exit 1
fi
[[ -n ${RAINCELL_TEST_DATA:-} ]] ||
  echo "RAINCELL_TEST_DATA is not set: tests on real radar files were skipped."
awk -f tests/summary.awk "$results"
exit "$status"
