#include "io/hdf5_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <type_traits>
#include <utility>

#include "io/hdf5_chunks.hpp"
#include "io/hdf5_handle.hpp"
#include "io/hdf5_superblock.hpp"

namespace raincell::io {
namespace {

constexpr hssize_t kMaxNumbers = 1024;     // of an attribute
constexpr std::size_t kLongestName = 256;  // of a member that is told
constexpr hsize_t kMaxAttributeBytes = 1 << 16;

void refuse_filters(hid_t plist, const std::string& dataset) {
  static const std::set<H5Z_filter_t> known = {H5Z_FILTER_DEFLATE,    H5Z_FILTER_SHUFFLE,
                                               H5Z_FILTER_FLETCHER32, H5Z_FILTER_SZIP,
                                               H5Z_FILTER_NBIT,       H5Z_FILTER_SCALEOFFSET};
  const int count = H5Pget_nfilters(plist);
  if (count < 0) throw hdf5_error(dataset, "its filters cannot be read: " + hdf5_reason());
  if (count > 4) throw hdf5_error(dataset, fmt::format("{} filters; expected at most 4", count));
  std::set<H5Z_filter_t> seen;
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t elements = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(plist, static_cast<unsigned>(i), &flags, &elements, nullptr, 0, nullptr, &config);
    if (filter < 0) throw hdf5_error(dataset, "a filter cannot be read: " + hdf5_reason());
    if (known.count(filter) == 0) {
      throw hdf5_error(dataset,
                       fmt::format("needs HDF5 filter {}; expected deflate, shuffle, fletcher32 or szip; "
                                   "recompress the file (h5repack -f GZIP=4)",
                                   static_cast<int>(filter)));
    }
    if (!seen.insert(filter).second) {
      throw hdf5_error(
          dataset, fmt::format("filter {} is stacked on itself, as in a decompression bomb; expected it once",
                               static_cast<int>(filter)));
    }
  }
}

void refuse_chunks(hid_t plist, hid_t type, std::size_t rank, const std::string& dataset) {
  std::vector<hsize_t> chunk(rank);
  if (H5Pget_chunk(plist, static_cast<int>(rank), chunk.data()) != static_cast<int>(rank)) {
    throw hdf5_error(dataset, "its chunks cannot be read: " + hdf5_reason());
  }
  std::uint64_t bytes = H5Tget_size(type);
  for (const hsize_t side : chunk) {
    if (__builtin_mul_overflow(bytes, side, &bytes)) bytes = ~std::uint64_t{0};
  }
  if (bytes > static_cast<std::uint64_t>(kMaxChunkBytes)) {
    throw hdf5_error(dataset,
                     fmt::format("one chunk is {} bytes; expected at most {}", bytes, kMaxChunkBytes));
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

/// A vector of T where the type is one of the two.
template <typename T>
bool take_type(hid_t type, hid_t little, hid_t big, Stored& stored) {
  if (H5Tequal(type, little) <= 0 && H5Tequal(type, big) <= 0) return false;
  stored = std::vector<T>();
  return true;
}

/// An empty vector of the type a dataset is stored in. Whole numbers of whole bytes and IEEE's reals only:
/// the library's conversions of odder ones (bits left out, other exponents) are met in damaged files alone.
Stored empty_like(hid_t type, const std::string& dataset) {
  Stored stored;
  const bool known = take_type<std::int8_t>(type, H5T_STD_I8LE, H5T_STD_I8BE, stored) ||
                     take_type<std::uint8_t>(type, H5T_STD_U8LE, H5T_STD_U8BE, stored) ||
                     take_type<std::int16_t>(type, H5T_STD_I16LE, H5T_STD_I16BE, stored) ||
                     take_type<std::uint16_t>(type, H5T_STD_U16LE, H5T_STD_U16BE, stored) ||
                     take_type<std::int32_t>(type, H5T_STD_I32LE, H5T_STD_I32BE, stored) ||
                     take_type<std::uint32_t>(type, H5T_STD_U32LE, H5T_STD_U32BE, stored) ||
                     take_type<std::int64_t>(type, H5T_STD_I64LE, H5T_STD_I64BE, stored) ||
                     take_type<std::uint64_t>(type, H5T_STD_U64LE, H5T_STD_U64BE, stored) ||
                     take_type<float>(type, H5T_IEEE_F32LE, H5T_IEEE_F32BE, stored) ||
                     take_type<double>(type, H5T_IEEE_F64LE, H5T_IEEE_F64BE, stored);
  if (known) return stored;
  throw hdf5_error(
      dataset,
      fmt::format("holds neither integers of 1, 2, 4 or 8 bytes nor reals of 4 or 8 (type class {}, {} "
                  "bytes, {} bits); expected numbers",
                  static_cast<int>(H5Tget_class(type)), H5Tget_size(type), H5Tget_precision(type)));
}

/// A contiguous or compact dataset, or a part of it.
void read_whole(hid_t dataset, hid_t native, const Slab& slab, const std::string& path,
                std::span<std::byte> out) {
  H5D_space_status_t status = H5D_SPACE_STATUS_ERROR;
  if (H5Dget_space_status(dataset, &status) < 0)
    throw hdf5_error(path, "its storage cannot be read: " + hdf5_reason());
  if (status == H5D_SPACE_STATUS_NOT_ALLOCATED)
    throw hdf5_error(path, "was never written; the file is incomplete");
  const Hdf5Handle space = hdf5_checked(H5Dget_space(dataset), H5Sclose, path, "has no extent");
  const std::vector<hsize_t> from(slab.start.begin(), slab.start.end()),
      take(slab.count.begin(), slab.count.end());
  if (!from.empty() &&
      H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, from.data(), nullptr, take.data(), nullptr) < 0) {
    throw hdf5_error(path, "cannot select: " + hdf5_reason());
  }
  const Hdf5Handle memory =
      hdf5_checked(take.empty() ? H5Screate(H5S_SCALAR)
                                : H5Screate_simple(static_cast<int>(take.size()), take.data(), nullptr),
                   H5Sclose, path, "no memory extent");
  if (H5Dread(dataset, native, memory.get(), space.get(), H5P_DEFAULT, out.data()) < 0)
    throw hdf5_error(path, fmt::format("read error: {}; the file is damaged", hdf5_reason()));
}

/// What was lost of a dataset that is read in bands.
class Loss {
 public:
  void add(const LostValues& lost) {
    if (chunks_ == 0) first_ = lost.first;
    chunks_ += lost.chunks;
    of_chunks_ += lost.of_chunks;
    pixels_ += std::count(lost.values.begin(), lost.values.end(), true);
  }
  /// How much is lost and why; empty: nothing. Throws DataError where it is all and must not be.
  std::string why(const std::string& path, AllLost all_lost) const {
    if (chunks_ == 0) return {};
    if (chunks_ == of_chunks_ && all_lost == AllLost::refused)
      throw hdf5_error(
          path, fmt::format("{} {}; the file is damaged or incomplete", first_,
                            chunks_ == 1 ? "and there is no other" : "and so on: no chunk can be read"));
    return fmt::format("{} of its chunks cannot be had: {}; their {} pixels are missing", chunks_, first_,
                       pixels_);
  }

 private:
  std::int64_t chunks_ = 0, of_chunks_ = 0, pixels_ = 0;
  std::string first_;
};

/// Fills a field of the type a dataset is stored in.
void fill(hid_t dataset, const Slab& slab, const std::string& path, Field& field, Loss& loss,
          ChunkBuffers& buffers) {
  const Hdf5Handle creation =
      hdf5_checked(H5Dget_create_plist(dataset), H5Pclose, path, "has no creation list");
  std::int64_t values = 1;
  for (const std::int64_t count : slab.count) values *= count;
  std::visit(
      [&](auto& vector) {
        using T = typename std::decay_t<decltype(vector)>::value_type;
        vector.resize(static_cast<std::size_t>(values));
        const std::span<std::byte> out = std::as_writable_bytes(std::span(vector));
        if (H5Pget_layout(creation.get()) == H5D_CHUNKED) {
          LostValues lost = read_chunks(dataset, native_type<T>(), slab, path, out, buffers);
          loss.add(lost);
          field.lost = std::move(lost.values);
        } else {
          read_whole(dataset, native_type<T>(), slab, path, out);
        }
      },
      field.values);
}

/// Whole rows of chunks that fill some mebibytes, so that what is read of them stays in the processor's
/// caches; or all rows.
std::int64_t rows_of_band(hid_t dataset, const std::vector<std::int64_t>& sides, const std::string& path) {
  constexpr std::int64_t kBytes = std::int64_t{16} << 20, kBytesAtOnce = std::int64_t{32} << 20;
  const Hdf5Handle creation =
      hdf5_checked(H5Dget_create_plist(dataset), H5Pclose, path, "has no creation list");
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type");
  auto row_bytes = static_cast<std::int64_t>(H5Tget_size(type.get()));
  for (std::size_t d = 1; d < sides.size(); ++d) row_bytes *= sides[d];
  std::vector<hsize_t> chunk(sides.size(), 1);
  if (H5Pget_layout(creation.get()) == H5D_CHUNKED &&
      H5Pget_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()) < 0)
    throw hdf5_error(path, "its chunks cannot be read: " + hdf5_reason());
  if (row_bytes * sides[0] <= kBytesAtOnce) return sides[0];
  const auto chunk_rows = static_cast<std::int64_t>(chunk[0]);
  return std::max<std::int64_t>(1, kBytes / (row_bytes * chunk_rows)) * chunk_rows;
}

std::vector<hsize_t> extent_of(hid_t dataset, const std::string& path) {
  const Hdf5Handle space = hdf5_checked(H5Dget_space(dataset), H5Sclose, path, "has no extent");
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > 8)
    throw hdf5_error(path, fmt::format("has {} dimensions; expected at most 8", rank));
  std::vector<hsize_t> sides(static_cast<std::size_t>(rank));
  if (rank > 0 && H5Sget_simple_extent_dims(space.get(), sides.data(), nullptr) < 0)
    throw hdf5_error(path, "its dimensions cannot be read: " + hdf5_reason());
  return sides;
}

