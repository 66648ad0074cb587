#include "app/weights_trial.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/errors.hpp"
#include "app/json_fields.hpp"
#include "io/publish.hpp"
#include "model/safetensors.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
namespace fs = std::filesystem;

constexpr int kNiceness = 15;
constexpr milliseconds kLookEvery{5000};
constexpr std::chrono::hours kLongestTrial{24 * 7};  // without rain nothing is known
constexpr int kTries = 5;                            // where it is the machine that fails
constexpr std::size_t kHash = 64;

std::string short_hash(const std::string& hash) {
  return hash.substr(0, 12);
}

}  // namespace

struct WeightsTrial::Candidate {
  std::string hash, where, name;  // name: in the ledger
  std::string proven;             // why it needs no trial; empty: it does
  io::TimePoint since;
  std::shared_ptr<RollingModel> model;  // once it is loaded
  // Of the worker's job, to be looked at when it is idle:
  std::optional<IssuedNowcast> nowcast;
  std::optional<model::ForecastFrames> forecast;
  std::string failure;
  bool final_failure = false;  // of the weights themselves, not of the machine
  std::int64_t judged = -1;    // when so many leads were scored
  int failures = 0;
};

WeightsTrial::WeightsTrial(const WatchConfig& config, Arguments arguments, fs::path folder, Log& log)
    : config_(config),
      arguments_(std::move(arguments)),
      folder_(std::move(folder)),
      log_(log),
      worker_(kNiceness) {}

WeightsTrial::~WeightsTrial() = default;

/// Copies a file into the folder, under its hash.
std::string WeightsTrial::keep(const fs::path& path) const {
  const std::string bytes = io::read_file(path);
  const std::string hash = io::sha256(std::as_bytes(std::span(bytes)));
  if (!is_whole(hash)) io::publish(file_of(hash), bytes);
  return hash;
}

void WeightsTrial::begin_trial(const std::string& hash, const std::string& where, io::TimePoint since) {
  candidate_ = std::make_unique<Candidate>();
  candidate_->hash = hash;
  candidate_->where = where;
  candidate_->name = "candidate-" + short_hash(hash);
  candidate_->since = since;
  log_.info(fmt::format("weights of {} ({}) are tried beside {}, which is in use", where, short_hash(hash),
                        short_hash(in_use_)));
}

/// Whether the copy of that name is there and is what its name says.
bool WeightsTrial::is_whole(const std::string& hash) const {
  std::error_code none;
  if (hash.size() != kHash || !fs::exists(file_of(hash), none)) return false;
  const std::string bytes = io::read_file(file_of(hash));
  return io::sha256(std::as_bytes(std::span(bytes))) == hash;
}

std::shared_ptr<RollingModel> WeightsTrial::begin() {
  const bool network = config_.forecaster == "convlstm" || config_.forecaster == "blend";
  if (!network) return std::make_shared<RollingModel>(config_, arguments_, log_);
  configured_ = config_.model.empty() ? default_weights("watch") : fs::path(config_.model);
  (void)read_weights_info(configured_);  // what is wrong with it is said under its own name
  io::make_folder(folder_);
  seen_ = settled_ = io::stamp_behind(configured_);
  configured_hash_ = keep(configured_);
  in_use_ = configured_hash_;
  io::TimePoint since{};
  std::string tried, where;
  std::error_code none;
  if (fs::exists(folder_ / "state.json", none)) {
    const Json state = Json::parse(io::read_file(folder_ / "state.json", 1 << 20), nullptr, false);
    const auto text = [&](const char* key) { return text_in(state, key); };
    const std::string before = text("in_use");
    if (is_whole(before)) {
      in_use_ = before;
    } else if (!before.empty() && before != configured_hash_) {
      log_.warning(fmt::format(
          "{}: the weights that were in use ({}) are gone or changed; the configured ones are used",
          folder_.string(), short_hash(before)));
    }
    if (text("configured") != configured_hash_ && in_use_ != configured_hash_) {
      tried = configured_hash_;
      where = configured_.string();
    } else if (is_whole(text("candidate"))) {
      tried = text("candidate");
      where = text("candidate_from");
      since = time_in(state, "candidate_since").value_or(io::TimePoint{});
    }
    last_decision_ = text("last_decision");
  }
  std::shared_ptr<RollingModel> loaded;
  try {
    loaded =
        std::make_shared<RollingModel>(config_, arguments_.with("model", file_of(in_use_).string()), log_);
  } catch (const model::WeightsError& error) {
    if (in_use_ == configured_hash_) throw;
    log_.warning(fmt::format("{}; the configured weights are used", error.what()));
    in_use_ = configured_hash_;
    loaded =
        std::make_shared<RollingModel>(config_, arguments_.with("model", file_of(in_use_).string()), log_);
    tried.clear();
  }
  if (!tried.empty() && tried != in_use_) {
    begin_trial(tried, where, since);
  } else if (in_use_ != configured_hash_) {
    log_.info(fmt::format("using weights {}, which were promoted; remove {} to begin with {} again",
                          short_hash(in_use_), folder_.string(), configured_.string()));
  }
  if (remember()) remove_others();
  return loaded;
}

