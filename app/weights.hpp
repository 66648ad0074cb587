// A trained model with what is needed to use it: the network, how values become network units, the step.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "app/config.hpp"
#include "io/transform.hpp"
#include "model/advection/blend.hpp"
#include "model/advection/guide.hpp"
#include "model/calibration.hpp"
#include "model/network.hpp"

namespace raincell::app {

/// Steps of the archives that a network was trained on.
struct Steps {
  std::int64_t shortest_s = 0, longest_s = 0;
  /// Lies between them, or within `reach` times the nearer one.
  bool hold(std::int64_t step_s, std::int64_t reach = 1) const {
    return step_s * reach >= shortest_s && step_s <= longest_s * reach;
  }
  /// "5 min", "5 to 15 min".
  std::string text() const;
};

/// What a weights file says about itself.
struct WeightsInfo {
  std::string name;  // of the config it was trained with
  std::string hash;  // SHA-256 of the file
  model::ModelSpec spec;
  io::Transform transform;
  model::GuideSpec guide;
  Steps steps;
  model::BlendWeights blend = model::BlendWeights::usual();
  std::string fitted;              // on kept-back windows: "weights of blend", "calibration curves", or empty
  model::Calibration calibration;  // empty where none was fitted
  std::int64_t parameters = 0, training_steps = 0;
  std::string config;  // resolved, YAML
  /// How far from the steps of the training (Steps::hold) its frames may be: a faded guide tells the network
  /// what is left by each lead, in minutes; without one it knows its own step alone.
  std::int64_t reach() const { return spec.feed == model::Feed::advection && guide.fading ? 2 : 1; }
  /// Frames of this quantity and step (0: unknown) may be forecast with it.
  bool fits(io::Quantity quantity, std::int64_t step_s) const {
    return transform.quantity == quantity &&
           (steps.shortest_s <= 0 || step_s <= 0 || steps.hold(step_s, reach()));
  }
};

/// Reads and checks the file. Throws model::WeightsError that says what is wrong with it.
WeightsInfo read_weights_info(const std::filesystem::path&);
/// The network with its weights on a backend.
struct LoadedModel {
  WeightsInfo info;
  std::unique_ptr<model::Network> network;
};
/// past: frames that it is to see, which no weight depends on; 0: as in its training.
LoadedModel load_model(const std::filesystem::path&, kernels::Backend&, std::int64_t past = 0);
/// Weights for a network that is to be trained further. Throws model::WeightsError where they are another
/// network's or were trained on values transformed in another way. Returns the file's SHA-256.
std::string start_from(const std::filesystem::path&, model::Network&, const Config&);
/// The file for the network's parameters as they are, with what info needs.
std::vector<std::byte> weights_bytes(model::Network&, const Config&, const Steps&,
                                     std::int64_t training_steps);
/// Writes what is known of the forecasts of a weights file into it. Throws as load_model, and io::WriteError.
void add_metadata(const std::filesystem::path&, const std::map<std::string, std::string>&);
/// A file or folder that comes with the program: in share/raincell, or as in the source tree, at the program
/// or above it.
std::optional<std::filesystem::path> shipped_file(const std::string& name);
/// The shipped weights: RAINCELL_WEIGHTS, or configs/weights/default.safetensors at the program or above it.
/// None where this build has none or RAINCELL_WEIGHTS is empty. Throws UsageError when RAINCELL_WEIGHTS names
/// no file.
std::optional<std::filesystem::path> shipped_weights();
/// The same. Throws UsageError that says what to do when there are none.
std::filesystem::path default_weights(const std::string& command);

}  // namespace raincell::app
