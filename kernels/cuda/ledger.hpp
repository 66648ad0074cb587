// What lies in the memory of a GPU: for limits, for plans, and for messages when there is no more.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace raincell::kernels::cuda {

class Ledger {
 public:
  void add(void* memory, std::size_t bytes, std::string_view what) {
    blocks_.emplace(memory, std::pair{bytes, std::string(what)});
    held_ += bytes;
    peak_ = std::max(peak_, held_);
  }
  /// False when there is no such block.
  bool remove(void* memory) {
    const auto found = blocks_.find(memory);
    if (found == blocks_.end()) return false;
    held_ -= found->second.first;
    blocks_.erase(found);
    return true;
  }
  std::size_t held() const { return held_; }
  std::size_t peak() const { return peak_; }
  std::vector<void*> all() const {
    std::vector<void*> memory;
    for (const auto& block : blocks_) memory.push_back(block.first);
    return memory;
  }

  /// "states 1.5 GiB, gates 0.7 GiB, packed weights 0.0 GiB": the three kinds that hold most, "nothing"
  /// without.
  std::string largest() const {
    std::map<std::string, std::size_t> sizes;
    for (const auto& [memory, block] : blocks_) sizes[block.second] += block.first;
    std::vector<std::pair<std::size_t, std::string>> sorted;
    for (const auto& [what, bytes] : sizes) sorted.emplace_back(bytes, what);
    std::sort(sorted.rbegin(), sorted.rend());
    sorted.resize(std::min<std::size_t>(sorted.size(), 3));
    std::string text;
    for (const auto& [bytes, what] : sorted)
      text += (text.empty() ? "" : ", ") + what + " " + gibibytes(bytes);
    return text.empty() ? "nothing" : text;
  }
  static std::string gibibytes(std::size_t bytes) {
    const std::size_t tenths = bytes / ((std::size_t{1} << 30) / 10);
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
  }

 private:
  std::map<void*, std::pair<std::size_t, std::string>> blocks_;
  std::size_t held_ = 0, peak_ = 0;
};

}  // namespace raincell::kernels::cuda
