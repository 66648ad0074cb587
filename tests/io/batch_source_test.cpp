#include "io/batch_source.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>

#include "tests/io/archive_support.hpp"
#include "tests/io/temporary_folder.hpp"

namespace raincell::io {
namespace {

TimePoint at(std::int64_t step) {
  return kStart + std::chrono::seconds{300 * step};
}

std::vector<std::int64_t> firsts(const std::vector<Window>& windows) {
  std::vector<std::int64_t> out;
  for (const Window& window : windows) out.push_back(window.first);
  return out;
}

TEST(Sequence, WindowsDoNotSpanGaps) {
  const TemporaryFolder folder;
  // Frames 0..4, a gap, 7..10: as indices 0..4 and 5..8.
  const Archive archive = Archive::open(pack_steps(folder.path() / "a.nc", {0, 1, 2, 3, 4, 7, 8, 9, 10}));
  EXPECT_EQ(firsts(cut_windows(archive, 0, 2, 1, {})), (std::vector<std::int64_t>{0, 1, 2, 5, 6}));
  EXPECT_EQ(firsts(cut_windows(archive, 0, 2, 1, {}, 2)), (std::vector<std::int64_t>{0, 2, 5}));
  EXPECT_TRUE(cut_windows(archive, 0, 4, 2, {}).empty());
  EXPECT_EQ(firsts(cut_windows(archive, 0, 2, 1, {{at(1), at(4)}})), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(firsts(cut_windows(archive, 0, 2, 1, {{at(0), at(2)}, {at(3), at(9)}})),
            (std::vector<std::int64_t>{0, 5}));
  EXPECT_THROW(cut_windows(archive, 0, 0, 1, {}), DataError);
}

TEST(Sequence, WindowsLeaveOutFramesWithoutAnObservation) {
  const TemporaryFolder folder;
  ArchiveWriter writer(folder.path() / "a.nc", {});
  for (std::int64_t step = 0; step < 6; ++step) writer.add(flat_frame(step, step == 3 ? kMissing : 1.F), "f");
  writer.finish();
  const Archive archive = Archive::open(folder.path() / "a.nc");
  EXPECT_EQ(firsts(cut_windows(archive, 0, 1, 1, {})), (std::vector<std::int64_t>{0, 1, 4}));
}

TEST(Sequence, SplitLeaksNothing) {
  const TemporaryFolder folder;
  std::vector<std::int64_t> steps(60);
  for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<std::int64_t>(i);
  const Archive archive = Archive::open(pack_steps(folder.path() / "a.nc", steps));
  for (const double fraction : {0.1, 0.2, 0.5}) {
    const Split split = split_by_time(archive, {{at(0), at(29)}, {at(40), at(59)}}, fraction, 10);
    std::set<std::int64_t> train, validation;
    const auto frames_of = [&](const std::vector<TimeRange>& ranges, std::set<std::int64_t>& frames) {
      for (const Window& window : cut_windows(archive, 0, 2, 1, ranges)) {
        for (std::int64_t k = 0; k < 3; ++k) frames.insert(window.first + k);
      }
    };
    frames_of(split.train, train);
    frames_of(split.validation, validation);
    EXPECT_FALSE(train.empty());
    EXPECT_FALSE(validation.empty());
    for (const std::int64_t frame : validation) {
      EXPECT_FALSE(train.contains(frame));
      EXPECT_FALSE(frame >= 30 && frame < 40);
    }
    for (const std::int64_t frame : train) EXPECT_FALSE(frame >= 30 && frame < 40);
    double seconds = 0.;
    for (const TimeRange& range : split.validation)
      seconds += static_cast<double>((range.to - range.from).count() + 1);
    EXPECT_NEAR(seconds / (29. * 300. + 19. * 300. + 2.), fraction, 0.01);
  }
  EXPECT_TRUE(split_by_time(archive, {}, 0., 1).validation.empty());
  EXPECT_THROW(split_by_time(archive, {}, 1., 10), DataError);
}

class Batches : public testing::Test {
 protected:
  Batches() : archive_(Archive::open(pack_simulation(folder_.path() / "a.nc", spec()))) {}
  static SimulationSpec spec() {
    SimulationSpec spec;
    spec.frames = 24;
    spec.columns = 80;
    spec.rows = 64;
    return spec;
  }
  static BatchSpec small() {
    BatchSpec spec;
    spec.batch = 4;
    spec.past = 3;
    spec.future = 2;
    spec.crop_rows = spec.crop_columns = 32;
    spec.flips = true;
    spec.rain_scaling = 3.;
    return spec;
  }
  std::vector<Window> windows() const { return cut_windows(archive_, 0, 3, 2, {}); }

  TemporaryFolder folder_;
  Archive archive_;
};

bool equal(const Batch& a, const Batch& b) {
  return a.past == b.past && a.past_mask == b.past_mask && a.future == b.future &&
         a.future_mask == b.future_mask && a.guide == b.guide && a.guide_mask == b.guide_mask &&
         a.tendency == b.tendency;
}

/// A guide that repeats the last frame, and says that it will be less by its row and column.
void last_frame(const Archive& archive, const Window& window, const Crop& crop, std::int64_t leads,
                std::span<float> values, std::span<float> tendency) {
  const auto pixels = static_cast<std::size_t>(crop.rows * crop.columns);
  for (std::int64_t t = 0; t < leads; ++t) {
    archive.read(window.frame(window.past - 1), crop,
                 values.subspan(static_cast<std::size_t>(t) * pixels, pixels));
    for (std::size_t i = 0; i < pixels && !tendency.empty(); ++i)
      tendency[static_cast<std::size_t>(t) * pixels + i] = -0.1F * static_cast<float>(i);
  }
}

TEST_F(Batches, LeaveOutSamplesWithAnUnreadableFrameAndNoOthers) {
  const auto path = folder_.path() / "damaged.nc";
  std::filesystem::copy_file(folder_.path() / "a.nc", path);
  constexpr std::int64_t kBad = 9;
  damage_frame(path, kBad);
  BatchSpec spec = small();
  spec.tendency = true;
  spec.rain_weighting = 0.;  // the rain of the damaged frame draws nothing
  std::vector<Batch> expected(15);
  std::vector<std::int64_t> expected_out(expected.size());
  spec.workers = 0;
  BatchSource plain({&archive_}, windows(), {}, spec, last_frame);
  const auto pixels = static_cast<std::size_t>(spec.crop_rows * spec.crop_columns);
  std::int64_t out = 0;
  for (std::size_t b = 0; b < expected.size(); ++b) {
    Batch& batch = expected[b];
    plain.next(batch);
    for (std::int64_t i = 0; i < spec.batch; ++i) {
      const auto number = static_cast<std::int64_t>(b);
      const Window window =
          plain
              .sample(number / plain.batches_per_epoch(), number % plain.batches_per_epoch() * spec.batch + i)
              .window;
      if (window.first > kBad || window.first + 5 <= kBad) continue;
      ++expected_out[b];
      const auto blank = [&](std::vector<float>& of, std::size_t frames, float value) {
        std::fill_n(of.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * frames * pixels),
                    frames * pixels, value);
      };
      const float dry = Transform{}.to_network(kMissing);
      blank(batch.past, 3, dry), blank(batch.past_mask, 3, 0.F);
      blank(batch.future, 2, dry), blank(batch.future_mask, 2, 0.F);
      blank(batch.guide, 2, dry), blank(batch.guide_mask, 2, 0.F), blank(batch.tendency, 2, 0.F);
    }
    out += expected_out[b];
  }
  ASSERT_GT(out, 5);
  ASSERT_LT(out, 40);
  for (const int workers : {0, 3}) {
    const Archive damaged = Archive::open(path);
    spec.workers = workers;
    BatchSource source({&damaged}, windows(), {}, spec, last_frame);
    Batch batch;
    for (std::size_t b = 0; b < expected.size(); ++b) {
      source.next(batch);
      EXPECT_TRUE(equal(batch, expected[b])) << workers << " workers, batch " << b;
      EXPECT_EQ(batch.left_out, expected_out[b]) << workers << " workers, batch " << b;
    }
    source.seek(1, 2);
    source.next(batch);
    EXPECT_TRUE(equal(batch, expected[7]));
    EXPECT_EQ(batch.left_out, expected_out[7]);
    ASSERT_EQ(damaged.unreadable().size(), 1U);
    EXPECT_EQ(damaged.frames_met(), 24);  // also those of a sample behind its bad one
    // Crops that are drawn by rain are drawn from the others.
    BatchSpec by_rain = spec;
    by_rain.rain_weighting = 1.;
    BatchSource wet({&damaged}, windows(), {}, by_rain, last_frame);
    wet.next(batch);
  }
}

TEST_F(Batches, AreTheSameForAnyNumberOfWorkersAndAnyStart) {
  BatchSpec spec = small();
  std::vector<Batch> expected(12);
  spec.workers = 0;
  BatchSource plain({&archive_}, windows(), {}, spec, last_frame);
  for (Batch& batch : expected) plain.next(batch);
  for (const int workers : {1, 4}) {
    for (const std::int64_t prefetch : {1, 3}) {
      spec.workers = workers;
      spec.prefetch = prefetch;
      BatchSource source({&archive_}, windows(), {}, spec, last_frame);
      Batch batch;
      for (const Batch& wanted : expected) {
        source.next(batch);
        EXPECT_TRUE(equal(batch, wanted));
      }
      source.seek(1, 2);  // five batches an epoch
      source.next(batch);
      EXPECT_TRUE(equal(batch, expected[7]));
      source.seek(0, 0);
      source.next(batch);
      EXPECT_TRUE(equal(batch, expected[0]));
    }
  }
  EXPECT_EQ(plain.batches_per_epoch(), 5);  // 20 windows
  spec.seed = 2;
  Batch other;
  BatchSource({&archive_}, windows(), {}, spec, last_frame).next(other);
  EXPECT_FALSE(equal(other, expected[0]));
}

TEST_F(Batches, SharesOfSeveralProcessesMakeTheWholeBatch) {
  BatchSpec spec = small();
  spec.workers = 0;
  Batch whole, part;
  BatchSource({&archive_}, windows(), {}, spec).next(whole);
  spec.share_first = 1;
  spec.share_count = 2;
  BatchSource({&archive_}, windows(), {}, spec).next(part);
  ASSERT_EQ(part.past.size(), whole.past.size() / 2);
  EXPECT_TRUE(std::equal(part.past.begin(), part.past.end(),
                         whole.past.begin() + static_cast<std::ptrdiff_t>(part.past.size() / 2)));
}

TEST_F(Batches, HoldTheArchivesNumbersTurnedAsTold) {
  BatchSpec spec = small();
  spec.workers = 2;
  spec.batch = 16;
  spec.tendency = true;
  const Transform transform;
  BatchSource source({&archive_}, windows(), transform, spec, last_frame);
  Batch batch;
  source.next(batch);
  std::set<int> orientations;
  std::set<float> factors;
  for (std::int64_t n = 0; n < 16; ++n) {
    const Sample sample = source.sample(0, n);
    orientations.insert(sample.orientation);
    factors.insert(sample.rain_factor);
    for (std::int64_t t = 0; t < 5; ++t) {
      const Frame frame = simulate_frame(Batches::spec(), sample.window.first + t);
      for (std::int64_t r = 0; r < 32; ++r) {
        for (std::int64_t c = 0; c < 32; ++c) {
          // Where this pixel goes: each of the three turns by itself.
          std::int64_t row = r, column = c;
          if ((sample.orientation & 1) != 0) column = 31 - column;
          if ((sample.orientation & 2) != 0) row = 31 - row;
          if ((sample.orientation & 4) != 0) std::swap(row, column);
          const float rain =
              frame.values[static_cast<std::size_t>((sample.crop.row + r) * 80 + sample.crop.column + c)];
          const auto place = [&](std::int64_t leads, std::int64_t lead) {
            return static_cast<std::size_t>(((n * leads + lead) * 32 + row) * 32 + column);
          };
          const std::vector<float>& values = t < 3 ? batch.past : batch.future;
          const std::vector<float>& mask = t < 3 ? batch.past_mask : batch.future_mask;
          const std::size_t i = t < 3 ? place(3, t) : place(2, t - 3);
          ASSERT_EQ(mask[i], std::isnan(rain) ? 0.F : 1.F);
          ASSERT_EQ(values[i], transform.to_network(sample.rain_factor * rain));
          if (t == 2) {  // the guide is the last past frame, turned the same way
            ASSERT_EQ(batch.guide[place(2, 1)], values[i]);
            ASSERT_EQ(batch.guide_mask[place(2, 1)], mask[i]);
            const float less = 0.1F * static_cast<float>(r * 32 + c);
            ASSERT_EQ(batch.tendency[place(2, 1)], -transform.to_network(sample.rain_factor * less));
          }
        }
      }
    }
  }
  EXPECT_GT(orientations.size(), 3U);
  EXPECT_EQ(factors.size(), 16U);
  EXPECT_GT(*factors.begin(), 1.F / 3.001F);
  EXPECT_LT(*factors.begin(), 0.8F);
  EXPECT_LT(*factors.rbegin(), 3.001F);
  EXPECT_GT(*factors.rbegin(), 1.25F);
}

TEST_F(Batches, BringScenesToOneLevelOfRain) {
  BatchSpec spec = small();
  spec.workers = 0;
  spec.flips = false;
  spec.tendency = true;
  spec.rain_level = 2.;
  const Transform transform;
  BatchSource source({&archive_}, windows(), transform, spec, last_frame);
  Batch batch;
  source.next(batch);
  for (std::int64_t n = 0; n < 4; ++n) {
    const Sample sample = source.sample(0, n);
    const auto rain = [&](std::int64_t t, std::int64_t i) {
      const Frame frame = simulate_frame(Batches::spec(), sample.window.first + t);
      return frame
          .values[static_cast<std::size_t>((sample.crop.row + i / 32) * 80 + sample.crop.column + i % 32)];
    };
    double square = 0.;
    std::int64_t valid = 0;
    for (std::int64_t i = 0; i < 32 * 32; ++i) {
      const float value = rain(2, i);
      if (std::isnan(value)) continue;
      square += static_cast<double>(value) * value;
      ++valid;
    }
    const auto factor =
        static_cast<float>(sample.rain_factor * 2. / std::sqrt(square / static_cast<double>(valid)));
    for (const std::int64_t i : {500, 501, 700}) {
      if (std::isnan(rain(0, i)) || std::isnan(rain(4, i))) continue;
      EXPECT_NEAR(batch.past[static_cast<std::size_t>(n * 3 * 1024 + i)],
                  transform.to_network(factor * rain(0, i)), 1e-5);
      EXPECT_NEAR(batch.future[static_cast<std::size_t>((n * 2 + 1) * 1024 + i)],
                  transform.to_network(factor * rain(4, i)), 1e-5);
      EXPECT_NEAR(batch.guide[static_cast<std::size_t>(n * 2 * 1024 + i)],
                  transform.to_network(factor * rain(2, i)), 1e-5);
      EXPECT_NEAR(batch.tendency[static_cast<std::size_t>(n * 2 * 1024 + i)],
                  -transform.to_network(factor * 0.1F * static_cast<float>(i)), 1e-5);
    }
  }
  spec.rain_level = -1.;
  EXPECT_THROW(BatchSource({&archive_}, windows(), {}, spec), DataError);
}

TEST_F(Batches, EveryWindowComesOnceAnEpochWithoutWeights) {
  BatchSpec spec = small();
  spec.rain_weighting = 0.;
  spec.workers = 0;
  const BatchSource source({&archive_}, windows(), {}, spec);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < 20; ++i) seen.insert(source.sample(epoch, i).window.first);
    EXPECT_EQ(seen.size(), 20U);
  }
  EXPECT_NE(source.sample(0, 0).window.first * 100 + source.sample(0, 1).window.first,
            source.sample(1, 0).window.first * 100 + source.sample(1, 1).window.first);
}