bool WeightsTrial::remember() {
  const Json state = {
      {"in_use", in_use_},
      {"configured", configured_hash_},
      {"candidate", candidate_ ? Json(candidate_->hash) : Json(nullptr)},
      {"candidate_from", candidate_ ? Json(candidate_->where) : Json(nullptr)},
      {"candidate_since", candidate_ ? Json(io::format_time(candidate_->since)) : Json(nullptr)},
      {"last_decision", last_decision_}};
  try {
    io::publish(folder_ / "state.json", json_text(state, 1) + "\n");
    return true;
  } catch (const io::WriteError& error) {
    log_.warning(fmt::format("{}; after a restart the trial of weights begins anew", error.what()));
    return false;
  }
}

/// Copies that are of no use any more: of our names alone.
void WeightsTrial::remove_others() const {
  std::error_code none;
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(folder_, none)) {
    const std::string stem = entry.path().stem().string();
    const bool ours = stem.size() == kHash && entry.path().extension() == ".safetensors" &&
                      stem.find_first_not_of("0123456789abcdef") == std::string::npos;
    const bool needed =
        stem == in_use_ || stem == configured_hash_ || (candidate_ && stem == candidate_->hash);
    if (ours && !needed) old.push_back(entry.path());
  }
  for (const fs::path& file : old) fs::remove(file, none);
}

void WeightsTrial::propose(const fs::path& path, const std::string& where, io::TimePoint now) {
  if (in_use_.empty()) return;
  if (!worker_.idle()) {
    proposed_ = {path, where, ""};
    return;
  }
  std::string hash;
  try {
    hash = keep(path);
  } catch (const io::DataError& error) {
    log_.warning(fmt::format("{}; the weights in use are kept", error.what()));
    return;
  } catch (const io::WriteError& error) {
    log_.warning(fmt::format("{}; the weights in use are kept", error.what()));
    return;
  }
  if (hash == in_use_ || (candidate_ && hash == candidate_->hash)) return;
  begin_trial(hash, where, now);
  if (remember()) remove_others();
}

void WeightsTrial::promote(const fs::path& path, const std::string& where, const std::string& reason,
                           io::TimePoint now) {
  if (!worker_.idle()) {
    proposed_ = {path, where, reason};
    return;
  }
  propose(path, where, now);
  if (!candidate_ || candidate_->where != where) return;  // refused, or in use already
  candidate_->proven = reason;
  load();
}

/// In the worker, so that no cycle waits for it.
void WeightsTrial::load() {
  worker_.start([this, &candidate = *candidate_] {
    try {
      candidate.model = std::make_shared<RollingModel>(
          config_, arguments_.with("model", file_of(candidate.hash).string()), log_);
    } catch (const std::exception& error) {
      candidate.failure = error.what();
      candidate.final_failure = true;
    }
  });
}

void WeightsTrial::look(io::Moment now) {
  if (in_use_.empty() || now.steady - looked_ < kLookEvery) return;
  looked_ = now.steady;
  const auto stamp = io::stamp_behind(configured_);
  const bool settled = stamp && stamp == seen_;
  seen_ = stamp;
  if (!settled || stamp == settled_) return;
  settled_ = stamp;
  const std::string before = configured_hash_;
  try {
    configured_hash_ = keep(configured_);
  } catch (const std::runtime_error& error) {
    log_.warning(fmt::format("{}; the weights in use are kept", error.what()));
    return;
  }
  if (configured_hash_ != before) propose(configured_, configured_.string(), now.wall);
}

