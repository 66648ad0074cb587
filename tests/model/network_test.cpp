// What any network must hold to: T steps at once equal T single steps, masks hide exactly what they hide,
// any size, memory as foretold.
#include "model/network.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/decorators.hpp"
#include "model/convlstm_forecaster.hpp"
#include "model/trainer.hpp"
#include "model_support.hpp"
#include "tests/support/sum_order.hpp"

namespace raincell::model::testing {
namespace {

using kernels::CellKind;

std::vector<float> forecast(const ModelSpec& spec, kernels::Backend& backend, const NetworkPlan& plan,
                            const RandomBatch& batch, std::int64_t leads) {
  Network network(spec, backend, 5);
  stir(network);
  network.plan(plan);
  std::vector<float> out(
      static_cast<std::size_t>(plan.batch * leads * spec.out_channels() * plan.height * plan.width));
  network.forecast(batch.view(), leads, out);
  return out;
}

TEST(Network, AllStepsAtOnceEqualSingleSteps) {
  for (const char* name : {"reference", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    for (const ModelSpec& spec : every_kind()) {
      SCOPED_TRACE(std::string(name) + " " + to_text(spec));
      NetworkPlan plan{.batch = 2, .height = 7, .width = 9, .training = true};
      const RandomBatch batch(spec, plan);
      const auto at_once = forecast(spec, *backend, plan, batch, spec.future);
      plan.training = false;
      const auto one_by_one = forecast(spec, *backend, plan, batch, spec.future);
      EXPECT_LT(largest_difference(at_once, one_by_one), 2e-6);
      EXPECT_GT(largest_difference(at_once, std::vector<float>(at_once.size())), 1e-3);
    }
  }
}

/// What the description of a network foretells, and what its operations do.
TEST(Network, WorkIsAsForetold) {
  const auto reference = kernels::make_backend("reference-f32", {});
  for (const ModelSpec& spec : every_kind()) {
    SCOPED_TRACE(to_text(spec));
    const std::int64_t height = 8, width = 12, batch = 2;
    const auto flop_of = [&](bool training, const auto& work) {
      kernels::CountingBackend counting(*reference);
      Network network(spec, counting, 5);
      network.plan({.batch = batch, .height = height, .width = width, .training = training});
      counting.reset();
      work(network);
      double flop = 0., bytes = 0.;
      for (const auto& [operation, done] : counting.work()) flop += done.flop, bytes += done.bytes;
      EXPECT_GT(bytes, 0.);
      return flop / (2. * batch);
    };
    const RandomBatch random(spec, {.batch = batch, .height = height, .width = width, .training = true});
    std::vector<float> out(static_cast<std::size_t>(batch * spec.future * height * width));
    EXPECT_EQ(flop_of(false, [&](Network& n) { n.forecast(random.view(), spec.future, out); }),
              double(macs_per_forecast(spec, height, width)));
    EXPECT_EQ(flop_of(true,
                      [&](Network& n) {
                        Trainer trainer(n, {});
                        trainer.step(random.view());
                      }),
              double(macs_per_step(spec, height, width)));
  }
}

TEST(Network, BackendsAgree) {
  const auto reference = kernels::make_backend("reference", {}),
             cpu = kernels::make_backend("cpu", {.threads = 1});
  for (const ModelSpec& spec : every_kind()) {
    const NetworkPlan plan{.batch = 2, .height = 7, .width = 9};
    const RandomBatch batch(spec, plan);
    EXPECT_LT(
        largest_difference(forecast(spec, *reference, plan, batch, 4), forecast(spec, *cpu, plan, batch, 4)),
        1e-5)
        << to_text(spec);
  }
}

TEST(Network, ForecastsMoreLeadsThanItWasTrainedFor) {
  const auto backend = kernels::make_backend("reference-f32", {});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::same_order, Feed::previous);
  const NetworkPlan plan{.batch = 1, .height = 5, .width = 6};
  const RandomBatch batch(spec, plan);
  const auto four = forecast(spec, *backend, plan, batch, 4), nine = forecast(spec, *backend, plan, batch, 9);
  EXPECT_EQ(
      largest_difference(four, std::vector<float>(nine.begin(), nine.begin() + std::ptrdiff_t(four.size()))),
      0.);
}

TEST(Network, BatchesDoNotMix) {
  const auto backend = kernels::make_backend("reference-f32", {});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  spec.tendency = true;
  const RandomBatch two(spec, {.batch = 2, .height = 6, .width = 6});
  RandomBatch second = two;
  for (auto* values :
       {&second.past, &second.past_mask, &second.guide, &second.guide_mask, &second.tendency}) {
    values->erase(values->begin(), values->begin() + std::ptrdiff_t(values->size() / 2));
  }
  const auto both = forecast(spec, *backend, {.batch = 2, .height = 6, .width = 6}, two, 4);
  const auto alone = forecast(spec, *backend, {.batch = 1, .height = 6, .width = 6}, second, 4);
  EXPECT_LT(
      largest_difference(std::vector<float>(both.begin() + std::ptrdiff_t(alone.size()), both.end()), alone),
      1e-6);
}

struct LossAndGradient {
  double loss, valid;
  std::vector<double> gradient;
};

LossAndGradient train_once(Network& network, const RandomBatch& batch) {
  network.zero_gradients();
  network.load(batch.view());
  network.forward();
  network.loss(1.F);
  network.backward();
  const auto value = network.read_loss();
  LossAndGradient result{value.mean, value.valid_pixels, {}};
  result.gradient.resize(static_cast<std::size_t>(network.layout().stored()));
  network.backend().read(network.parameters().gradients(), std::span<double>(result.gradient));
  return result;
}

TEST(Network, TargetMaskHidesExactlyWhatItHides) {
  const auto backend = kernels::make_backend("reference", {});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  const NetworkPlan plan{.batch = 1, .height = 5, .width = 7, .training = true};
  RandomBatch batch(spec, plan);
  Network network(spec, *backend, 5);
  stir(network);
  network.plan(plan);
  const LossAndGradient before = train_once(network, batch);
  EXPECT_EQ(before.valid, double(std::count(batch.future_mask.begin(), batch.future_mask.end(), 1.F)));
  for (std::size_t i = 0; i < batch.future.size(); ++i) {
    if (batch.future_mask[i] == 0.F) batch.future[i] = 1e6F;
  }
  const LossAndGradient hidden = train_once(network, batch);
  EXPECT_EQ(hidden.loss, before.loss);
  EXPECT_EQ(hidden.gradient, before.gradient);
  const auto seen = std::size_t(std::find(batch.future_mask.begin(), batch.future_mask.end(), 1.F) -
                                batch.future_mask.begin());
  batch.future[seen] += 0.5F;
  const LossAndGradient changed = train_once(network, batch);
  EXPECT_NE(changed.loss, before.loss);
  EXPECT_NE(changed.gradient, before.gradient);
}

TEST(Network, NothingValidIsNoLossAndNoGradient) {
  const auto backend = kernels::make_backend("reference", {});
  const ModelSpec spec = strided(CellKind::convgru, ForecasterKind::mirrored, Feed::none);
  const NetworkPlan plan{.batch = 1, .height = 4, .width = 4, .training = true};
  RandomBatch batch(spec, plan);
  std::fill(batch.future_mask.begin(), batch.future_mask.end(), 0.F);
  Network network(spec, *backend, 5);
  network.plan(plan);
  const LossAndGradient result = train_once(network, batch);
  EXPECT_EQ(result.loss, 0.);
  EXPECT_EQ(result.gradient, std::vector<double>(result.gradient.size(), 0.));
}

TEST(Network, MasksOfPastAndGuideAreSeen) {
  const auto backend = kernels::make_backend("reference", {});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  const NetworkPlan plan{.batch = 1, .height = 8, .width = 8};
  RandomBatch batch(spec, plan);
  const auto before = forecast(spec, *backend, plan, batch, 4);
  RandomBatch other = batch;
  other.past_mask[5] = 1.F - other.past_mask[5];
  EXPECT_NE(forecast(spec, *backend, plan, other, 4), before);
  RandomBatch guided = batch;
  guided.guide_mask[5] = 1.F - guided.guide_mask[5];
  EXPECT_NE(forecast(spec, *backend, plan, guided, 4), before);
  spec.mask_channel = false;
  EXPECT_EQ(forecast(spec, *backend, plan, other, 4), forecast(spec, *backend, plan, batch, 4));
}

// The last guide frame can only touch the last lead, and only the part of the output it is added to.
TEST(Network, GuideOfALeadReachesNoEarlierLead) {
  const auto backend = kernels::make_backend("reference", {});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  const NetworkPlan plan{.batch = 1, .height = 8, .width = 8};
  RandomBatch batch(spec, plan);
  const auto before = forecast(spec, *backend, plan, batch, 4);
  for (std::size_t i = 3 * 64; i < 4 * 64; ++i) batch.guide[i] += 1.F;
  const auto after = forecast(spec, *backend, plan, batch, 4);
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 3 * 64, after.begin()));
  double change = 0.;
  for (std::size_t i = 3 * 64; i < 4 * 64; ++i) change += (after[i] - before[i]) / 64.;
  EXPECT_GT(change, 0.5);  // added as it is, and corrected by the network
}

