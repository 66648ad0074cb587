#include "io/hdf5_file.hpp"

#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <type_traits>
#include <utility>

namespace raincell::io {
namespace {

constexpr hsize_t kMaxAttributeBytes = 1 << 16;

/// The innermost message of HDF5's error stack, and the stack cleared.
std::string last_error() {
  std::string text;
  const auto take = [](unsigned index, const H5E_error2_t* error, void* out) -> herr_t {
    if (index == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "HDF5 gave no reason" : text;
}

/// An HDF5 identifier and the call that closes it.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

DataError error_at(const std::string& object, const std::string& what) {
  return DataError(fmt::format("hdf5: {}: {}", object, what));
}

Handle checked(hid_t id, herr_t (*close)(hid_t), const std::string& object, const char* what) {
  if (id < 0) throw error_at(object, fmt::format("{}: {}", what, last_error()));
  return {id, close};
}

void refuse_filters(hid_t plist, const std::string& dataset) {
  static const std::set<H5Z_filter_t> known = {H5Z_FILTER_DEFLATE,    H5Z_FILTER_SHUFFLE,
                                               H5Z_FILTER_FLETCHER32, H5Z_FILTER_SZIP,
                                               H5Z_FILTER_NBIT,       H5Z_FILTER_SCALEOFFSET};
  const int count = H5Pget_nfilters(plist);
  if (count < 0) throw error_at(dataset, "its filters cannot be read: " + last_error());
  if (count > 4) throw error_at(dataset, fmt::format("{} filters; expected at most 4", count));
  std::set<H5Z_filter_t> seen;
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t elements = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(plist, static_cast<unsigned>(i), &flags, &elements, nullptr, 0, nullptr, &config);
    if (filter < 0) throw error_at(dataset, "a filter cannot be read: " + last_error());
    if (known.count(filter) == 0) {
      throw error_at(dataset,
                     fmt::format("needs HDF5 filter {}; expected deflate, shuffle, fletcher32 or szip; "
                                 "recompress the file (h5repack -f GZIP=4)",
                                 static_cast<int>(filter)));
    }
    if (!seen.insert(filter).second) {
      throw error_at(
          dataset, fmt::format("filter {} is stacked on itself, as in a decompression bomb; expected it once",
                               static_cast<int>(filter)));
    }
  }
}

void refuse_chunks(hid_t plist, hid_t type, std::size_t rank, const std::string& dataset) {
  std::vector<hsize_t> chunk(rank);
  if (H5Pget_chunk(plist, static_cast<int>(rank), chunk.data()) != static_cast<int>(rank)) {
    throw error_at(dataset, "its chunks cannot be read: " + last_error());
  }
  std::uint64_t bytes = H5Tget_size(type);
  for (const hsize_t side : chunk) {
    if (__builtin_mul_overflow(bytes, side, &bytes)) bytes = ~std::uint64_t{0};
  }
  if (bytes > static_cast<std::uint64_t>(kMaxChunkBytes)) {
    throw error_at(dataset, fmt::format("one chunk is {} bytes; expected at most {}", bytes, kMaxChunkBytes));
  }
}

template <typename T>
hid_t native_type() {
  if constexpr (std::is_same_v<T, std::int8_t>) return H5T_NATIVE_INT8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, std::int16_t>) return H5T_NATIVE_INT16;
  if constexpr (std::is_same_v<T, std::uint16_t>) return H5T_NATIVE_UINT16;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, std::uint32_t>) return H5T_NATIVE_UINT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
}

/// An empty vector of the type a dataset is stored in (of either byte order).
Stored empty_like(hid_t type, const std::string& dataset) {
  const std::size_t size = H5Tget_size(type);
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_FLOAT && size <= 8)
    return size <= 4 ? Stored(std::vector<float>()) : Stored(std::vector<double>());
  if (kind == H5T_INTEGER && (size == 1 || size == 2 || size == 4 || size == 8)) {
    const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    switch (size) {
      case 1:
        return is_signed ? Stored(std::vector<std::int8_t>()) : Stored(std::vector<std::uint8_t>());
      case 2:
        return is_signed ? Stored(std::vector<std::int16_t>()) : Stored(std::vector<std::uint16_t>());
      case 4:
        return is_signed ? Stored(std::vector<std::int32_t>()) : Stored(std::vector<std::uint32_t>());
      default:
        return is_signed ? Stored(std::vector<std::int64_t>()) : Stored(std::vector<std::uint64_t>());
    }
  }
  throw error_at(dataset,
                 fmt::format("holds neither integers nor reals (type class {}, {} bytes); expected numbers",
                             static_cast<int>(kind), size));
}

}  // namespace