TEST(BatchSource, CropsFollowTheRain) {
  const TemporaryFolder folder;
  // Rain in one corner of every second frame only.
  ArchiveWriter writer(folder.path() / "a.nc", {});
  for (std::int64_t step = 0; step < 40; ++step) {
    Frame frame = flat_frame(step, 0.F, 64, 64);
    if (step >= 20) {
      for (std::int64_t r = 0; r < 8; ++r) {
        for (std::int64_t c = 48; c < 56; ++c) frame.values[static_cast<std::size_t>(r * 64 + c)] = 5.F;
      }
    }
    writer.add(frame, "f");
  }
  writer.finish();
  const Archive archive = Archive::open(folder.path() / "a.nc");
  BatchSpec spec;
  spec.past = spec.future = 1;
  spec.crop_rows = spec.crop_columns = 16;
  spec.workers = 0;
  const auto wet_share = [&](double weighting) {
    spec.rain_weighting = weighting;
    const BatchSource source({&archive}, cut_windows(archive, 0, 1, 1, {}), {}, spec);
    int wet = 0;
    for (std::int64_t i = 0; i < 400; ++i) {
      const Sample sample = source.sample(0, i);
      const bool meets = sample.crop.row < 8 && sample.crop.column > 48 - 16 && sample.crop.column < 56;
      if (meets && sample.window.first >= 20) ++wet;
      // What comes next does not count: there the rain that is about to begin would be over-represented.
      if (weighting == 1.) {
        EXPECT_NE(sample.window.first, 19);
      }
    }
    return wet / 400.;
  };
  EXPECT_GT(wet_share(1.), 0.95);
  EXPECT_GT(wet_share(0.5), 0.45);
  EXPECT_LT(wet_share(0.5), 0.65);
  EXPECT_LT(wet_share(0.), 0.2);
}

