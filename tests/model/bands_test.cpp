// A forecast in bands of rows equals that of the whole domain, in less memory.
#include <gtest/gtest.h>

#include <list>

#include "kernels/decorators.hpp"
#include "model_support.hpp"
#include "tests/support/sum_order.hpp"

namespace raincell::model::testing {
namespace {

using kernels::CellKind;

/// Scratch whose contents are elsewhere between drop() and the next look: nothing may keep a view of it for
/// longer than it is there, which only real pages would show; it counts what is asked for.
class MemoryScratch : public Scratch {
 public:
  std::span<std::byte> take(std::size_t bytes, std::string_view) override {
    taken += bytes;
    return blocks_.emplace_back(bytes);
  }
  void give_back(std::span<std::byte>) noexcept override {}
  void drop(std::span<std::byte>) noexcept override { ++drops; }
  std::size_t taken = 0;
  int drops = 0;

 private:
  std::list<std::vector<std::byte>> blocks_;
};

std::vector<float> forecast(const ModelSpec& spec, kernels::Backend& backend, const NetworkPlan& plan,
                            const RandomBatch& batch, std::int64_t leads) {
  Network network(spec, backend, 5);
  stir(network);
  network.plan(plan);
  std::vector<float> out(static_cast<std::size_t>(leads * spec.out_channels() * plan.height * plan.width));
  if (plan.bands.on()) network.forecast(batch.view(), leads, out);  // of which nothing shall be left
  network.forecast(batch.view(), leads, out);
  return out;
}

constexpr std::int64_t kLeads = 20;  // beyond the steps after which states move down again

/// The batch has as many leads as are asked for.
RandomBatch batch_of(ModelSpec spec, const NetworkPlan& plan) {
  spec.future = kLeads;
  return RandomBatch(spec, plan);
}

double largest_of(const std::vector<float>& values) {
  return largest_difference(values, std::vector<float>(values.size()));
}

std::vector<ModelSpec> networks() {
  std::vector<ModelSpec> specs = every_kind();
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  spec.tendency = spec.head_skip = true;
  spec.head = {{4, 3, 1, 1, true}, {3, 5, 1, 2, true}};
  specs.push_back(spec);
  spec.stages[0].down = SamplingConv{3, 5, 4, 2, true};
  spec.stages[0].up = SamplingConv{3, 8, 4, 2, true};
  specs.push_back(spec);
  spec.stages[1].layer.state_kernel = 5;
  spec.stages[0].layer.input_kernel = 7;
  spec.forecaster = ForecasterKind::same_order;
  specs.push_back(spec);
  spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::none);  // as hko7
  spec.stages[0].down = SamplingConv{3, 7, 5, 1, true};
  spec.stages[0].up = SamplingConv{3, 7, 5, 1, true};
  spec.stages[1].down = SamplingConv{4, 5, 3, 1, true};
  spec.stages[1].up = SamplingConv{4, 5, 3, 1, true};
  specs.push_back(spec);
  spec = strided(CellKind::convlstm, ForecasterKind::shared, Feed::previous);
  spec.patch = 2;
  spec.head_input = HeadInput::last;
  spec.peephole = kernels::Peephole::per_channel;
  specs.push_back(spec);
  spec = strided(CellKind::convgru, ForecasterKind::same_order, Feed::advection);
  spec.thresholds = {0.5, 2.};
  specs.push_back(spec);
  spec = strided(CellKind::convlstm, ForecasterKind::same_order, Feed::previous);
  spec.stages = {{std::nullopt, {4, 3, 1}, std::nullopt}, {std::nullopt, {3, 5, 3}, std::nullopt}};
  spec.head_input = HeadInput::all;
  specs.push_back(spec);
  return specs;
}

TEST(Bands, EqualTheWholeToTheBit) {
  for (const int threads : {1, 3}) {
    const auto backend = kernels::make_backend("cpu", {.threads = threads});
    const double rounding = test::adjoint_sums_follow_size(backend->info()) ? 1e-5 : 0.;
    for (const ModelSpec& spec : networks()) {
      SCOPED_TRACE(to_text(spec));
      NetworkPlan plan{.height = 103, .width = 37};
      const RandomBatch batch = batch_of(spec, plan);
      const auto whole = forecast(spec, *backend, plan, batch, kLeads);
      EXPECT_GT(largest_of(whole), 1e-3);
      const double bound = rounding * largest_of(whole);
      for (const std::int64_t bytes : {1, 30000, 1 << 30}) {
        if (threads == 3 && bytes == 1) continue;
        plan.bands = {bytes, 0, nullptr};
        EXPECT_LE(largest_difference(forecast(spec, *backend, plan, batch, kLeads), whole), bound) << bytes;
        MemoryScratch scratch;
        plan.bands = {bytes, 1, &scratch};
        EXPECT_LE(largest_difference(forecast(spec, *backend, plan, batch, kLeads), whole), bound) << bytes;
        EXPECT_GT(scratch.drops, 0);
      }
    }
  }
}

TEST(Bands, EqualTheWholeByWinograd) {
  const auto backend = kernels::make_backend("cpu", {.threads = 1});
  for (const ForecasterKind forecaster :
       {ForecasterKind::mirrored, ForecasterKind::same_order, ForecasterKind::shared}) {
    ModelSpec spec = strided(CellKind::convlstm, forecaster, Feed::advection);
    spec.stages = {{std::nullopt, {16, 3, 3}, std::nullopt},
                   {SamplingConv{32, 3, 2, 1, true}, {24, 3, 3}, std::nullopt}};
    NetworkPlan plan{.height = 150, .width = 66};
    const RandomBatch batch = batch_of(spec, plan);
    const auto whole = forecast(spec, *backend, plan, batch, kLeads);
    for (const std::int64_t bytes : {1, 300000}) {
      plan.bands = {bytes, 0, nullptr};
      Network network(spec, *backend, 5);
      network.plan(plan);
      int winograd = 0;
      for (const auto& [convolution, kernel] : network.implementations())
        winograd += kernel.find("Winograd") != std::string::npos ? 1 : 0;
      EXPECT_GE(winograd, 4);
      EXPECT_LE(largest_difference(forecast(spec, *backend, plan, batch, kLeads), whole),
                1e-6 * largest_of(whole));
    }
  }
}

/// Neither in the rows of the bands nor in the domain does the memory of a frame matter.
TEST(Bands, TakeLessMemoryAndAsMuchAsForetold) {
  const auto backend = kernels::make_backend("cpu", {.threads = 1});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::mirrored, Feed::advection);
  spec.head = {{16, 3, 1, 1, true}};
  NetworkPlan plan{.height = 512, .width = 64};
  const auto bytes_of = [&](const BandPlan& bands) {
    plan.bands = bands;
    Network network(spec, *backend, 1);
    network.plan(plan);
    const PlanBytes foretold = Network::predict_bytes(spec, *backend, plan, 1), is = network.bytes(1);
    EXPECT_NEAR(double(foretold.host), double(is.host), 0.1 * double(is.host));
    EXPECT_EQ(foretold.scratch, is.scratch);
    return is;
  };
  const PlanBytes small = bytes_of({1, 0, nullptr});
  MemoryScratch scratch;
  const PlanBytes least = bytes_of({1, 1, &scratch});
  const PlanBytes whole = bytes_of({});
  EXPECT_LT(small.host, whole.host / 3);
  EXPECT_LE(least.host, small.host);  // small ones lie in memory until they are dropped
  EXPECT_EQ(least.scratch, scratch.taken);
  EXPECT_EQ(whole.scratch, 0U);
}