struct Hdf5File::State {
  Handle file{-1, H5Fclose};
  Handle access{-1, H5Pclose};  // dataset access: external links refused

  explicit State(Handle opened, Handle plist) : file(std::move(opened)), access(std::move(plist)) {}

  Handle open_dataset(const std::string& path) const {
    return checked(H5Dopen2(file.get(), path.c_str(), access.get()), H5Dclose, path, "cannot be opened");
  }
  /// The attribute, or a closed handle when there is none.
  Handle open_attribute(const std::string& object, const std::string& name) const {
    const htri_t there = H5Aexists_by_name(file.get(), object.c_str(), name.c_str(), H5P_DEFAULT);
    if (there < 0) throw error_at(object, "its attributes cannot be read: " + last_error());
    if (there == 0) return {-1, H5Aclose};
    Handle attribute =
        checked(H5Aopen_by_name(file.get(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                object + "@" + name, "cannot be opened");
    if (H5Aget_storage_size(attribute.get()) > kMaxAttributeBytes) {
      throw error_at(object + "@" + name, fmt::format("is larger than {} bytes", kMaxAttributeBytes));
    }
    return attribute;
  }
};

bool looks_like_hdf5(std::span<const std::byte> bytes) {
  static constexpr std::array<unsigned char, 8> kSignature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  for (std::size_t at = 0; at + kSignature.size() <= bytes.size(); at = at == 0 ? 512 : at * 2) {
    if (std::memcmp(bytes.data() + at, kSignature.data(), kSignature.size()) == 0) return true;
  }
  return false;
}

Hdf5File::Hdf5File(std::span<const std::byte> bytes) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
  const Handle fapl = checked(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "/", "no file access list");
  // The image is copied once by the library; the core driver then never touches a path.
  if (H5Pset_fapl_core(fapl.get(), 1 << 16, false) < 0 ||
      H5Pset_file_image(fapl.get(), const_cast<std::byte*>(bytes.data()), bytes.size()) < 0) {
    throw error_at("/", "no file image: " + last_error());
  }
  Handle dapl = checked(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, "/", "no dataset access list");
  const auto refuse_link = [](const char*, const char*, const char*, const char*, unsigned*, hid_t,
                              void*) -> herr_t { return -1; };
  H5Pset_elink_cb(dapl.get(), refuse_link, nullptr);
  H5Pset_nlinks(dapl.get(), 1);
  H5Pset_chunk_cache(dapl.get(), 12421, std::size_t{64} << 20, 0.75);
  const hid_t file = H5Fopen("memory", H5F_ACC_RDONLY, fapl.get());
  if (file < 0) {
    throw error_at(
        "/", fmt::format("cannot be opened: {}; truncated or incomplete (partial download?)", last_error()));
  }
  state_ = std::make_unique<State>(Handle(file, H5Fclose), std::move(dapl));
}

Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

bool Hdf5File::exists(const std::string& path) const {
  for (std::size_t at = path.find_first_not_of('/'); at != std::string::npos && at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(0, end);
    const htri_t there = H5Lexists(state_->file.get(), part.c_str(), H5P_DEFAULT);
    if (there <= 0) {
      H5Eclear2(H5E_DEFAULT);
      return false;
    }
    H5L_info_t info{};
    if (H5Lget_info(state_->file.get(), part.c_str(), &info, H5P_DEFAULT) < 0)
      throw error_at(part, last_error());
    if (info.type == H5L_TYPE_EXTERNAL || info.type >= H5L_TYPE_UD_MIN) {
      throw error_at(part, "is a link to another file; expected the data in this file; refused");
    }
    if (info.type != H5L_TYPE_HARD)
      throw error_at(part, "is a soft link; expected the object itself; refused");
    at = end == path.size() ? std::string::npos : end + 1;
  }
  return true;
}

bool Hdf5File::is_dataset(const std::string& path) const {
  if (!exists(path)) return false;
  const Handle object(H5Oopen(state_->file.get(), path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object.ok()) throw error_at(path, "cannot be opened: " + last_error());
  return H5Iget_type(object.get()) == H5I_DATASET;
}

std::vector<std::string> Hdf5File::root_members(std::size_t limit) const {
  struct Names {
    std::vector<std::string> list;
    std::size_t limit;
  } names{{}, limit};
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    auto& all = *static_cast<Names*>(out);
    all.list.push_back(std::string(name).substr(0, 64));
    return all.list.size() < all.limit ? 0 : 1;
  };
  hsize_t index = 0;
  if (H5Literate(state_->file.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &index, add, &names) < 0) {
    throw error_at("/", "its members cannot be listed: " + last_error());
  }
  return names.list;
}

std::optional<std::string> Hdf5File::text(const std::string& object, const std::string& name) const {
  const Handle attribute = state_->open_attribute(object, name);
  if (!attribute.ok()) return std::nullopt;
  const std::string where = object + "@" + name;
  const Handle type = checked(H5Aget_type(attribute.get()), H5Tclose, where, "has no type");
  const Handle space = checked(H5Aget_space(attribute.get()), H5Sclose, where, "has no extent");
  if (H5Tget_class(type.get()) != H5T_STRING || H5Sget_simple_extent_npoints(space.get()) != 1) {
    throw error_at(where, "is not one text; expected a string");
  }
  std::string value;
  if (H5Tis_variable_str(type.get()) > 0) {
    char* pointer = nullptr;
    const Handle memory = checked(H5Tcopy(H5T_C_S1), H5Tclose, where, "no string type");
    H5Tset_size(memory.get(), H5T_VARIABLE);
    H5Tset_cset(memory.get(), H5Tget_cset(type.get()));
    if (H5Aread(attribute.get(), memory.get(), &pointer) < 0)
      throw error_at(where, "cannot be read: " + last_error());
    if (pointer != nullptr) value.assign(pointer, strnlen(pointer, kMaxAttributeBytes));
    H5free_memory(pointer);
  } else {
    value.assign(H5Tget_size(type.get()) + 1, '\0');
    if (value.size() > kMaxAttributeBytes) throw error_at(where, "is too long");
    if (H5Aread(attribute.get(), type.get(), value.data()) < 0)
      throw error_at(where, "cannot be read: " + last_error());
    value.resize(std::strlen(value.c_str()));
  }
  while (!value.empty() && (value.back() == ' ' || value.back() == '\n')) value.pop_back();
  return value;
}

std::vector<double> Hdf5File::numbers(const std::string& object, const std::string& name) const {
  const Handle attribute = state_->open_attribute(object, name);
  if (!attribute.ok()) return {};
  const std::string where = object + "@" + name;
  const Handle type = checked(H5Aget_type(attribute.get()), H5Tclose, where, "has no type");
  const Handle space = checked(H5Aget_space(attribute.get()), H5Sclose, where, "has no extent");
  const H5T_class_t kind = H5Tget_class(type.get());
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  if ((kind != H5T_INTEGER && kind != H5T_FLOAT) || H5Tget_size(type.get()) > 16) {
    throw error_at(where, "is not a number; expected one");
  }
  if (count < 1 || count > 1024)
    throw error_at(where, fmt::format("has {} numbers; expected 1 to 1024", count));
  std::vector<double> values(static_cast<std::size_t>(count));
  if (H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, values.data()) < 0) {
    throw error_at(where, "cannot be read: " + last_error());
  }
  return values;
}

