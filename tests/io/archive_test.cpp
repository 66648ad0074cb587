#include "io/archive.hpp"

#include <gtest/gtest.h>
#include <hdf5.h>
#include <netcdf.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "io/cf_out.hpp"
#include "io/reader.hpp"
#include "tests/io/archive_support.hpp"
#include "tests/io/refusal.hpp"
#include "tests/io/temporary_folder.hpp"

namespace raincell::io {
namespace {

std::size_t files_in(const std::filesystem::path& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

class ArchiveKinds : public testing::TestWithParam<bool> {};

TEST_P(ArchiveKinds, GivesBackWhatWasPackedAndWhatNetcdfReads) {
  const TemporaryFolder folder;
  ArchiveOptions options;
  options.compress = GetParam();
  const auto path = pack_simulation(folder.path() / "a.nc", rain(), options);
  const Archive archive = Archive::open(path);
  ASSERT_EQ(archive.frames(), 6);
  EXPECT_EQ(archive.step_s(), 300);
  Grid grid = simulate_frame(rain(), 0).grid;
  grid.projection = clean_projection(grid.projection);
  EXPECT_EQ(archive.grid(), grid);
  int file = -1, variable = -1;
  ASSERT_EQ(nc_open(path.c_str(), NC_NOWRITE, &file), NC_NOERR);
  ASSERT_EQ(nc_inq_varid(file, "precip_intensity", &variable), NC_NOERR);
  double scale = 0.;
  ASSERT_EQ(nc_get_att_double(file, variable, "scale_factor", &scale), NC_NOERR);
  for (std::int64_t i = 0; i < archive.frames(); ++i) {
    const Frame frame = simulate_frame(rain(), i);
    EXPECT_EQ(archive.time(i), frame.valid_time);
    EXPECT_EQ(archive.source(i), "frame" + std::to_string(i));
    const std::vector<float> values = whole(archive, i);
    const std::size_t start[3] = {static_cast<std::size_t>(i), 0, 0}, count[3] = {1, 50, 70};
    std::vector<std::int16_t> codes(values.size());
    ASSERT_EQ(nc_get_vara_short(file, variable, start, count, codes.data()), NC_NOERR);
    for (std::size_t k = 0; k < values.size(); ++k) {
      EXPECT_TRUE(same(values[k], frame.values[k]));
      EXPECT_TRUE(same(values[k], codes[k] == -32768 ? kMissing : static_cast<float>(codes[k] * scale)));
    }
  }
  nc_close(file);
}

TEST_P(ArchiveKinds, CropsAreCutOutOfTheFrame) {
  const TemporaryFolder folder;
  ArchiveOptions options;
  options.compress = GetParam();
  const Archive archive = Archive::open(pack_simulation(folder.path() / "a.nc", rain(2), options));
  const Crop crop{7, 11, 20, 30};
  std::vector<float> values(600);
  archive.read(1, crop, values);
  const std::vector<float> all = whole(archive, 1);
  for (std::int64_t r = 0; r < 20; ++r) {
    for (std::int64_t c = 0; c < 30; ++c) {
      EXPECT_TRUE(same(values[static_cast<std::size_t>(r * 30 + c)],
                       all[static_cast<std::size_t>((r + 7) * 70 + c + 11)]));
    }
  }
  EXPECT_THROW(archive.read(1, {40, 0, 20, 30}, values), DataError);
  EXPECT_THROW(archive.read(2, crop, values), DataError);
  EXPECT_THROW(archive.read(-1, crop, values), DataError);
}

TEST_P(ArchiveKinds, ManyThreadsReadTheSame) {
  const TemporaryFolder folder;
  ArchiveOptions options;
  options.compress = GetParam();
  const Archive archive = Archive::open(pack_simulation(folder.path() / "a.nc", rain(4), options));
  std::vector<std::vector<float>> expected;
  for (std::int64_t i = 0; i < 4; ++i) expected.push_back(whole(archive, i));
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::int64_t n = 0; n < 40; ++n) {
        const std::int64_t frame = (n * 7 + static_cast<std::int64_t>(t)) % 4;
        const std::vector<float> values = whole(archive, frame);
        for (std::size_t k = 0; k < values.size(); ++k) {
          if (!same(values[k], expected[static_cast<std::size_t>(frame)][k])) ++wrong[t];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::vector<int>{0, 0, 0, 0}));
}

/// Whatever the texts before them take: an archive whose frames lie at odd places would be copied, not
/// mapped.
TEST(Archive, UncompressedFramesAreMappedWhereverTheyLie) {
  const TemporaryFolder folder;
  for (std::size_t length = 1; length < 8; ++length) {
    ArchiveWriter writer(folder.path() / ("a" + std::to_string(length) + ".nc"), {});
    for (std::int64_t step = 0; step < 3; ++step)
      writer.add(flat_frame(step, 1.F, 31, 33), std::string(length, 'x') + std::to_string(step));
    writer.finish();
    const auto part = ArchivePart::open(folder.path() / ("a" + std::to_string(length) + ".nc"));
    for (std::size_t frame = 0; frame < 3; ++frame) EXPECT_FALSE(part->mapped(frame).empty()) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(PlainAndCompressed, ArchiveKinds, testing::Bool());

TEST(Archive, ReflectivityAndIntensityKeepTheirSteps) {
  const TemporaryFolder folder;
  Frame frame = flat_frame(0, 0.F);
  frame.quantity = Quantity::reflectivity;
  frame.values[0] = -31.5F;
  frame.values[1] = 78.F;
  frame.values[2] = kMissing;
  {
    ArchiveWriter writer(folder.path() / "z.nc", {});
    writer.add(frame, "z");
    writer.finish();
  }
  const Archive reflectivity = Archive::open(folder.path() / "z.nc");
  EXPECT_EQ(reflectivity.quantity(), Quantity::reflectivity);
  const std::vector<float> dbz = whole(reflectivity, 0);
  EXPECT_EQ(dbz[0], -31.5F);
  EXPECT_EQ(dbz[1], 78.F);
  EXPECT_TRUE(std::isnan(dbz[2]));
  frame.quantity = Quantity::intensity;
  for (std::size_t k = 0; k < 256; ++k) frame.values[k] = static_cast<float>(static_cast<double>(k) / 255.);
  {
    ArchiveWriter writer(folder.path() / "i.nc", {});
    writer.add(frame, "i");
    writer.finish();
  }
  const std::vector<float> grey = whole(Archive::open(folder.path() / "i.nc"), 0);
  for (std::size_t k = 0; k < 256; ++k) EXPECT_FLOAT_EQ(grey[k], static_cast<float>(k) / 255.F);
}

TEST(Archive, ReportNamesWhatIsWrong) {
  const TemporaryFolder folder;
  ArchiveWriter writer(folder.path() / "a.nc", {});
  EXPECT_TRUE(writer.add(flat_frame(0, 1.F), "f0"));
  EXPECT_TRUE(writer.add(flat_frame(1, 2.F), "f1"));
  EXPECT_FALSE(writer.add(flat_frame(1, 3.F), "f1 again"));
  EXPECT_FALSE(writer.add(flat_frame(0, 3.F), "late"));
  EXPECT_TRUE(writer.add(flat_frame(2, 2.F), "stuck"));
  EXPECT_TRUE(writer.add(flat_frame(6, kMissing), "empty"));
  EXPECT_FALSE(writer.add(flat_frame(7, 1.F, 16, 32), "foreign"));
  EXPECT_TRUE(writer.add(flat_frame(8, 400.F), "too much"));
  Frame other_unit = flat_frame(9, 0.F);
  other_unit.source.unit = "inch";
  EXPECT_TRUE(writer.add(other_unit, "inches"));
  const PackReport report = writer.finish();
  EXPECT_EQ(report.frames, 6);
  EXPECT_EQ(report.step_s, 300);
  ASSERT_EQ(report.duplicates.size(), 1U);
  EXPECT_EQ(report.duplicates[0].source, "f1 again");
  ASSERT_EQ(report.out_of_order.size(), 1U);
  ASSERT_EQ(report.stuck.size(), 1U);
  EXPECT_EQ(report.stuck[0].source, "stuck");
  ASSERT_EQ(report.all_missing.size(), 1U);
  ASSERT_EQ(report.changes.size(), 1U);
  EXPECT_EQ(report.changes[0].source, "foreign");
  ASSERT_EQ(report.unit_changes.size(), 1U);
  ASSERT_EQ(report.gaps.size(), 2U);
  EXPECT_EQ(report.gaps[0].missing, 3);
  EXPECT_EQ(report.clipped, 16 * 24);
  // Five covered frames of 1, 2, 2, 327.67 and 0 mm/h.
  EXPECT_NEAR(report.mean, (1. + 2. + 2. + 327.67) / 5., 1e-9);
  EXPECT_NEAR(report.wet_fraction, 0.8, 1e-12);
  EXPECT_NEAR(report.covered_fraction, 5. / 6., 1e-12);
  EXPECT_NEAR(report.p99, 327.67, 1e-9);
  EXPECT_EQ(report.hours[0].frames, 6);
}

TEST(Archive, ReportNamesChangesOfCodingStepsAndOverlaps) {
  const TemporaryFolder folder;
  ArchiveWriter writer(folder.path() / "a.nc", {});
  for (std::int64_t step = 0; step < 20; ++step) {
    Frame frame = flat_frame(step, 1.F + static_cast<float>(step));
    frame.source.coding = step == 7 ? "gain 0.1" : "gain 0.01";
    writer.add(frame, "five minutes");
  }
  for (std::int64_t step = 21; step < 60; step += 2) {  // every ten minutes from 100 min on
    Frame frame = flat_frame(step, 2.F + static_cast<float>(step));
    frame.source.coding = "gain 0.01";
    if (step == 51) frame.valid_time += std::chrono::seconds{100};
    if (step == 41) {
      frame.accumulation = true;
      frame.window_s = 3600;
    }
    writer.add(frame, "ten minutes");
  }
  const PackReport report = writer.finish();
  ASSERT_EQ(report.coding_changes.size(), 2U);  // there and back
  EXPECT_EQ(report.coding_changes[0].reason, "gain 0.1 instead of gain 0.01");
  ASSERT_EQ(report.steps.size(), 2U);
  EXPECT_EQ(report.steps[0].step_s, 300);
  EXPECT_EQ(report.steps[1].step_s, 600);
  ASSERT_EQ(report.jitter.size(), 1U);
  EXPECT_EQ(report.jitter[0].reason, "100 s off steps of 600 s");
  ASSERT_EQ(report.overlapping.size(), 1U);
  EXPECT_NE(report.overlapping[0].reason.find("an amount over 3600 s, 600 s after"), std::string::npos);
  ASSERT_EQ(report.unit_changes.size(), 2U);  // the window of that frame, and back
}

TEST(Archive, ReportHasTheClimateOfMonthsAndHoursAndMaps) {
  const TemporaryFolder folder;
  ArchiveWriter writer(folder.path() / "a.nc", {});
  Frame january = flat_frame(0, 1.F), march = flat_frame(0, 3.F);
  january.valid_time = *parse_time("2024-01-31T23:50Z");
  march.valid_time = *parse_time("2024-03-01T00:10Z");
  january.values[0] = kMissing;
  march.values[1] = 0.F;
  writer.add(january, "a");
  writer.add(march, "b");
  const PackReport report = writer.finish();
  EXPECT_EQ(report.months[0].frames, 1);
  EXPECT_EQ(report.months[1].frames, 0);
  EXPECT_NEAR(report.months[0].mean, 1., 1e-6);
  EXPECT_NEAR(report.month_hours[2][0].mean, 3. * 383. / 384., 1e-6);
  EXPECT_EQ(report.month_hours[2][23].frames, 0);
  EXPECT_NEAR(report.hours[23].mean, 1., 1e-6);
  EXPECT_NEAR(report.hours[0].max, 3., 1e-6);
  EXPECT_EQ(report.cover_map.values[0], 0.5F);
  EXPECT_FLOAT_EQ(report.mean_map.values[0], 3.F);
  EXPECT_FLOAT_EQ(report.mean_map.values[1], 0.5F);
  EXPECT_FLOAT_EQ(report.wet_map.values[1], 0.5F);
}

// Against a count pixel by pixel: fields with holes, dry and wet patches, on a grid of odd size.
TEST(PackStatistics, MapsAndClimateAreThoseOfEveryPixel) {
  constexpr std::int64_t kColumns = 61, kRows = 53, kFrames = 40;
  Grid grid = flat_frame(0, 1.F).grid;
  grid.columns = kColumns;
  grid.rows = kRows;
  const double scale = packing_of(Quantity::rain_rate).scale;
  PackStatistics statistics(Quantity::rain_rate, scale, grid);
  constexpr std::size_t kPixels = kColumns * kRows;
  std::vector<double> covered(kPixels), wet(kPixels), sum(kPixels);
  double all_covered = 0., all_sum = 0., most = 0.;
  std::mt19937 random(3);
  for (std::int64_t frame = 0; frame < kFrames; ++frame) {
    std::vector<std::int16_t> codes(kPixels);
    double frame_covered = 0., frame_wet = 0.;
    for (std::size_t i = 0; i < kPixels; ++i) {
      const std::size_t patch = i / 200 % 4;  // out of sight, dry, wet now and then, of all kinds
      const auto any = static_cast<std::int16_t>(random() % 3000);
      codes[i] = patch == 0 || (patch == 3 && any % 3 == 0)    ? Packing::kFill
                 : patch == 1 || (patch == 2 && frame % 5 > 0) ? std::int16_t{0}
                                                               : any;
      const bool is_covered = codes[i] != Packing::kFill, is_wet = codes[i] * scale >= 0.1 - 1e-9;
      covered[i] += is_covered ? 1. : 0.;
      wet[i] += is_wet ? 1. : 0.;
      sum[i] += is_covered ? codes[i] * scale : 0.;
      frame_covered += is_covered ? 1. : 0.;
      frame_wet += is_wet ? 1. : 0.;
      all_sum += is_covered ? codes[i] * scale : 0.;
      most = std::max(most, is_covered ? codes[i] * scale : 0.);
    }
    all_covered += frame_covered;
    const auto [covered_share, wet_share] = statistics.add(TimePoint{std::chrono::hours{frame}}, codes);
    EXPECT_FLOAT_EQ(covered_share, static_cast<float>(frame_covered / kPixels));
    EXPECT_FLOAT_EQ(wet_share, static_cast<float>(frame_wet / frame_covered));
  }
  PackReport report;
  statistics.finish(report, true);
  EXPECT_NEAR(report.mean, all_sum / all_covered, 1e-9);
  EXPECT_NEAR(report.max, most, 1e-9);
  for (std::size_t i = 0; i < kPixels; ++i) {
    ASSERT_FLOAT_EQ(report.cover_map.values[i], static_cast<float>(covered[i] / kFrames)) << i;
    if (covered[i] == 0.) {
      ASSERT_TRUE(std::isnan(report.wet_map.values[i])) << i;
      continue;
    }
    ASSERT_FLOAT_EQ(report.wet_map.values[i], static_cast<float>(wet[i] / covered[i])) << i;
    ASSERT_NEAR(report.mean_map.values[i], sum[i] / covered[i], 1e-5) << i;
  }
  PackReport plain;
  statistics.finish(plain, false);
  EXPECT_TRUE(plain.mean_map.values.empty());
}

TEST(PackSplit, LeavesTwoHoursBetweenTrainAndTest) {
  std::vector<PackMoment> moments;
  for (int i = 0; i < 600; ++i) {  // fifty hours, wet in the first ten and the last ten
    moments.push_back({TimePoint{std::chrono::minutes{5 * i}}, 1.F, i < 120 || i >= 480 ? 0.5F : 0.F});
  }
  const auto split = suggest_split(moments);
  ASSERT_TRUE(split.has_value());
  ASSERT_FALSE(split->train.empty());
  for (const auto& [from, to] : split->train) {
    EXPECT_TRUE(to + std::chrono::hours{2} <= split->test.first ||
                from >= split->test.second + std::chrono::hours{2});
  }
  EXPECT_NEAR(split->wet_test, 0.2, 0.03);  // as in all
  EXPECT_FALSE(suggest_split(std::span(moments).first(40)).has_value());
}

TEST(Archive, FoldersArePublishedPartByPart) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "archive";
  ArchiveOptions options;
  options.part_bytes = 3 * 24 * 16 * 2;  // three frames
  {
    ArchiveWriter writer(path, options);
    for (std::int64_t step = 0; step < 7; ++step)
      writer.add(flat_frame(step, 1.F + static_cast<float>(step)), "f");
    EXPECT_EQ(Archive::open(path).frames(), 6);  // two parts are there already
  }
  EXPECT_EQ(files_in(path), 2U);  // what was not finished left nothing
  options.append = true;
  ArchiveWriter writer(path, options);
  EXPECT_FALSE(writer.wants(flat_frame(5, 0.F).valid_time));
  EXPECT_TRUE(writer.wants(flat_frame(6, 0.F).valid_time));
  for (std::int64_t step = 0; step < 8; ++step)
    writer.add(flat_frame(step, 1.F + static_cast<float>(step)), "f");
  const PackReport report = writer.finish();
  EXPECT_EQ(report.already_there, 6);
  EXPECT_EQ(report.frames, 2);
  const Archive all = Archive::open(path);
  ASSERT_EQ(all.frames(), 8);
  for (std::int64_t i = 0; i < 8; ++i) EXPECT_EQ(whole(all, i)[0], static_cast<float>(i + 1));
}

TEST(Archive, PixelsThatAlwaysRainAreNamedAsClutter) {
  const TemporaryFolder folder;
  ArchiveWriter writer(folder.path() / "a.nc", {});
  for (std::int64_t step = 0; step < 30; ++step) {
    Frame frame = flat_frame(step, 0.F);
    frame.values[24 * 3 + 5] = 2.F;
    writer.add(frame, "f");
  }
  const PackReport report = writer.finish();
  ASSERT_EQ(report.clutter_pixels, 1);
  EXPECT_EQ(report.clutter[0].row, 3);
  EXPECT_EQ(report.clutter[0].column, 5);
}

TEST(Archive, AppendingAddsAPartAndCompactingMergesThem) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "archive";
  ArchiveOptions append;
  append.append = true;
  pack_steps(path, {0, 1, 2});
  const std::string first_hash = Archive::open(path).hash();
  {
    ArchiveWriter writer(path, append);
    EXPECT_FALSE(writer.wants(flat_frame(2, 0.F).valid_time));
    EXPECT_TRUE(writer.wants(flat_frame(3, 0.F).valid_time));
    EXPECT_FALSE(writer.add(flat_frame(2, 3.F), "again"));
    EXPECT_TRUE(writer.add(flat_frame(3, 4.F), "step3"));
    EXPECT_EQ(writer.finish().already_there, 1);
  }
  EXPECT_EQ(files_in(path), 2U);
  const Archive both = Archive::open(path);
  ASSERT_EQ(both.frames(), 4);
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(whole(both, i)[0], static_cast<float>(i + 1));
  EXPECT_NE(both.hash(), first_hash);
  const std::string hash = both.hash();
  compact(path, {});
  EXPECT_EQ(files_in(path), 1U);
  EXPECT_EQ(Archive::open(path).hash(), hash);
  compact(path, {});
  EXPECT_EQ(files_in(path), 1U);
  EXPECT_EQ(Archive::open(path).hash(), hash);
}

TEST(Archive, AppendingToAFileMergesByTime) {
  const TemporaryFolder folder;
  const auto path = pack_steps(folder.path() / "a.nc", {0, 1, 4});
  ArchiveOptions append;
  append.append = true;
  pack_steps(path, {2, 5}, append);
  const Archive archive = Archive::open(path);
  ASSERT_EQ(archive.frames(), 5);
  const std::vector<float> expected{1.F, 2.F, 3.F, 5.F, 6.F};
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_EQ(whole(archive, i)[0], expected[static_cast<std::size_t>(i)]);
  EXPECT_EQ(archive.hash(), Archive::open(pack_steps(folder.path() / "b.nc", {0, 1, 2, 4, 5})).hash());
}

TEST(Archive, NothingIsPublishedBeforeTheEnd) {
  const TemporaryFolder folder;
  {
    ArchiveWriter writer(folder.path() / "a.nc", {});
    writer.add(flat_frame(0, 1.F), "f");
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "a.nc"));
  }
  EXPECT_EQ(files_in(folder.path()), 0U);
  ArchiveWriter empty(folder.path() / "b.nc", {});
  EXPECT_THROW(empty.finish(), DataError);
}

