// Small HDF5 files written with the C API, for tests of readers: every way a provider may store an attribute.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace raincell::io {

class Hdf5Fixture {
 public:
  explicit Hdf5Fixture(const std::filesystem::path& path)
      : file_(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT))) {}
  Hdf5Fixture(const Hdf5Fixture&) = delete;
  Hdf5Fixture& operator=(const Hdf5Fixture&) = delete;
  ~Hdf5Fixture() { H5Fclose(file_); }

  hid_t id() const { return file_; }

  void group(const std::string& path) {
    H5Gclose(check(H5Gcreate2(file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)));
  }

  void number(const std::string& object, const char* name, double value, hid_t type = H5T_NATIVE_DOUBLE,
              bool array = false) {
    const hsize_t one = 1;
    const hid_t space = array ? H5Screate_simple(1, &one, nullptr) : H5Screate(H5S_SCALAR);
    const hid_t attribute = create(object, name, type, space);
    check(H5Awrite(attribute, H5T_NATIVE_DOUBLE, &value));
    H5Aclose(attribute);
    H5Sclose(space);
  }

  /// Fixed length; `padding` H5T_STR_NULLPAD leaves no room for the terminating zero.
  void text(const std::string& object, const char* name, const std::string& value,
            H5T_str_t padding = H5T_STR_NULLTERM) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, value.size() + (padding == H5T_STR_NULLTERM ? 1 : 0));
    H5Tset_strpad(type, padding);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = create(object, name, type, space);
    check(H5Awrite(attribute, type, value.c_str()));
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
  }

  void variable_text(const std::string& object, const char* name, const std::string& value) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = create(object, name, type, space);
    const char* pointer = value.c_str();
    check(H5Awrite(attribute, type, &pointer));
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
  }

  /// A list of texts of a fixed length.
  void texts(const std::string& path, const std::vector<std::string>& values, std::size_t length) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, length);
    const hsize_t count = values.size();
    const hid_t space = H5Screate_simple(1, &count, nullptr);
    const hid_t dataset =
        check(H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    std::string bytes;
    for (std::string value : values) {
      value.resize(length, '\0');
      bytes += value;
    }
    check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
  }

  /// An array of reals stored as `type`.
  void array(const std::string& path, const std::vector<hsize_t>& sides, const std::vector<double>& values,
             hid_t type, hid_t creation = H5P_DEFAULT) {
    const hid_t space = H5Screate_simple(static_cast<int>(sides.size()), sides.data(), nullptr);
    const hid_t dataset =
        check(H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    if (!values.empty())
      check(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()));
    H5Dclose(dataset);
    H5Sclose(space);
  }

 private:
  static hid_t check(hid_t id) {
    if (id < 0) throw std::runtime_error("HDF5 fixture");
    return id;
  }
  hid_t create(const std::string& object, const char* name, hid_t type, hid_t space) {
    return check(
        H5Acreate_by_name(file_, object.c_str(), name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  }
  hid_t file_;
};

}  // namespace raincell::io
