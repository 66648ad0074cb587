#include "io/decode.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "io/orientation.hpp"

namespace {

using namespace raincell::io;

Frame frame_of(std::int64_t columns, std::int64_t rows = 1) {
  Frame frame;
  frame.grid.columns = columns;
  frame.grid.rows = rows;
  return frame;
}

Conversion conversion_of(const std::string& unit, Frame& frame, const SourceOptions& options = {},
                         ZRelation file = {}) {
  return conversion_for("test", unit, options, file, frame);
}

// Reference values of Z = a R^b, mm/h (four to five digits).
TEST(Decode, ReflectivityBecomesRainRate) {
  const double dbz[] = {0, 7, 10, 20, 30, 40, 50, 60};
  const struct {
    double a, b;
    double rain[8];
  } table[] = {{200, 1.6, {0.0365, 0.0999, 0.1538, 0.6484, 2.7344, 11.531, 48.625, 205.05}},
               {316, 1.5, {0.0216, 0.0631, 0.1000, 0.4644, 2.1555, 10.005, 46.438, 215.55}},
               {58.53, 1.56, {0.0736, 0.2069, 0.3222, 1.4097, 6.168, 26.988, 118.08, 516.68}},
               {200, 1.5, {0.0292, 0.0856, 0.1357, 0.6300, 2.9240, 13.572, 62.996, 292.40}}};
  for (const auto& row : table) {
    Frame frame = frame_of(8);
    SourceOptions options;
    options.zr_a = row.a;
    options.zr_b = row.b;
    const Conversion conversion = conversion_of("dBZ", frame, options);
    decode("test", std::vector<double>(dbz, dbz + 8), {}, conversion, frame);
    for (int i = 0; i < 8; ++i)
      EXPECT_NEAR(frame.values[i], row.rain[i], std::max(6e-5, row.rain[i] * 6e-5)) << row.a << " " << dbz[i];
  }
}

TEST(Decode, TheFilesOwnZRelationComesFirst) {
  SourceOptions options;
  options.zr_a = 316;
  options.zr_b = 1.5;
  Frame frame = frame_of(1);
  const Conversion own = conversion_of("dBZ", frame, options, {200, 1.5});
  EXPECT_EQ(own.zr_a, 200);
  EXPECT_EQ(frame.zr, "a=200 b=1.5 (file)");
  EXPECT_EQ(frame.source.warnings.size(), 1u);  // the configured one gives way, and that is said
  EXPECT_EQ(conversion_of("dBZ", frame, options).zr_a, 316);
  EXPECT_EQ(frame.zr, "a=316 b=1.5 (configuration)");
  EXPECT_EQ(conversion_of("dBz", frame).zr_b, 1.6);
  EXPECT_EQ(frame.zr, "a=200 b=1.6 (default)");
}

TEST(Decode, UnitsBecomeMillimetresAnHour) {
  const struct {
    const char* unit;
    std::int64_t window_s;
    double factor;
  } table[] = {{"mm/h", 0, 1},          {"mm h-1", 0, 1},       {"mm.h-1", 0, 1},     {"kg m-2 s-1", 0, 3600},
               {"m s-1", 0, 3.6e6},     {"mm", 300, 12},        {"kg m-2", 600, 6},   {"mm", 360, 10},
               {"mm", 900, 4},          {"m", 900, 4000},       {"kg m-2 h-1", 0, 1}, {"mm hr-1", 0, 1},
               {"mm/day", 0, 1. / 24.}, {"mm d-1", 0, 1. / 24.}};
  for (const auto& row : table) {
    Frame frame = frame_of(1);
    frame.window_s = row.window_s;
    EXPECT_DOUBLE_EQ(conversion_of(row.unit, frame).factor, row.factor) << row.unit;
    EXPECT_EQ(frame.accumulation, row.window_s > 0) << row.unit;
  }
}

TEST(Decode, UnknownUnitsAndAmountsWithoutWindowAreRefused) {
  for (const char* unit : {"", "sum 5min", "K", "MM", "1"}) {
    Frame frame = frame_of(1);
    EXPECT_THROW(conversion_of(unit, frame), DataError) << unit;
  }
  Frame frame = frame_of(1);
  try {
    conversion_of("mm", frame);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("set source.accumulation_s"), std::string::npos) << error.what();
  }
}

TEST(Decode, QuantityReflectivityKeepsDecibels) {
  SourceOptions options;
  options.quantity = "reflectivity";
  Frame frame = frame_of(2);
  const Conversion conversion = conversion_of("dBZ", frame, options);
  decode("test", std::vector<float>{-12.5F, 40.F}, {}, conversion, frame);
  EXPECT_EQ(frame.quantity, Quantity::reflectivity);
  EXPECT_EQ(frame.values, (std::vector<float>{-12.5F, 40.F}));
  EXPECT_EQ(frame.clipped, 0);
  EXPECT_THROW(conversion_of("mm/h", frame, options), DataError);
}

