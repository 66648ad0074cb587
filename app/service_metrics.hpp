// What the rolling service counts, for Prometheus.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "app/exposition.hpp"
#include "app/publication.hpp"
#include "io/intake.hpp"

namespace raincell::app {

/// Parts of a cycle that are timed.
enum class Stage : std::uint8_t { read, prepare, model, publish, pictures, ledger, whole };
constexpr std::size_t kStages = 7;
const char* name_of(Stage);

struct StageTimes {
  std::vector<std::int64_t> counts;  // by duration, as Exposition::histogram has them
  double sum = 0., last = 0.;
  void add(double seconds);
};

struct ServiceMetrics {
  std::map<io::Verdict, std::int64_t> files;
  std::map<Status, std::int64_t> cycles;
  std::int64_t failed = 0, missed = 0;  // cycles
  std::map<std::string, std::int64_t> rungs;
  std::int64_t filled = 0, late_models = 0, raised_values = 0, lowered_values = 0, revisions = 0, pruned = 0,
               list_failures = 0;
  std::array<StageTimes, kStages> stages;
  std::int64_t newest_frame = 0, last_arrival = 0, last_product = 0,
               last_nominal = 0;  // Unix seconds; 0: none
  std::int64_t product_bytes = 0, waiting = 0;
  double forecast_max = 0., wet_fraction = 0.;  // of the newest nowcast
  std::string model, model_sha256;
  std::int64_t model_loaded = 0;
  bool live = true, ready = false;

  /// By their end: {"OK": 70, ..., "failed": 0, "missed": 1}.
  nlohmann::ordered_json cycles_json() const;
  /// The text of metrics.prom.
  void write(Exposition&) const;
};

}  // namespace raincell::app
