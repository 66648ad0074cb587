// Archives, split and batch sources of a training: the part of the flow left of the network.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/ranks.hpp"
#include "app/weights.hpp"
#include "io/batch_source.hpp"

namespace raincell::app {

struct TrainingData {
  std::vector<io::Archive> archives;
  std::vector<io::Window> train_windows, validation_windows;
  std::int64_t rows = 0, columns = 0;                  // of the crops
  Steps steps;                                         // of the archives
  std::string hash;                                    // of all archives
  std::unique_ptr<io::BatchSource> train, validation;  // validation may be null
};

/// Frames [first, first + count) of a window, physical units, [count, crop.rows, crop.columns].
std::vector<float> read_frames(const io::Archive&, const io::Window&, std::int64_t first, std::int64_t count,
                               const io::Crop&);
/// What data.archive names, patterns (sevir/*.nc) written out.
std::vector<std::filesystem::path> archive_paths(const Config&);
/// Opens the archives, cuts and splits windows, and fills in the transform's quantity. Throws DataError, or
/// ConfigError when the config and the archives do not fit.
TrainingData open_training_data(Config&);
/// Makes the sources of batches, or of a share of each, whose guides may take so many bytes.
void start_batches(const Config&, TrainingData&, const Share&, std::int64_t guide_cache_bytes);

}  // namespace raincell::app
