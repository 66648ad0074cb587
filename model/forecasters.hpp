// The ways to forecast, behind one interface: persistence, advection, convlstm.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace raincell::model {

/// Past frames in physical units on one grid, oldest first, NaN where missing.
struct PastFrames {
  std::int64_t frames = 0, rows = 0, columns = 0;
  std::span<const float> values;  // [frames, rows, columns]
};

/// The same one at a time, from the first (0) to the last.
class PastStream {
 public:
  PastStream(std::int64_t frames, std::int64_t rows, std::int64_t columns)
      : frames_(frames), rows_(rows), columns_(columns) {}
  virtual ~PastStream() = default;
  std::int64_t frames() const { return frames_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t pixels() const { return rows_ * columns_; }
  /// [rows, columns], until another one is asked for.
  virtual std::span<const float> frame(std::int64_t index) = 0;
  /// All of them, [frames, rows, columns], where they lie in memory anyhow; else empty.
  virtual std::span<const float> all() { return {}; }

 private:
  std::int64_t frames_, rows_, columns_;
};

/// Frames in memory.
class HeldFrames : public PastStream {
 public:
  explicit HeldFrames(const PastFrames& past)
      : PastStream(past.frames, past.rows, past.columns), values_(past.values) {}
  std::span<const float> frame(std::int64_t index) override {
    const auto size = static_cast<std::size_t>(pixels());
    return values_.subspan(static_cast<std::size_t>(index) * size, size);
  }
  std::span<const float> all() override { return values_; }

 private:
  std::span<const float> values_;
};

/// The last `frames` of a stream.
class LastFrames : public PastStream {
 public:
  LastFrames(PastStream& all, std::int64_t frames)
      : PastStream(frames, all.rows(), all.columns()), all_(all), first_(all.frames() - frames) {}
  std::span<const float> frame(std::int64_t index) override { return all_.frame(first_ + index); }

 private:
  PastStream& all_;
  std::int64_t first_;
};

/// Takes a forecast lead by lead: values [rows, columns], and probabilities [thresholds, rows, columns] of
/// exceedance forecasts, else empty.
using LeadSink = std::function<void(std::int64_t lead, std::span<const float> values,
                                    std::span<const float> probabilities)>;

/// Future frames, NaN where there is no forecast.
struct ForecastFrames {
  std::int64_t leads = 0, rows = 0, columns = 0;
  std::vector<float> values;         // [leads, rows, columns]
  std::vector<double> thresholds;    // exceedance forecasts: thresholds in physical units
  std::vector<float> probabilities;  // [thresholds, leads, rows, columns], empty otherwise
};

/// Lead l of a forecast is valid (l + 1) steps after the last past frame.
class Forecaster {
 public:
  virtual ~Forecaster() = default;
  virtual std::string name() const = 0;
  virtual std::int64_t frames_needed() const = 0;
  /// Throws std::invalid_argument when there are fewer frames than needed.
  virtual ForecastFrames forecast(const PastFrames&, std::int64_t leads) = 0;
  /// The same, for domains of which memory holds few frames; all of them are held where a forecaster knows no
  /// better.
  virtual void stream(PastStream&, std::int64_t leads, const LeadSink&);
};

/// The last frame, unchanged.
class Persistence : public Forecaster {
 public:
  std::string name() const override { return "persistence"; }
  std::int64_t frames_needed() const override { return 1; }
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;
  void stream(PastStream&, std::int64_t leads, const LeadSink&) override;
};

}  // namespace raincell::model
