#include "model/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "model/random.hpp"
#include "model/safetensors.hpp"

namespace raincell::model {

namespace {

constexpr const char* kStateVersion = "2";
constexpr std::uint64_t kSamplingStream = hash_of("scheduled sampling");

void check_training(const TrainingSpec& spec, const Network& network) {
  const auto require = [](bool fine, const std::string& problem) {
    if (!fine) throw ModelError("training." + problem);
  };
  const auto& optimizer = spec.optimizer;
  require(std::isfinite(optimizer.learning_rate) && optimizer.learning_rate > 0.,
          fmt::format("optimizer.learning_rate: is {}, must be positive", optimizer.learning_rate));
  require(optimizer.beta1 >= 0. && optimizer.beta1 < 1., "optimizer.beta1: must lie in [0, 1)");
  require(optimizer.beta2 >= 0. && optimizer.beta2 < 1., "optimizer.beta2: must lie in [0, 1)");
  require(optimizer.epsilon > 0., "optimizer.epsilon: must be positive");
  require(optimizer.weight_decay >= 0., "optimizer.weight_decay: must not be negative");
  require(optimizer.clip_norm >= 0., "optimizer.clip_norm: must not be negative");
  require(spec.accumulation >= 1, "accumulation: must be at least 1");
  require(spec.average_decay >= 0. && spec.average_decay < 1., "average_decay: must lie in [0, 1)");
  require(spec.sampling.kind == SamplingKind::own_output || network.spec().feed == Feed::previous,
          "sampling: needs model.feed: previous");
  require((spec.loss.kind == kernels::LossKind::bce) == network.spec().logits(),
          "loss: bce goes with model.thresholds or model.output: sigmoid, and only with them");
  require(network.planned().training, "batch: the network is not planned for training");
}

std::string exact(double value) {
  return fmt::format("{:a}", value);
}

/// Texts of the same model may differ: a key that came later is not in an older one.
bool describes(const std::string& text, const ModelSpec& spec) {
  try {
    return spec_from_text(text) == spec;
  } catch (const ModelError&) {
    return false;
  }
}

/// Reads back what exact() and integers wrote.
double number(const std::string& text, const std::string& key) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') throw WeightsError("training state: '" + key + "' is not a number");
  return value;
}

const std::string& text_of(const WeightsFile& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) throw WeightsError("training state: '" + key + "' is missing");
  return found->second;
}

double number(const WeightsFile& file, const std::string& key) {
  return number(text_of(file, key), key);
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

/// Each rank goes on with its own; of another number of ranks the first has it all.
double own_sum(const std::string& text, const std::string& key, const Communicator* communicator) {
  std::vector<double> sums;
  std::istringstream words(text);
  for (std::string word; words >> word;) sums.push_back(number(word, key));
  const int size = communicator == nullptr ? 1 : communicator->size(),
            rank = communicator == nullptr ? 0 : communicator->rank();
  if (static_cast<int>(sums.size()) == size) return sums[static_cast<std::size_t>(rank)];
  return rank == 0 ? std::accumulate(sums.begin(), sums.end(), 0.) : 0.;
}

}  // namespace

Trainer::Trainer(Network& network, const TrainingSpec& spec, Communicator* communicator,
                 kernels::DeviceGroup* devices)
    : network_(network), spec_(spec), communicator_(communicator), devices_(devices) {
  check_training(spec, network);
  if (spec_.whole_batch == 0) spec_.whole_batch = network.planned().batch;
  if (communicator_ != nullptr && devices_ == nullptr)
    exchanged_.resize(static_cast<std::size_t>(network.layout().stored()));
  Parameters& parameters = network.parameters();
  kernels::Backend& backend = network.backend();
  first_moment_ = parameters.block("first moments");
  if (spec.optimizer.kind != kernels::OptimizerKind::sgd) second_moment_ = parameters.block("second moments");
  if (spec.average_decay > 0.) {
    average_ = parameters.block("average of the parameters");
    backend.copy(parameters.values(), average_.view());
  }
  gradient_squares_ = backend.allocate_plain({kNormsKept, 1, 1, 1, 1}, "gradient norms");
  loss_sum_ = backend.allocate_plain({1, 1, 2, 1, 1}, "sum of losses");
  skipped_ = backend.allocate_plain({1, 1, 1, 1, 1}, "skipped updates");
  if (spec.sampling.kind != SamplingKind::own_output) {
    truth_weights_.resize(static_cast<std::size_t>(network.spec().future * network.planned().batch));
  }
  network.set_loss(spec.loss);
}

