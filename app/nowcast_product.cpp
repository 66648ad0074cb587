#include "app/nowcast_product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/errors.hpp"
#include "app/log.hpp"
#include "app/version.hpp"
#include "io/picture.hpp"
#include "io/publish.hpp"

namespace raincell::app {

using std::chrono::seconds;

namespace {

constexpr int kAnimationMilliseconds = 300;

}  // namespace

io::Product describe_product(const NowcastInput& input, const WeightsInfo* weights,
                             const std::string& forecaster, std::int64_t leads, std::span<const float> last,
                             const std::string& command) {
  io::Product product;
  product.grid = input.grid;
  product.quantity = input.quantity;
  product.reference_time = input.frames.back();
  for (std::int64_t l = 1; l <= leads; ++l) product.lead_s.push_back(l * input.step.count());
  product.observed_mask.resize(last.size());
  for (std::size_t i = 0; i < last.size(); ++i) product.observed_mask[i] = std::isnan(last[i]) ? 0 : 1;
  product.forecaster = forecaster;
  if (weights != nullptr) {
    product.probability_thresholds = weights->spec.thresholds;
    product.model_name = weights->name;
    product.model_hash = weights->hash;
    product.transform = weights->transform.text();
  }
  product.status = "OK";
  product.version = version();
  // The time of the data, not of the clock: the same input gives the same bytes.
  product.attributes["history"] =
      fmt::format("{} raincell {} {} --forecaster {}", io::format_time(product.reference_time), version(),
                  command, forecaster);
  product.frames_used = input.frames;
  product.frames_filled = input.filled;
  product.input_age_s = input.age_s;
  product.zr = input.zr;
  return product;
}

std::vector<io::Accumulation> accumulations_to(const io::Product& product,
                                               const std::vector<std::int64_t>& ends_s,
                                               const std::string& option) {
  std::vector<io::Accumulation> sums;
  for (const std::int64_t end : ends_s) {
    const bool lead = std::binary_search(product.lead_s.begin(), product.lead_s.end(), end);
    if (!lead || product.quantity != io::Quantity::rain_rate)
      throw UsageError(
          fmt::format("{}: {} cannot be summed over {}; expected a lead of the forecast, {} to {}", option,
                      io::name_of(product.quantity), format_duration(static_cast<double>(end)),
                      format_duration(static_cast<double>(product.lead_s.front())),
                      format_duration(static_cast<double>(product.lead_s.back()))));
    sums.push_back({0, end, {}});
  }
  return sums;
}

void accumulate_lead(io::Product& product, std::int64_t lead, std::span<const float> values) {
  const auto at = static_cast<std::size_t>(lead);
  const std::int64_t before = lead == 0 ? 0 : product.lead_s[at - 1];
  for (io::Accumulation& sum : product.accumulations) io::add_lead(sum, before, product.lead_s[at], values);
}

std::vector<std::string> draw_product(const io::Product& product, model::PastStream& past,
                                      const ForecastLeads& forecast, const std::filesystem::path& folder,
                                      const std::function<void(std::int64_t)>& drawn) {
  io::make_folder(folder);
  std::vector<std::string> files;
  std::vector<io::MapText> titles;
  const std::size_t observed = product.frames_used.size();
  const auto frame = [&](std::size_t i) {
    return i < observed ? past.frame(static_cast<std::int64_t>(i)) : forecast(i - observed);
  };
  const std::string status = product.status == "OK" ? "" : " · " + product.status;
  for (std::size_t i = 0; i < observed; ++i) {
    titles.push_back({"raincell · observed", "valid " + io::format_time(product.frames_used[i])});
  }
  const std::size_t leads = product.lead_s.size();
  for (std::size_t l = 0; l < leads; ++l) {
    titles.push_back({"raincell nowcast · " + product.forecaster + status,
                      fmt::format("valid {} · +{} min",
                                  io::format_time(product.reference_time + seconds(product.lead_s[l])),
                                  product.lead_s[l] / 60)});
    const auto file = folder / fmt::format("lead_{:03}min.png", product.lead_s[l] / 60);
    const std::vector<std::uint8_t> png = io::draw_map(product.grid, frame(observed + l), titles.back());
    io::publish(file, std::as_bytes(std::span(png)));
    files.push_back(file.string());
    drawn(static_cast<std::int64_t>(l) + 1);
  }
  const std::vector<std::uint8_t> webp =
      io::draw_animation(product.grid, frame, titles, kAnimationMilliseconds);
  files.push_back((folder / "animation.webp").string());
  io::publish(files.back(), std::as_bytes(std::span(webp)));
  return files;
}

}  // namespace raincell::app
