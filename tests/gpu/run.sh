#!/usr/bin/env bash
# Everything that only a machine with a GPU can show, in one command; writes one JSON file with what it found.
#   bash tests/gpu/run.sh [--build DIR] [--out FILE] [--quick]
# --build DIR   a build of the preset cuda with its tests (default build/cuda)
# --out FILE    result (default gpu.json)
# --quick       no sanitizers, short benchmarks
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/cuda out=gpu.json quick=no
while (($#)); do
  case $1 in
    --build | --out)
      (($# > 1)) || { echo "tests/gpu/run.sh: $1 wants a value" >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"
      shift ;;
    --quick) quick=yes ;;
    --help | -h) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "tests/gpu/run.sh: unknown option '$1'" >&2; exit 2 ;;
  esac
  shift
done
bin=$build/bin
[[ -x $bin/raincell ]] || { echo "tests/gpu/run.sh: $bin/raincell is not there; build the preset cuda first, or name its folder with --build" >&2; exit 2; }
# Without a device the tests would all be skipped, and pass.
"$bin/raincell" check --backend cuda >/dev/null || exit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
results=()

quoted() { python3 -c 'import json, sys; sys.stdout.write(json.dumps(sys.stdin.read()))'; }

# part NAME COMMAND...: runs it, keeps its exit status, time and the end of what it printed.
part() {
  local name=$1 begin=$SECONDS code=0
  shift
  printf '\n== %s\n' "$name"
  "$@" >"$work/output" 2>&1 || code=$?
  tail -n 5 "$work/output"
  ((code == 0)) || { status=1; printf 'FAILED with %d\n' "$code"; }
  results+=("{\"part\": \"$name\", \"exit\": $code, \"seconds\": $((SECONDS - begin)), \"output\": $(tail -c 4000 "$work/output" | quoted)}")
}

# bench WORKLOAD MEASURE PRECISION: its JSON line, or its error.
bench() {
  local line code=0
  local options=(bench "$1" --only "$2" --set "precision=$3" --backend cuda --json)
  [[ $quick == no ]] || options+=(--repetitions 5)
  line=$("$bin/raincell" "${options[@]}" 2>"$work/error") || code=$?
  if ((code == 0)); then
    printf '%s\n' "$line"
    results+=("{\"part\": \"bench\", \"result\": $line}")
  else
    status=1
    printf 'bench %s %s %s failed: %s\n' "$1" "$2" "$3" "$(cat "$work/error")"
    results+=("{\"part\": \"bench $1 $2 $3\", \"exit\": $code, \"output\": $(quoted <"$work/error")}")
  fi
}

for program in kernels_cuda_test model_cuda_test; do
  part "$program" "$bin/$program" --gtest_brief=1
done
part "check" "$bin/raincell" check --backend cuda --json
if [[ $quick == no ]]; then
  for tool in memcheck racecheck initcheck synccheck; do
    options=()
    [[ $tool != memcheck ]] || options=(--report-api-errors no)  # a test asks for more memory than there is
    part "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "${options[@]}" "$bin/kernels_cuda_test" \
      --gtest_brief=1 --gtest_filter='*Peers*/f32:*Cells/f32:*Losses/f32:*Pointwise/bf16'
  done
fi
printf '\n== benchmarks\n'
for precision in bf16 tf32 f32; do
  bench ref-train step $precision
  bench ref-infer forecast $precision
  bench infer-128 forecast $precision
  bench ndrplz forward $precision
  bench ndrplz step $precision
  bench cpu-small step $precision
done

{
  printf '{"commit": "%s",\n' "$(git rev-parse HEAD 2>/dev/null || echo unknown)"
  printf ' "gpu": %s,\n' "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | quoted)"
  printf ' "version": %s,\n' "$("$bin/raincell" --version 2>&1 | quoted)"
  printf ' "results": [\n'
  for ((i = 0; i < ${#results[@]}; ++i)); do
    printf '  %s%s\n' "${results[i]}" "$( ((i + 1 < ${#results[@]})) && echo ,)"
  done
  printf ' ]}\n'
} >"$out"
python3 -m json.tool "$out" >"$work/checked" || { echo "tests/gpu/run.sh: $out is no JSON" >&2; exit 1; }
printf '\n%s written; %s\n' "$out" "$([[ $status == 0 ]] && echo 'all parts passed' || echo 'some parts FAILED')"
exit $status
