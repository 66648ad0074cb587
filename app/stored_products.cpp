#include "app/stored_products.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <utility>

#include "app/product_name.hpp"

namespace raincell::app {

namespace {

namespace fs = std::filesystem;

std::optional<io::TimePoint> reference_of(const io::Frame& frame) {
  for (const auto& [name, value] : frame.source.facts) {
    if (name == "reference_time") return io::parse_time(value);
  }
  return std::nullopt;
}

}  // namespace

io::SourceOptions product_source() {
  io::SourceOptions options;
  options.format = "product";
  return options;
}

StoredProducts::StoredProducts(std::string name, const fs::path& folder, Log& log)
    : name_(std::move(name)), folder_(folder), reader_(product_source()) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with('.') && file.ends_with(".nc")) files.push_back(entry.path());
  }
  if (error) throw io::DataError(fmt::format("{}: cannot be listed: {}", folder.string(), error.message()));
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    std::optional<io::TimePoint> reference;
    try {
      reference = reference_of(reader_.describe(file).front());
    } catch (const io::DataError& why) {
      log.warning(fmt::format("left out: {}", why.what()));
    }
    if (!reference) continue;
    const auto [place, is_new] = files_.emplace(*reference, file);
    if (is_new) continue;
    // A service that had no newer frame forecasts from the same one again; the one of that frame's cycle
    // counts.
    const auto rank = [&](const fs::path& product) {
      const auto own = ProductName::parse(product.filename().string());
      return own ? std::pair(own->nominal == *reference ? 2 : 1, own->revision)
                 : std::pair(0, std::int64_t{0});
    };
    if (rank(file) == rank(place->second))
      throw io::DataError(fmt::format("{} and {}: both forecast from {}; keep one of them",
                                      place->second.string(), file.string(), io::format_time(*reference)));
    if (rank(file) > rank(place->second)) place->second = file;
  }
  if (files_.empty())
    throw io::DataError(fmt::format(
        "{}: holds no product (*.nc) that can be read; expected files as raincell nowcast writes them",
        folder.string()));
}

std::string StoredProducts::describe() const {
  const std::string first = io::format_time(files_.begin()->first);
  if (files_.size() == 1) return "a product from " + first;
  return fmt::format("{} products from {} to {}", files_.size(), first,
                     io::format_time(files_.rbegin()->first));
}

void StoredProducts::choose(io::TimePoint reference, const io::Grid& grid, io::Quantity quantity,
                            std::int64_t step_s) {
  reference_ = reference;
  grid_ = grid;
  quantity_ = quantity;
  step_s_ = step_s;
}

model::ForecastFrames StoredProducts::forecast(const model::PastFrames& past, std::int64_t leads) {
  const fs::path& file = files_.at(reference_);
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  model::ForecastFrames forecast;
  forecast.leads = leads;
  forecast.rows = past.rows;
  forecast.columns = past.columns;
  forecast.values.assign(static_cast<std::size_t>(leads) * pixels, std::numeric_limits<float>::quiet_NaN());
  for (const io::Frame& frame : reader_.read(file)) {
    if (!io::same_grid(frame.grid, grid_))
      throw io::DataError(
          fmt::format("{}: lies on {}, and the input on {}; forecasts are scored on the grid "
                      "of the truth",
                      file.string(), io::describe(frame.grid), io::describe(grid_)));
    if (frame.quantity != quantity_)
      throw io::DataError(fmt::format("{}: holds {}, and the input {}", file.string(),
                                      io::name_of(frame.quantity), io::name_of(quantity_)));
    const std::int64_t after = (frame.valid_time - reference_).count();
    if (step_s_ <= 0 || after <= 0 || after % step_s_ != 0 || after / step_s_ > leads) continue;
    std::copy(frame.values.begin(), frame.values.end(),
              forecast.values.begin() +
                  static_cast<std::ptrdiff_t>(static_cast<std::size_t>(after / step_s_ - 1) * pixels));
  }
  return forecast;
}

}  // namespace raincell::app