/// How many texts or numbers an attribute holds.
hssize_t points_of(hid_t attribute, const std::string& where) {
  const Hdf5Handle space = hdf5_checked(H5Aget_space(attribute), H5Sclose, where, "has no extent");
  const hssize_t points = H5Sget_simple_extent_npoints(space.get());
  if (points < 0) throw hdf5_error(where, "its extent cannot be read: " + hdf5_reason());
  return points;
}

/// Variable-length lists that the library filled, one a dimension.
class ReferenceLists {
 public:
  explicit ReferenceLists(std::size_t count) : lists_(count, hvl_t{0, nullptr}) {}
  ReferenceLists(const ReferenceLists&) = delete;
  ReferenceLists& operator=(const ReferenceLists&) = delete;
  ~ReferenceLists() {
    for (const hvl_t& list : lists_) H5free_memory(list.p);
  }
  hvl_t* data() { return lists_.data(); }
  const std::vector<hvl_t>& lists() const { return lists_; }

 private:
  std::vector<hvl_t> lists_;
};

}  // namespace

struct Hdf5File::State {
  Hdf5Handle file{-1, H5Fclose};
  Hdf5Handle access{-1, H5Pclose};  // dataset access: external links refused
  std::map<std::string, Hdf5Handle> objects;
  std::set<std::string> linked;  // paths that are hard links inside this file

