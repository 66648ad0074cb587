// A NetCDF file in memory, every call checked, read-only. Used in raincell-reader only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/decode.hpp"
#include "io/hdf5_file.hpp"

namespace raincell::io {

struct NetcdfVariable {
  int id = -1;
  std::string name;
  std::vector<std::string> dimensions;
  std::vector<std::int64_t> sides;
  NumberType type;
};

/// The root group of a NetCDF file, read-only.
class NetcdfFile {
 public:
  /// Opens bytes, which must outlive it: those of HDF5 (where `hdf5` is set, and outlives it too) without the
  /// NetCDF library, the classic formats with it. Throws DataError.
  static std::unique_ptr<NetcdfFile> open(std::span<const std::byte> bytes, const Hdf5File* hdf5);
  NetcdfFile(const NetcdfFile&) = delete;
  NetcdfFile& operator=(const NetcdfFile&) = delete;
  virtual ~NetcdfFile() = default;

  const std::vector<NetcdfVariable>& variables() const { return variables_; }
  const NetcdfVariable* find(const std::string& name) const;

  /// Attributes of a variable, or of the file with kGlobal. Empty when absent or of the other kind.
  static constexpr int kGlobal = -1;
  virtual std::string text(int variable, const std::string& attribute) const = 0;
  virtual std::vector<double> numbers(int variable, const std::string& attribute) const = 0;
  std::optional<double> number(int variable, const std::string& attribute) const;
  virtual bool has(int variable, const std::string& attribute) const = 0;

  /// Throws DataError where the storage asks for too much or points out of the file.
  virtual void check_storage(const NetcdfVariable&) const = 0;
  /// A hyperslab in the stored type. Throws DataError when nothing of it can be had, unless that is `allowed`.
  virtual Field read(const NetcdfVariable&, const std::vector<std::int64_t>& start,
                     const std::vector<std::int64_t>& count, AllLost = AllLost::refused) const = 0;
  /// The whole of a small variable as reals: unpacked by scale_factor and add_offset, NaN where it is _FillValue.
  std::vector<double> read_all(const NetcdfVariable&) const;
  /// What the library writes where nothing was written; empty for bytes, which have none.
  static std::optional<double> default_fill(const NetcdfVariable&);

 protected:
  static constexpr std::size_t kMaxVariables = 4096;
  NetcdfFile() = default;
  std::vector<NetcdfVariable> variables_;
};

}  // namespace raincell::io
