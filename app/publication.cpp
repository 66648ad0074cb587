#include "app/publication.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "app/errors.hpp"
#include "app/json_fields.hpp"
#include "app/product_name.hpp"
#include "app/stored_products.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using io::TimePoint;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr const char* kProducts = "products";
constexpr const char* kMaps = "maps";
constexpr const char* kUnchecked = ".unchecked";  // behind the name of a product that is still to be compared
constexpr std::uint64_t kLargestBulletin = 1 << 20;

Json time_of(const std::optional<TimePoint>& time) {
  return time ? Json(io::format_time(*time)) : Json(nullptr);
}

Json text_of(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

/// Files that draw() makes, and nothing else.
bool is_picture(const std::string& name) {
  return name == "animation.webp" || (name.rfind("lead_", 0) == 0 && name.ends_with("min.png"));
}

/// Of a folder of pictures; a link in its place, or in it, is left alone.
std::uintmax_t bytes_of(const fs::path& folder) {
  std::uintmax_t bytes = 0;
  std::error_code none;
  if (!fs::is_directory(fs::symlink_status(folder, none))) return 0;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (is_picture(entry.path().filename().string()) && fs::is_regular_file(entry.symlink_status(none)))
      bytes += entry.file_size(none);
  return bytes;
}

/// Half-written by a service that was killed: hidden, and of our names.
bool is_leftover(const std::string& name) {
  if (name.front() != '.' || !(name.ends_with(".tmp") || name.ends_with(kUnchecked))) return false;
  const auto ours = {"nowcast_", "latest.json.", "metrics.prom.", "status.json.", "lead_", "animation.webp."};
  return std::any_of(ours.begin(), ours.end(), [&](const char* own) { return name.find(own) == 1; });
}

void remove_files(const fs::path& folder, bool (*ours)(const std::string&)) {
  std::error_code none;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (ours(entry.path().filename().string()) && fs::is_regular_file(entry.symlink_status(none)))
      files.push_back(entry.path());
  for (const fs::path& file : files) fs::remove(file, none);
}

void remove_pictures(const fs::path& folder) {
  std::error_code none;
  if (!fs::is_directory(fs::symlink_status(folder, none))) return;
  remove_files(folder, [](const std::string& name) { return is_picture(name) || is_leftover(name); });
  fs::remove(folder, none);  // unless somebody put something else there
}

}  // namespace

const char* name_of(Status status) {
  switch (status) {
    case Status::ok:
      return "OK";
    case Status::degraded:
      return "DEGRADED";
    case Status::withheld:
      return "WITHHELD";
    case Status::stale:
      break;
  }
  return "STALE";
}

Json Bulletin::json() const {
  Json used = Json::array();
  for (const TimePoint time : frames_used) used.push_back(io::format_time(time));
  return {{"status", name_of(status)},
          {"reason", reason},
          {"nominal", time_of(nominal)},
          {"created", time_of(created)},
          {"valid_until", time_of(valid_until)},
          {"input_age_s", input_age_s >= 0 ? Json(input_age_s) : Json(nullptr)},
          {"forecaster", text_of(forecaster)},
          {"rung", rung},
          {"frames_used", used},
          {"frames_filled", frames_filled},
          {"model", text_of(model)},
          {"model_sha256", text_of(model_sha256)},
          {"product", text_of(product)},
          {"sha256", text_of(sha256)},
          {"revision", revision}};
}

Bulletin Bulletin::parse(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw io::DataError("is no JSON object");
  Bulletin bulletin;
  const std::string status = text_in(json, "status");
  for (const Status one : {Status::ok, Status::degraded, Status::withheld, Status::stale})
    if (status == name_of(one)) bulletin.status = one;
  if (status != name_of(bulletin.status)) throw io::DataError("has no status that is known");
  bulletin.reason = text_in(json, "reason");
  bulletin.nominal = time_in(json, "nominal");
  bulletin.created = time_in(json, "created");
  bulletin.valid_until = time_in(json, "valid_until");
  bulletin.input_age_s = integer_in(json, "input_age_s", -1);
  bulletin.forecaster = text_in(json, "forecaster");
  bulletin.rung = text_in(json, "rung");
  if (const Json used = json.value("frames_used", Json()); used.is_array())
    for (const Json& one : used)
      if (const auto time = one.is_string() ? io::parse_time(one.get<std::string>()) : std::nullopt)
        bulletin.frames_used.push_back(*time);
  bulletin.frames_filled = integer_in(json, "frames_filled", 0);
  bulletin.model = text_in(json, "model");
  bulletin.model_sha256 = text_in(json, "model_sha256");
  bulletin.product = text_in(json, "product");
  bulletin.sha256 = text_in(json, "sha256");
  bulletin.revision = integer_in(json, "revision", 0);
  return bulletin;
}