  explicit State(Hdf5Handle opened, Hdf5Handle plist) : file(std::move(opened)), access(std::move(plist)) {}

  /// An object, opened once; valid until forget_many. Throws DataError.
  hid_t object(const std::string& path) {
    const auto found = objects.find(path);
    if (found != objects.end()) return found->second.get();
    Hdf5Handle opened =
        hdf5_checked(H5Oopen(file.get(), path.c_str(), H5P_DEFAULT), H5Oclose, path, "cannot be opened");
    if (H5Iget_type(opened.get()) == H5I_DATASET) {
      return objects
          .emplace(path, hdf5_checked(H5Dopen2(file.get(), path.c_str(), access.get()), H5Dclose, path,
                                      "cannot be opened"))
          .first->second.get();
    }
    return objects.emplace(path, std::move(opened)).first->second.get();
  }
  hid_t dataset(const std::string& path) {
    const hid_t opened = object(path);
    if (H5Iget_type(opened) != H5I_DATASET) throw hdf5_error(path, "is no dataset; expected an array");
    return opened;
  }
  bool is_group(const std::string& path) { return path.empty() || H5Iget_type(object(path)) == H5I_GROUP; }
  /// Lets a file of very many arrays go, where nobody holds one.
  void forget_many() {
    constexpr std::size_t kMany = 256;
    if (objects.size() > kMany) objects.clear();
    if (linked.size() > kMany) linked.clear();
  }
  /// The attribute, or a closed handle when there is none.
  Hdf5Handle open_attribute(const std::string& object, const std::string& name) {
    const hid_t holder = this->object(object);
    const htri_t there = H5Aexists(holder, name.c_str());
    if (there < 0) throw hdf5_error(object, "its attributes cannot be read: " + hdf5_reason());
    if (there == 0) return {-1, H5Aclose};
    Hdf5Handle attribute = hdf5_checked(H5Aopen(holder, name.c_str(), H5P_DEFAULT), H5Aclose,
                                        object + "@" + name, "cannot be opened");
    if (H5Aget_storage_size(attribute.get()) > kMaxAttributeBytes) {
      throw hdf5_error(object + "@" + name, fmt::format("is larger than {} bytes", kMaxAttributeBytes));
    }
    return attribute;
  }
};