TEST(BatchSource, ReversedWindowsRunBackwardsAndFollowTheRainTheyStartFrom) {
  const TemporaryFolder folder;
  // 1, 2, ... mm/h everywhere in the first ten frames.
  ArchiveWriter writer(folder.path() / "a.nc", {});
  for (std::int64_t step = 0; step < 20; ++step) {
    writer.add(flat_frame(step, step < 10 ? static_cast<float>(step + 1) : 0.F, 16, 16), "f");
  }
  writer.finish();
  const Archive archive = Archive::open(folder.path() / "a.nc");
  std::vector<Window> windows = cut_windows(archive, 0, 2, 1, {});
  for (Window& window : windows) window.reversed = true;
  BatchSpec spec;
  spec.batch = 4;
  spec.past = 2;
  spec.future = 1;
  spec.crop_rows = spec.crop_columns = 0;
  spec.workers = 0;
  BatchSource source({&archive}, windows, Transform::parse("linear max=100"), spec, last_frame);
  bool rain_stops = false;
  for (std::int64_t step = 0; step < 8; ++step) {
    Batch batch;
    source.next(batch);
    for (std::int64_t n = 0; n < 4; ++n) {
      const std::int64_t first = source.sample(step / 4, (step % 4) * 4 + n).window.first;
      const auto rain = [](std::int64_t frame) {
        return frame < 10 ? 0.01F * static_cast<float>(frame + 1) : 0.F;
      };
      EXPECT_FLOAT_EQ(batch.past[static_cast<std::size_t>(n * 2 * 256)], rain(first + 2));
      EXPECT_FLOAT_EQ(batch.past[static_cast<std::size_t>((n * 2 + 1) * 256)], rain(first + 1));
      EXPECT_FLOAT_EQ(batch.guide[static_cast<std::size_t>(n * 256)], rain(first + 1));
      EXPECT_FLOAT_EQ(batch.future[static_cast<std::size_t>(n * 256)], rain(first));
      EXPECT_LT(first + 1, 10) << "the latest frame of the past is dry";
      rain_stops = rain_stops || first + 2 == 10;
    }
  }
  EXPECT_TRUE(rain_stops) << "what came before the latest frame does not count";
}

