// Reading this program's own NetCDF files, every call checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

/// A file being read. Errors are DataError: path, what is wrong, and the hint given at opening. Nothing is
/// read before its type and its dimensions are known to be the expected ones. The caller holds format_lock()
/// as long as it lives.
class NetcdfIn {
 public:
  static constexpr int kGlobal = -1;  // the file itself, as a holder of attributes

  NetcdfIn(const std::filesystem::path&, std::string hint);
  /// The bytes of a file, which must outlive it. Messages name no file.
  NetcdfIn(std::span<const std::byte>, std::string hint);
  ~NetcdfIn();
  NetcdfIn(const NetcdfIn&) = delete;
  NetcdfIn& operator=(const NetcdfIn&) = delete;

  [[noreturn]] void refuse(const std::string& what) const;
  /// The variable's number; find gives -1 where there is none.
  int find(const std::string& name) const;
  int variable(const std::string& name) const;
  std::size_t length(const std::string& dimension) const;

  /// Attributes; empty where there is none or it is of another kind.
  std::string text(int variable, const std::string& name) const;
  std::vector<double> numbers(int variable, const std::string& name) const;
  std::int64_t integer(int variable, const std::string& name, std::int64_t otherwise) const;

  /// A whole variable, which must have these dimensions. `codes` takes int16 and `flags` int8 only.
  using Dimensions = std::vector<std::string>;
  std::vector<double> values(const std::string& variable, const Dimensions&) const;
  std::vector<std::int16_t> codes(const std::string& variable, const Dimensions&) const;
  /// One plane [rows, columns] of int16 behind the leading indices.
  std::vector<std::int16_t> plane(const std::string& variable, const std::vector<std::size_t>& at,
                                  std::int64_t rows, std::int64_t columns) const;
  std::vector<std::uint8_t> flags(const std::string& variable, const Dimensions&) const;
  std::vector<std::string> texts(const std::string& variable, const Dimensions&) const;

 private:
  void check(int status, const std::string& what) const;
  /// How many values the variable holds. `type` is an nc_type, or NC_NAT for any number.
  std::size_t checked_size(int variable, const std::string& name, const Dimensions&, int type) const;

  std::string path_, hint_;
  int id_ = -1;
};

}  // namespace raincell::io
