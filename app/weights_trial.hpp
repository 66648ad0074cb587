// New weights beside those in use: loaded, tried on the same frames, and used from then on only if the ledger
// does not find them worse.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/ladder.hpp"
#include "app/ledger.hpp"
#include "app/rolling_model.hpp"
#include "app/watch_config.hpp"
#include "app/worker.hpp"
#include "io/file_stamp.hpp"
#include "io/intake.hpp"

namespace raincell::app {

/// A nowcast that was issued, as the ledger was told of it; the spans point into `made`.
struct IssuedNowcast {
  std::shared_ptr<const LadderResult> made;  // shared with the trial, which needs it when it is done
  IssuedForecast issued;
};

/// The folder keeps a copy of each, by hash, so that nobody can change weights under the service, and
/// state.json, so that a new service goes on where one was killed.
class WeightsTrial {
 public:
  WeightsTrial(const WatchConfig&, Arguments, std::filesystem::path folder, Log&);
  ~WeightsTrial();  // waits for a forecast that is under way
  WeightsTrial(const WeightsTrial&) = delete;
  WeightsTrial& operator=(const WeightsTrial&) = delete;

  /// The weights in use: the configured ones, or what was promoted since. Throws as RollingModel.
  std::shared_ptr<RollingModel> begin();
  /// Other weights are to be tried; what is wrong with them is said, and they are left alone. Those of a
  /// trial under way are given up. `where` they come from, for people.
  void propose(const std::filesystem::path&, const std::string& where, io::TimePoint now);
  /// Weights that are known not to be worse, and why: used as soon as they are loaded.
  void promote(const std::filesystem::path&, const std::string& where, const std::string& reason,
               io::TimePoint now);
  /// The copy of the weights in use; empty without a network.
  std::filesystem::path in_use() const {
    return in_use_.empty() ? std::filesystem::path() : file_of(in_use_);
  }
  /// A nowcast was issued: the candidate forecasts the same, without anybody waiting for it.
  void follow(IssuedNowcast);
  /// Between cycles: sees whether the configured file has changed, takes what the candidate has forecast to
  /// the ledger, and judges it. Returns the model to use from now on, when that changes.
  std::shared_ptr<RollingModel> round(io::Moment, Ledger*);

  /// What was decided last, and what is being tried: for people, JSON and metrics.
  nlohmann::ordered_json json() const;
  /// How long a forecast of the candidate has been under way; 0: there is none.
  std::chrono::seconds overdue() const { return worker_.at_work(); }
  std::int64_t promoted() const { return promoted_; }
  std::int64_t rejected() const { return rejected_; }

 private:
  struct Candidate;
  void begin_trial(const std::string& hash, const std::string& where, io::TimePoint since);
  void look(io::Moment);
  void load();
  void decide(const std::string& what, bool promote);
  bool remember();  // false: it could not be written
  void remove_others() const;
  std::filesystem::path file_of(const std::string& hash) const { return folder_ / (hash + ".safetensors"); }
  std::string keep(const std::filesystem::path&) const;
  bool is_whole(const std::string& hash) const;

  const WatchConfig& config_;
  Arguments arguments_;
  std::filesystem::path folder_, configured_;
  Log& log_;
  std::string in_use_, configured_hash_, last_decision_;
  std::optional<io::FileStamp> seen_, settled_;
  std::chrono::milliseconds looked_{-1000000};
  std::unique_ptr<Candidate> candidate_;
  struct Proposal {
    std::filesystem::path path;
    std::string where, proven;
  };
  std::optional<Proposal> proposed_;  // while the worker is busy
  std::shared_ptr<RollingModel> promoted_model_;
  std::int64_t promoted_ = 0, rejected_ = 0;
  Worker worker_;  // last: its job uses the candidate
};

}  // namespace raincell::app