TEST(Archive, RefusesWhatIsCutOrNoArchive) {
  const TemporaryFolder folder;
  EXPECT_THROW(Archive::open(folder.path() / "none.nc"), DataError);
  EXPECT_THROW(Archive::open(folder.path()), DataError);
  std::ofstream(folder.path() / "text.nc") << "no archive";
  EXPECT_THROW(Archive::open(folder.path() / "text.nc"), DataError);
  const auto path = pack_simulation(folder.path() / "a.nc", rain(3));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 5000);
  EXPECT_THROW(Archive::open(path), DataError);
  simulate(
      [] {
        SimulationSpec spec = rain(1);
        spec.format = "cf";
        return spec;
      }(),
      folder.path() / "cf");
  EXPECT_THROW(Archive::open(folder.path() / "cf" / "raincell_20240601T0000Z.nc"), DataError);
}

// Another program may lengthen the table of frames, and leave one out.
TEST(Archive, FramesThatWereNeverWrittenAreRefused) {
  const TemporaryFolder folder;
  const auto path = pack_steps(folder.path() / "a.nc", {0, 1});
  int file = -1, variable = -1;
  ASSERT_EQ(nc_open(path.c_str(), NC_WRITE, &file), NC_NOERR);
  const auto put = [&](const char* name, const auto& write) {
    ASSERT_EQ(nc_inq_varid(file, name, &variable), NC_NOERR);
    ASSERT_EQ(write(), NC_NOERR);
  };
  for (const std::size_t at : {2UL, 3UL}) {
    const double time =
        static_cast<double>((kStart.time_since_epoch().count()) + 300 * static_cast<long>(at));
    const float share = 0.F;
    const char *source = "a", *hash = "00000000000000000000000000000000";
    put("time", [&] { return nc_put_var1_double(file, variable, &at, &time); });
    put("source_name", [&] { return nc_put_var1_string(file, variable, &at, &source); });
    put("frame_hash", [&] { return nc_put_var1_string(file, variable, &at, &hash); });
    put("covered_fraction", [&] { return nc_put_var1_float(file, variable, &at, &share); });
    put("wet_fraction", [&] { return nc_put_var1_float(file, variable, &at, &share); });
  }
  const std::size_t start[3] = {3, 0, 0}, count[3] = {1, 16, 24};
  const std::vector<std::int16_t> codes(16 * 24, 5);
  put("precip_intensity", [&] { return nc_put_vara_short(file, variable, start, count, codes.data()); });
  ASSERT_EQ(nc_close(file), NC_NOERR);
  const std::string refused = refusal_of([&] { Archive::open(path); });
  EXPECT_NE(refused.find("frame 2 was never written"), std::string::npos) << refused;
}

