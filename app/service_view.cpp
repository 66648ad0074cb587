#include "app/service_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/cli.hpp"
#include "app/page_files.hpp"
#include "app/product_name.hpp"
#include "io/colours.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using io::TimePoint;
using SteadyClock = std::chrono::steady_clock;

constexpr float kCode = 100.F;  // a value is shown in hundredths, as in the product
constexpr std::int16_t kMissingCode = -32768;

HttpResponse json_response(const Json& json, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.body = json_text(json) + "\n";
  return response;
}

HttpResponse problem(int status, const std::string& what) {
  return json_response({{"error", what}}, status);
}

std::vector<std::int16_t> codes_of(std::span<const float> values) {
  std::vector<std::int16_t> codes(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    codes[i] = std::isnan(values[i])
                   ? kMissingCode
                   : static_cast<std::int16_t>(std::lround(std::clamp(kCode * values[i], -32767.F, 32767.F)));
  return codes;
}

}  // namespace

/// How a grid is drawn. Its map is used by both threads: the service's draws, the server's looks up points.
struct ServiceView::Picture {
  io::Grid grid;
  io::Quantity quantity;
  io::Overlay overlay;
  mutable std::mutex mutex;
};

struct ServiceView::Shown {
  struct Frame {
    TimePoint time;
    FrameKind kind = FrameKind::observed;
    std::int64_t lead_minutes = 0;
    std::shared_ptr<const std::vector<std::int16_t>> codes;  // shared with the next one shown
    std::shared_ptr<const std::string> png;                  // and with answers under way
    std::string name;                                        // of the image
  };
  std::shared_ptr<const Picture> picture;
  std::chrono::seconds step{0};
  std::vector<Frame> frames;  // by time
};

std::string Health::unready() const {
  if (!live()) return "the service does not go round any more";
  if (!model_ready) return "the model is not loaded, or does not answer";
  if (!output_writable) return "the output cannot be written";
  if (!product_valid) return "there is no nowcast that is valid";
  return "";
}

ServiceView::ServiceView(const ServiceClock& clock) : clock_(clock), round_(SteadyClock::now()) {}
ServiceView::~ServiceView() = default;

void ServiceView::beat(bool model_ready, bool output_writable, std::chrono::seconds step) {
  const std::lock_guard lock(mutex_);
  round_ = SteadyClock::now();
  health_.model_ready = model_ready;
  health_.output_writable = output_writable;
  if (step.count() > 0) health_.step = step;
}

void ServiceView::announce(const Bulletin& bulletin, TimePoint valid_until) {
  const std::lock_guard lock(mutex_);
  bulletin_ = bulletin;
  valid_until_ = valid_until;
}

void ServiceView::write(std::string metrics, std::string skill) {
  const std::lock_guard lock(mutex_);
  metrics_ = std::move(metrics);
  skill_ = std::move(skill);
}

void ServiceView::show(const io::Grid& grid, io::Quantity quantity, std::chrono::seconds step,
                       const std::vector<ViewFrame>& frames) {
  if (!picture_ || !(picture_->grid == grid) || picture_->quantity != quantity)
    picture_ = std::shared_ptr<Picture>(new Picture{grid, quantity, io::Overlay(grid, quantity), {}});
  std::shared_ptr<const Shown> before;
  {
    const std::lock_guard lock(mutex_);
    before = shown_;
  }
  auto next = std::make_shared<Shown>();
  next->picture = picture_;
  next->step = step;
  for (const ViewFrame& frame : frames) {
    Shown::Frame one{frame.time, frame.kind, frame.lead_minutes, nullptr, nullptr, ""};
    std::vector<std::int16_t> codes = codes_of(frame.values);
    if (before && before->picture == picture_)
      for (const Shown::Frame& old : before->frames)
        if (old.time == frame.time && old.kind == frame.kind && *old.codes == codes) one = old;
    one.lead_minutes = frame.lead_minutes;
    if (!one.codes) {
      const std::lock_guard drawing(picture_->mutex);
      const std::vector<std::uint8_t> png = picture_->overlay.png(frame.values);
      one.name = fmt::format("{}-{}-{}.png", stamp(frame.time), name_of(frame.kind),
                             io::sha256(std::as_bytes(std::span(png))).substr(0, 12));
      one.codes = std::make_shared<const std::vector<std::int16_t>>(std::move(codes));
      one.png = std::make_shared<const std::string>(png.begin(), png.end());
    }
    next->frames.push_back(std::move(one));
  }
  const std::lock_guard lock(mutex_);
  shown_ = std::move(next);
}