void WeightsTrial::follow(IssuedNowcast nowcast) {
  if (!candidate_ || !worker_.idle() || candidate_->nowcast || !candidate_->failure.empty()) return;
  if (!candidate_->proven.empty()) return;
  Candidate& candidate = *candidate_;
  if (nowcast.made->input->frames < nowcast.made->origin.filled + 2) return;
  candidate.nowcast = std::move(nowcast);
  candidate.forecast.reset();
  worker_.start([this, &candidate] {
    try {
      if (!candidate.model)
        candidate.model = std::make_shared<RollingModel>(
            config_, arguments_.with("model", file_of(candidate.hash).string()), log_);
      candidate.forecast =
          candidate.model->forecast(*candidate.nowcast->made->input, candidate.nowcast->issued.leads);
    } catch (const model::WeightsError& error) {
      candidate.failure = error.what();
      candidate.final_failure = true;
    } catch (const model::NonFiniteForecast& error) {
      candidate.failure = error.what();
      candidate.final_failure = true;
    } catch (const std::exception& error) {
      candidate.failure = error.what();
    }
  });
}

void WeightsTrial::decide(const std::string& what, bool promote) {
  const std::string hash = candidate_->hash;
  last_decision_ = fmt::format("weights of {} ({}) {}: {}", candidate_->where, short_hash(hash),
                               promote ? "are in use from now on" : "are left alone", what);
  if (promote) {
    promoted_model_ = candidate_->model;
    in_use_ = hash;
    ++promoted_;
    log_.info(last_decision_);
  } else {
    ++rejected_;
    log_.warning(last_decision_ + "; those in use are kept");
  }
  candidate_.reset();
  if (remember()) remove_others();
}

std::shared_ptr<RollingModel> WeightsTrial::round(io::Moment now, Ledger* ledger) {
  look(now);
  if (!worker_.idle()) return nullptr;
  if (proposed_) {
    const Proposal proposal = *std::exchange(proposed_, std::nullopt);
    if (proposal.proven.empty()) {
      propose(proposal.path, proposal.where, now.wall);
    } else {
      promote(proposal.path, proposal.where, proposal.proven, now.wall);
    }
  }
  if (!candidate_) return nullptr;
  Candidate& candidate = *candidate_;
  if (candidate.since == io::TimePoint{}) candidate.since = now.wall;
  if (!candidate.failure.empty()) {
    const std::string what = std::exchange(candidate.failure, "");
    if (candidate.final_failure || ++candidate.failures >= kTries) {
      decide(what, false);
      return nullptr;
    }
    candidate.nowcast.reset();
    candidate.model.reset();
  }
  if (!candidate.proven.empty()) {
    if (!candidate.model) return nullptr;
    decide(std::string(candidate.proven), true);
    return std::exchange(promoted_model_, nullptr);
  }
  if (ledger == nullptr) return nullptr;
  if (candidate.nowcast && candidate.forecast) {
    IssuedForecast both = candidate.nowcast->issued;
    if (candidate.forecast->values.size() == both.forecasts.front().values.size()) {
      both.forecasts.push_back({candidate.name, candidate.forecast->values});
      ledger->expect(both);
    } else {
      candidate.failure = "it forecasts another number of leads";
      candidate.final_failure = true;
    }
    candidate.nowcast.reset();
    candidate.forecast.reset();
  }
  const bool too_long = now.wall - candidate.since >= kLongestTrial;
  const std::int64_t scored = ledger->counts().scored_leads;
  if (scored == candidate.judged && !too_long) return nullptr;
  candidate.judged = scored;
  const Comparison comparison = ledger->comparison(candidate.name, config_.forecaster, candidate.since);
  if (comparison.cases < config_.weights.min_cases && !too_long) return nullptr;
  const Verdict verdict = not_worse(comparison, config_.weights.min_cases);
  if (!verdict.known && !too_long) return nullptr;
  decide(verdict.reason, verdict.not_worse);
  return std::exchange(promoted_model_, nullptr);
}

Json WeightsTrial::json() const {
  return {{"in_use", in_use_.empty() ? Json(nullptr) : Json(in_use_)},
          {"candidate", candidate_ ? Json(candidate_->hash) : Json(nullptr)},
          {"candidate_from", candidate_ ? Json(candidate_->where) : Json(nullptr)},
          {"last_decision", last_decision_.empty() ? Json(nullptr) : Json(last_decision_)}};
}

}  // namespace raincell::app