TEST(Archive, PartsOfDifferentGridsOrFramesAreRefused) {
  const TemporaryFolder folder;
  pack_steps(folder.path() / "part_1.nc", {0, 1});
  pack_simulation(folder.path() / "part_2.nc", rain(2));
  EXPECT_THROW(Archive::open(folder.path()), DataError);
  std::filesystem::remove(folder.path() / "part_2.nc");
  std::filesystem::copy_file(folder.path() / "part_1.nc", folder.path() / "part_3.nc");
  EXPECT_EQ(Archive::open(folder.path()).frames(), 2);  // the same frames twice
  ArchiveWriter writer(folder.path() / "part_4.nc", {});
  writer.add(flat_frame(1, 9.F), "other");
  writer.finish();
  EXPECT_THROW(Archive::open(folder.path()), DataError);
}

// netCDF-C may close a file without an error although its bytes never reached the disk.
TEST(Archive, WhatLiesOnDiskIsComparedBeforeItIsPublished) {
  const TemporaryFolder folder, elsewhere;
  const auto path = pack_steps(folder.path() / "a.nc", {0, 1});
  const auto other = pack_steps(elsewhere.path() / "b.nc", {0, 1, 2});
  ArchiveWriter writer(path, {});
  for (std::int64_t step = 0; step < 3; ++step)
    writer.add(flat_frame(step, 7.F), "step" + std::to_string(step));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path() == path) continue;
    std::filesystem::rename(entry.path(), elsewhere.path() / "moved");  // the writer goes on writing there
    std::filesystem::copy_file(other, entry.path());
  }
  EXPECT_THROW(writer.finish(), WriteError);
  EXPECT_EQ(Archive::open(path).frames(), 2);
}