void ServiceView::hide() {
  const std::lock_guard lock(mutex_);
  shown_.reset();
}

/// Ahead of a clock that was set back nothing is known to hold.
static bool still_valid(TimePoint now, TimePoint valid_until, std::chrono::seconds step) {
  return now < valid_until && valid_until - now <= 4 * step;
}

Health ServiceView::health() const {
  const TimePoint now = clock_.now().wall;
  const std::lock_guard lock(mutex_);
  Health health = health_;
  health.since_round = std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now() - round_);
  health.product_valid = still_valid(now, valid_until_, health.step);
  return health;
}

/// As latest.json, but for what time itself changes.
static Json live_bulletin(Bulletin bulletin, TimePoint valid_until, io::Moment now, double speed) {
  const bool issued = bulletin.status == Status::ok || bulletin.status == Status::degraded;
  const auto passed = now.wall - bulletin.created.value_or(now.wall);
  if (bulletin.input_age_s >= 0) bulletin.input_age_s += std::max<std::int64_t>(0, passed.count());
  if (now.wall >= valid_until && bulletin.nominal && (issued || bulletin.status == Status::withheld)) {
    bulletin.status = Status::stale;
    if (issued) bulletin.reason = "no nowcast has followed the one of " + io::format_time(*bulletin.nominal);
  }
  // Of a withheld cycle: how long the nowcast before it was good for.
  if (!bulletin.valid_until && valid_until != TimePoint{}) bulletin.valid_until = valid_until;
  Json json = bulletin.json();
  json["now"] = io::format_time(now.wall);
  json["speed"] = speed;
  return json;
}

HttpResponse ServiceView::latest() const {
  const io::Moment now = clock_.now();
  const std::lock_guard lock(mutex_);
  return json_response(live_bulletin(bulletin_, valid_until_, now, clock_.speed()));
}

HttpResponse ServiceView::map(const Shown& shown) const {
  const io::OverlayFrame& frame = shown.picture->overlay.frame();
  const io::ColourScale scale = io::colour_scale(shown.picture->quantity);
  Json legend = Json::array(), frames = Json::array();
  for (std::size_t i = 0; i < scale.bounds.size(); ++i)
    legend.push_back({{"from", scale.bounds[i]}, {"color", scale.colours[i].hex()}});
  for (const Shown::Frame& one : shown.frames)
    frames.push_back({{"time", io::format_time(one.time)},
                      {"kind", name_of(one.kind)},
                      {"lead_minutes", one.lead_minutes},
                      {"image", "/api/image/" + one.name}});
  const io::Moment now = clock_.now();
  const std::lock_guard lock(mutex_);
  return json_response({{"bounds", {{frame.south, frame.west}, {frame.north, frame.east}}},
                        {"step_s", shown.step.count()},
                        {"unit", scale.unit},
                        {"quantity", io::name_of(shown.picture->quantity)},
                        {"legend", legend},
                        {"missing_color", shown.picture->overlay.missing().colour.hex()},
                        {"frames", frames},
                        {"latest", live_bulletin(bulletin_, valid_until_, now, clock_.speed())}});
}

