#include "app/forecast_memory.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>

#include "app/log.hpp"
#include "app/process_memory.hpp"
#include "io/product.hpp"
#include "model/advection/blend.hpp"

namespace raincell::app {

namespace {

constexpr std::int64_t kLibraries = std::int64_t{64} << 20;  // what they take once they compute
constexpr double kRounding = 1.03;  // of the network's memory to pages and huge pages
constexpr double kReading = 2.5;    // planes of a frame that is read: from the reader, its values and states
constexpr std::int64_t kMotionPlanes = 12;  // that the optical flow has at once, and its result

std::int64_t plane_bytes(const ForecastWork& work, double planes) {
  return static_cast<std::int64_t>(planes * static_cast<double>(work.pixels()) * sizeof(float));
}

bool guided(const ForecastWork& work) {
  return work.spec != nullptr && work.spec->feed == model::Feed::advection;
}

bool moving(const ForecastWork& work) {
  return work.advection || work.blend || guided(work);
}

std::int64_t product_bytes(const ForecastWork& work) {
  const std::int64_t thresholds =
      work.spec == nullptr ? 0 : static_cast<std::int64_t>(work.spec->thresholds.size());
  return work.pixels() + io::ProductWriter::bytes(work.pixels(), work.leads * (1 + thresholds));
}

/// Of the three phases of a streamed forecast.
struct StreamedBytes {
  std::int64_t before = 0;  // the most of reading frames and of finding their motion
  std::int64_t leads = 0;   // while leads are made, beside the network
};

StreamedBytes streamed_bytes(const ForecastWork& work, const MemoryChoice& choice) {
  const double past = choice.past_in_scratch ? 1. : static_cast<double>(work.past);
  const std::int64_t trajectories = choice.trajectories_in_scratch ? 0 : 4;
  const std::int64_t bands = choice.trajectories_in_scratch ? 1 : model::Fading::kPlanes;
  StreamedBytes bytes;
  double before = kReading;
  if (moving(work)) before = kMotionPlanes;
  if ((guided(work) && work.guide.fading) || work.blend)
    before = std::max(before, static_cast<double>(4 + model::Fading::kMorePlanes + bands + trajectories));
  if (guided(work) && work.spec->tendency)
    before = std::max(before, static_cast<double>(std::max<std::int64_t>(6 + trajectories, 9)));
  bytes.before = std::max(plane_bytes(work, past + before), plane_bytes(work, past) + work.scoring);
  bytes.leads = plane_bytes(work, past) + product_bytes(work);
  if (guided(work)) {
    bytes.leads += model::GuideStream::bytes(work.guide, work.pixels(), choice.trajectories_in_scratch);
    bytes.leads += plane_bytes(work, work.spec->tendency ? 2. : 1.);
  } else if (moving(work)) {
    bytes.leads += plane_bytes(work, static_cast<double>(2 + trajectories));
  }
  if (work.blend)
    bytes.leads += plane_bytes(work, static_cast<double>(model::Blend::kPlanes + bands + 1 + trajectories));
  if (work.spec != nullptr)
    bytes.leads += plane_bytes(work, 1.25 + static_cast<double>(work.spec->thresholds.size()));
  else
    bytes.leads += plane_bytes(work, 1.);
  if (work.pictures && !choice.past_in_scratch)
    bytes.leads += plane_bytes(work, static_cast<double>(work.leads));
  return bytes;
}

}  // namespace

std::filesystem::path scratch_folder(const Arguments& arguments) {
  if (arguments.has("scratch")) return arguments.text("scratch");
  if (!arguments.has("output")) return std::filesystem::temp_directory_path();
  const std::filesystem::path folder = std::filesystem::path(arguments.text("output")).parent_path();
  return folder.empty() ? "." : folder;
}

void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

void give_freed_memory_back() {
  // Blocks of this size and more lie in mappings of their own and not in a heap that keeps what is freed.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::malloc_trim(0);
}

std::int64_t held_bytes(const ForecastWork& work) {
  auto planes = static_cast<double>(work.past + 1);
  if (work.spec != nullptr)
    planes += static_cast<double>(2 * work.spec->past + work.leads * work.spec->out_channels());
  if (guided(work)) planes += static_cast<double>(3 + work.leads * (work.spec->tendency ? 3 : 2));
  if (guided(work) && work.guide.fading)
    planes +=
        static_cast<double>(std::max(work.leads, 4 + model::Fading::kPlanes + model::Fading::kMorePlanes));
  if (work.blend)
    planes += static_cast<double>(
        std::max(kMotionPlanes, model::Blend::kPlanes + model::Fading::kPlanes + 5) + 2 * work.leads);
  if (work.advection) planes += static_cast<double>(kMotionPlanes + work.leads);
  return plane_bytes(work, planes) + product_bytes(work) + work.held_beside;
}

std::int64_t resident_bytes() {
  return static_cast<std::int64_t>(process_memory().resident);
}
std::int64_t peak_resident_bytes() {
  return static_cast<std::int64_t>(process_memory().peak);
}

PastStore::PastStore(FrameSeries& series, const std::vector<std::int64_t>& indices, model::Scratch* scratch)
    : PastStream(static_cast<std::int64_t>(indices.size()), series.grid(indices.back()).rows,
                 series.grid(indices.back()).columns),
      values_(indices.size() * static_cast<std::size_t>(pixels()), scratch, "past frames"),
      in_memory_(scratch == nullptr) {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    series.require_same_grid(indices.back(), indices[i]);
    const auto values = series.values(indices[i]);
    std::copy(values.begin(), values.end(),
              values_.values().begin() + static_cast<std::ptrdiff_t>(i) * pixels());
    values_.drop();
  }
}

