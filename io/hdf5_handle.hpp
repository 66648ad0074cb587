// HDF5 identifiers that close themselves, and the library's error stack as text. For the few files that call
// HDF5.
#pragma once

#include <hdf5.h>
#include <hdf5_hl.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "io/frame.hpp"

namespace raincell::io {

/// An HDF5 identifier and the call that closes it.
class Hdf5Handle {
 public:
  Hdf5Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// The innermost message of HDF5's error stack, which is cleared.
inline std::string hdf5_reason() {
  std::string text;
  const auto take = [](unsigned index, const H5E_error2_t* error, void* out) -> herr_t {
    if (index == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "HDF5 gave no reason" : text;
}

/// "hdf5: /dataset1: what is wrong"
inline DataError hdf5_error(const std::string& object, const std::string& what) {
  return DataError("hdf5: " + object + ": " + what);
}

/// The identifier a call gave, owned. Throws DataError with HDF5's reason when it gave none.
inline Hdf5Handle hdf5_checked(hid_t id, herr_t (*close)(hid_t), const std::string& object,
                               const char* what) {
  if (id < 0) throw hdf5_error(object, std::string(what) + ": " + hdf5_reason());
  return {id, close};
}

/// The bytes of a file, which must outlive it and are not copied, opened for reading. Throws DataError.
inline Hdf5Handle hdf5_open_image(std::span<const std::byte> bytes) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
  const hid_t file = H5LTopen_file_image(const_cast<std::byte*>(bytes.data()), bytes.size(),
                                         H5LT_FILE_IMAGE_DONT_COPY | H5LT_FILE_IMAGE_DONT_RELEASE);
  if (file < 0) {
    throw hdf5_error("/",
                     "cannot be opened: " + hdf5_reason() + "; truncated or incomplete (partial download?)");
  }
  return {file, H5Fclose};
}

}  // namespace raincell::io