TEST(BatchSource, ReadsNoFrameOutsideItsWindows) {
  const TemporaryFolder folder;
  std::vector<std::int64_t> steps(40);
  for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<std::int64_t>(i);
  const Archive archive = Archive::open(pack_steps(folder.path() / "a.nc", steps));
  BatchSpec spec;
  spec.past = 2;
  spec.future = 1;
  spec.crop_rows = spec.crop_columns = 8;
  spec.workers = 2;
  const Transform transform = Transform::parse("linear max=100");
  // Test range: steps 10 to 29, whose rain is 11 to 30 mm/h.
  BatchSource source({&archive}, cut_windows(archive, 0, 2, 1, {{at(0), at(9)}, {at(30), at(39)}}), transform,
                     spec);
  Batch batch;
  for (int n = 0; n < 20; ++n) {
    source.next(batch);
    for (const std::vector<float>* values : {&batch.past, &batch.future}) {
      for (const float value : *values) {
        ASSERT_TRUE(value <= 0.1001F || value >= 0.3099F) << value;
      }
    }
  }
}

TEST_F(Batches, WhatTheGuideDoesNotKnowIsNoTarget) {
  BatchSpec spec = small();
  spec.workers = 0;
  spec.flips = false;
  Batch plain, guided;
  BatchSource({&archive_}, windows(), {}, spec).next(plain);
  BatchSource({&archive_}, windows(), {}, spec,
              [](const Archive&, const Window&, const Crop&, std::int64_t, std::span<float> values,
                 std::span<float>) {
                for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 32 < 5 ? kMissing : 1.F;
              })
      .next(guided);
  EXPECT_EQ(guided.future, plain.future);
  EXPECT_EQ(guided.past_mask, plain.past_mask);
  for (std::size_t i = 0; i < plain.future_mask.size(); ++i) {
    ASSERT_EQ(guided.future_mask[i], i % 32 < 5 ? 0.F : plain.future_mask[i]) << i;
  }
}

