#include "app/score_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "io/publish.hpp"

namespace raincell::app {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostUnsaved = 20000;  // some 30 MB
constexpr std::size_t kSpareLines = 1000;    // that may be forgotten before the file is written anew
constexpr std::size_t kBlock = 1U << 20;     // bytes copied at a time
constexpr std::size_t kHashDigits = 16;
constexpr const char* kHashKey = ",\"sha256\":\"";

/// JSON has no word for what is not finite.
Json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double number(const std::string& word) {
  if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
  return (word == "-inf" ? -1 : 1) * std::numeric_limits<double>::infinity();
}

constexpr std::pair<const char*, double model::ContinuousSums::*> kSums[] = {
    {"error", &model::ContinuousSums::error},
    {"absolute_error", &model::ContinuousSums::absolute_error},
    {"squared_error", &model::ContinuousSums::squared_error},
    {"forecast", &model::ContinuousSums::forecast},
    {"truth", &model::ContinuousSums::truth},
    {"forecast_squared", &model::ContinuousSums::forecast_squared},
    {"truth_squared", &model::ContinuousSums::truth_squared},
    {"product", &model::ContinuousSums::product}};

constexpr std::int64_t model::ContingencyTable::*kCells[] = {
    &model::ContingencyTable::hits, &model::ContingencyTable::misses, &model::ContingencyTable::false_alarms,
    &model::ContingencyTable::correct_negatives};

std::string hash_of(const std::string& text) {
  return io::sha256(std::as_bytes(std::span(text))).substr(0, kHashDigits);
}

std::string line_of(const CaseLead& at, const ScoredLead& lead, const Provenance& made,
                    const std::vector<double>& thresholds) {
  Json json = {{"case", io::format_time(at.first)},
               {"lead_s", at.second},
               {"issued", lead.issued},
               {"rung", made.rung},
               {"status", made.status},
               {"model_sha256", made.model_sha256},
               {"thresholds_mm_h", thresholds},
               {"scores", Json::array()}};
  for (const auto& [forecaster, score] : lead.scores) {
    Json& one = json["scores"].emplace_back(Json{{"forecaster", forecaster}, {"tables", Json::array()}});
    for (const auto& table : score.tables) {
      Json& cells = one["tables"].emplace_back(Json::array());
      for (const auto cell : kCells) cells.push_back(table.*cell);
    }
    one["pixels"] = score.sums.pixels;
    one["filled_pixels"] = score.filled_pixels;
    for (const auto& [name, sum] : kSums) one[name] = number(score.sums.*sum);
  }
  std::string text = json_text(json);
  const std::string hash = hash_of(text);
  text.pop_back();
  return text + kHashKey + hash + "\"}";
}

/// The line without its hash; empty when it is not whole.
std::string whole(const std::string& line) {
  const std::string key = kHashKey;
  const std::size_t end = key.size() + kHashDigits + 2;
  if (line.size() < end) return {};
  const std::string text = line.substr(0, line.size() - end) + "}";
  return line.substr(line.size() - end) == key + hash_of(text) + "\"}" ? text : std::string();
}

struct Line {
  CaseLead at;
  std::vector<double> thresholds;
  ScoredLead lead;
};

/// Takes the numbers of a line as they come: twice as fast as by a tree, and a month of lines is 170 MB.
class LineReader : public nlohmann::json_sax<Json> {
 public:
  explicit LineReader(Line& line) : line_(line) {}
  bool key(std::string& name) override {
    key_ = name;
    sum_ = nullptr;
    for (const auto& [known, sum] : kSums)
      if (known == key_) sum_ = sum;
    return true;
  }
  bool string(std::string& text) override {
    if (sum_ != nullptr) return put(number(text));
    if (key_ == "case") {
      const auto time = io::parse_time(text);
      if (time) line_.at.first = *time;
      return time.has_value();
    }
    if (key_ == "issued") line_.lead.issued = text;
    if (key_ == "forecaster") line_.lead.scores.push_back({text, {}});
    return true;
  }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool number_unsigned(std::uint64_t value) override { return put(static_cast<std::int64_t>(value)); }
  bool number_integer(std::int64_t value) override { return put(value); }
  bool start_array(std::size_t) override {
    if (key_ == "tables") cell_ = 0;
    return true;
  }
  bool start_object(std::size_t) override { return true; }
  bool end_object() override { return true; }
  bool end_array() override { return true; }
  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool binary(Json::binary_t&) override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool put(double value) {
    if (key_ == "thresholds_mm_h") {
      line_.thresholds.push_back(value);
      return true;
    }
    if (sum_ == nullptr || line_.lead.scores.empty()) return false;
    line_.lead.scores.back().score.sums.*sum_ = value;
    return true;
  }
  bool put(std::int64_t value) {
    if (key_ == "lead_s") {
      line_.at.second = value;
      return true;
    }
    if (line_.lead.scores.empty()) return false;
    model::LeadScore& score = line_.lead.scores.back().score;
    if (key_ == "pixels") score.sums.pixels = value;
    if (key_ == "filled_pixels") score.filled_pixels = value;
    if (key_ != "tables") return true;
    if (cell_ == 0) score.tables.emplace_back();
    if (score.tables.empty() || cell_ >= std::size(kCells)) return false;
    score.tables.back().*kCells[cell_++] = value;
    return true;
  }
  Line& line_;
  std::string key_;
  double model::ContinuousSums::*sum_ = nullptr;
  std::size_t cell_ = 0;
};

/// nullopt for what no ScoreLog wrote.
std::optional<Line> parse(const std::string& text) {
  const std::string body = whole(text);
  Line line;
  LineReader reader(line);
  if (body.empty() || !Json::sax_parse(body, &reader)) return std::nullopt;
  for (const ScoredLead::One& one : line.lead.scores)
    if (one.score.tables.size() != line.thresholds.size()) return std::nullopt;
  return line;
}

/// The time of a line that is whole.
std::optional<io::TimePoint> time_of(const std::string& line) {
  const std::string key = "{\"case\":\"";
  const std::size_t end = line.find('"', key.size());
  if (line.rfind(key, 0) != 0 || end == std::string::npos || whole(line).empty()) return std::nullopt;
  return io::parse_time(line.substr(key.size(), end - key.size()));
}

std::size_t with_spare(std::size_t lines) {
  return lines + lines / 8 + kSpareLines;
}

/// What a process left that was killed while it wrote the file anew.
void remove_temporaries(const fs::path& file) {
  std::vector<fs::path> left;
  std::error_code error;
  for (fs::directory_iterator entry(file.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path name = entry->path().filename();
    if (name.string().rfind("." + file.filename().string() + ".", 0) == 0 && name.extension() == ".tmp")
      left.push_back(entry->path());
  }
  for (const fs::path& path : left) fs::remove(path, error);
}

}  // namespace

const model::LeadScore* ScoredLead::of(const std::string& forecaster) const {
  for (const One& one : scores)
    if (one.forecaster == forecaster) return &one.score;
  return nullptr;
}

ScoreLog::ScoreLog(fs::path file, std::vector<double> thresholds, Log& log)
    : file_(std::move(file)),
      thresholds_(std::move(thresholds)),
      log_(log),
      first_(std::chrono::seconds(std::numeric_limits<std::int64_t>::min() / 4)) {
  load();
}

void ScoreLog::load() {
  most_lines_ = with_spare(0);
  remove_temporaries(file_);
  std::error_code error;
  if (!fs::is_regular_file(file_, error)) return;
  std::ifstream in(file_, std::ios::binary);
  std::size_t unreadable = 0, first_unreadable = 0, other_thresholds = 0;
  for (std::string text; std::getline(in, text);) {
    ++lines_;
    unfinished_ = in.eof();
    if (text.empty()) continue;
    std::optional<Line> line = parse(text);
    if (!line) {
      if (unreadable++ == 0) first_unreadable = lines_;
      continue;
    }
    if (line->thresholds != thresholds_) {
      ++other_thresholds;
      continue;
    }
    ScoredLead& known = scores_[line->at];
    if (known.scores.empty()) known.issued = line->lead.issued;
    for (ScoredLead::One& one : line->lead.scores)
      if (known.of(one.forecaster) == nullptr) known.scores.push_back(std::move(one));
  }
  most_lines_ = with_spare(scores_.size());
  damaged_ = unreadable > 0;
  if (unreadable > 0)
    log_.warning(fmt::format("{}: line {}{} cannot be read, as after a power failure; left out",
                             file_.string(), first_unreadable,
                             unreadable > 1 ? fmt::format(" and {} more", unreadable - 1) : ""));
  if (other_thresholds > 0)
    log_.info(fmt::format("{}: {} lines are scores at other thresholds than those asked for; not used",
                          file_.string(), other_thresholds));
}

void ScoreLog::add(const CaseLead& at, ScoredLead lead, const Provenance& made) {
  unsaved_.push_back(line_of(at, lead, made, thresholds_));
  if (unsaved_.size() > kMostUnsaved) unsaved_.pop_front();
  scores_[at] = std::move(lead);
}

void ScoreLog::save() {
  if (!unsaved_.empty()) {
    io::make_folder(file_.parent_path());
    std::string text = unfinished_ ? "\n" : "";
    for (const std::string& line : unsaved_) text += line + "\n";
    io::append(file_, std::as_bytes(std::span(text)));
    lines_ += unsaved_.size();
    unfinished_ = false;
    unsaved_.clear();
  }
  if (damaged_ || lines_ > most_lines_) compact();
}

void ScoreLog::sync() const {
  io::sync_file(file_);
}

void ScoreLog::compact() {
  const fs::path temporary = io::temporary_beside(file_);
  std::size_t kept = 0;
  try {
    std::ifstream in(file_, std::ios::binary);
    std::string block;
    const auto put = [&] {
      io::append(temporary, std::as_bytes(std::span(block)));
      block.clear();
    };
    for (std::string line; std::getline(in, line);) {
      const auto time = time_of(line);
      if (!time || *time < first_) continue;
      ++kept;
      block += line + "\n";
      if (block.size() >= kBlock) put();
    }
    if (in.bad()) throw io::WriteError(file_.string() + ": cannot read it to write it anew; check the disk");
    put();
    io::publish_file(temporary, file_);
  } catch (const io::WriteError&) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
  lines_ = kept;
  most_lines_ = with_spare(kept);
  damaged_ = unfinished_ = false;
}

void ScoreLog::forget_before(io::TimePoint first) {
  first_ = std::max(first_, first);
  scores_.erase(scores_.begin(), scores_.lower_bound({first_, 0}));
}

}  // namespace raincell::app