double Trainer::learning_rate() const {
  return spec_.optimizer.learning_rate * learning_rate_factor(spec_.schedule, updates_) * plateau_.factor *
         rate_scale_;
}

/// Draws, for every lead and sample, whether the truth is fed: a function of (seed, batch number) alone.
void Trainer::choose_inputs() {
  if (truth_weights_.empty()) return;
  const double probability = truth_probability();
  const auto future = static_cast<std::uint64_t>(network_.spec().future);
  const std::uint64_t first =
      (static_cast<std::uint64_t>(batches_ * spec_.whole_batch + spec_.first_sample)) * future;
  for (std::size_t i = 0; i < truth_weights_.size(); ++i) {
    const std::uint64_t index = first + i;
    truth_weights_[i] = uniform(spec_.seed, kSamplingStream, index) < probability ? 1.F : 0.F;
  }
  network_.set_teacher(truth_weights_);
}

void Trainer::load(const HostBatch& batch) {
  if (averaged_) throw std::logic_error("Trainer::load while the average is in use");
  choose_inputs();
  network_.load(batch);
  if (batches_ % spec_.accumulation == 0) accumulated_pixels_ = 0.;
  // Alone and of one batch, an update asks only whether there is one.
  const bool share = communicator_ != nullptr || spec_.accumulation > 1;
  own_pixels_ = share ? network_.valid_pixels(batch) : static_cast<double>(network_.has_valid_pixel(batch));
  loaded_pixels_ = own_pixels_;
  if (communicator_ != nullptr) communicator_->sum(std::span<double>(&loaded_pixels_, 1));
}

/// The batch's share of the valid pixels since the last update; shrinks what is accumulated to the rest, so
/// that the gradients always are those of the mean over all valid pixels, however unequal the batches.
float Trainer::take_share() {
  accumulated_pixels_ += loaded_pixels_;
  const auto share = static_cast<float>(loaded_pixels_ / accumulated_pixels_);
  const kernels::View gradients = network_.parameters().gradients();
  if (share < 1.F) network_.backend().add_scaled(gradients, -share, gradients);
  return share;
}

bool Trainer::step_loaded() {
  if (batches_ % spec_.accumulation == 0) network_.zero_gradients();
  if (loaded_pixels_ > 0.) {
    const float share = take_share(), own = static_cast<float>(own_pixels_ / loaded_pixels_);
    if (own_pixels_ > 0.) {
      network_.forward();
      network_.loss(share * own);
      network_.backward();
      network_.backend().add_scaled(loss_sum_.view(), own, network_.loss_sums());
    }
    ++loss_batches_;
  }
  ++batches_;
  if (batches_ % spec_.accumulation != 0) return false;
  if (accumulated_pixels_ > 0.) {
    update();
  } else {  // moments and weight decay would go on without a gradient
    network_.backend().fill(norm_of_update(), 0.F);
    ++empty_updates_;
    ++updates_;
  }
  return true;
}

void Trainer::sum_gradients() {
  if (communicator_ == nullptr) return;
  const kernels::View gradients = network_.parameters().gradients();
  if (devices_ != nullptr) return devices_->sum(gradients);
  network_.backend().read(gradients, std::span<float>(exchanged_));
  communicator_->sum(std::span<float>(exchanged_));
  network_.backend().write(gradients, std::span<const float>(exchanged_));
}