std::optional<double> Hdf5File::number(const std::string& object, const std::string& name) const {
  const std::vector<double> values = numbers(object, name);
  if (values.empty()) return std::nullopt;
  if (values.size() != 1)
    throw error_at(object + "@" + name, fmt::format("has {} numbers; expected one", values.size()));
  return values.front();
}

std::vector<std::int64_t> Hdf5File::checked_dimensions(const std::string& path) const {
  if (!exists(path)) throw error_at(path, "does not exist; expected a dataset");
  const Handle dataset = state_->open_dataset(path);
  const Handle plist = checked(H5Dget_create_plist(dataset.get()), H5Pclose, path, "has no creation list");
  const Handle type = checked(H5Dget_type(dataset.get()), H5Tclose, path, "has no type");
  const Handle space = checked(H5Dget_space(dataset.get()), H5Sclose, path, "has no extent");
  const H5D_layout_t layout = H5Pget_layout(plist.get());
  if (layout == H5D_VIRTUAL)
    throw error_at(path, "is a virtual dataset, which points to other files; refused");
  if (layout < 0) throw error_at(path, "has no known layout: " + last_error());
  if (layout != H5D_VIRTUAL && H5Pget_external_count(plist.get()) != 0) {
    throw error_at(path, "keeps its data in another file (external storage); refused");
  }
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > 8) throw error_at(path, fmt::format("has {} dimensions; expected at most 8", rank));
  std::vector<hsize_t> sides(static_cast<std::size_t>(rank));
  if (rank > 0 && H5Sget_simple_extent_dims(space.get(), sides.data(), nullptr) < 0) {
    throw error_at(path, "its dimensions cannot be read: " + last_error());
  }
  std::vector<std::int64_t> out;
  std::int64_t all = 1;
  for (const hsize_t side : sides) {
    if (side > static_cast<hsize_t>(kMaxFileValues) ||
        __builtin_mul_overflow(all, static_cast<std::int64_t>(side), &all) || all > kMaxFileValues) {
      throw error_at(path, fmt::format("dimension {} asks for too much; expected at most {} values in all",
                                       side, kMaxFileValues));
    }
    out.push_back(static_cast<std::int64_t>(side));
  }
  refuse_filters(plist.get(), path);
  if (layout == H5D_CHUNKED) refuse_chunks(plist.get(), type.get(), sides.size(), path);
  return out;
}