std::span<const float> PastStore::frame(std::int64_t index) {
  if (index != shown_) values_.drop();
  shown_ = index;
  const auto size = static_cast<std::size_t>(pixels());
  return std::span<const float>(values_.values()).subspan(static_cast<std::size_t>(index) * size, size);
}

std::span<const float> PastStore::all() {
  return in_memory_ ? std::span<const float>(values_.values()) : std::span<const float>{};
}

MemoryChoice choose_memory(const ForecastWork& work, kernels::Backend* backend, model::Scratch* scratch,
                           std::int64_t limit, std::int64_t resident) {
  const std::int64_t there = resident + kLibraries;
  using Cut = model::Network::Cut;
  // before: what there is at most while there is no network; beside: what there is beside it.
  const auto judge = [&](MemoryChoice& choice, std::int64_t before, std::int64_t beside, Cut cut,
                         model::Scratch* states) {
    std::int64_t network = 0;
    if (work.spec != nullptr) {
      const model::NetworkPlan plan{
          .batch = 1, .height = work.rows, .width = work.columns, .bands = {0, 0, states}};
      const model::PlanBytes room{
          static_cast<std::size_t>(std::max(0., static_cast<double>(limit - there - beside) / kRounding)),
          backend->free_memory() + backend->shared_bytes()};
      choice.network = model::Network::fit(*work.spec, *backend, plan, 0, room, cut);
      network = static_cast<std::int64_t>(kRounding * static_cast<double>(choice.network.bytes.host));
      choice.fits = choice.network.fits;
    }
    choice.peak_bytes = there + std::max(before, beside + network);
    choice.fits = choice.fits && choice.peak_bytes <= limit;
  };
  if (work.spec != nullptr || work.may_hold) {
    MemoryChoice whole;
    judge(whole, 0, held_bytes(work), Cut::never, nullptr);
    if (whole.fits || (work.spec != nullptr && !model::Network::can_be_cut(*work.spec, *backend)))
      return whole;
  }
  MemoryChoice best;
  for (int level = 0; level < (scratch == nullptr ? 1 : 4); ++level) {
    MemoryChoice choice;
    choice.streamed = true;
    choice.past_in_scratch = level > 0;
    choice.trajectories_in_scratch = level > 1 && moving(work);
    const StreamedBytes bytes = streamed_bytes(work, choice);
    judge(choice, bytes.before, bytes.leads, Cut::always, level > 2 ? scratch : nullptr);
    if (level == 0 || choice.fits || choice.peak_bytes < best.peak_bytes) best = choice;
    if (best.fits) break;
  }
  return best;
}

std::string MemoryChoice::text(const std::filesystem::path& scratch) const {
  std::string text = streamed ? "frame by frame" : "as a whole";
  if (network.plan.bands.on())
    text += fmt::format(", in bands of {} to {} rows", network.rows.first, network.rows.second);
  std::string there;
  const auto add = [&](bool is, const std::string& what) {
    if (is) there += (there.empty() ? "" : ", ") + what;
  };
  add(past_in_scratch, "past frames");
  add(trajectories_in_scratch, "trajectories");
  add(network.bytes.scratch > 0,
      fmt::format("{} of states", format_bytes(static_cast<double>(network.bytes.scratch))));
  if (!there.empty()) text += fmt::format(", with {} in a scratch file in {}", there, scratch.string());
  return text + fmt::format("; at most {} of memory", format_bytes(static_cast<double>(peak_bytes)));
}

}  // namespace raincell::app