Hdf5File::Hdf5File(std::span<const std::byte> bytes) {
  refuse_driver_block(bytes);
  Hdf5Handle file = hdf5_open_image(bytes);
  Hdf5Handle access = hdf5_checked(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, "/", "no dataset access list");
  const auto refuse_link = [](const char*, const char*, const char*, const char*, unsigned*, hid_t,
                              void*) -> herr_t { return -1; };
  H5Pset_elink_cb(access.get(), refuse_link, nullptr);
  H5Pset_nlinks(access.get(), 1);
  // Chunks are read by io/hdf5_chunks; the library's cache serves those with rarer filters.
  H5Pset_chunk_cache(access.get(), 521, std::size_t{64} << 20, 0.75);
  state_ = std::make_unique<State>(std::move(file), std::move(access));
}

Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

bool Hdf5File::exists(const std::string& path) const {
  state_->forget_many();
  for (std::size_t at = path.find_first_not_of('/'); at != std::string::npos && at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(0, end);
    at = end == path.size() ? std::string::npos : end + 1;
    if (state_->linked.contains(part)) continue;
    const htri_t there = H5Lexists(state_->file.get(), part.c_str(), H5P_DEFAULT);
    if (there == 0) return false;
    if (there < 0) {
      const std::string reason = hdf5_reason();
      if (state_->is_group(path.substr(0, part.rfind('/'))))
        throw hdf5_error(part, "cannot be looked up: " + reason);
      return false;
    }
    H5L_info_t info{};
    if (H5Lget_info(state_->file.get(), part.c_str(), &info, H5P_DEFAULT) < 0)
      throw hdf5_error(part, hdf5_reason());
    if (info.type == H5L_TYPE_EXTERNAL || info.type >= H5L_TYPE_UD_MIN) {
      throw hdf5_error(part, "is a link to another file; expected the data in this file; refused");
    }
    if (info.type != H5L_TYPE_HARD)
      throw hdf5_error(part, "is a soft link; expected the object itself; refused");
    state_->linked.insert(part);
  }
  return true;
}

bool Hdf5File::is_dataset(const std::string& path) const {
  if (!exists(path)) return false;
  return H5Iget_type(state_->object(path)) == H5I_DATASET;
}

std::vector<std::string> Hdf5File::members(const std::string& group, std::size_t limit) const {
  if (group != "/" && !exists(group)) throw hdf5_error(group, "does not exist; expected a group");
  struct Names {
    std::vector<std::string> list;
    std::size_t limit;
  } names{{}, limit};
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    auto& all = *static_cast<Names*>(out);
    all.list.push_back(std::string(name).substr(0, kLongestName));
    return all.list.size() < all.limit ? 0 : 1;
  };
  hsize_t index = 0;
  if (H5Literate_by_name(state_->file.get(), group.c_str(), H5_INDEX_NAME, H5_ITER_INC, &index, add, &names,
                         H5P_DEFAULT) < 0) {
    throw hdf5_error(group, "its members cannot be listed: " + hdf5_reason());
  }
  return names.list;
}

