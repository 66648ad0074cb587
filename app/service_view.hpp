// The service as the page and the API show it: filled by the service after each cycle, read by the server.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "app/http.hpp"
#include "app/point_forecast.hpp"
#include "app/publication.hpp"
#include "app/service_clock.hpp"
#include "io/overlay.hpp"

namespace raincell::app {

/// What health depends on.
struct Health {
  std::chrono::seconds since_round{0};  // the loop was last seen, real time
  std::chrono::seconds step{300};
  bool model_ready = false, output_writable = false, product_valid = false;

  bool live() const { return since_round < 3 * step; }
  /// Why it is not ready; empty when it is.
  std::string unready() const;
};

/// A frame for the map. Values are valid until show() returns.
struct ViewFrame {
  io::TimePoint time;
  FrameKind kind = FrameKind::observed;
  std::int64_t lead_minutes = 0;
  std::span<const float> values;  // [rows, columns]
};

class ServiceView {
 public:
  explicit ServiceView(const ServiceClock&);
  ~ServiceView();

  // By the service's thread.
  void beat(bool model_ready, bool output_writable, std::chrono::seconds step);
  void announce(const Bulletin&, io::TimePoint valid_until);
  /// Frames by time, all of one grid.
  void show(const io::Grid&, io::Quantity, std::chrono::seconds step, const std::vector<ViewFrame>&);
  /// What is shown is of no use any more, and there is nothing else.
  void hide();
  void write(std::string metrics, std::string skill);

  /// By the server's thread.
  HttpResponse answer(const HttpRequest&) const;
  Health health() const;

 private:
  struct Shown;
  struct Picture;
  HttpResponse latest() const;
  HttpResponse map(const Shown&) const;
  HttpResponse point(const Shown&, const HttpRequest&) const;

  const ServiceClock& clock_;
  std::shared_ptr<Picture> picture_;  // of a grid: shared with what was shown, which outlives a change of it
  mutable std::mutex mutex_;          // of what follows
  std::shared_ptr<const Shown> shown_;  // shared: an answer may be made from it while the next one comes
  Bulletin bulletin_;
  io::TimePoint valid_until_;
  std::string metrics_, skill_ = "{}";
  Health health_;
  std::chrono::steady_clock::time_point round_;
};

}  // namespace raincell::app