// What changed reaches its lead and the later ones, through the network alone; nothing reads it unless it is
// wanted.
TEST(Network, TendencyOfALeadReachesNoEarlierLead) {
  const auto backend = kernels::make_backend("reference", {});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  spec.tendency = true;
  const NetworkPlan plan{.batch = 1, .height = 8, .width = 8};
  RandomBatch batch(spec, plan);
  const auto before = forecast(spec, *backend, plan, batch, 4);
  for (std::size_t i = 2 * 64; i < 3 * 64; ++i) batch.tendency[i] += 1.F;
  const auto after = forecast(spec, *backend, plan, batch, 4);
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 2 * 64, after.begin()));
  for (std::ptrdiff_t lead = 2; lead < 4; ++lead) {
    EXPECT_FALSE(
        std::equal(before.begin() + lead * 64, before.begin() + (lead + 1) * 64, after.begin() + lead * 64));
  }
  batch.tendency.pop_back();
  EXPECT_THROW(forecast(spec, *backend, plan, batch, 4), std::invalid_argument);
}

TEST(Network, AFreshGuidedNetworkForecastsItsGuide) {
  const auto backend = kernels::make_backend("reference", {});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  for (const bool skip : {false, true}) {
    spec.head_skip = skip;
    const NetworkPlan plan{.batch = 1, .height = 8, .width = 8};
    const RandomBatch batch(spec, plan);
    Network network(spec, *backend, 5);
    network.plan(plan);
    std::vector<float> out(batch.guide.size());
    network.forecast(batch.view(), spec.future, out);
    EXPECT_EQ(out, batch.guide);
    stir(network);
    network.plan(plan);  // takes the weights anew
    network.forecast(batch.view(), spec.future, out);
    EXPECT_NE(out, batch.guide);
  }
}