TEST(Bands, AreChosenForTheRoomThatThereIs) {
  const auto backend = kernels::make_backend("cpu", {.threads = 1});
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::same_order, Feed::advection);
  spec.stages = {{std::nullopt, {16, 3, 3}, std::nullopt}};
  MemoryScratch scratch;
  NetworkPlan plan{.height = 2000, .width = 500};
  plan.bands.scratch = &scratch;
  const auto fit = [&](std::size_t room) { return Network::fit(spec, *backend, plan, 1, {room, 0}); };
  const Fitted whole = fit(std::size_t{4} << 30);
  EXPECT_TRUE(whole.fits);
  EXPECT_FALSE(whole.plan.bands.on());
  const Fitted banded = fit(whole.bytes.host / 2);
  EXPECT_TRUE(banded.fits);
  EXPECT_TRUE(banded.plan.bands.on());
  EXPECT_EQ(banded.plan.bands.scratch_from_bytes, 0);
  EXPECT_LE(banded.bytes.host, whole.bytes.host / 2);
  const Fitted least = fit(std::size_t{64} << 20);
  EXPECT_TRUE(least.fits);
  EXPECT_GT(least.plan.bands.scratch_from_bytes, 0);
  EXPECT_GT(least.bytes.scratch, std::size_t{100} << 20);
  EXPECT_EQ(scratch.taken, 0U);  // nothing before it is planned
  const Fitted none = fit(1000);
  EXPECT_FALSE(none.fits);
  EXPECT_GT(none.bytes.host, 1000U);
  plan.bands.scratch = nullptr;
  EXPECT_FALSE(fit(std::size_t{64} << 20).fits);
}