TEST(Decode, ThreeStatesOnStoredIntegers) {
  Frame frame = frame_of(5);
  Coding coding;
  coding.missing = {255};
  coding.dry = {0};
  coding.gain = 0.5;
  coding.offset = 1;
  decode("test", std::vector<std::uint8_t>{0, 255, 2, 254, 1}, coding, conversion_of("mm/h", frame), frame);
  using enum PixelState;
  EXPECT_EQ(frame.states, (std::vector<PixelState>{dry, missing, valued, valued, valued}));
  EXPECT_EQ(frame.values[0], 0.F);  // undetect is exactly dry, never offset + gain * 0
  EXPECT_TRUE(std::isnan(frame.values[1]));
  EXPECT_EQ(frame.values[2], 2.F);
  EXPECT_EQ(frame.source.max, 128.);
  EXPECT_EQ(frame.source.sum, 2. + 128. + 1.5);
}

TEST(Decode, CodesOutsideTheStoredTypeNeverMatch) {
  Frame frame = frame_of(2);
  Coding coding;
  coding.missing = {-1, 256, 0.5, 1e300};
  decode("test", std::vector<std::uint8_t>{255, 0}, coding, conversion_of("mm/h", frame), frame);
  EXPECT_EQ(frame.source.valued, 2);
}

TEST(Decode, DoubleCodesMatchFloatData) {
  Frame frame = frame_of(3);
  Coding coding;
  coding.missing = {-9999.9};  // not a float
  coding.dry = {-0.1};
  decode("test", std::vector<float>{-9999.9F, -0.1F, 3.F}, coding, conversion_of("mm/h", frame), frame);
  using enum PixelState;
  EXPECT_EQ(frame.states, (std::vector<PixelState>{missing, dry, valued}));
}

TEST(Decode, NanAndInfinityAsCodes) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  Frame frame = frame_of(4);
  Coding coding;
  coding.missing = {nan};
  coding.dry = {inf};
  decode("test", std::vector<double>{nan, inf, -inf, 1.}, coding, conversion_of("mm/h", frame), frame);
  using enum PixelState;
  EXPECT_EQ(frame.states, (std::vector<PixelState>{missing, dry, missing, valued}));
  ASSERT_EQ(frame.source.warnings.size(), 1u);  // -inf is no code of this file
}

TEST(Decode, RunsOfOneNumberCountAsOften) {
  const float inf = std::numeric_limits<float>::infinity();
  Frame frame = frame_of(8);
  Field field(std::vector<float>{2, 2, 2, 2, inf, inf, 0, -0.F});
  field.lost = {false, false, true, false, false, false, false, false};
  Coding coding;
  coding.zero_is_dry = true;
  decode("test", field, coding, conversion_of("mm/h", frame), frame);
  using enum PixelState;
  EXPECT_EQ(frame.states,
            (std::vector<PixelState>{valued, valued, missing, valued, missing, missing, dry, dry}));
  EXPECT_EQ(frame.source.valued, 3);
  EXPECT_EQ(frame.source.missing, 3);
  EXPECT_EQ(frame.source.sum, 6.);
  ASSERT_EQ(frame.source.warnings.size(), 1U);
  EXPECT_NE(frame.source.warnings[0].find("2 infinite values"), std::string::npos)
      << frame.source.warnings[0];
}

TEST(Decode, OneWetValueNearlyEverywhereIsNoRain) {
  const auto decoded = [](std::size_t others, double value) {
    Frame frame = frame_of(1000);
    std::vector<double> numbers(1000, value);
    for (std::size_t i = 0; i < others; ++i) numbers[i] = 0.01 * static_cast<double>(i);
    decode("test", numbers, {}, conversion_of("mm/h", frame), frame);
    return frame.source.valued;
  };
  EXPECT_THROW(decoded(5, 12.5), DataError);
  EXPECT_EQ(decoded(20, 12.5), 1000);  // 98 %
  EXPECT_EQ(decoded(0, 0.05), 1000);   // drizzle that no one would call wet
}

TEST(Decode, EqualCodesAreMissing) {
  Frame frame = frame_of(1);
  Coding coding;
  coding.missing = {0};
  coding.dry = {0};
  decode("test", std::vector<std::int16_t>{0}, coding, conversion_of("mm/h", frame), frame);
  EXPECT_EQ(frame.source.missing, 1);
}

TEST(Decode, ZeroIsDryOnlyWhereTheFormatSaysSo) {
  for (const bool dry : {false, true}) {
    Frame frame = frame_of(1);
    Coding coding;
    coding.zero_is_dry = dry;
    decode("test", std::vector<float>{0.F}, coding, conversion_of("mm/h", frame), frame);
    EXPECT_EQ(frame.source.dry, dry ? 1 : 0);
    EXPECT_EQ(frame.source.valued, dry ? 0 : 1);
  }
}

TEST(Decode, ValidRangeIsInTheStoredDomain) {
  Frame frame = frame_of(3);
  Coding coding;
  coding.gain = 0.1;
  coding.valid_min = 0;
  coding.valid_max = 500;
  decode("test", std::vector<std::uint16_t>{500, 501, 7}, coding, conversion_of("mm/h", frame), frame);
  EXPECT_EQ(frame.source.missing, 1);
  EXPECT_NEAR(frame.values[0], 50., 1e-5);
}