HttpResponse ServiceView::point(const Shown& shown, const HttpRequest& request) const {
  const auto degrees = [&](const char* key, double most) -> std::optional<double> {
    const auto given = request.query.find(key);
    const auto value = given == request.query.end() ? std::nullopt : parse_real(given->second);
    return value && std::abs(*value) <= most ? value : std::nullopt;
  };
  const auto latitude = degrees("lat", 90.), longitude = degrees("lon", 180.);
  if (!latitude || !longitude)
    return problem(400,
                   "expected lat from -90 to 90 and lon from -180 to 180, for example ?lat=52.1&lon=5.2");
  std::optional<std::pair<std::int64_t, std::int64_t>> pixel;
  {
    const std::lock_guard lock(shown.picture->mutex);
    pixel = shown.picture->overlay.pixel_at(*latitude, *longitude);
  }
  Json json = {
      {"lat", *latitude}, {"lon", *longitude}, {"inside", pixel.has_value()}, {"series", Json::array()}};
  if (!pixel) return json_response(json);
  const std::size_t at = static_cast<std::size_t>(pixel->first * shown.picture->grid.columns + pixel->second);
  std::vector<PointValue> series;
  for (const Shown::Frame& frame : shown.frames) {
    const std::int16_t code = (*frame.codes)[at];
    std::optional<double> rain;
    if (code != kMissingCode) rain = static_cast<double>(code) / static_cast<double>(kCode);
    series.push_back({frame.time, frame.kind, rain});
    json["series"].push_back({{"time", io::format_time(frame.time)},
                              {"kind", name_of(frame.kind)},
                              {"rain_mm_h", rain ? Json(*rain) : Json(nullptr)}});
  }
  json["row"] = pixel->first;
  json["column"] = pixel->second;
  {
    const std::lock_guard lock(mutex_);
    json["nominal"] = bulletin_.nominal ? Json(io::format_time(*bulletin_.nominal)) : Json(nullptr);
  }
  const bool is_rain = shown.picture->quantity == io::Quantity::rain_rate;
  const auto rain = is_rain ? rain_of(series) : std::nullopt;
  json["rain"] = nullptr;
  if (rain)
    json["rain"] = {{"now", rain->now},
                    {"from", io::format_time(rain->from)},
                    {"heaviest", io::format_time(rain->heaviest)},
                    {"heaviest_mm_h", rain->heaviest_mm_h},
                    {"until", rain->until ? Json(io::format_time(*rain->until)) : Json(nullptr)}};
  json["sentence"] = is_rain ? sentence_of(series) : "";
  return json_response(json);
}

HttpResponse ServiceView::answer(const HttpRequest& request) const {
  for (const PageFile& file : page_files()) {
    if (file.path != request.path) continue;
    HttpResponse response;
    response.type = file.type;
    response.body = std::string(file.bytes);
    return response;
  }
  if (request.path == "/livez" || request.path == "/readyz") {
    const Health now = health();
    const std::string why = request.path == "/readyz" ? now.unready()
                            : now.live()              ? ""
                                                      : "the service does not go round any more";
    HttpResponse response;
    response.status = why.empty() ? 200 : 503;
    response.type = "text/plain; charset=utf-8";
    response.body = (why.empty() ? "ok" : why) + "\n";
    return response;
  }
  std::shared_ptr<const Shown> shown;
  {
    const std::lock_guard lock(mutex_);
    if (request.path == "/metrics") {
      HttpResponse response;
      response.type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = metrics_;
      return response;
    }
    if (request.path == "/api/skill") {
      HttpResponse response;
      response.body = skill_ + "\n";
      return response;
    }
    shown = shown_;
  }
  if (request.path == "/api/latest") return latest();
  const std::string image = "/api/image/";
  const bool of_frames =
      request.path == "/api/map" || request.path == "/api/point" || request.path.rfind(image, 0) == 0;
  if (!of_frames) return problem(404, "there is nothing here; the page is at /");
  if (!shown) return problem(503, "there is no nowcast yet");
  if (request.path == "/api/map") return map(*shown);
  if (request.path == "/api/point") return point(*shown, request);
  for (const Shown::Frame& frame : shown->frames) {
    if (request.path != image + frame.name) continue;
    HttpResponse response;
    response.type = "image/png";
    response.body = frame.png;
    response.lasting = true;
    return response;
  }
  return problem(404, "there is no such image any more");
}

}  // namespace raincell::app
