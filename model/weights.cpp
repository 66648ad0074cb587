#include "model/weights.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace raincell::model {

namespace {

using std::int64_t;

/// {1,O,I,k,k} as [O,I,k,k]; vectors {1,1,C,1,1} as [C].
std::vector<int64_t> stored_shape(const kernels::Shape& shape) {
  if (shape.n == 1 && shape.h == 1 && shape.w == 1 && shape.t == 1 && shape.c >= 1) return {shape.c};
  return {shape.n, shape.c, shape.h, shape.w};
}

std::string text_of(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}

bool is_vector(const ParameterSlice& slice) {
  return slice.name.ends_with(".bias") || slice.name.ends_with(".peephole");
}

std::vector<int64_t> shape_of(const ParameterSlice& slice) {
  if (is_vector(slice)) return stored_shape(slice.shape);
  return {slice.shape.n, slice.shape.c, slice.shape.h, slice.shape.w};
}

void expect_fit(const ParameterSlice& slice, const WeightTensor& tensor) {
  if (shape_of(slice) == tensor.shape) return;
  throw WeightsError(
      fmt::format("weights: tensor '{}' has the shape {}, the network's is {}; these weights belong to "
                  "another model",
                  slice.name, text_of(tensor.shape), text_of(shape_of(slice))));
}

}  // namespace

std::vector<std::byte> save_weights(Network& network, std::map<std::string, std::string> metadata) {
  WeightsFile file;
  file.metadata = std::move(metadata);
  file.metadata["model"] = to_text(network.spec());
  const auto& slices = network.layout().slices();
  const bool f64 = network.backend().dtype() == kernels::DType::f64;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    file.tensors.push_back(
        {slices[i].name, shape_of(slices[i]), network.parameters().read(static_cast<int>(i)), f64});
  }
  return to_safetensors(file);
}

ModelSpec spec_of(const WeightsFile& file) {
  const auto found = file.metadata.find("model");
  if (found == file.metadata.end()) {
    throw WeightsError(
        "weights: no description of the model inside (metadata 'model'); convert the file first");
  }
  try {
    return spec_from_text(found->second);
  } catch (const ModelError& error) {
    throw WeightsError(std::string("weights: the description of the model inside is unusable: ") +
                       error.what());
  }
}

void load_weights(Network& network, const WeightsFile& file) {
  const auto& slices = network.layout().slices();
  for (const ParameterSlice& slice : slices) {
    const WeightTensor* tensor = file.find(slice.name);
    if (tensor == nullptr) {
      throw WeightsError("weights: tensor '" + slice.name +
                         "' is missing; these weights belong to another model");
    }
    expect_fit(slice, *tensor);
  }
  for (const WeightTensor& tensor : file.tensors) {
    if (network.layout().find(tensor.name) < 0) {
      throw WeightsError("weights: tensor '" + tensor.name + "' is not part of the network");
    }
  }
  for (std::size_t i = 0; i < slices.size(); ++i) {
    network.parameters().write(static_cast<int>(i), file.find(slices[i].name)->values);
  }
  network.parameters_changed();
}

namespace {

constexpr const char* kCellKey = "cell_list.{}.conv.{}";

/// Channels [from, from + count) of the second dimension of [out, in, k, k].
std::vector<double> input_channels(const WeightTensor& weight, int64_t from, int64_t count) {
  const int64_t out = weight.shape[0], in = weight.shape[1], taps = weight.shape[2] * weight.shape[3];
  std::vector<double> part;
  part.reserve(static_cast<std::size_t>(out * count * taps));
  for (int64_t o = 0; o < out; ++o) {
    const auto begin = weight.values.begin() + (o * in + from) * taps;
    part.insert(part.end(), begin, begin + count * taps);
  }
  return part;
}

void import_layer(ImportedWeights& imported, const WeightTensor& weight, const WeightTensor* bias,
                  int64_t& channels, std::size_t index) {
  const auto complain = [&](const std::string& why) {
    throw WeightsError("weights: tensor '" + weight.name + "' " + why);
  };
  const auto& shape = weight.shape;
  if (shape.size() != 4 || shape[0] % 4 != 0 || shape[0] < 4 || shape[2] != shape[3] || shape[2] % 2 == 0) {
    complain("has the shape " + text_of(shape) + ", wanted [4 hidden, in + hidden, k, k] with an odd k");
  }
  const int64_t hidden = shape[0] / 4, in = shape[1] - hidden;
  if (in < 1 || (index > 0 && in != channels)) {
    complain(fmt::format("takes {} input channels, the layer below gives {}", in, channels));
  }
  if (bias != nullptr && bias->shape != std::vector<int64_t>{4 * hidden}) {
    throw WeightsError("weights: tensor '" + bias->name + "' has the shape " + text_of(bias->shape));
  }
  if (index == 0) {
    imported.spec.channels = in;
    imported.spec.bias = bias != nullptr;
  } else if (imported.spec.bias != (bias != nullptr)) {
    complain("has a bias where another layer has none, or the reverse");
  }
  imported.spec.stages.push_back({std::nullopt, {hidden, shape[2], shape[2]}, std::nullopt});
  const std::string name = "encoder." + std::to_string(index) + ".layer";
  imported.tensors.push_back({name + ".input.weight",
                              {shape[0], in, shape[2], shape[3]},
                              input_channels(weight, 0, in),
                              weight.f64});
  imported.tensors.push_back({name + ".state.weight",
                              {shape[0], hidden, shape[2], shape[3]},
                              input_channels(weight, in, hidden),
                              weight.f64});
  if (bias != nullptr) imported.tensors.push_back({name + ".bias", bias->shape, bias->values, bias->f64});
  channels = hidden;
}

}  // namespace