Publication::Publication(const WatchConfig& config, Log& log)
    : folder_(config.output), spec_(config.publish), reader_(product_source()) {
  io::make_folder(folder_ / kProducts);
  io::make_folder(folder_ / kMaps);
  lock_.emplace(folder_, FolderUse{"watches", "another output"});
  remove_files(folder_, is_leftover);
  remove_files(folder_ / kProducts, is_leftover);
  const fs::path file = folder_ / "latest.json";
  std::error_code none;
  if (fs::exists(file, none)) {
    try {
      latest_ = Bulletin::parse(io::read_file(file, kLargestBulletin));
    } catch (const io::DataError& error) {
      log.warning(fmt::format("{}: cannot be read ({}); the products themselves say what was issued",
                              file.string(), error.what()));
    }
  }
  for (const Kept& kept : products()) {
    // What was not announced is issued anew, or was missed.
    if (latest_ && latest_->nominal && kept.nominal > *latest_->nominal) {
      fs::remove(kept.product, none);
      remove_pictures(kept.maps);
    } else if (!newest_product_ || kept.nominal > *newest_product_) {
      newest_product_ = kept.nominal;
    }
  }
}

std::vector<Publication::Kept> Publication::products() const {
  std::vector<Kept> kept;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_ / kProducts, none)) {
    const auto name = ProductName::parse(entry.path().filename().string());
    if (!name || !fs::is_regular_file(entry.symlink_status(none))) continue;
    const fs::path maps = folder_ / kMaps / name->stem();
    // A week of products has 26,000 pictures, which do not change once they are drawn.
    const auto known = bytes_.find(entry.path());
    const std::uintmax_t bytes =
        known != bytes_.end() ? known->second : entry.file_size(none) + bytes_of(maps);
    kept.push_back({entry.path(), maps, name->nominal, bytes});
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) {
    return std::pair(a.nominal, a.product) > std::pair(b.nominal, b.product);
  });
  return kept;
}

void Publication::require_own() const {
  if (lock_->still_own()) return;
  throw ResourceError(fmt::format(
      "{}: the folder was removed or replaced while this service worked in it, so nothing more is written "
      "there; start it again, with an output of its own",
      folder_.string()));
}

void Publication::write(io::Product& product, const model::ForecastFrames& forecast, Bulletin& bulletin) {
  require_own();
  const std::string name = ProductName{*bulletin.nominal, bulletin.revision}.file();
  const fs::path target = folder_ / kProducts / name,
                 unchecked = folder_ / kProducts / ("." + name + kUnchecked);
  io::make_folder(target.parent_path());
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  const std::size_t thresholds = product.probability_thresholds.size(), leads = product.lead_s.size();
  std::vector<float> chances(thresholds * pixels);
  {
    io::ProductWriter writer(product, unchecked);
    for (std::size_t lead = 0; lead < leads; ++lead) {
      for (std::size_t k = 0; k < thresholds; ++k)
        std::copy_n(forecast.probabilities.begin() + static_cast<std::ptrdiff_t>((k * leads + lead) * pixels),
                    pixels, chances.begin() + static_cast<std::ptrdiff_t>(k * pixels));
      const auto values = std::span<const float>(forecast.values).subspan(lead * pixels, pixels);
      writer.put(values, chances);
      accumulate_lead(product, static_cast<std::int64_t>(lead), values);
    }
    writer.finish();
  }
  try {
    compare(unchecked, product, forecast, target.string());
    const std::string bytes = io::read_file(unchecked);
    bulletin.sha256 = io::sha256(std::as_bytes(std::span(bytes)));
  } catch (...) {
    std::error_code none;
    fs::remove(unchecked, none);
    throw;
  }
  io::publish_file(unchecked, target);
  bulletin.product = fmt::format("{}/{}", kProducts, name);
}

