// TensorBoard's event files: records of protocol buffers, each with its length and checksums.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace raincell::app {

/// One file of events. Throws io::WriteError.
class EventFile {
 public:
  /// A new file in the folder, whose events begin after `step`: TensorBoard drops what older files have of
  /// later steps, as metrics.jsonl does.
  EventFile(const std::filesystem::path& folder, std::int64_t step);
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);

 private:
  void write(const std::string& event);
  std::filesystem::path path_;
};

/// CRC-32C (Castagnoli), masked as TensorFlow's records have it: turned right by 15 bits plus 0xa282ead8.
std::uint32_t masked_crc32c(const std::string& bytes);

}  // namespace raincell::app
