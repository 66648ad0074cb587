#include "app/pending_forecasts.hpp"

#include <fmt/format.h>
#include <libdeflate.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "io/publish.hpp"

namespace raincell::app {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kEnding = ".pending";
constexpr const char* kDamaged = ".damaged";
constexpr auto kDamagedKept = std::chrono::hours(24 * 30);
constexpr int kLevel =
    1;  // rain fields are mostly zeros: more of it wins a tenth of the size for twice the time
// "raincell-pending-1 0000001234 <sha256 of the header>\n", then the header, then the planes.
constexpr std::size_t kBeginBytes = 19 + 11 + 65;
constexpr std::uint64_t kMostHeader = 1U << 24, kMostPixels = 1U << 30;

struct Release {
  void operator()(libdeflate_compressor* one) const { libdeflate_free_compressor(one); }
  void operator()(libdeflate_decompressor* one) const { libdeflate_free_decompressor(one); }
};

void require(bool condition, const std::string& what) {
  if (!condition) throw std::invalid_argument("issued forecast: " + what);
}

void check(const IssuedForecast& issued) {
  require(issued.leads > 0 && issued.rows > 0 && issued.columns > 0, "it is empty");
  const auto plane = static_cast<std::size_t>(issued.rows * issued.columns);
  const std::size_t size = plane * static_cast<std::size_t>(issued.leads);
  require(issued.latest.size() == plane && (issued.advected.empty() || issued.advected.size() == size),
          "the latest or the advected frames have the wrong size");
  std::set<std::string> names;
  for (const auto& one : issued.forecasts) {
    require(one.values.size() == size, one.name + " has the wrong size");
    require(!one.name.empty() && names.insert(one.name).second, "a name is empty or there twice");
  }
}

std::string begin_of(const std::string& header) {
  return fmt::format("raincell-pending-1 {:010} {}\n", header.size(),
                     io::sha256(std::as_bytes(std::span(header))));
}

/// Compresses planes one behind the other.
class Planes {
 public:
  explicit Planes(std::vector<PendingCase::Plane>& index)
      : index_(index), compressor_(libdeflate_alloc_compressor(kLevel)) {
    if (!compressor_) throw std::bad_alloc();
  }
  std::size_t put(std::span<const float> values) {
    packed_.resize(libdeflate_deflate_compress_bound(compressor_.get(), values.size_bytes()));
    packed_.resize(libdeflate_deflate_compress(compressor_.get(), values.data(), values.size_bytes(),
                                               packed_.data(), packed_.size()));
    const std::string sha256 = io::sha256(std::as_bytes(std::span(packed_)));
    const auto [known, is_new] = known_.emplace(sha256, index_.size());
    if (!is_new) return known->second;
    index_.push_back({body_.size(), packed_.size(), sha256});
    body_ += packed_;
    return known->second;
  }
  std::vector<std::size_t> put_leads(std::span<const float> values, std::size_t plane) {
    std::vector<std::size_t> places;
    for (; !values.empty(); values = values.subspan(plane)) places.push_back(put(values.first(plane)));
    return places;
  }
  const std::string& body() const { return body_; }