TEST(Network, BytesAreForetold) {
  for (const char* name : {"reference", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    for (const bool training : {false, true}) {
      for (const Feed feed : {Feed::none, Feed::previous, Feed::advection}) {
        const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, feed);
        const NetworkPlan plan{.batch = 2, .height = 96, .width = 96, .training = training};
        const PlanBytes foretold = Network::predict_bytes(spec, *backend, plan, 4);
        Network network(spec, *backend, 1);
        network.plan(plan);
        EXPECT_NEAR(double(foretold.host) / double(network.bytes(4).host), 1., 0.1)
            << name << training << int(feed);
        EXPECT_EQ(foretold.device, 0U);
      }
    }
  }
}

TEST(Network, SeedsAndBackendsStartAlike) {
  const auto reference = kernels::make_backend("reference-f32", {}),
             cpu = kernels::make_backend("cpu", {.threads = 1});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::none);
  Network a(spec, *reference, 1), b(spec, *cpu, 1), c(spec, *cpu, 2);
  for (int s = 0; s < int(a.layout().slices().size()); ++s) {
    EXPECT_EQ(a.parameters().read(s), b.parameters().read(s));
    EXPECT_EQ(a.layout().slice(s).initial.bound > 0., b.parameters().read(s) != c.parameters().read(s));
  }
}

