// Writing NetCDF-4 with every call checked, on disk or in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

enum class NetcdfType : std::uint8_t { int8, int16, int32, uint8, uint64, float32, float64, string };

struct NetcdfStorage {
  std::vector<std::size_t> chunks;  // empty: contiguous, or the library's choice along an unlimited dimension
  int deflate = 0;                  // with shuffle when > 0
};

/// A file being written. Errors are WriteError and name the file and the library's reason. A file that is not
/// closed is abandoned: the memory is freed, a file on disk stays for its owner to remove.
class NetcdfOut {
 public:
  static constexpr int kGlobal = -1;  // the file itself, as a holder of attributes

  static NetcdfOut in_memory(const std::string& name);
  static NetcdfOut on_disk(const std::filesystem::path&);
  NetcdfOut(NetcdfOut&&) noexcept;
  NetcdfOut& operator=(NetcdfOut&&) = delete;
  ~NetcdfOut();

  int dimension(const std::string& name, std::size_t size);  // 0: unlimited
  int variable(const std::string& name, NetcdfType, const std::vector<int>& dimensions,
               const NetcdfStorage& = {});
  void attribute(int variable, const std::string& name, const std::string& value);
  void attribute(int variable, const std::string& name, double value);
  void attribute(int variable, const std::string& name, std::span<const double> values);
  void attribute(int variable, const std::string& name, std::int16_t value);
  void attribute(int variable, const std::string& name, std::int32_t value);
  /// The _FillValue of an int16 variable; before data.
  void fill_value(int variable, std::int16_t value);
  void end_definitions();

  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::size_t>& count,
           std::span<const std::int16_t>);
  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::size_t>& count,
           std::span<const std::int32_t>);
  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::size_t>& count,
           std::span<const std::uint64_t>);
  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::size_t>& count,
           std::span<const float>);
  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::size_t>& count,
           std::span<const double>);
  void put(int variable, const std::vector<std::size_t>& start, const std::vector<std::string>&);

  /// Ends a file on disk. netCDF-C returns 0 here on a full disk, so the caller verifies what lies on disk.
  void close();
  /// Ends a file in memory and returns its bytes.
  std::vector<std::byte> take_bytes();

 private:
  NetcdfOut(std::string name, int id, bool memory) : name_(std::move(name)), id_(id), memory_(memory) {}
  void check(int status, const std::string& what) const;

  std::string name_;
  int id_ = -1;
  bool memory_ = false;
};

}  // namespace raincell::io
