// The output folder of the rolling service: products and pictures, latest.json, and what of them is kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/folder_lock.hpp"
#include "app/ladder.hpp"
#include "app/watch_config.hpp"
#include "io/reader.hpp"

namespace raincell::app {

/// ok: the first rung from a whole history. degraded: any other nowcast. withheld: none for this cycle.
/// stale: none that is still valid.
enum class Status : std::uint8_t { ok, degraded, withheld, stale };
const char* name_of(Status);  // "OK", ...

/// What latest.json says. Times that are not there are null in it.
struct Bulletin {
  Status status = Status::stale;
  std::string reason;  // empty when all is well
  std::optional<io::TimePoint> nominal, created, valid_until;
  std::int64_t input_age_s = -1;  // from the newest frame to `created`; -1: there is no frame
  std::string forecaster;         // empty: none
  std::string rung = "withheld";
  std::vector<io::TimePoint> frames_used;
  std::int64_t frames_filled = 0;
  std::string model, model_sha256;
  std::string product, sha256;  // path below the folder; empty: none
  std::int64_t revision = 0;

  nlohmann::ordered_json json() const;
  /// Throws io::DataError.
  static Bulletin parse(const std::string& text);
};

class Publication {
 public:
  /// Creates and locks the folder, and removes what a killed service left half-done. Throws UsageError when
  /// another one is at work there, io::WriteError.
  Publication(const WatchConfig&, Log&);

  /// What was announced last, of a service before this one as well.
  const std::optional<Bulletin>& latest() const { return latest_; }
  /// The slot of the newest product that was announced.
  std::optional<io::TimePoint> newest_product() const { return newest_product_; }

  /// Writes the product, reads it back through the reader and compares. `bulletin` gets product, hash, status
  /// and so on; it is not announced yet. Throws io::WriteError; nothing is there then.
  void write(io::Product&, const model::ForecastFrames&, Bulletin&);
  /// Maps and the animation of a product that was written. Throws io::WriteError.
  void draw(const io::Product&, const LadderResult&, const Bulletin&);
  /// latest.json. Throws io::WriteError.
  void announce(const Bulletin&);
  /// Removes products and pictures that are too old or too many, of our own names alone. Returns how many
  /// products went. Never the one that is announced.
  std::int64_t prune(io::TimePoint now, Log&);
  /// Throws ResourceError when the folder is no longer the one that was locked.
  void require_own() const;
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

 private:
  struct Kept {
    std::filesystem::path product, maps;
    io::TimePoint nominal;
    std::uintmax_t bytes = 0;
  };
  std::vector<Kept> products() const;
  void compare(const std::filesystem::path&, const io::Product&, const model::ForecastFrames&,
               const std::string& target);
  std::filesystem::path folder_;
  WatchConfig::Publish spec_;
  std::optional<FolderLock> lock_;
  std::optional<Bulletin> latest_;
  std::optional<io::TimePoint> newest_product_;
  io::FrameReader reader_;
  std::map<std::filesystem::path, std::uintmax_t> bytes_;  // of products with their pictures
};

}  // namespace raincell::app
