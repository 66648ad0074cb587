#!/usr/bin/env bash
# Proves that each rule can fail: breaks a small tree in one way at a time and wants the finding.
set -euo pipefail
rules=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/rules.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fresh() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree"/{kernels/cpu,io,model,app,tests/rules}
  for folder in kernels io model app; do
    printf '#include "%s/a.hpp"\n#include <vector>\n' "$folder" >"$tree/$folder/a.cpp"
    echo 'add_library(x a.cpp)' >"$tree/$folder/CMakeLists.txt"
  done
  echo 'opencv2/ model/advection/*.cpp' >"$tree/tests/rules/third_party.txt"
  touch "$tree/tests/CMakeLists.txt"
}

# expect RULE pass|fail FILE LINE: appends the line to the file of a fresh tree and runs the rule.
expect() {
  fresh
  mkdir -p "$(dirname "$tree/$3")"
  printf '%s\n' "$4" >>"$tree/$3"
  local got=pass
  bash "$rules" "$1" "$tree" >"$tree/out.log" 2>&1 || got=fail
  [[ $got == "$2" ]] || { echo "$1 on $3 with '$4': wanted $2, got $got"; cat "$tree/out.log"; exit 1; }
  [[ $2 == pass ]] || grep -q "$3" "$tree/out.log" || { echo "$1 does not name $3"; cat "$tree/out.log"; exit 1; }
}

expect include_rules pass app/a.cpp '#include "io/frame.hpp"'
expect include_rules fail io/a.cpp '#include "kernels/tensor.hpp"'
expect include_rules fail kernels/a.cpp '#include "model/spec.hpp"'
expect include_rules fail model/a.cpp '  #  include "io/frame.hpp"'
expect include_rules fail model/a.cpp '#include "kernels/cpu/conv_onednn.hpp"'
expect include_rules fail io/a.cpp '#include "frame.hpp"'
expect third_party pass model/advection/flow.cpp '#include <opencv2/video.hpp>'
expect third_party pass model/advection/deep/flow.cpp '#include <opencv2/video.hpp>'
expect third_party fail model/a.cpp '#include <opencv2/video.hpp>'
expect third_party fail io/a.cpp '#include <curl/curl.h>'
expect third_party pass io/a.cpp '#include <sys/mman.h>'
expect silent_libraries pass app/a.cpp 'std::printf("x");'
expect silent_libraries pass io/a.cpp 'std::snprintf(text, 3, "exit(1)");  // abort()'
expect silent_libraries fail io/a.cpp 'std::printf("x");'
expect silent_libraries fail model/a.cpp 'std::cerr << 1;'
expect silent_libraries fail kernels/a.cpp 'std::abort();'
expect silent_libraries fail kernels/a.cpp 'if (bad) exit (1);'
expect silent_libraries fail io/a.cpp '#include <iostream>'
expect sources_listed pass app/a.cpp '// listed'
expect sources_listed fail app/b.cpp '// not listed'
expect sources_listed fail kernels/cpu/a.cpp '// named only in the folder above, under another path'
expect one_conditional pass kernels/cpu/a.cpp '#if DNNL_VERSION_MAJOR >= 3'
expect one_conditional fail model/a.cpp '#ifdef RAINCELL_CUDA'
expect plain_text pass io/a.cpp '// /proc/self/fd'
expect plain_text fail io/a.cpp "// /home""/somebody/radar"
expect plain_text fail io/a.cpp "// TO""DO"
expect plain_text fail io/a.cpp "$(seq 601)"
echo "every rule fails when it should"
