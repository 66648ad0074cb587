// The inference plan for the memory that there is: whole, in bands of rows, with states in scratch.
#include <algorithm>
#include <vector>

#include "model/network.hpp"

namespace raincell::model {

using std::int64_t;

namespace {

/// Of what a layer computes at once; smaller ones only cost calls, larger ones only memory.
constexpr int64_t kBandBytes[] = {int64_t{64} << 20, int64_t{16} << 20, int64_t{4} << 20, int64_t{1} << 20};

bool within(const PlanBytes& bytes, const PlanBytes& room, bool own_memory) {
  return bytes.host <= room.host && (!own_memory || bytes.device <= room.device);
}

/// From how many bytes on states lie in scratch, from the fewest states to all: of each stage first h, which
/// is longer by what it moves, then c.
std::vector<int64_t> scratch_from(const ModelSpec& spec, const NetworkPlan& plan, int64_t element_bytes) {
  std::vector<int64_t> sizes;
  auto [height, width] = inner_size(spec, plan.height, plan.width);
  for (const Stage& stage : spec.stages) {
    if (stage.down) {
      height /= stage.down->stride;
      width /= stage.down->stride;
    }
    const int64_t bytes = height * width * stage.layer.hidden * element_bytes;
    sizes.insert(sizes.end(), {bytes, bytes + 1});
  }
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::pair<int64_t, int64_t> rows_of(const ModelSpec& spec, const NetworkPlan& plan, int64_t element_bytes) {
  const auto [height, width] = inner_size(spec, plan.height, plan.width);
  const Blueprint drawn = blueprint(spec);
  std::pair<int64_t, int64_t> rows{height, 0};
  for (const Graph* graph : {&drawn.encoder, &drawn.forecaster}) {
    const auto each = band_rows(*graph, height, width, plan.bands.band_bytes, element_bytes);
    for (std::size_t f = 0; f < each.size(); ++f) {
      rows.first = std::min(rows.first, each[f] * graph->flows[f].divisor);
      rows.second = std::max(rows.second, each[f] * graph->flows[f].divisor);
    }
  }
  return {rows.first * spec.patch, rows.second * spec.patch};
}

}  // namespace

bool Network::can_be_cut(const ModelSpec& spec, const kernels::Backend& backend) {
  return !spec.flatten && backend.place({1, 1, 2, 2, 2}).channel_block >= 2;
}

Fitted Network::fit(const ModelSpec& spec, kernels::Backend& backend, NetworkPlan plan, int parameter_blocks,
                    const PlanBytes& room, Cut cut) {
  const bool own_memory = backend.info().own_memory;
  const auto element = static_cast<int64_t>(kernels::size_of(backend.dtype()));
  Fitted best{plan, {}, false};
  // Plans of convolutions take memory of their own while they are made: only for what may fit otherwise.
  const auto try_plan = [&](const NetworkPlan& candidate) {
    PlanBytes bytes = predict(spec, backend, candidate, parameter_blocks, Workspace::Count::tensors);
    bool fits = within(bytes, room, own_memory);
    if (fits) {
      bytes = predict(spec, backend, candidate, parameter_blocks, Workspace::Count::all);
      fits = within(bytes, room, own_memory);
    }
    const auto size = [&](const PlanBytes& of) { return own_memory ? of.device : of.host; };
    if (fits || best.bytes.host + best.bytes.device == 0 || size(bytes) <= size(best.bytes))
      best = {candidate, bytes, fits,
              candidate.bands.on() ? rows_of(spec, candidate, element) : std::pair<int64_t, int64_t>{0, 0}};
    return fits;
  };
  Scratch* const scratch = plan.bands.scratch;
  plan.bands = {};
  if (cut != Cut::always && try_plan(plan)) return best;
  if (cut == Cut::never || plan.training || plan.batch != 1 || !can_be_cut(spec, backend)) return best;
  for (const int64_t band : kBandBytes) {
    plan.bands = {band, 0, nullptr};
    if (try_plan(plan)) return best;
  }
  if (own_memory || scratch == nullptr) return best;
  for (const int64_t from : scratch_from(spec, plan, element)) {
    for (const int64_t band : kBandBytes) {
      plan.bands = {band, from, scratch};
      if (try_plan(plan)) return best;
    }
  }
  return best;
}

}  // namespace raincell::model
