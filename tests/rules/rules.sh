#!/usr/bin/env bash
# Reads the source tree and fails on what the compiler cannot see; every finding names file, line, rule and remedy.
#   rules.sh RULE [ROOT]     RULE: include_rules third_party silent_libraries sources_listed one_conditional plain_text
set -euo pipefail
rule=${1:?which rule}
cd "${2:-$(dirname "${BASH_SOURCE[0]}")/../..}"
table=tests/rules/third_party.txt

finding_count=0
finding() {
  printf '%s\n' "$1"
  finding_count=$((finding_count + 1))
}

# sources FOLDER...: C++ and CUDA files of these folders, sorted.
sources() {
  find "$@" -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null | LC_ALL=C sort
}

# Folder -> the folders it may include. Each may include itself.
include_rules() {
  local folder allowed hits
  while read -r folder allowed; do
    [[ -d $folder ]] || continue
    hits=$(sources "$folder" | xargs -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' /dev/null |
      grep -vE "include[[:space:]]*\"(${allowed// /|})/" || true)
    [[ -z $hits ]] || finding "$hits
  -> $folder/ may include only: $allowed (by a path from the root of the repository)"
  done <<'TABLE'
kernels kernels
io io
model model kernels
app app io model kernels
TABLE
  # What lies below a backend is private to kernels; optical flow is known by its own header alone.
  hits=$(sources io model app | xargs -r grep -nE 'include "kernels/(reference|cpu|cuda)/' /dev/null || true)
  [[ -z $hits ]] || finding "$hits
  -> kernels/reference, kernels/cpu and kernels/cuda are private: use kernels/backend.hpp and kernels/registry.hpp"
}

# Third-party headers: only those of the table, only in the files named there.
third_party() {
  local hits
  hits=$(sources kernels io model app | xargs -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<' /dev/null |
    awk -v table="$table" '
      BEGIN {
        standard = "^((sys|netinet|arpa|linux|bits)/|(aio|dirent|dlfcn|errno|fcntl|glob|fenv|float|grp|immintrin|limits|malloc|math|poll|" \
                   "pthread|pwd|sched|signal|spawn|stddef|stdint|stdio|stdlib|string|strings|time|unistd)\\.h$)"
        while ((getline line < table) > 0) {
          if (line ~ /^#/ || split(line, word) < 2) continue
          header[++rows] = word[1]
          sub(/^[^ ]+ +/, "", line)
          named[rows] = line
          gsub(/\./, "[.]", line); gsub(/\*/, ".*", line); gsub(/ +/, "|", line)
          files[rows] = "^(" line ")$"
        }
      }
      {
        split($0, part, ":")
        name = $0; sub(/^[^<]*</, "", name); sub(/>.*/, "", name)
        if (name !~ /[.\/]/ || name ~ standard) next  # the standard library
        verdict = "no row of " table " names this header: say there which files may include it"
        for (i = 1; i <= rows; i++) {
          if (index(name, header[i]) != 1) continue
          if (part[1] ~ files[i]) next
          verdict = "may be included only in " named[i] " (" table ")"
        }
        print part[1] ":" part[2] ": <" name ">: " verdict
      }')
  [[ -z $hits ]] || finding "$hits"
}

# Libraries throw or return; only the program prints and ends. io/reader_main.cpp is a program of its own.
silent_libraries() {
  local hits
  hits=$(sources kernels io model | grep -v '^io/reader_main\.cpp$' | while read -r file; do
    sed -E 's://.*$::; s/"([^"\\]|\\.)*"/""/g' "$file" |
      grep -nE '(^|[^A-Za-z0-9_])((std::)?(printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|putc|perror|psignal)|fmt::print|exit|_exit|_Exit|quick_exit|abort|std::terminate|assert)[[:space:]]*\(|std::(cout|cerr|clog)' |
      sed "s:^:$file\::" || true
  done)
  [[ -z $hits ]] || finding "$hits
  -> kernels, io and model never print, exit or abort: throw the folder's error, or return"
  hits=$(sources kernels io model | xargs -r grep -nE '<(spdlog/|iostream>)' /dev/null || true)
  [[ -z $hits ]] || finding "$hits
  -> the log belongs to app"
}

# A file that no CMakeLists.txt names is not built and not tested.
sources_listed() {
  local file folder
  while read -r file; do
    folder=$(dirname "$file")
    while [[ ! -f $folder/CMakeLists.txt ]]; do folder=$(dirname "$folder"); done
    grep -qE "(^|[[:space:](,:])${file#"$folder"/}($|[[:space:]),>])" "$folder/CMakeLists.txt" ||
      finding "$file: not named in $folder/CMakeLists.txt: it is never built"
  done < <(sources kernels io model app tests | grep -E '\.(cpp|cu)$')
}

# A backend is chosen by source file and at run time; compilers and versions are told apart in these files alone.
one_conditional() {
  local hits
  hits=$(sources kernels io model app | xargs -r grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)' /dev/null |
    grep -vE '^(kernels/cell_math\.hpp|kernels/cpu/|kernels/cuda/|io/hdf5_places\.cpp:.*H5_VERSION|app/version\.cpp)' || true)
  [[ -z $hits ]] || finding "$hits
  -> no conditional compilation here: choose the source file in CMake, or the backend by name at run time"
}

# Text that does not belong into the repository.
plain_text() {
  local files hits
  files=$(find . -path ./.git -prune -o -path ./build -prune -o -path ./quickstart -prune -o -type f -size -1024k -print |
    grep -vE '\.(png|webp|nc|h5|safetensors|gz)$' | grep -v '^\./tests/rules/' | LC_ALL=C sort)
  hits=$(xargs -rd '\n' grep -nIE '(^|[^A-Za-z0-9_.])/(home|root|mnt|work|Users)/[A-Za-z0-9_]' <<<"$files" | cut -c1-200 || true)
  [[ -z $hits ]] || finding "$hits
  -> a path of somebody's machine"
  hits=$(xargs -rd '\n' grep -nIE '^(<<<<<<<|>>>>>>>|=======$)|(^|[^A-Za-z])(TODO|FIXME|XXX|HACK)([^A-Za-z]|$)' <<<"$files" | cut -c1-200 || true)
  [[ -z $hits ]] || finding "$hits
  -> a leftover"
  hits=$(find . -path ./.git -prune -o -path ./build -prune -o -path ./quickstart -prune -o -type f -size +1024k -print)
  [[ -z $hits ]] || finding "$hits
  -> larger than 1 MiB: data does not lie in the repository"
  hits=$(sources kernels io model app tests | xargs -r wc -l | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines" }')
  [[ -z $hits ]] || finding "$hits
  -> longer than 600 lines: split by noun"
}

case $rule in
  include_rules | third_party | silent_libraries | sources_listed | one_conditional | plain_text) "$rule" ;;
  *) echo "rules.sh: unknown rule '$rule'" >&2; exit 2 ;;
esac
if ((finding_count)); then
  echo "$rule: $finding_count findings"
  exit 1
fi
echo "$rule: nothing found"
