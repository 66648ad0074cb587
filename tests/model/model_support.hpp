// What the tests of the model share: small random batches and the comparison with central differences.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/network.hpp"
#include "model/random.hpp"

namespace raincell::model::testing {

/// Strided two-stage network of the given kind.
inline ModelSpec strided(kernels::CellKind cell, ForecasterKind forecaster, Feed feed) {
  ModelSpec spec;
  spec.cell = cell;
  spec.forecaster = forecaster;
  spec.feed = feed;
  spec.mask_channel = true;
  spec.stages = {{SamplingConv{3, 3, 2, 1, true}, {4, 3, 3}, std::nullopt},
                 {SamplingConv{4, 3, 2, 1, true}, {5, 3, 3}, std::nullopt}};
  spec.past = 3;
  spec.future = 4;
  return spec;
}

/// Every cell, forecaster and feed.
inline std::vector<ModelSpec> every_kind() {
  std::vector<ModelSpec> specs;
  for (const auto cell : {kernels::CellKind::convlstm, kernels::CellKind::convgru, kernels::CellKind::rnn})
    for (const ForecasterKind forecaster :
         {ForecasterKind::mirrored, ForecasterKind::same_order, ForecasterKind::shared})
      for (const Feed feed : {Feed::none, Feed::previous, Feed::advection})
        specs.push_back(strided(cell, forecaster, feed));
  return specs;
}

inline double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(double(a[i]) - double(b[i])));
  }
  return largest;
}

/// One batch of random frames in (0, 1) that owns its values; one pixel in eight is masked.
struct RandomBatch {
  std::vector<float> past, past_mask, future, future_mask, guide, guide_mask, tendency, thresholds;

  RandomBatch(const ModelSpec& spec, const NetworkPlan& plan, std::uint64_t seed = 1) {
    const auto pixels = static_cast<std::size_t>(plan.batch * plan.height * plan.width);
    const auto frames = [&](std::int64_t steps, std::int64_t channels) {
      return pixels * static_cast<std::size_t>(steps * channels);
    };
    fill(past, past_mask, frames(spec.past, spec.channels), seed, 1);
    fill(future, future_mask, frames(spec.future, spec.channels), seed, 3);
    fill(guide, guide_mask, frames(spec.future, 1), seed, 5);
    for (std::size_t i = 0; spec.tendency && i < guide.size(); ++i)
      tendency.push_back(static_cast<float>(uniform(seed, 7, i)) - 0.5F);
    for (std::size_t i = 0; i < spec.thresholds.size(); ++i)
      thresholds.push_back(0.3F + 0.2F * static_cast<float>(i));
  }
  HostBatch view() const {
    return {past, past_mask, future, future_mask, guide, guide_mask, tendency, thresholds};
  }

 private:
  static void fill(std::vector<float>& values, std::vector<float>& mask, std::size_t count,
                   std::uint64_t seed, std::uint64_t stream) {
    for (std::size_t i = 0; i < count; ++i) {
      mask.push_back(uniform(seed, stream + 1, i) < 0.125 ? 0.F : 1.F);
      values.push_back(mask.back() * static_cast<float>(uniform(seed, stream, i)));
    }
  }
};

/// A small network that is fed its own last frame.
inline ModelSpec fed_back() {
  ModelSpec spec;
  spec.forecaster = ForecasterKind::same_order;
  spec.feed = Feed::previous;
  spec.stages = {{std::nullopt, {4, 3, 3}, std::nullopt}};
  spec.past = 2;
  spec.future = 3;
  return spec;
}

/// Peepholes, biases and the head of a guided network start at zero; gives every parameter a value so that
/// nothing hides.
inline void stir(Network& network) {
  for (int s = 0; s < static_cast<int>(network.layout().slices().size()); ++s) {
    std::vector<double> values = network.parameters().read(s);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += 0.2 * (uniform(3, std::uint64_t(s), i) - 0.5);
    network.parameters().write(s, values);
  }
}

struct GradientCheck {
  int points = 0, left_out = 0;
  std::string failures;
};

/// Compares analytic gradients with central differences (step 1e-5): |a - d| <= 1e-6 max(|a|, |d|, 1e-2 of
/// the tensor's largest entry). Up to `entries` entries a tensor. Points at a kink, seen by a second
/// difference that a smooth function cannot have, are left out and counted.
inline GradientCheck check_gradients(Network& network, const RandomBatch& batch, int entries) {
  constexpr double kStep = 1e-5;
  GradientCheck result;
  const auto loss = [&] {
    network.parameters_changed();
    network.load(batch.view());
    network.forward();
    network.loss(1.F);
    return network.read_loss().mean;
  };
  loss();
  network.backward();  // so that the pass that counts finds what an earlier one has left behind
  network.zero_gradients();
  const double here = loss();
  network.backward();
  const auto& slices = network.layout().slices();
  std::vector<std::vector<double>> gradients(slices.size());
  for (std::size_t s = 0; s < slices.size(); ++s) {
    gradients[s].resize(static_cast<std::size_t>(slices[s].shape.elements()));
    network.backend().read(network.parameters().gradient(static_cast<int>(s)),
                           std::span<double>(gradients[s]));
  }
  for (std::size_t s = 0; s < slices.size(); ++s) {
    const int slice = static_cast<int>(s);
    double largest = 0.;
    for (const double gradient : gradients[s]) largest = std::max(largest, std::abs(gradient));
    if (largest == 0.) result.failures += slices[s].name + ": gradient is zero everywhere\n";
    std::vector<double> values = network.parameters().read(slice);
    for (int e = 0; e < entries && e < static_cast<int>(values.size()); ++e) {
      const auto i =
          static_cast<std::size_t>(mix_bits(s * 1000 + static_cast<std::size_t>(e)) % values.size());
      const double kept = values[i];
      const auto at = [&](double value) {
        values[i] = value;
        network.parameters().write(slice, values);
        return loss();
      };
      const double above = at(kept + kStep), below = at(kept - kStep);
      at(kept);
      ++result.points;
      const double analytic = gradients[s][i], difference = (above - below) / (2. * kStep);
      const double scale = std::max({std::abs(analytic), std::abs(difference), 1e-2 * largest});
      if (std::abs(analytic - difference) <= 1e-6 * scale + 1e-10) continue;
      // The second difference of a smooth function shrinks with the step; across a kink it does not.
      const double bend = (above - 2. * here + below) / kStep;
      const double near = (at(kept + kStep / 10.) - 2. * here + at(kept - kStep / 10.)) / (kStep / 10.);
      at(kept);
      if (std::abs(bend - 10. * near) > 1e-6 * scale) {
        ++result.left_out;
        continue;
      }
      result.failures += slices[s].name + "[" + std::to_string(i) + "]: analytic " +
                         std::to_string(analytic) + ", difference " + std::to_string(difference) +
                         ", relative " + std::to_string(std::abs(analytic - difference) / scale) + "\n";
    }
  }
  return result;
}

}  // namespace raincell::model::testing