// A child with a limit on file size stands for a full disk: netCDF-C's close alone would not tell.
TEST(Archive, AFullDiskPublishesNothingAndKeepsTheOldFile) {
  const TemporaryFolder folder;
  const auto path = pack_steps(folder.path() / "a.nc", {0, 1});
  for (const rlim_t limit : {rlim_t{3000}, rlim_t{30000}, rlim_t{100000}}) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit bound{limit, limit};
      setrlimit(RLIMIT_FSIZE, &bound);
      int code = 1;
      try {
        ArchiveWriter writer(path, {});
        for (std::int64_t i = 0; i < 200; ++i) writer.add(flat_frame(i, 5.F, 40, 40), "f");
        writer.finish();
      } catch (const WriteError&) {
        code = 0;
      } catch (...) {
        code = 2;
      }
      _exit(code);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << "limit " << limit;
    EXPECT_EQ(files_in(folder.path()), 1U);
    EXPECT_EQ(Archive::open(path).frames(), 2);
  }
}

TEST(Archive, BothFormatsOfTheSimulationPackToTheSameArchive) {
  const TemporaryFolder folder;
  FrameReader reader;
  std::vector<std::string> hashes;
  for (const std::string format : {"odim", "cf"}) {
    SimulationSpec spec = rain(3);
    spec.format = format;
    const auto files = simulate(spec, folder.path() / format);
    ArchiveWriter writer(folder.path() / (format + ".nc"), {});
    for (const auto& file : files) writer.add(reader.read(file).at(0), file.filename());
    writer.finish();
    hashes.push_back(Archive::open(folder.path() / (format + ".nc")).hash());
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_EQ(hashes[0], Archive::open(pack_simulation(folder.path() / "drawn.nc", rain(3))).hash());
}

/// The stored amounts of a KNMI file, 0.01 mm in 5 minutes, read with HDF5 alone.
std::vector<std::uint16_t> knmi_amounts(const std::filesystem::path& path) {
  std::vector<std::uint16_t> amounts(765 * 700);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t data = H5Dopen2(file, "/image1/image_data", H5P_DEFAULT);
  EXPECT_GE(H5Dread(data, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, amounts.data()), 0);
  H5Dclose(data);
  H5Fclose(file);
  return amounts;
}

TEST(Archive, HoldsTheRainOfRealRadarFiles) {
  const char* data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "RAINCELL_TEST_DATA is not set";
  const TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(data) / "radar/knmi/rap_20100826")) {
    if (entry.path().extension() == ".h5") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  files.resize(4);
  FrameReader reader;
  ArchiveWriter writer(folder.path() / "a.nc", {});
  for (const auto& file : files) writer.add(reader.read(file).at(0), file.filename());
  const PackReport report = writer.finish();
  EXPECT_EQ(report.step_s, 300);
  const Archive archive = Archive::open(folder.path() / "a.nc");
  ASSERT_EQ(archive.frames(), 4);
  EXPECT_EQ(format_time(archive.time(0)), "2010-08-26T00:00Z");
  for (std::int64_t i = 0; i < 4; ++i) {
    const std::vector<float> values = whole(archive, i);
    const std::vector<std::uint16_t> amounts = knmi_amounts(files[static_cast<std::size_t>(i)]);
    for (std::size_t k = 0; k < values.size(); ++k) {
      const float expected = amounts[k] == 65535 ? kMissing : static_cast<float>(0.12 * amounts[k]);
      ASSERT_TRUE(same(values[k], expected) || std::abs(values[k] - expected) <= 1e-6F * expected) << k;
    }
  }
}

}  // namespace
}  // namespace raincell::io
