// Named tensors as bytes in the safetensors format, and back, trusting nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace raincell::model {

/// Weights or a checkpoint cannot be used; what() says what, where and why.
class WeightsError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct WeightTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<double> values;
  bool f64 = false;  // how it is stored; otherwise f32
};

struct WeightsFile {
  std::map<std::string, std::string> metadata;
  std::vector<WeightTensor> tensors;
  /// nullptr when there is none.
  const WeightTensor* find(std::string_view name) const;
};

enum class FiniteCheck : bool { no, yes };

/// Throws WeightsError on anything but a well-formed file: header size and text, duplicate keys, unknown
/// types, shapes against offsets, overlaps, holes, trailing bytes; with FiniteCheck::yes also on NaN and
/// infinities. F64, F32, F16, BF16 and the integer types are read.
WeightsFile parse_safetensors(std::span<const std::byte>, FiniteCheck = FiniteCheck::yes);
/// F32 or F64, in the given order, header padded to 8 bytes. Throws WeightsError on a name given twice.
std::vector<std::byte> to_safetensors(const WeightsFile&);

}  // namespace raincell::model
