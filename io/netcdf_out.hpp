// Writing NetCDF-4 with every call checked, on disk or in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

enum class NetcdfType : std::uint8_t { int8, int16, int32, float32, float64, string };

struct NetcdfStorage {
  std::vector<std::size_t> chunks;  // empty: contiguous, or the library's choice along an unlimited dimension
  int deflate = 0;                  // with shuffle when > 0
  bool whole_chunks = false;        // each is written at once: past the library's cache
};

/// A file being written. Errors are WriteError and name the file and the library's reason. Variables keep
/// their order of creation, so that other programs may append. Every call takes format_lock() itself. A file
/// that is not closed is abandoned: the memory is freed, a file on disk stays for its owner to remove.
class NetcdfOut {
 public:
  static constexpr int kGlobal = -1;  // the file itself, as a holder of attributes

  /// `name` appears in messages only.
  static NetcdfOut in_memory(const std::string& name);
  /// Throws WriteError also when there is such a file already.
  static NetcdfOut on_disk(const std::filesystem::path&);
  NetcdfOut(NetcdfOut&&) noexcept;
  NetcdfOut& operator=(NetcdfOut&&) = delete;
  ~NetcdfOut();

  int dimension(const std::string& name, std::size_t size);  // 0: unlimited
  int variable(const std::string& name, NetcdfType, const std::vector<int>& dimensions,
               const NetcdfStorage& = {});
  /// The _FillValue of an int16 variable; before data.
  void fill_value(int variable, std::int16_t value);

  void text(int variable, const std::string& name, std::string_view value);
  /// Numbers of the type T: int8, int16, float or double.
  template <class T>
  void numbers(int variable, const std::string& name, std::span<const T> values);
  template <class T>
  void number(int variable, const std::string& name, T value) {
    numbers(variable, name, std::span<const T>(&value, 1));
  }
  /// An int, or int64 where the value needs it.
  void integer(int variable, const std::string& name, std::int64_t value);
  void end_definitions();

  /// Writes a hyperslab, converted to the variable's type; T is uint8, int16, float or double. Throws
  /// WriteError also when `values` are not as many as `count` says.
  template <class T>
  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::size_t>& count,
           std::span<const T> values);
  /// Writes a variable of one dimension from its start on.
  void put(int variable, const std::vector<double>& values);
  void put(int variable, const std::vector<float>& values);
  void put(int variable, const std::vector<std::string>& texts);

  /// Ends a file on disk. netCDF-C returns 0 here on a full disk, so the caller verifies what lies on disk.
  void close();
  /// Ends a file in memory and returns its bytes.
  std::vector<std::byte> take_bytes();

 private:
  NetcdfOut(std::string name, bool memory) : name_(std::move(name)), memory_(memory) {}
  void check(int status, const std::string& what) const;
  std::string name_of_variable(int variable) const;

  std::string name_;
  int id_ = -1;
  bool memory_ = false;
};

}  // namespace raincell::io