TEST(Bands, AreRefusedWhereThereAreNone) {
  const auto cpu = kernels::make_backend("cpu", {.threads = 1}),
             reference = kernels::make_backend("reference", {});
  const ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::same_order, Feed::none);
  Network network(spec, *cpu, 1), planes(spec, *reference, 1);
  EXPECT_THROW(network.plan({.batch = 2, .height = 8, .width = 8, .bands = {1, 0, nullptr}}), ModelError);
  EXPECT_THROW(network.plan({.height = 8, .width = 8, .training = true, .bands = {1, 0, nullptr}}),
               ModelError);
  EXPECT_THROW(planes.plan({.height = 8, .width = 8, .bands = {1, 0, nullptr}}), ModelError);
}

/// By hand: a kernel of 3 above another one; the lower flow is held from one row above the next band's to one
/// row below this one's.
TEST(RowSweep, KeepsTheHaloOfOneKernel) {
  ModelSpec spec = strided(CellKind::convlstm, ForecasterKind::same_order, Feed::none);
  spec.stages = {{std::nullopt, {2, 3, 3}, std::nullopt}};
  spec.mask_channel = false;
  spec.head = {{2, 3, 1, 1, true}, {2, 3, 1, 1, true}};
  spec.head_kernel = 3;
  const Blueprint drawn = blueprint(spec);
  const Graph& graph = drawn.forecaster;
  const auto rows = band_rows(graph, 40, 10, 1, 4);
  for (const std::int64_t each : rows) EXPECT_EQ(each, 4);
  const RowSweep sweep(graph, {0, graph.nodes.size(), 40, 10, rows, false});
  std::int64_t made = 0;
  for (const SweepPiece& piece : sweep.pieces()) {
    EXPECT_EQ(piece.first % 4, 0);
    EXPECT_EQ(piece.rows, piece.first == 32 ? 8 : 4);  // the last ones are not left alone
    made += piece.rows;
  }
  EXPECT_EQ(made, 40 * std::int64_t(graph.nodes.size()));  // each row of each flow once
  for (const Node& node : graph.nodes) {
    if (node.recurrent) continue;
    const bool output = node.output == graph.output;
    EXPECT_EQ(sweep.window(node.output), output ? 8 : 13)
        << node.name;  // from the row above a band to the end of the next
  }
}

}  // namespace
}  // namespace raincell::model::testing
