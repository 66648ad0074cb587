// A NetCDF-4 file being built in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace raincell::io {

/// Owns one netCDF id. Every call is checked: WriteError names what failed and where. Variables keep their
/// order of creation, so that other programs may append. The caller holds format_lock().
class NetcdfMemory {
 public:
  /// `name` appears in messages only.
  explicit NetcdfMemory(std::string name);
  ~NetcdfMemory();
  NetcdfMemory(const NetcdfMemory&) = delete;
  NetcdfMemory& operator=(const NetcdfMemory&) = delete;

  int id() const { return id_; }
  /// Throws WriteError unless `code` is NC_NOERR.
  void check(int code, const std::string& what,
             const std::source_location& place = std::source_location::current()) const;

  int dimension(const std::string& name, std::size_t length) const;
  /// `type` is an nc_type.
  int variable(const std::string& name, int type, const std::vector<int>& dimensions) const;
  int find(const std::string& variable) const;
  /// Attributes; `variable` NC_GLOBAL for the file's own. Integers are int, or int64 where they need it.
  void text(int variable, const std::string& name, const std::string& value) const;
  void number(int variable, const std::string& name, const std::vector<double>& values) const;
  void integer(int variable, const std::string& name, std::int64_t value) const;
  /// Values of a whole variable, converted to its type.
  void put(const std::string& variable, const std::vector<double>& values) const;

  /// Ends the file and hands over its bytes; nothing else may be called after it.
  std::vector<std::byte> close();

 private:
  std::string name_;
  int id_ = -1;
  bool open_ = false;
};

}  // namespace raincell::io