void Trainer::update() {
  sum_gradients();
  kernels::Backend& backend = network_.backend();
  Parameters& parameters = network_.parameters();
  const kernels::View squares = norm_of_update();
  backend.fill(squares, 0.F);
  backend.add_sum_of_squares(parameters.gradients(), squares);
  kernels::OptimizerSpec optimizer = spec_.optimizer;
  optimizer.learning_rate = learning_rate();
  optimizer.step = updates_ - empty_updates_ + 1;
  backend.optimizer_step(optimizer, parameters.values(), parameters.gradients(), first_moment_.view(),
                         second_moment_.view(), squares, skipped_.view());
  ++updates_;
  if (!average_.empty()) {
    // The average forgets its start quickly: the decay grows from 0.1 to its setting.
    const auto done = static_cast<double>(updates_);
    const double decay = std::min(spec_.average_decay, (1. + done) / (10. + done));
    backend.lerp(average_.view(), static_cast<float>(1. - decay), parameters.values());
  }
  network_.parameters_changed();
}

Trainer::MeanLoss Trainer::take_mean_loss() {
  double sums[2] = {0., 0.};
  network_.backend().read(loss_sum_.view(), std::span<double>(sums));
  network_.backend().fill(loss_sum_.view(), 0.F);
  if (communicator_ != nullptr) communicator_->sum(std::span<double>(sums, 1));
  const std::int64_t batches = std::exchange(loss_batches_, 0);
  return {batches > 0 ? sums[0] / static_cast<double>(batches) : std::nan(""), batches};
}

std::vector<double> Trainer::read_gradient_norms(std::int64_t first) {
  std::vector<double> kept(static_cast<std::size_t>(kNormsKept)), norms;
  network_.backend().read(gradient_squares_.view(), std::span<double>(kept));
  for (std::int64_t i = std::max(first, updates_ - kNormsKept); i < updates_; ++i)
    norms.push_back(std::sqrt(kept[static_cast<std::size_t>(i % kNormsKept)]));
  return norms;
}

std::int64_t Trainer::read_skipped() {
  double count = 0.;
  network_.backend().read(skipped_.view(), std::span<double>(&count, 1));
  return static_cast<std::int64_t>(count);
}

void Trainer::use_average(bool wanted) {
  if (average_.empty() || wanted == averaged_) return;
  network_.parameters().swap_values(average_);
  averaged_ = wanted;
  network_.parameters_changed();
}

// --- state -------------------------------------------------------------------------------------------------

std::vector<Trainer::Block> Trainer::blocks() {
  std::vector<Block> all = {{"value", network_.parameters().values()},
                            {"first_moment", first_moment_.view()}};
  if (!second_moment_.empty()) all.push_back({"second_moment", second_moment_.view()});
  if (!average_.empty()) all.push_back({"average", average_.view()});
  if (spec_.accumulation > 1) all.push_back({"gradient", network_.parameters().gradients()});
  return all;
}

std::vector<std::byte> Trainer::state() {
  if (averaged_) throw std::logic_error("Trainer::state while the average is in use");
  if (communicator_ != nullptr && batches_ % spec_.accumulation != 0)
    throw std::logic_error("Trainer::state of several processes between two updates");
  double loss_sum[2] = {0., 0.};
  network_.backend().read(loss_sum_.view(), std::span<double>(loss_sum));
  std::string loss_sums = exact(loss_sum[0]);
  if (communicator_ != nullptr) loss_sums = joined(communicator_->gather(loss_sums));
  WeightsFile file;
  file.metadata = {{"training_state", kStateVersion},
                   {"model", to_text(network_.spec())},
                   {"batches", std::to_string(batches_)},
                   {"updates", std::to_string(updates_)},
                   {"accumulated_pixels", exact(accumulated_pixels_)},
                   {"skipped", std::to_string(read_skipped())},
                   {"empty_updates", std::to_string(empty_updates_)},
                   {"loss_sum", loss_sums},
                   {"loss_batches", std::to_string(loss_batches_)},
                   {"rate_scale", exact(rate_scale_)},
                   {"plateau.factor", exact(plateau_.factor)},
                   {"plateau.best", exact(plateau_.best)},
                   {"plateau.validations", std::to_string(plateau_.validations)},
                   {"plateau.without_improvement", std::to_string(plateau_.without_improvement)}};
  kernels::Backend& backend = network_.backend();
  const auto& slices = network_.layout().slices();
  for (const Block& block : blocks()) {
    for (std::size_t i = 0; i < slices.size(); ++i) {
      WeightTensor tensor{
          fmt::format("{}.{}", block.name, slices[i].name), {slices[i].shape.elements()}, {}, false};
      tensor.f64 = backend.dtype() == kernels::DType::f64;
      tensor.values.resize(static_cast<std::size_t>(slices[i].shape.elements()));
      backend.read(network_.parameters().cut(block.view, static_cast<int>(i)),
                   std::span<double>(tensor.values));
      file.tensors.push_back(std::move(tensor));
    }
  }
  return to_safetensors(file);
}