ImportedWeights import_convlstm_stack(const WeightsFile& file) {
  ImportedWeights imported;
  imported.spec.forecaster = ForecasterKind::shared;
  imported.spec.feed = Feed::previous;
  int64_t channels = 0;
  std::size_t used = 0;
  for (std::size_t index = 0;; ++index) {
    const WeightTensor* weight = file.find(fmt::format(kCellKey, index, "weight"));
    if (weight == nullptr) break;
    const WeightTensor* bias = file.find(fmt::format(kCellKey, index, "bias"));
    used += bias == nullptr ? 1 : 2;
    import_layer(imported, *weight, bias, channels, index);
  }
  if (imported.spec.stages.empty())
    throw WeightsError("weights: tensor 'cell_list.0.conv.weight' is missing");
  if (used != file.tensors.size()) {
    throw WeightsError(
        "weights: there are tensors beside cell_list.N.conv.weight and .bias; this is not a ConvLSTM stack");
  }
  check(imported.spec);
  return imported;
}

namespace {

/// Gates i, f, g, o along the first dimension as i, f, o, g.
WeightTensor reordered(const WeightTensor& weight, std::string name) {
  WeightTensor out = weight;
  out.name = std::move(name);
  const auto quarter = static_cast<std::ptrdiff_t>(weight.values.size() / 4);
  std::rotate(out.values.begin() + 2 * quarter, out.values.begin() + 3 * quarter, out.values.end());
  return out;
}

/// Never null; a reference would look dangling to g++ 14, since the name is a temporary.
const WeightTensor* needed(const WeightsFile& file, const std::string& name) {
  const WeightTensor* tensor = file.find(name);
  if (tensor == nullptr) throw WeightsError("weights: tensor '" + name + "' is missing");
  return tensor;
}

void expect_shape(const WeightTensor& tensor, const std::vector<int64_t>& shape) {
  if (tensor.shape == shape) return;
  throw WeightsError(fmt::format("weights: tensor '{}' has the shape {}, wanted {}", tensor.name,
                                 text_of(tensor.shape), text_of(shape)));
}

}  // namespace

ImportedWeights import_openstl(const WeightsFile& file) {
  ImportedWeights imported;
  ModelSpec& spec = imported.spec;
  spec.forecaster = ForecasterKind::shared;
  spec.feed = Feed::previous;
  spec.bias = spec.head_bias = false;
  if (file.find("cell_list.0.conv_x.1.weight") != nullptr) {
    throw WeightsError("weights: tensor 'cell_list.0.conv_x.1.weight': layer normalisation is not supported");
  }
  int64_t channels = 0;
  for (std::size_t index = 0;; ++index) {
    const std::string cell = fmt::format("cell_list.{}.", index),
                      layer = fmt::format("encoder.{}.layer", index);
    if (index > 0 && file.find(cell + "conv_x.0.weight") == nullptr) break;
    const WeightTensor &input = *needed(file, cell + "conv_x.0.weight"),
                       &state = *needed(file, cell + "conv_h.0.weight");
    if (input.shape.size() != 4 || input.shape[0] < 4 || input.shape[0] % 4 != 0) {
      throw WeightsError("weights: tensor '" + input.name + "' has the shape " + text_of(input.shape));
    }
    const int64_t hidden = input.shape[0] / 4, kernel = input.shape[2];
    if (index == 0) {
      channels = input.shape[1];
      while (spec.patch * spec.patch < channels) ++spec.patch;
    }
    expect_shape(input, {4 * hidden, index == 0 ? spec.patch * spec.patch : channels, kernel, kernel});
    expect_shape(state, {4 * hidden, hidden, kernel, kernel});
    spec.stages.push_back({std::nullopt, {hidden, kernel, kernel}, std::nullopt});
    imported.tensors.push_back(reordered(input, layer + ".input.weight"));
    imported.tensors.push_back(reordered(state, layer + ".state.weight"));
    channels = hidden;
  }
  WeightTensor head = *needed(file, "conv_last.weight");
  expect_shape(head, {spec.patch * spec.patch, channels, 1, 1});
  head.name = "head.out.weight";
  imported.tensors.push_back(std::move(head));
  check(spec);
  return imported;
}

void load_imported(Network& network, const ImportedWeights& imported) {
  const ParameterLayout& layout = network.layout();
  for (const WeightTensor& tensor : imported.tensors) {
    const int slice = layout.find(tensor.name);
    if (slice < 0) throw WeightsError("weights: the network has no parameter '" + tensor.name + "'");
    expect_fit(layout.slice(slice), tensor);
  }
  for (const WeightTensor& tensor : imported.tensors) {
    network.parameters().write(layout.find(tensor.name), tensor.values);
  }
  network.parameters_changed();
}

}  // namespace raincell::model