std::optional<std::string> Hdf5File::text(const std::string& object, const std::string& name) const {
  const Hdf5Handle attribute = state_->open_attribute(object, name);
  if (!attribute.ok()) return std::nullopt;
  const std::string where = object + "@" + name;
  const Hdf5Handle type = hdf5_checked(H5Aget_type(attribute.get()), H5Tclose, where, "has no type");
  const hssize_t texts = points_of(attribute.get(), where);
  if (H5Tget_class(type.get()) != H5T_STRING || texts > 1)
    throw hdf5_error(where, "is not one text; expected a string");
  const H5T_cset_t letters = H5Tget_cset(type.get());
  if (letters != H5T_CSET_ASCII && letters != H5T_CSET_UTF8)
    throw hdf5_error(where, fmt::format("is in letters numbered {}; expected ASCII or UTF-8; damaged?",
                                        static_cast<int>(letters)));
  if (texts == 0) return std::string();  // how netCDF writes an empty one
  std::string value;
  if (H5Tis_variable_str(type.get()) > 0) {
    char* pointer = nullptr;
    const Hdf5Handle memory = hdf5_checked(H5Tcopy(H5T_C_S1), H5Tclose, where, "no string type");
    H5Tset_size(memory.get(), H5T_VARIABLE);
    H5Tset_cset(memory.get(), letters);
    if (H5Aread(attribute.get(), memory.get(), &pointer) < 0)
      throw hdf5_error(where, "cannot be read: " + hdf5_reason());
    if (pointer != nullptr) value.assign(pointer, strnlen(pointer, kMaxAttributeBytes));
    H5free_memory(pointer);
  } else {
    value.assign(H5Tget_size(type.get()) + 1, '\0');
    if (value.size() > kMaxAttributeBytes) throw hdf5_error(where, "is too long");
    if (H5Aread(attribute.get(), type.get(), value.data()) < 0)
      throw hdf5_error(where, "cannot be read: " + hdf5_reason());
    value.resize(std::strlen(value.c_str()));
  }
  while (!value.empty() && (value.back() == ' ' || value.back() == '\n')) value.pop_back();
  return value;
}

std::vector<double> Hdf5File::numbers(const std::string& object, const std::string& name) const {
  const Hdf5Handle attribute = state_->open_attribute(object, name);
  if (!attribute.ok()) return {};
  const std::string where = object + "@" + name;
  const Hdf5Handle type = hdf5_checked(H5Aget_type(attribute.get()), H5Tclose, where, "has no type");
  const H5T_class_t kind = H5Tget_class(type.get());
  const hssize_t count = points_of(attribute.get(), where);
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) throw hdf5_error(where, "is not a number; expected one");
  (void)empty_like(type.get(), where);  // refuses odd ones
  if (count < 1 || count > kMaxNumbers)
    throw hdf5_error(where, fmt::format("has {} numbers; expected 1 to {}", count, kMaxNumbers));
  std::vector<double> values(static_cast<std::size_t>(count));
  if (H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, values.data()) < 0) {
    throw hdf5_error(where, "cannot be read: " + hdf5_reason());
  }
  return values;
}

std::optional<double> Hdf5File::number(const std::string& object, const std::string& name) const {
  const std::vector<double> values = numbers(object, name);
  if (values.empty()) return std::nullopt;
  if (values.size() != 1)
    throw hdf5_error(object + "@" + name, fmt::format("has {} numbers; expected one", values.size()));
  return values.front();
}

std::set<std::string> Hdf5File::attribute_names(const std::string& object) const {
  std::set<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::set<std::string>*>(out)->insert(name);
    return 0;
  };
  hsize_t index = 0;
  if (H5Aiterate2(state_->object(object), H5_INDEX_NAME, H5_ITER_NATIVE, &index, add, &names) < 0)
    throw hdf5_error(object, "its attributes cannot be listed: " + hdf5_reason());
  return names;
}