TEST(Network, ShapesThatCannotBe) {
  const auto backend = kernels::make_backend("reference", {});
  ModelSpec spec;
  spec.stages = {{std::nullopt, {2, 1, 1}, std::nullopt}};
  spec.flatten = true;
  spec.flatten_pixels = 16;
  Network network(spec, *backend, 1);
  EXPECT_THROW(network.plan({.batch = 1, .height = 4, .width = 5}), ModelError);
  EXPECT_THROW(network.plan({.batch = 0, .height = 4, .width = 4}), ModelError);
  EXPECT_THROW(network.plan({.batch = 1, .height = 4, .width = 4, .predict_input = true}), ModelError);
  network.plan({.batch = 1, .height = 4, .width = 4});
  std::vector<float> past(10 * 16), out(16);
  EXPECT_NO_THROW(network.forecast({.past = past}, 1, out));
  EXPECT_THROW(network.forecast({.past = std::span(past).first(5)}, 1, out), std::invalid_argument);
  EXPECT_THROW(network.load({.past = past}), std::logic_error);
}

// --- as a forecaster ---------------------------------------------------------------------------------------

/// Half of the physical value; missing is 0 with mask 0.
FieldTransform half() {
  return {[](std::span<const float> physical, std::span<float> values, std::span<float> mask) {
            for (std::size_t i = 0; i < physical.size(); ++i) {
              mask[i] = std::isnan(physical[i]) ? 0.F : 1.F;
              values[i] = std::isnan(physical[i]) ? 0.F : physical[i] / 2.F;
            }
          },
          [](std::span<float> changes) {
            for (float& change : changes) change /= 2.F;
          },
          [](std::span<float> values) {
            for (float& value : values) value *= 2.F;
          }};
}

TEST(ConvLstmForecaster, MissingStaysMissingAndAnySizeGoes) {
  const auto backend = kernels::make_backend("reference-f32", {});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::none);
  ConvLstm forecaster(std::make_unique<Network>(spec, *backend, 3), half(), nullptr);
  EXPECT_EQ(forecaster.frames_needed(), 3);
  for (const auto& [rows, columns] : {std::pair{5L, 9L}, {13L, 4L}}) {
    std::vector<float> values(std::size_t(4 * rows * columns), 1.F);
    values[std::size_t(3 * rows * columns) + 2] = std::nanf("");  // in the latest frame
    values[std::size_t(2 * rows * columns) + 3] = std::nanf("");  // in an older one
    const ForecastFrames out = forecaster.forecast({4, rows, columns, values}, 6);
    ASSERT_EQ(out.values.size(), std::size_t(6 * rows * columns));
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      EXPECT_EQ(std::isnan(out.values[i]), i % std::size_t(rows * columns) == 2) << i;
    }
  }
  std::vector<float> few(2 * 4);
  EXPECT_THROW(forecaster.forecast({2, 2, 2, few}, 1), std::invalid_argument);
}