Stored Hdf5File::read(const std::string& path) const {
  const std::vector<std::int64_t> sides = checked_dimensions(path);
  return read(path, std::vector<std::int64_t>(sides.size(), 0), sides);
}

Stored Hdf5File::read(const std::string& path, const std::vector<std::int64_t>& start,
                      const std::vector<std::int64_t>& count) const {
  const std::vector<std::int64_t> sides = checked_dimensions(path);
  if (start.size() != sides.size() || count.size() != sides.size())
    throw error_at(path, "hyperslab of another rank");
  const Handle dataset = state_->open_dataset(path);
  const Handle type = checked(H5Dget_type(dataset.get()), H5Tclose, path, "has no type");
  const Handle space = checked(H5Dget_space(dataset.get()), H5Sclose, path, "has no extent");
  std::size_t values = 1;
  std::vector<hsize_t> from, take;
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (start[i] < 0 || count[i] < 1 || start[i] + count[i] > sides[i])
      throw error_at(path, "hyperslab outside");
    from.push_back(static_cast<hsize_t>(start[i]));
    take.push_back(static_cast<hsize_t>(count[i]));
    values *= static_cast<std::size_t>(count[i]);
  }
  if (!sides.empty() &&
      H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, from.data(), nullptr, take.data(), nullptr) < 0) {
    throw error_at(path, "cannot select: " + last_error());
  }
  const Handle memory =
      checked(sides.empty() ? H5Screate(H5S_SCALAR)
                            : H5Screate_simple(static_cast<int>(take.size()), take.data(), nullptr),
              H5Sclose, path, "no memory extent");
  Stored out = empty_like(type.get(), path);
  std::visit(
      [&](auto& vector) {
        using T = typename std::decay_t<decltype(vector)>::value_type;
        vector.resize(values);
        if (H5Dread(dataset.get(), native_type<T>(), memory.get(), space.get(), H5P_DEFAULT, vector.data()) <
            0) {
          throw error_at(path, fmt::format("read error: {}; the file is damaged", last_error()));
        }
      },
      out);
  return out;
}

}  // namespace raincell::io