AttributeKind Hdf5File::attribute_kind(const std::string& object, const std::string& name) const {
  const Hdf5Handle attribute = state_->open_attribute(object, name);
  if (!attribute.ok()) return AttributeKind::absent;
  const Hdf5Handle type =
      hdf5_checked(H5Aget_type(attribute.get()), H5Tclose, object + "@" + name, "has no type");
  const hssize_t count = points_of(attribute.get(), object + "@" + name);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_STRING && count <= 1) return AttributeKind::text;
  const bool is_number = kind == H5T_INTEGER || kind == H5T_FLOAT;
  return is_number && count >= 1 && count <= kMaxNumbers ? AttributeKind::number : AttributeKind::other;
}

NumberType Hdf5File::type_of(const std::string& path) const {
  const hid_t dataset = state_->dataset(path);
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type");
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return {};
  return {kind == H5T_INTEGER ? NumberKind::integer : NumberKind::real,
          static_cast<int>(H5Tget_size(type.get())),
          kind == H5T_FLOAT || H5Tget_sign(type.get()) != H5T_SGN_NONE};
}

std::vector<std::int64_t> Hdf5File::dimensions(const std::string& path) const {
  const hid_t dataset = state_->dataset(path);
  std::vector<std::int64_t> sides;
  for (const hsize_t side : extent_of(dataset, path))
    sides.push_back(static_cast<std::int64_t>(std::min(side, hsize_t{1} << 40)));
  return sides;
}

std::vector<std::string> Hdf5File::scales(const std::string& path) const {
  const std::string where = path + "@DIMENSION_LIST";
  const hid_t dataset = state_->dataset(path);
  std::vector<std::string> names(extent_of(dataset, path).size());
  const Hdf5Handle attribute = state_->open_attribute(path, "DIMENSION_LIST");
  if (!attribute.ok()) return names;
  const Hdf5Handle type = hdf5_checked(H5Aget_type(attribute.get()), H5Tclose, where, "has no type");
  const Hdf5Handle memory =
      hdf5_checked(H5Tvlen_create(H5T_STD_REF_OBJ), H5Tclose, where, "no type of lists");
  if (H5Tequal(type.get(), memory.get()) <= 0 ||
      points_of(attribute.get(), where) != static_cast<hssize_t>(names.size())) {
    throw hdf5_error(where,
                     fmt::format("expected a list of references for each of {} dimensions", names.size()));
  }
  ReferenceLists references(names.size());
  if (H5Aread(attribute.get(), memory.get(), references.data()) < 0)
    throw hdf5_error(where, "cannot be read: " + hdf5_reason());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const hvl_t& list = references.lists()[i];
    if (list.len == 0 || list.p == nullptr) continue;
    const Hdf5Handle scale(H5Rdereference2(dataset, H5P_DEFAULT, H5R_OBJECT, list.p), H5Oclose);
    if (!scale.ok()) throw hdf5_error(where, "points nowhere: " + hdf5_reason());
    std::array<char, 1024> name{};
    const ssize_t length = H5Iget_name(scale.get(), name.data(), name.size());
    if (length <= 0 || static_cast<std::size_t>(length) >= name.size())
      throw hdf5_error(where, "points to something without a name: " + hdf5_reason());
    names[i] = name.data();
  }
  return names;
}

std::vector<std::int64_t> Hdf5File::checked_dimensions(const std::string& path) const {
  if (!exists(path)) throw hdf5_error(path, "does not exist; expected a dataset");
  const hid_t dataset = state_->dataset(path);
  const Hdf5Handle plist = hdf5_checked(H5Dget_create_plist(dataset), H5Pclose, path, "has no creation list");
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type");
  const H5D_layout_t layout = H5Pget_layout(plist.get());
  if (layout == H5D_VIRTUAL)
    throw hdf5_error(path, "is a virtual dataset, which points to other files; refused");
  if (layout < 0) throw hdf5_error(path, "has no known layout: " + hdf5_reason());
  if (layout != H5D_VIRTUAL && H5Pget_external_count(plist.get()) != 0) {
    throw hdf5_error(path, "keeps its data in another file (external storage); refused");
  }
  const std::vector<hsize_t> sides = extent_of(dataset, path);
  std::vector<std::int64_t> out;
  std::int64_t all = 1;
  for (const hsize_t side : sides) {
    if (side > static_cast<hsize_t>(kMaxFileValues) ||
        __builtin_mul_overflow(all, static_cast<std::int64_t>(side), &all) || all > kMaxFileValues) {
      throw hdf5_error(path, fmt::format("dimension {} asks for too much; expected at most {} values in all",
                                         side, kMaxFileValues));
    }
    out.push_back(static_cast<std::int64_t>(side));
  }
  refuse_filters(plist.get(), path);
  if (layout == H5D_CHUNKED) refuse_chunks(plist.get(), type.get(), sides.size(), path);
  return out;
}