void Trainer::restore(std::span<const std::byte> bytes) {
  if (averaged_) throw std::logic_error("Trainer::restore while the average is in use");
  const WeightsFile file = parse_safetensors(bytes, FiniteCheck::no);
  const auto version = file.metadata.find("training_state");
  if (version == file.metadata.end() || version->second != kStateVersion) {
    throw WeightsError("training state: this is not a training state of version " +
                       std::string(kStateVersion));
  }
  const auto text = file.metadata.find("model");
  if (text == file.metadata.end() || !describes(text->second, network_.spec())) {
    throw WeightsError("training state: it belongs to another model");
  }
  const auto& slices = network_.layout().slices();
  std::vector<const WeightTensor*> found;  // in the order of blocks and slices
  for (const Block& block : blocks()) {
    for (const ParameterSlice& slice : slices) {
      const WeightTensor* tensor = file.find(fmt::format("{}.{}", block.name, slice.name));
      if (tensor == nullptr || static_cast<std::int64_t>(tensor->values.size()) != slice.shape.elements()) {
        throw WeightsError(
            fmt::format("training state: tensor '{}.{}' is missing or has another size; was another "
                        "optimizer or average in use?",
                        block.name, slice.name));
      }
      found.push_back(tensor);
    }
  }
  const auto integer = [&](const char* key) { return static_cast<std::int64_t>(number(file, key)); };
  const PlateauState plateau{number(file, "plateau.factor"), number(file, "plateau.best"),
                             integer("plateau.validations"), integer("plateau.without_improvement")};
  const std::int64_t batches = integer("batches"), updates = integer("updates");
  const double skipped = number(file, "skipped"), rate_scale = number(file, "rate_scale");
  const std::int64_t empty_updates = integer("empty_updates"), loss_batches = integer("loss_batches");
  const double loss_sum[2] = {own_sum(text_of(file, "loss_sum"), "loss_sum", communicator_), 0.};
  const bool between = batches % spec_.accumulation != 0;  // in the middle of an accumulation
  const double accumulated_pixels = between ? number(file, "accumulated_pixels") : 0.;
  std::size_t next = 0;
  kernels::Backend& backend = network_.backend();
  for (const Block& block : blocks()) {
    for (std::size_t i = 0; i < slices.size(); ++i) {
      backend.write(network_.parameters().cut(block.view, static_cast<int>(i)),
                    std::span<const double>(found[next++]->values));
    }
  }
  backend.write(skipped_.view(), std::span<const double>(&skipped, 1));
  backend.write(loss_sum_.view(), std::span<const double>(loss_sum));
  plateau_ = plateau;
  batches_ = batches;
  updates_ = updates;
  empty_updates_ = empty_updates;
  loss_batches_ = loss_batches;
  rate_scale_ = rate_scale;
  accumulated_pixels_ = accumulated_pixels;
  network_.parameters_changed();
}

}  // namespace raincell::model
