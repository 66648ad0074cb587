// What a step that failed was computed from, for whoever looks into it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "io/batch_source.hpp"
#include "model/safetensors.hpp"

namespace raincell::app {

/// failures/step-N.json: which windows, crops and turns its batches were, and what their values are like;
/// step-N.safetensors: the values themselves, network units. The first few of a run are kept.
class FailureBundle {
 public:
  FailureBundle(std::filesystem::path folder, std::int64_t step, io::BatchSource&,
                const std::vector<io::Archive>&);
  /// False when this one is there already, or enough others are.
  bool wanted() const;
  /// Reads a batch again, by its number over all epochs, as far as the source has it (`share` samples); the
  /// source is left elsewhere.
  void add(std::int64_t number, std::int64_t batch_size, std::int64_t share);
  /// Writes both files; returns the name of the first. Throws io::WriteError.
  std::filesystem::path save(nlohmann::ordered_json details) const;

 private:
  std::filesystem::path stem() const;
  std::filesystem::path folder_;
  std::int64_t step_;
  io::BatchSource& source_;
  const std::vector<io::Archive>& archives_;
  nlohmann::ordered_json batches_ = nlohmann::ordered_json::array();
  model::WeightsFile values_;
};

}  // namespace raincell::app
