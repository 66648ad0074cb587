// The configuration of the rolling service: its own table of keys, beside what it shares with a training's.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/config_fields.hpp"

namespace raincell::app {

struct WatchConfig {
  Config shared;  // source, advection, precision
  std::string input, output;
  std::string model;  // empty: the shipped weights
  std::string forecaster = "convlstm";
  std::int64_t horizon_s = 0;  // 0: as the model was trained
  struct Intake {
    std::int64_t settle_s = 2, ahead_s = 60, oldest_s = 7200, tries = 5;
  } intake;
  struct Cycle {
    std::int64_t step_s = 0;  // 0: that of the frames
    std::int64_t max_wait_s = 150, max_age_s = 600, budget_s = 60, max_gap = 1;
  } cycle;
  struct Publish {
    bool pictures = true, revise = false;
    std::vector<double> accumulations_min = {60.};
    std::int64_t keep_s = 7 * 86400, keep_products = 10000;
    double keep_gib = 50.;
  } publish;
  struct Scores {
    std::vector<double> thresholds_mm_h = {0.1, 0.5, 1., 2., 5., 10., 30.};
    std::int64_t hours = 24, days = 30;
  } ledger;
  struct Weights {
    std::int64_t min_cases = 24;
  } weights;
  struct Schedule {
    std::string config;                            // of the training; empty: no schedule
    std::vector<std::int64_t> at_minutes = {180};  // of the day, UTC
    std::string archive;                           // empty: in the output folder
    std::int64_t steps = 1000;
    double learning_rate = 1e-4;
    std::int64_t holdout_s = 86400, history_s = 30 * 86400, longest_s = 6 * 3600;
    std::int64_t threads = 0;  // 0: half of the cores
    std::int64_t niceness = 15;
    std::int64_t memory_bytes = 0;  // 0: what is free
    std::string backend = "cpu";
  } schedule;
  struct Http {
    std::string address = "127.0.0.1";
    std::int64_t port = 0;  // 0: no listener
  } http;
};

/// Reads the file and applies `settings` ("key=value") on top. Throws ConfigError with everything that is
/// wrong.
WatchConfig load_watch_config(const std::filesystem::path&, const std::vector<std::string>& settings);
/// The same from text; `file` is for messages.
WatchConfig parse_watch_config(const std::string& text, const std::string& file,
                               const std::vector<std::string>& settings);
/// Every key with its value, as YAML that load_watch_config reads back.
std::string resolved_text(const WatchConfig&);
/// Rows of configs/README.md.
std::vector<KeyRow> watch_key_rows();

}  // namespace raincell::app