TEST(ConvLstmForecaster, WithAGuideItForecastsWhereTheGuideDoes) {
  const auto backend = kernels::make_backend("reference-f32", {});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  EXPECT_THROW(ConvLstm(std::make_unique<Network>(spec, *backend, 3), half(), nullptr), ModelError);
  const auto guide = [](const PastFrames& past, std::int64_t leads) {
    GuideFrames frames;
    frames.values.assign(std::size_t(leads * past.rows * past.columns), 1.F);
    frames.values[1] = std::nanf("");       // lead 0, pixel 1
    frames.values[16 + 2] = std::nanf("");  // lead 1, pixel 2
    return frames;
  };
  ConvLstm forecaster(std::make_unique<Network>(spec, *backend, 3), half(), guide);
  std::vector<float> values(3 * 16, 1.F);
  values[2 * 16 + 1] = values[2 * 16 + 3] = std::nanf("");
  const ForecastFrames out = forecaster.forecast({3, 4, 4, values}, 2);
  for (std::size_t i = 0; i < out.values.size(); ++i)
    EXPECT_EQ(std::isnan(out.values[i]), i == 1 || i == 16 + 2) << i;
}

TEST(ConvLstmForecaster, HandsOverTheTendencyInNetworkUnits) {
  const auto backend = kernels::make_backend("reference-f32", {});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  spec.tendency = true;
  auto network = std::make_unique<Network>(spec, *backend, 3);
  stir(*network);
  float change = 0.F;
  const auto guide = [&](const PastFrames& past, std::int64_t leads) {
    GuideFrames frames;
    frames.values.assign(std::size_t(leads * past.rows * past.columns), 1.F);
    frames.tendency.assign(frames.values.size(), change);
    return frames;
  };
  ConvLstm forecaster(std::move(network), half(), guide);
  const std::vector<float> values(3 * 16, 1.F);
  const auto forecast_at = [&](float rise) {
    change = rise;
    return forecaster.forecast({3, 4, 4, values}, 2).values;
  };
  const auto still = forecast_at(0.F), rising = forecast_at(1.F), falling = forecast_at(-1.F);
  EXPECT_NE(still, rising);
  EXPECT_NE(rising, falling);
  // half() halves values and changes alike.
  Network& net = forecaster.network();
  std::vector<float> out(2 * 16);
  const std::vector<float> past(3 * 16, 0.5F), ones(3 * 16, 1.F), guided(2 * 16, 0.5F),
      tendency(2 * 16, -0.5F);
  net.forecast({past, ones, {}, {}, guided, std::span(ones).first(32), tendency, {}}, 2, out);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_FLOAT_EQ(falling[i], std::max(0.F, 2 * out[i]));
}

