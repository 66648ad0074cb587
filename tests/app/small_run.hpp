// A small run of the program: simulated frames, an archive and a configuration.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/app/program.hpp"

namespace raincell::test {

inline const char* const kSmallConfig =
    "data: {archive: archive.nc, past: 3, future: 3, crop: 32x32, validation: 0.3, validation_blocks: 3}\n"
    "model:\n"
    "  stages:\n"
    "    - down: {channels: 4, kernel: 3, stride: 2, padding: 1}\n"
    "      hidden: 6\n"
    "      up: {channels: 4, kernel: 4, stride: 2, padding: 1}\n"
    "  feed: advection\n"
    "training: {batch: 2, steps: 6, validate_every: 3, checkpoint_every: 2}\n";

inline void expect_ok(const Outcome& outcome) {
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
}

/// In the folder: radar/, archive.nc of 29 frames of 40x36 pixels every 5 minutes, small.yaml.
inline void make_archive(const Folder& folder, const std::string& format) {
  expect_ok(run_raincell(folder.path(), {"simulate", "--output", "radar", "--frames", "30", "--size", "40x36",
                                         "--gaps", "12", "--seed", "3", "--format", format}));
  expect_ok(run_raincell(folder.path(), {"pack", "radar", "--output", "archive.nc"}));
  write_text(folder / "small.yaml", kSmallConfig);
}

}  // namespace raincell::test
