// Weights: a file that is understood is written and understood again.
#include "model/safetensors.hpp"

#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace raincell;
  model::WeightsFile file;
  try {
    file = model::parse_safetensors(std::as_bytes(std::span(data, size)));
  } catch (const model::WeightsError&) {
    return 0;
  }
  const model::WeightsFile back =
      model::parse_safetensors(model::to_safetensors(file), model::FiniteCheck::no);
  fuzz::require(back.metadata == file.metadata && back.tensors.size() == file.tensors.size(),
                "metadata or tensors are lost");
  return 0;
}