TEST_F(Batches, ErrorsOfWorkersReachTheCaller) {
  BatchSpec spec = small();
  for (const int workers : {0, 1, 3}) {
    spec.workers = workers;
    std::atomic<int> calls{0};
    BatchSource source(
        {&archive_}, windows(), {}, spec,
        [&](const Archive&, const Window&, const Crop&, std::int64_t, std::span<float>, std::span<float>) {
          if (++calls >= 3) throw DataError("the guide fails");
        });
    Batch batch;
    EXPECT_THROW(source.next(batch), DataError);
    EXPECT_THROW(source.next(batch), DataError);
  }
}

TEST_F(Batches, EndCleanlyWhileWorkersAreBusy) {
  BatchSpec spec = small();
  spec.workers = 4;
  for (int n = 0; n < 20; ++n) {
    BatchSource source({&archive_}, windows(), {}, spec, last_frame);
    if (n % 2 == 0) source.seek(n, 1);
    if (n % 3 == 0) {
      Batch batch;
      source.next(batch);
    }
  }
}

TEST_F(Batches, RefuseWhatCannotBe) {
  BatchSpec spec = small();
  EXPECT_THROW(BatchSource({&archive_}, {}, {}, spec), DataError);
  EXPECT_THROW(BatchSource({&archive_}, windows(), Transform::parse("linear max=1 quantity=vil"), spec),
               DataError);
  spec.crop_rows = 65;
  EXPECT_THROW(BatchSource({&archive_}, windows(), {}, spec), DataError);
  spec = small();
  spec.rain_weighting = 2.;
  EXPECT_THROW(BatchSource({&archive_}, windows(), {}, spec), DataError);
  spec = small();
  spec.rain_scaling = 0.5;
  EXPECT_THROW(BatchSource({&archive_}, windows(), {}, spec), DataError);
  std::vector<Window> beyond = windows();
  beyond.back().first = 22;
  EXPECT_THROW(BatchSource({&archive_}, beyond, {}, small()), DataError);
}

TEST_F(Batches, WholeGridsAreTaken) {
  BatchSpec spec = small();
  spec.crop_rows = spec.crop_columns = 0;
  spec.workers = 1;
  BatchSource source({&archive_}, windows(), {}, spec);
  Batch batch;
  source.next(batch);
  EXPECT_EQ(batch.past.size(), 4U * 3U * 64U * 80U);
  EXPECT_TRUE(batch.guide.empty());
  EXPECT_TRUE(batch.tendency.empty());
}

}  // namespace
}  // namespace raincell::io