 private:
  std::vector<PendingCase::Plane>& index_;
  std::unique_ptr<libdeflate_compressor, Release> compressor_;
  std::map<std::string, std::size_t> known_;
  std::string packed_, body_;
};

std::string header_of(const PendingCase& one) {
  Json json = {{"case", io::format_time(one.time)},
               {"step_s", one.step_s},
               {"leads", one.leads},
               {"rows", one.rows},
               {"columns", one.columns},
               {"grid", one.grid},
               {"rung", one.rung},
               {"status", one.status},
               {"model_sha256", one.model_sha256},
               {"planes", Json::array()},
               {"latest", one.latest},
               {"advected", one.advected},
               {"forecasts", Json::array()}};
  for (const auto& plane : one.planes)
    json["planes"].push_back({{"offset", plane.offset}, {"bytes", plane.bytes}, {"sha256", plane.sha256}});
  for (const auto& forecast : one.forecasts)
    json["forecasts"].push_back({{"name", forecast.name}, {"planes", forecast.planes}});
  return json_text(json);
}

/// Whether the header speaks of planes that are there.
bool fits(const PendingCase& one, std::uint64_t body_bytes) {
  if (one.step_s <= 0 || one.leads <= 0 || one.rows <= 0 || one.columns <= 0) return false;
  if (static_cast<std::uint64_t>(one.rows) > kMostPixels / static_cast<std::uint64_t>(one.columns))
    return false;
  std::uint64_t end = 0;
  for (const auto& plane : one.planes) {
    if (plane.offset != end || plane.bytes > body_bytes - end) return false;
    end += plane.bytes;
  }
  const auto leads = static_cast<std::size_t>(one.leads);
  const auto are_there = [&](const std::vector<std::size_t>& places) {
    return places.size() == leads &&
           std::all_of(places.begin(), places.end(), [&](std::size_t at) { return at < one.planes.size(); });
  };
  return end == body_bytes && one.latest < one.planes.size() &&
         (one.advected.empty() || are_there(one.advected)) &&
         std::all_of(one.forecasts.begin(), one.forecasts.end(),
                     [&](const auto& forecast) { return are_there(forecast.planes); });
}

PendingCase parse_header(const std::string& header) {
  const Json json = Json::parse(header);
  PendingCase one;
  const auto time = io::parse_time(json.at("case").get<std::string>());
  if (!time) throw io::DataError("its time is none");
  one.time = *time;
  json.at("step_s").get_to(one.step_s);
  json.at("leads").get_to(one.leads);
  json.at("rows").get_to(one.rows);
  json.at("columns").get_to(one.columns);
  json.at("grid").get_to(one.grid);
  json.at("rung").get_to(one.rung);
  json.at("status").get_to(one.status);
  json.at("model_sha256").get_to(one.model_sha256);
  json.at("latest").get_to(one.latest);
  json.at("advected").get_to(one.advected);
  for (const Json& plane : json.at("planes"))
    one.planes.push_back({plane.at("offset"), plane.at("bytes"), plane.at("sha256")});
  for (const Json& forecast : json.at("forecasts"))
    one.forecasts.push_back({forecast.at("name"), forecast.at("planes")});
  return one;
}

/// Throws DataError when there are fewer bytes, or no such file.
std::string read_range(const fs::path& path, std::uint64_t offset, std::uint64_t bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string out(bytes, '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(out.data(), static_cast<std::streamsize>(bytes)))
    throw io::DataError(fmt::format("{} bytes at byte {} cannot be read", bytes, offset));
  return out;
}

/// Throws DataError when the file is no pending case, or not whole.
PendingCase read_case(const fs::path& path) {
  std::error_code error;
  if (fs::symlink_status(path, error).type() != fs::file_type::regular)
    throw io::DataError("is no regular file");
  const std::uint64_t size = fs::file_size(path, error);
  const io::DataError damaged("is no forecast of ours, or a damaged one");
  if (error || size < kBeginBytes) throw damaged;
  const std::string begin = read_range(path, 0, kBeginBytes);
  std::uint64_t length = 0;
  for (const char digit : begin.substr(19, 10)) {
    if (digit < '0' || digit > '9') throw damaged;
    length = length * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  if (length > kMostHeader || length > size - kBeginBytes) throw damaged;
  const std::string header = read_range(path, kBeginBytes, length);
  if (begin != begin_of(header)) throw damaged;
  try {
    PendingCase one = parse_header(header);
    one.header_bytes = kBeginBytes + length;
    if (!fits(one, size - one.header_bytes)) throw damaged;
    return one;
  } catch (const nlohmann::json::exception&) {
    throw damaged;
  }
}

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() &&
         text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace

PendingForecasts::PendingForecasts(fs::path folder, Log& log) : folder_(std::move(folder)), log_(log) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error))
    paths.push_back(entry->path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    const std::string name = path.filename().string();
    if (name.front() == '.' && ends_with(name, ".tmp")) {  // of a process that was killed
      fs::remove(path, error);
      continue;
    }
    if (ends_with(name, kDamaged)) {
      const auto written = fs::last_write_time(path, error);
      if (!error && fs::file_time_type::clock::now() - written > kDamagedKept) fs::remove_all(path, error);
      continue;
    }
    try {
      PendingCase one = read_case(path);
      if (path != path_of(one.time)) throw io::DataError("is named as another case");
      cases_[one.time] = std::move(one);
    } catch (const io::DataError& reason) {
      set_aside(path, reason.what());
    }
  }
}