/// Lead by lead and in bands: what forecast() gives at once, missing pixels included.
TEST(ConvLstmForecaster, StreamsTheSame) {
  const auto backend = kernels::make_backend("cpu", {.threads = 1});
  constexpr std::int64_t kRows = 61, kColumns = 18, kLeads = 5, kPixels = kRows * kColumns;
  std::vector<float> values(4 * kPixels), guided(kLeads * kPixels), tendency(guided.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = i % 11 == 3 ? std::nanf("") : static_cast<float>(uniform(4, 1, i));
  for (std::size_t i = 0; i < guided.size(); ++i) {
    guided[i] = i % 7 == 3 ? std::nanf("") : static_cast<float>(uniform(4, 2, i));
    tendency[i] = static_cast<float>(uniform(4, 3, i)) - 0.5F;
  }
  // Bands of networks with strided adjoints may differ by rounding; nothing else does.
  const bool follows_size = test::adjoint_sums_follow_size(backend->info());
  const auto expect_same = [&](std::span<const float> made, std::span<const float> wanted, bool bands) {
    ASSERT_EQ(made.size(), wanted.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
      ASSERT_EQ(std::isnan(made[i]), std::isnan(wanted[i]));
      if (std::isnan(made[i])) continue;
      ASSERT_NEAR(made[i], wanted[i], bands && follows_size ? 1e-5 : 0.);
    }
  };
  struct Given : LeadGuide {
    const std::vector<float>&values_, &tendency_;
    std::size_t at_ = 0;
    Given(const std::vector<float>& v, const std::vector<float>& t) : values_(v), tendency_(t) {}
    void next(std::span<float> v, std::span<float> t) override {
      std::copy_n(values_.begin() + std::ptrdiff_t(at_), v.size(), v.begin());
      std::copy_n(tendency_.begin() + std::ptrdiff_t(at_), t.size(), t.begin());
      at_ += v.size();
    }
  };
  for (const Feed feed : {Feed::none, Feed::advection}) {
    for (const bool exceedance : {false, true}) {
      ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, feed);
      spec.tendency = feed == Feed::advection;
      if (exceedance) spec.thresholds = {0.5, 2.};
      const auto made = [&] {
        auto network = std::make_unique<Network>(spec, *backend, 3);
        stir(*network);
        return std::make_unique<ConvLstm>(std::move(network), half(), [&](const PastFrames&, std::int64_t) {
          return GuideFrames{guided, tendency};
        });
      };
      const PastFrames past{4, kRows, kColumns, values};
      const ForecastFrames whole = made()->forecast(past, kLeads);
      for (const bool bands : {false, true}) {
        const auto streaming = made();
        if (bands) {
          streaming->use_bands({1, 0, nullptr},
                               [&](PastStream&) { return std::make_unique<Given>(guided, tendency); });
          const ForecastFrames collected = streaming->forecast(past, kLeads);
          expect_same(collected.values, whole.values, true);
          EXPECT_EQ(collected.thresholds, whole.thresholds);
        }
        HeldFrames held(past);
        std::size_t leads = 0;
        streaming->stream(
            held, kLeads,
            [&](std::int64_t lead, std::span<const float> some, std::span<const float> chances) {
              EXPECT_EQ(std::size_t(lead), leads++);
              ASSERT_EQ(some.size(), std::size_t(kPixels));
              ASSERT_EQ(chances.size(), spec.thresholds.size() * some.size());
              expect_same(some, std::span(whole.values).subspan(std::size_t(lead * kPixels), kPixels), bands);
              for (std::int64_t k = 0; k < std::int64_t(spec.thresholds.size()); ++k)
                expect_same(chances.subspan(std::size_t(k * kPixels), kPixels),
                            std::span(whole.probabilities)
                                .subspan(std::size_t((k * kLeads + lead) * kPixels), kPixels),
                            bands);
            });
        EXPECT_EQ(leads, std::size_t(kLeads));
      }
    }
  }
}

TEST(ConvLstmForecaster, ExceedanceProbabilities) {
  const auto backend = kernels::make_backend("reference-f32", {});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::none);
  spec.thresholds = {0.5, 2., 10.};
  auto network = std::make_unique<Network>(spec, *backend, 3);
  // The head's weights at zero and its bias at logits 1, 0.5, -3: probabilities above and below one half.
  const int weight = network->layout().find("head.out.weight"),
            bias = network->layout().find("head.out.bias");
  network->parameters().write(weight, std::vector<double>(network->parameters().read(weight).size(), 0.));
  network->parameters().write(bias, std::vector<double>{1., 0.5, -3.});
  ConvLstm forecaster(std::move(network), half(), nullptr);
  const std::vector<float> values(3 * 20, 1.F);
  const ForecastFrames out = forecaster.forecast({3, 4, 5, values}, 2);
  ASSERT_EQ(out.probabilities.size(), 3U * 2 * 20);
  const double expected[] = {1 / (1 + std::exp(-1.)), 1 / (1 + std::exp(-0.5)), 1 / (1 + std::exp(3.))};
  for (std::size_t i = 0; i < out.probabilities.size(); ++i)
    EXPECT_NEAR(out.probabilities[i], expected[i / 40], 1e-6);
  EXPECT_EQ(out.thresholds, spec.thresholds);
  EXPECT_EQ(out.values, std::vector<float>(40, 2.F));
}

}  // namespace
}  // namespace raincell::model::testing