std::string Hdf5File::text_of(const std::string& path, std::int64_t index) const {
  const std::vector<std::int64_t> sides = checked_dimensions(path);
  if (sides.size() != 1 || index < 0 || index >= sides[0])
    throw hdf5_error(path, fmt::format("has no place {} ({} of them); expected a list of texts", index,
                                       sides.size() == 1 ? sides[0] : 0));
  const hid_t dataset = state_->dataset(path);
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type");
  const std::size_t size = H5Tget_size(type.get());
  const bool is_variable = H5Tis_variable_str(type.get()) > 0;
  if (H5Tget_class(type.get()) != H5T_STRING || (!is_variable && size > kLongestName))
    throw hdf5_error(path, fmt::format("expected texts of at most {} letters", kLongestName));
  const Hdf5Handle space = hdf5_checked(H5Dget_space(dataset), H5Sclose, path, "has no extent"),
                   one = hdf5_checked(H5Screate(H5S_SCALAR), H5Sclose, path, "no memory extent");
  const hsize_t start = static_cast<hsize_t>(index), count = 1;
  std::string value(is_variable ? 0 : size, '\0');
  char* pointer = nullptr;
  if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr) < 0 ||
      H5Dread(dataset, type.get(), one.get(), space.get(), H5P_DEFAULT,
              is_variable ? static_cast<void*>(&pointer) : value.data()) < 0)
    throw hdf5_error(path, "cannot be read: " + hdf5_reason());
  if (pointer != nullptr) value.assign(pointer, strnlen(pointer, kLongestName));
  H5free_memory(pointer);
  return value.substr(0, value.find('\0'));
}

Field Hdf5File::read(const std::string& path) const {
  const std::vector<std::int64_t> sides = checked_dimensions(path);
  return read(path, std::vector<std::int64_t>(sides.size(), 0), sides);
}

Field Hdf5File::read(const std::string& path, const std::vector<std::int64_t>& start,
                     const std::vector<std::int64_t>& count, AllLost all_lost) const {
  const Slab slab{checked_dimensions(path), start, count};
  if (start.size() != slab.sides.size() || count.size() != slab.sides.size())
    throw hdf5_error(path, "hyperslab of another rank");
  const hid_t dataset = state_->dataset(path);
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type");
  for (std::size_t i = 0; i < slab.sides.size(); ++i) {
    if (start[i] < 0 || count[i] < 1 || start[i] + count[i] > slab.sides[i])
      throw hdf5_error(path, "hyperslab outside");
  }
  Field field(empty_like(type.get(), path));
  Loss loss;
  ChunkBuffers buffers;
  fill(dataset, slab, path, field, loss, buffers);
  field.why = loss.why(path, all_lost);
  return field;
}

std::string Hdf5File::read_rows(const std::string& path, const std::function<void(const Field&)>& use) const {
  const std::vector<std::int64_t> sides = checked_dimensions(path);
  if (sides.empty()) throw hdf5_error(path, "is a single number; expected rows");
  const hid_t dataset = state_->dataset(path);
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type");
  Field band(empty_like(type.get(), path));
  const std::int64_t rows = rows_of_band(dataset, sides, path);
  Slab slab{sides, std::vector<std::int64_t>(sides.size(), 0), sides};
  Loss loss;
  ChunkBuffers buffers;
  for (std::int64_t first = 0; first < sides[0]; first += rows) {
    slab.start[0] = first;
    slab.count[0] = std::min(rows, sides[0] - first);
    fill(dataset, slab, path, band, loss, buffers);
    use(band);
  }
  return loss.why(path, AllLost::refused);
}

}  // namespace raincell::io