TEST(Decode, NegativesAndTheCapAreCounted) {
  SourceOptions options;
  options.cap_mm_h = 150;
  Frame frame = frame_of(3);
  decode("test", std::vector<float>{-0.1F, 151.F, 149.F}, {}, conversion_of("mm/h", frame, options), frame);
  EXPECT_EQ(frame.values, (std::vector<float>{0.F, 150.F, 149.F}));
  EXPECT_EQ(frame.clipped, 2);
  EXPECT_NEAR(frame.source.max, 151., 1e-9);
}

TEST(Decode, ImpossibleValuesAreRefusedWithTheirCount) {
  for (const float value : {9.96921e36F, -999.F}) {
    Frame frame = frame_of(2);
    const Conversion conversion = conversion_of("mm/h", frame);
    try {
      decode("test", std::vector<float>{value, value}, {}, conversion, frame);
      ADD_FAILURE() << value;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("2 values"), std::string::npos) << error.what();
    }
  }
}

TEST(Decode, GainZeroAndNotFiniteAreRefused) {
  for (const double gain : {0., std::nan("")}) {
    Frame frame = frame_of(1);
    Coding coding;
    coding.gain = gain;
    EXPECT_THROW(decode("test", std::vector<float>{1.F}, coding, conversion_of("mm/h", frame), frame),
                 DataError);
  }
}

TEST(Decode, AllMissingIsAWarningNotAnError) {
  Frame frame = frame_of(2);
  decode("test", std::vector<float>{NAN, NAN}, {}, conversion_of("mm/h", frame), frame);
  EXPECT_EQ(frame.source.missing, 2);
  EXPECT_EQ(frame.source.max, 0.);
  EXPECT_EQ(frame.source.warnings.size(), 1u);
}

TEST(Decode, FlippingTurnsRowsAndStatesTogether) {
  Frame frame = frame_of(2, 3);
  decode("test", std::vector<float>{1, 2, NAN, 4, 5, 6}, {}, conversion_of("mm/h", frame), frame);
  flip_rows(frame);
  EXPECT_EQ(frame.values[0], 5.F);
  EXPECT_EQ(frame.values[5], 2.F);
  EXPECT_EQ(frame.states[2], PixelState::missing);
}

// Runs of every length from every place, some cut by a band's end or a lost pixel: one by one in the test.
TEST(Decode, BandsAndRunsGiveWhatEachPixelGives) {
  constexpr std::int64_t kColumns = 37, kRows = 60;
  std::mt19937 random(5);
  std::vector<double> raw;
  while (raw.size() < kColumns * kRows) {
    const double values[] = {-9999., 0., 0.25, static_cast<double>(random() % 50) / 4.};
    raw.insert(raw.end(), 1 + random() % 30, values[random() % 4]);
  }
  raw.resize(kColumns * kRows);
  std::vector<bool> lost(raw.size());
  for (std::size_t i = 20 * kColumns; i < 30 * kColumns; ++i) lost[i] = random() % 3 == 0;
  Coding coding;
  coding.missing = {-9999.};
  coding.zero_is_dry = true;
  Frame frame = frame_of(kColumns, kRows);
  const Conversion conversion = conversion_of("mm/h", frame);
  Decoder decoder("test", coding, conversion, frame, Wanted::values);
  for (std::size_t row = 0, rows = 1; row < kRows;
       row += rows, rows = std::min<std::size_t>(10, kRows - row)) {
    const auto cut = [&](const auto& of) {
      return std::decay_t<decltype(of)>(of.begin() + static_cast<std::ptrdiff_t>(row * kColumns),
                                        of.begin() + static_cast<std::ptrdiff_t>((row + rows) * kColumns));
    };
    Field band(cut(raw));
    if (row < 30 && row + rows > 20) band.lost = cut(lost);
    decoder.add(band);
  }
  decoder.finish("a reason");
  std::int64_t missing = 0, dry = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const PixelState state = lost[i] || raw[i] == -9999. ? PixelState::missing
                             : raw[i] == 0.              ? PixelState::dry
                                                         : PixelState::valued;
    ASSERT_EQ(frame.states[i], state) << i;
    ASSERT_TRUE(state == PixelState::missing || frame.values[i] == static_cast<float>(raw[i])) << i;
    missing += state == PixelState::missing ? 1 : 0;
    dry += state == PixelState::dry ? 1 : 0;
  }
  EXPECT_EQ(frame.source.missing, missing);
  EXPECT_EQ(frame.source.dry, dry);
  EXPECT_EQ(frame.source.warnings, std::vector<std::string>{"test: a reason"});
  Frame small = frame_of(kColumns, 1);
  Decoder too_many("test", coding, conversion, small, Wanted::values);
  EXPECT_THROW(too_many.add(raw), DataError);
  EXPECT_THROW(too_many.finish(""), DataError);
}

}  // namespace