/// As any reader of radar files would see it.
void Publication::compare(const fs::path& file, const io::Product& product,
                          const model::ForecastFrames& forecast, const std::string& target) {
  const auto refuse = [&](const std::string& what) {
    throw io::WriteError(fmt::format(
        "{}: what was written is not what lies on disk ({}); nothing was published: is the disk full?",
        target, what));
  };
  std::vector<io::Frame> frames;
  try {
    frames = reader_.read(file);
  } catch (const io::DataError& error) {
    refuse(error.what());
  }
  if (frames.size() != product.lead_s.size()) refuse("leads are missing");
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  constexpr float kHalfStep = 0.0051F, kLargest = 327.67F;
  for (std::size_t lead = 0; lead < frames.size(); ++lead) {
    if (frames[lead].valid_time != product.reference_time + seconds(product.lead_s[lead]))
      refuse("a time differs");
    if (frames[lead].values.size() != pixels) refuse("the grid differs");
    for (std::size_t i = 0; i < pixels; ++i) {
      const float made = forecast.values[lead * pixels + i], there = frames[lead].values[i];
      const bool same = std::isnan(made)
                            ? std::isnan(there)
                            : std::abs(std::clamp(made, -kLargest, kLargest) - there) <= kHalfStep;
      if (!same) refuse(fmt::format("a value of lead {} differs: {} and {}", lead + 1, made, there));
    }
  }
}

void Publication::draw(const io::Product& product, const LadderResult& made, const Bulletin& bulletin) {
  if (!spec_.pictures) return;
  const ProductName name{*bulletin.nominal, bulletin.revision};
  // The observed frames alone: what was filled is no observation.
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  std::vector<float> observed;
  for (std::size_t i = 0; i < made.filled.size(); ++i) {
    if (made.filled[i]) continue;
    const auto from = made.input->past.begin() + static_cast<std::ptrdiff_t>(i * pixels);
    observed.insert(observed.end(), from, from + static_cast<std::ptrdiff_t>(pixels));
  }
  model::HeldFrames past({static_cast<std::int64_t>(product.frames_used.size()), product.grid.rows,
                          product.grid.columns, observed});
  const auto lead = [&](std::size_t l) {
    return std::span<const float>(made.forecast.values).subspan(l * pixels, pixels);
  };
  draw_product(product, past, lead, folder_ / kMaps / name.stem(), [](std::int64_t) {});
}

void Publication::announce(const Bulletin& bulletin) {
  require_own();
  io::publish(folder_ / "latest.json", json_text(bulletin.json(), 1) + "\n");
  latest_ = bulletin;
  if (!bulletin.product.empty()) newest_product_ = bulletin.nominal;
}

std::int64_t Publication::prune(TimePoint now, Log& log) {
  std::int64_t removed = 0;
  std::uintmax_t bytes = 0;
  std::int64_t count = 0;
  std::map<fs::path, std::uintmax_t> left;
  const auto most = static_cast<std::uintmax_t>(spec_.keep_gib * 1073741824.);
  for (const Kept& kept : products()) {
    bytes += kept.bytes;
    ++count;
    const bool too_many = count > spec_.keep_products || bytes > most;
    const bool announced = latest_ && latest_->product.ends_with("/" + kept.product.filename().string());
    if (announced || (!too_many && kept.nominal >= now - seconds(spec_.keep_s))) {
      left.emplace(kept.product, kept.bytes);
      continue;
    }
    std::error_code error;
    remove_pictures(kept.maps);
    fs::remove(kept.product, error);
    if (error)
      log.warning(fmt::format("{}: cannot be removed: {}", kept.product.string(), error.message()));
    else
      ++removed;
  }
  bytes_ = std::move(left);
  return removed;
}

}  // namespace raincell::app