fs::path PendingForecasts::path_of(io::TimePoint time) const {
  std::string name = io::format_time(time);
  std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
  return folder_ / (name + kEnding);
}

void PendingForecasts::set_aside(const fs::path& path, const std::string& why) {
  std::error_code error;
  fs::rename(path, path.string() + kDamaged, error);
  log_.warning(fmt::format("{}: {}; what it forecast is not scored; {}", path.string(), why,
                           error ? "it cannot be renamed: " + error.message()
                                 : std::string("it is called *.damaged now and may be removed")));
}

void PendingForecasts::set_aside(io::TimePoint time, const std::string& why) {
  set_aside(path_of(time), why);
  cases_.erase(time);
}

void PendingForecasts::add(const IssuedForecast& issued, std::int64_t step_s) {
  check(issued);
  const auto plane = static_cast<std::size_t>(issued.rows * issued.columns);
  PendingCase one;
  one.time = issued.time;
  one.step_s = step_s;
  one.leads = issued.leads;
  one.rows = issued.rows;
  one.columns = issued.columns;
  one.grid = issued.grid;
  one.rung = issued.rung;
  one.model_sha256 = issued.model_sha256;
  one.status = issued.status;
  Planes planes(one.planes);
  one.latest = planes.put(issued.latest);
  one.advected = planes.put_leads(issued.advected, plane);
  for (const auto& forecast : issued.forecasts)
    one.forecasts.push_back({forecast.name, planes.put_leads(forecast.values, plane)});
  const std::string header = header_of(one);
  one.header_bytes = kBeginBytes + header.size();
  one.held = begin_of(header) + header + planes.body();
  cases_[one.time] = std::move(one);
}

void PendingForecasts::save() {
  for (auto& [time, one] : cases_) {
    if (one.held.empty()) continue;
    io::make_folder(folder_);
    io::publish(path_of(time), one.held);
    one.held = std::string();
  }
}

void PendingForecasts::read(const PendingCase& one, std::size_t plane, std::vector<float>& values) const {
  const PendingCase::Plane& place = one.planes[plane];
  const std::uint64_t offset = one.header_bytes + place.offset;
  const std::string packed = one.held.empty() ? read_range(path_of(one.time), offset, place.bytes)
                                              : one.held.substr(offset, place.bytes);
  if (io::sha256(std::as_bytes(std::span(packed))) != place.sha256)
    throw io::DataError(fmt::format("the bytes at {} are damaged", offset));
  values.resize(static_cast<std::size_t>(one.rows * one.columns));
  const std::unique_ptr<libdeflate_decompressor, Release> inflater(libdeflate_alloc_decompressor());
  if (!inflater) throw std::bad_alloc();
  // Without a place for the size, anything but exactly these bytes is an error.
  if (libdeflate_deflate_decompress(inflater.get(), packed.data(), packed.size(), values.data(),
                                    values.size() * sizeof(float), nullptr) != LIBDEFLATE_SUCCESS)
    throw io::DataError(fmt::format("the bytes at {} do not decompress", offset));
}

void PendingForecasts::remove(io::TimePoint time) {
  std::error_code ignored;  // what stays is found done with at the next start
  fs::remove(path_of(time), ignored);
  cases_.erase(time);
}

std::uint64_t PendingForecasts::held_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [time, one] : cases_) bytes += one.held.size();
  return bytes;
}

}  // namespace raincell::app
