#include "model/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

namespace raincell::model {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kLargestHeader = 100'000'000;  // bytes, the format's own limit
constexpr int kDeepestHeader = 4;
constexpr std::size_t kMostDimensions = 8;

[[noreturn]] void refuse(const std::string& why) {
  throw WeightsError("safetensors: " + why);
}

std::size_t size_of_type(const std::string& type) {
  if (type == "F64" || type == "I64" || type == "U64") return 8;
  if (type == "F32" || type == "I32" || type == "U32") return 4;
  if (type == "F16" || type == "BF16" || type == "I16" || type == "U16") return 2;
  if (type == "I8" || type == "U8" || type == "BOOL") return 1;
  return 0;
}

template <class Stored>
double load(const std::byte* from) {
  Stored value;
  std::memcpy(&value, from, sizeof value);
  return static_cast<double>(value);
}

double half_to_double(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  double value = 0.;
  if (exponent == 31) {
    value = mantissa == 0 ? HUGE_VAL : std::nan("");
  } else {
    value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

double load_as(const std::string& type, const std::byte* from) {
  if (type == "F64") return load<double>(from);
  if (type == "F32") return load<float>(from);
  if (type == "I64") return load<std::int64_t>(from);
  if (type == "U64") return load<std::uint64_t>(from);
  if (type == "I32") return load<std::int32_t>(from);
  if (type == "U32") return load<std::uint32_t>(from);
  if (type == "I16") return load<std::int16_t>(from);
  if (type == "U16") return load<std::uint16_t>(from);
  if (type == "I8") return load<std::int8_t>(from);
  if (type == "U8" || type == "BOOL") return load<std::uint8_t>(from);
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  if (type == "F16") return half_to_double(bits);
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;  // BF16
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

/// Parses the header; duplicate keys and deep nesting, which the library would let pass, are refused.
ordered_json parse_header(std::string_view text) {
  if (text.empty() || text.front() != '{') refuse("the header does not start with '{'");
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    if (depth > kDeepestHeader) refuse("the header is nested too deeply");
    if (event == ordered_json::parse_event_t::object_start) keys.emplace_back();
    if (event == ordered_json::parse_event_t::object_end) keys.pop_back();
    if (event == ordered_json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) refuse("the header has the key '" + key + "' twice");
    }
    return true;
  };
  try {
    return ordered_json::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    refuse(std::string("the header is not valid JSON: ") + error.what());
  }
}

struct Extent {
  std::size_t begin, end;
  std::string name;
};

std::uint64_t natural(const ordered_json& json, const std::string& what) {
  if (!json.is_number_unsigned()) refuse(what + " is not a natural number: " + json.dump());
  return json.get<std::uint64_t>();
}

/// One entry of the header against the data that follows it.
WeightTensor read_tensor(const std::string& name, const ordered_json& entry, std::span<const std::byte> data,
                         FiniteCheck check, std::vector<Extent>& extents) {
  const std::string tensor = "tensor '" + name + "'";
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    refuse(tensor + " needs exactly dtype, shape and data_offsets");
  }
  if (!entry["dtype"].is_string()) refuse(tensor + ": dtype is not a text");
  const auto type = entry["dtype"].get<std::string>();
  const std::size_t size = size_of_type(type);
  if (size == 0) refuse(tensor + ": unknown dtype '" + type + "'");
  if (!entry["shape"].is_array() || entry["shape"].size() > kMostDimensions) {
    refuse(tensor + ": shape is not a list of at most 8 sizes");
  }
  WeightTensor out{name, {}, {}, type == "F64"};
  std::size_t bytes = size;
  for (const auto& dimension : entry["shape"]) {
    const std::uint64_t length = natural(dimension, tensor + ": a size");
    if (length > INT64_MAX || __builtin_mul_overflow(bytes, length, &bytes))
      refuse(tensor + ": its size overflows");
    out.shape.push_back(static_cast<std::int64_t>(length));
  }
  const auto& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) refuse(tensor + ": data_offsets is not a pair");
  const std::uint64_t begin = natural(offsets[0], tensor + ": an offset"),
                      end = natural(offsets[1], tensor + ": an offset");
  if (begin > end || end > data.size()) {
    refuse(fmt::format("{}: bytes {} to {} lie outside the {} bytes of data (truncated file?)", tensor, begin,
                       end, data.size()));
  }
  if (end - begin != bytes) {
    refuse(fmt::format("{}: {} bytes for a shape that takes {}", tensor, end - begin, bytes));
  }
  extents.push_back({begin, end, name});
  out.values.resize(bytes / size);
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] = load_as(type, data.data() + begin + i * size);
    if (check == FiniteCheck::yes && !std::isfinite(out.values[i])) {
      refuse(fmt::format("{}: value {} is not finite", tensor, i));
    }
  }
  return out;
}

void check_extents(std::vector<Extent> extents, std::size_t data_bytes) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::size_t at = 0;
  for (const Extent& extent : extents) {
    if (extent.begin < at) refuse("tensor '" + extent.name + "' overlaps another one");
    if (extent.begin > at) refuse("there is a hole before tensor '" + extent.name + "'");
    at = extent.end;
  }
  if (at != data_bytes) refuse(fmt::format("{} bytes follow the last tensor", data_bytes - at));
}

}  // namespace

const WeightTensor* WeightsFile::find(std::string_view name) const {
  for (const WeightTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

WeightsFile parse_safetensors(std::span<const std::byte> bytes, FiniteCheck check) {
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes)
    refuse(fmt::format("{} bytes are too few for a header", bytes.size()));
  for (std::size_t i = 0; i < 8; ++i) header_bytes |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  if (header_bytes > kLargestHeader) refuse(fmt::format("a header of {} bytes is too large", header_bytes));
  if (header_bytes > bytes.size() - 8) {
    refuse(fmt::format("the header of {} bytes is longer than the file", header_bytes));
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const ordered_json header = parse_header({text, static_cast<std::size_t>(header_bytes)});
  const auto data = bytes.subspan(8 + static_cast<std::size_t>(header_bytes));
  WeightsFile file;
  std::vector<Extent> extents;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      file.tensors.push_back(read_tensor(name, entry, data, check, extents));
      continue;
    }
    if (!entry.is_object()) refuse("__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) refuse("__metadata__." + key + " is not a text");
      file.metadata[key] = value.get<std::string>();
    }
  }
  check_extents(std::move(extents), data.size());
  return file;
}

std::vector<std::byte> to_safetensors(const WeightsFile& file) {
  ordered_json header = ordered_json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::size_t offset = 0;
  for (const WeightTensor& tensor : file.tensors) {
    if (header.contains(tensor.name)) refuse("two tensors named '" + tensor.name + "'");
    const std::size_t bytes = tensor.values.size() * (tensor.f64 ? 8 : 4);
    header[tensor.name] = {{"dtype", tensor.f64 ? "F64" : "F32"},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::vector<std::byte> out(8 + text.size() + offset);
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<std::byte>((text.size() >> (8 * i)) & 0xFF);
  std::memcpy(out.data() + 8, text.data(), text.size());
  std::byte* to = out.data() + 8 + text.size();
  for (const WeightTensor& tensor : file.tensors) {
    for (const double value : tensor.values) {
      const auto single = static_cast<float>(value);
      const std::size_t size = tensor.f64 ? 8 : 4;
      std::memcpy(to, tensor.f64 ? static_cast<const void*>(&value) : &single, size);
      to += size;
    }
  }
  return out;
}

}  // namespace raincell::model
