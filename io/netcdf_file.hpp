// A NetCDF file in memory, every call checked, read-only. Used in raincell-reader only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/decode.hpp"

namespace raincell::io {

enum class VariableKind : std::uint8_t { integer, real, other };

struct NetcdfVariable {
  int id = -1;
  std::string name;
  std::vector<int> dimension_ids;
  std::vector<std::string> dimensions;
  std::vector<std::int64_t> sides;
  VariableKind kind = VariableKind::other;
  int bytes = 0;  // of one value
  bool is_signed = false;
};

class NetcdfFile {
 public:
  /// Opens bytes, which must outlive it. Throws DataError.
  explicit NetcdfFile(std::span<const std::byte> bytes);
  NetcdfFile(const NetcdfFile&) = delete;
  NetcdfFile& operator=(const NetcdfFile&) = delete;
  ~NetcdfFile();

  const std::vector<NetcdfVariable>& variables() const { return variables_; }
  const NetcdfVariable* find(const std::string& name) const;

  /// Attributes of a variable, or of the file with kGlobal. Empty when absent or of the other kind.
  static constexpr int kGlobal = -1;
  std::string text(int variable, const std::string& attribute) const;
  std::vector<double> numbers(int variable, const std::string& attribute) const;
  std::optional<double> number(int variable, const std::string& attribute) const;
  bool has(int variable, const std::string& attribute) const;

  /// A hyperslab in the stored type.
  Stored read(const NetcdfVariable&, const std::vector<std::size_t>& start,
              const std::vector<std::size_t>& count) const;
  /// The whole of a small variable as reals, codes not interpreted.
  std::vector<double> read_all(const NetcdfVariable&) const;
  /// What the library writes where nothing was written; empty for bytes, which have none.
  std::optional<double> default_fill(const NetcdfVariable&) const;

 private:
  void check(int status, const std::string& object, const char* what) const;
  void list_variables();
  int id_ = -1;
  std::vector<NetcdfVariable> variables_;
};

}  // namespace raincell::io
