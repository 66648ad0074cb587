#include "model/advection/advection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/video/tracking.hpp>
#include <stdexcept>

namespace raincell::model {
namespace {

constexpr float kDryRate = 0.1F;           // mm/h; below this a pixel is dry and carries no motion
constexpr float kDecibelPerDecade = 16.F;  // 10 b of Z = a R^b with b = 1.6
constexpr double kFlowScale = 100.;  // keeps rain gradients far above the constant in Farneback's equations
constexpr std::int64_t kReduceFrom = 128;  // pixels of the shorter side from which half resolution is used
constexpr double kNoiseSigma = 1.5;        // pixels; removes the steps of quantised rain before the flow
constexpr double kFillSigma = 1.0;         // pixels; how far rain at the mask's edge is continued into it
constexpr int kWindow = 21;                // pixels; Farneback's averaging window
constexpr int kPolynomial = 7;             // pixels; neighbourhood of Farneback's quadratic
constexpr double kPolynomialSigma = 1.5;
constexpr int kIterations = 2;
constexpr int kMaximumLevels = 4;          // of the pyramid, each half the size of the one below
constexpr std::int64_t kMinimumSide = 16;  // pixels; smaller fields have no measurable motion
constexpr double kRecency = 0.8;           // weight of a pair relative to the next newer one
constexpr double kFade = 1.5e-3;           // decibels of smoothed rain at which half of the motion is left
constexpr float kValidWeight = 0.99F;      // bilinear weight of valid pixels that a forecast needs
constexpr int kMidpointIterations = 2;
constexpr std::int64_t kKeptBytes = std::int64_t{16} << 20;  // of trajectories in scratch that lie in memory
constexpr double kWideSigma = 4.0;  // pixels; from here on box passes are near enough to a Gaussian

/// One past frame as the flow sees it: decibels above the dry rate (0 where missing) and validity (0 or 1).
struct FlowImage {
  cv::Mat1f decibel, valid;
};

cv::Mat1f gaussian(const cv::Mat1f& image, double sigma) {
  cv::Mat1f out;
  const int side = 2 * static_cast<int>(std::ceil(3 * sigma)) + 1;
  cv::GaussianBlur(image, out, {side, side}, sigma, sigma, cv::BORDER_REPLICATE);
  return out;
}

/// Gaussian smoothing by three box passes, whose cost does not grow with sigma.
cv::Mat1f wide_gaussian(const cv::Mat1f& image, double sigma) {
  const int side = 2 * static_cast<int>(std::lround((std::sqrt(4 * sigma * sigma + 1) - 1) / 2)) + 1;
  cv::Mat1f out = image.clone();
  for (int pass = 0; pass < 3; ++pass) cv::blur(out, out, {side, side}, {-1, -1}, cv::BORDER_REPLICATE);
  return out;
}

/// Averages blocks of `reduce` x `reduce` pixels: motion is measured on half the resolution where the field
/// is large.
FlowImage flow_image(std::span<const float> frame, int rows, int columns, int reduce) {
  const int out_rows = (rows + reduce - 1) / reduce, out_columns = (columns + reduce - 1) / reduce;
  FlowImage out{cv::Mat1f::zeros(out_rows, out_columns), cv::Mat1f::zeros(out_rows, out_columns)};
  for (int row = 0; row < rows; ++row) {
    const float* from = frame.data() + static_cast<std::ptrdiff_t>(row) * columns;
    float* decibel = out.decibel[row / reduce];
    float* valid = out.valid[row / reduce];
    for (int column = 0; column < columns; ++column) {
      const float rate = from[column];
      if (!std::isfinite(rate)) continue;
      valid[column / reduce] += 1;
      if (rate > kDryRate) decibel[column / reduce] += kDecibelPerDecade * std::log10(rate / kDryRate);
    }
  }
  for (int row = 0; row < out_rows; ++row) {
    for (int column = 0; column < out_columns; ++column) {
      float& valid = out.valid(row, column);
      if (valid == 0) continue;
      out.decibel(row, column) /= valid;
      valid = 1;
    }
  }
  return out;
}

/// Smooths, and continues the field into missing pixels so that the edge of the mask is no edge of rain.
cv::Mat1f continued(const FlowImage& image, const cv::Mat1f& valid) {
  cv::Mat1f inside = image.decibel.mul(valid);
  const cv::Mat1f rain = gaussian(inside, kFillSigma), weight = gaussian(valid, kFillSigma);
  for (int row = 0; row < inside.rows; ++row) {
    for (int column = 0; column < inside.cols; ++column) {
      if (valid(row, column) > 0 || weight(row, column) < 1e-3F) continue;
      inside(row, column) = rain(row, column) / weight(row, column);
    }
  }
  return gaussian(inside, kNoiseSigma);
}

/// Sums of weight x motion and of weight over the pairs.
struct MotionSum {
  cv::Mat1f u, v, weight;
};

/// steps: that the motion between the two took.
void add_pair(const FlowImage& earlier, const FlowImage& later, float recency, float steps, MotionSum& sum) {
  const cv::Mat1f valid = earlier.valid.mul(later.valid);
  const cv::Mat1f from = continued(earlier, valid), to = continued(later, valid);
  int levels = 1;
  while (levels < kMaximumLevels && (std::min(from.rows, from.cols) >> levels) >= kMinimumSide) ++levels;
  cv::Mat2f flow;
  cv::calcOpticalFlowFarneback(from * kFlowScale, to * kFlowScale, flow, 0.5, levels - 1, kWindow,
                               kIterations, kPolynomial, kPolynomialSigma, 0);
  for (int row = 0; row < from.rows; ++row) {
    for (int column = 0; column < from.cols; ++column) {
      if (valid(row, column) == 0.F) continue;
      const float weight = recency * std::sqrt(from(row, column) * to(row, column));
      const cv::Vec2f& motion = flow(row, column);
      if (!(weight > 0) || !std::isfinite(motion[0]) || !std::isfinite(motion[1])) continue;
      sum.u(row, column) += weight * motion[0] / steps;
      sum.v(row, column) += weight * motion[1] / steps;
      sum.weight(row, column) += weight;
    }
  }
}

/// Rain-weighted average over `sigma` pixels, fading to no motion far from rain.
cv::Mat1f smoothed(const cv::Mat1f& weighted, const cv::Mat1f& weight, double sigma) {
  return wide_gaussian(weighted, sigma) / (wide_gaussian(weight, sigma) + kFade);
}

/// Motion measured on blocks of `reduce` pixels, brought to every pixel and into pixels a step.
void enlarge(const cv::Mat1f& motion, int reduce, std::vector<float>& out, int rows, int columns) {
  cv::Mat1f full;
  cv::resize(motion * reduce, full, {motion.cols * reduce, motion.rows * reduce}, 0, 0, cv::INTER_LINEAR);
  full({0, 0, columns, rows}).copyTo(cv::Mat1f(rows, columns, out.data()));
}

void require(bool condition, const std::string& what) {
  if (!condition) throw std::invalid_argument("advection: " + what);
}

/// A point of the field and whether the trajectory is still inside it.
struct Point {
  float x, y;
};

/// Bilinear motion at a point, clamped to the field.
Point motion_at(const Motion& motion, float x, float y) {
  const auto width = motion.columns, height = motion.rows;
  x = std::clamp(x, 0.F, static_cast<float>(width - 1));
  y = std::clamp(y, 0.F, static_cast<float>(height - 1));
  const auto left = std::min(static_cast<std::int64_t>(x), std::max<std::int64_t>(width - 2, 0));
  const auto top = std::min(static_cast<std::int64_t>(y), std::max<std::int64_t>(height - 2, 0));
  const std::int64_t right = width > 1 ? 1 : 0, below = height > 1 ? width : 0;
  const float fx = x - static_cast<float>(left), fy = y - static_cast<float>(top);
  const std::size_t at = static_cast<std::size_t>(top * width + left);
  const auto mix = [&](const std::vector<float>& field) {
    const float* f = field.data() + at;
    return (1 - fy) * ((1 - fx) * f[0] + fx * f[right]) + fy * ((1 - fx) * f[below] + fx * f[below + right]);
  };
  return {mix(motion.u), mix(motion.v)};
}

/// Value of the frame at a point, NaN unless valid pixels carry more than kValidWeight of the bilinear
/// weight.
float value_at(std::span<const float> frame, std::int64_t height, std::int64_t width, float x, float y) {
  const float floor_x = std::floor(x), floor_y = std::floor(y);
  const float fx = x - floor_x, fy = y - floor_y;
  const auto left = static_cast<std::int64_t>(floor_x), top = static_cast<std::int64_t>(floor_y);
  float value = 0, valid = 0;
  for (int corner = 0; corner < 4; ++corner) {
    const std::int64_t column = left + (corner & 1), row = top + (corner >> 1);
    const float weight = ((corner & 1) != 0 ? fx : 1 - fx) * ((corner >> 1) != 0 ? fy : 1 - fy);
    if (weight == 0 || column < 0 || row < 0 || column >= width || row >= height) continue;
    const float pixel = frame[static_cast<std::size_t>(row * width + column)];
    if (std::isnan(pixel)) continue;
    value += weight * pixel;
    valid += weight;
  }
  return valid > kValidWeight ? value / valid : std::numeric_limits<float>::quiet_NaN();
}

/// One step back along the motion; false when the point leaves the field: nothing is known of the motion out
/// there. `step` is that of the step before.
bool step_back(const Motion& motion, Point& point, Point& step) {
  for (int i = 0; i < kMidpointIterations; ++i) {
    step = motion_at(motion, point.x - step.x / 2, point.y - step.y / 2);
  }
  point = {point.x - step.x, point.y - step.y};
  return point.x > -1 && point.y > -1 && point.x < static_cast<float>(motion.columns) &&
         point.y < static_cast<float>(motion.rows);
}

/// What is left between the latest frame and each older one once the motion has brought it here: over several
/// steps the same error of the motion is several times as large, and the error of the flow is not.
void refine(PastStream& past, std::int64_t used, double smoothing_pixels, int reduce, Motion& motion) {
  const int rows = static_cast<int>(past.rows()), columns = static_cast<int>(past.columns());
  const FlowImage latest = flow_image(past.frame(past.frames() - 1), rows, columns, reduce);
  const cv::Size size = latest.decibel.size();
  MotionSum sum{cv::Mat1f::zeros(size), cv::Mat1f::zeros(size), cv::Mat1f::zeros(size)};
  std::vector<float> brought(static_cast<std::size_t>(past.pixels()));
  {
    Trajectories trajectories(motion, nullptr);
    for (std::int64_t age = 1; age < used; ++age) {
      trajectories.step({{past.frame(past.frames() - 1 - age), brought}});
      add_pair(flow_image(brought, rows, columns, reduce), latest, 1, static_cast<float>(age), sum);
    }
  }
  std::vector<float> more(brought.size());
  for (const auto& [part, whole] : {std::pair{&sum.u, &motion.u}, {&sum.v, &motion.v}}) {
    enlarge(smoothed(*part, sum.weight, smoothing_pixels / reduce), reduce, more, rows, columns);
    for (std::size_t i = 0; i < more.size(); ++i) (*whole)[i] += more[i];
  }
}

}  // namespace

Motion estimate_motion(const PastFrames& past, const MotionSpec& spec) {
  require(past.rows > 0 && past.columns > 0, "the field is empty");
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  require(past.values.size() == pixels * static_cast<std::size_t>(past.frames),
          fmt::format("{} values given for {} frames of {}x{}", past.values.size(), past.frames, past.columns,
                      past.rows));
  HeldFrames frames(past);
  return estimate_motion(frames, spec);
}

Motion estimate_motion(PastStream& past, const MotionSpec& spec) {
  require(past.rows() > 0 && past.columns() > 0, "the field is empty");
  const auto pixels = static_cast<std::size_t>(past.pixels());
  require(spec.frames >= 2 && spec.smoothing_pixels > 0,
          "motion needs at least 2 frames and smoothing above 0");
  Motion motion{past.rows(), past.columns(), std::vector<float>(pixels), std::vector<float>(pixels)};
  const std::int64_t used = std::min(past.frames(), spec.frames);
  if (used < 2 || std::min(past.rows(), past.columns()) < kMinimumSide) return motion;

  const int rows = static_cast<int>(past.rows()), columns = static_cast<int>(past.columns());
  const int reduce = std::min(rows, columns) >= kReduceFrom ? 2 : 1;
  const auto image = [&](std::int64_t index) { return flow_image(past.frame(index), rows, columns, reduce); };
  FlowImage later = image(past.frames() - 1);
  const cv::Size size = later.decibel.size();
  MotionSum sum{cv::Mat1f::zeros(size), cv::Mat1f::zeros(size), cv::Mat1f::zeros(size)};
  float recency = 1;
  for (std::int64_t pair = 1; pair < used; ++pair) {
    FlowImage earlier = image(past.frames() - 1 - pair);
    add_pair(earlier, later, recency, 1, sum);
    later = std::move(earlier);
    recency *= static_cast<float>(kRecency);
  }
  enlarge(smoothed(sum.u, sum.weight, spec.smoothing_pixels / reduce), reduce, motion.u, rows, columns);
  enlarge(smoothed(sum.v, sum.weight, spec.smoothing_pixels / reduce), reduce, motion.v, rows, columns);
  refine(past, used, spec.smoothing_pixels, reduce, motion);
  return motion;
}

void advect(std::initializer_list<Carried> fields, const Motion& motion, std::int64_t leads, std::int64_t row,
            std::int64_t column, std::int64_t rows, std::int64_t columns) {
  const auto pixels = static_cast<std::size_t>(motion.rows * motion.columns),
             count = static_cast<std::size_t>(leads);
  const auto plane = static_cast<std::size_t>(rows * columns);
  require(row >= 0 && column >= 0 && rows >= 0 && columns >= 0 && row + rows <= motion.rows &&
              column + columns <= motion.columns,
          "the sub-rectangle lies outside the field");
  require(motion.u.size() == pixels && motion.v.size() == pixels, "the motion has the wrong size");
  for (const Carried& field : fields) {
    require(leads >= 0 && field.values.size() == count * plane, "the output span has the wrong size");
    require(field.sources.size() == pixels || field.sources.size() == pixels * count,
            "frame and motion differ in size");
  }
  for (std::size_t pixel = 0; pixel < plane; ++pixel) {
    const auto y = static_cast<std::int64_t>(pixel) / columns, x = static_cast<std::int64_t>(pixel) % columns;
    Point point{static_cast<float>(column + x), static_cast<float>(row + y)};
    Point step = motion_at(motion, point.x, point.y);
    std::size_t lead = 0;
    for (; lead < count; ++lead) {
      if (!step_back(motion, point, step)) break;
      for (const Carried& field : fields) {
        const std::size_t source = field.sources.size() == pixels ? 0 : lead * pixels;
        field.values[lead * plane + pixel] =
            value_at(field.sources.subspan(source, pixels), motion.rows, motion.columns, point.x, point.y);
      }
    }
    for (; lead < count; ++lead) {
      for (const Carried& field : fields)
        field.values[lead * plane + pixel] = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

Trajectories::Trajectories(const Motion& motion, Scratch* scratch)
    : motion_(motion),
      kept_(static_cast<std::size_t>(motion.rows * motion.columns * 4), scratch, "trajectories") {}

void Trajectories::step(std::initializer_list<Carried> fields) {
  const auto pixels = static_cast<std::size_t>(motion_.rows * motion_.columns);
  for (const Carried& field : fields)
    require(field.sources.size() == pixels && field.values.size() == pixels,
            "frame and motion differ in size");
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const std::int64_t rows_kept = std::max<std::int64_t>(1, kKeptBytes / (motion_.columns * kBytesAPixel));
  std::size_t pixel = 0;
  for (std::int64_t row = 0; row < motion_.rows; ++row) {
    for (std::int64_t column = 0; column < motion_.columns; ++column, ++pixel) {
      float* const kept = kept_.values().data() + 4 * pixel;
      Point point{kept[0], kept[1]}, step{kept[2], kept[3]};
      if (!begun_) {
        point = {static_cast<float>(column), static_cast<float>(row)};
        step = motion_at(motion_, point.x, point.y);
      }
      const bool inside = !std::isnan(point.x) && step_back(motion_, point, step);
      for (const Carried& field : fields)
        field.values[pixel] =
            inside ? value_at(field.sources, motion_.rows, motion_.columns, point.x, point.y) : kNaN;
      if (!inside) point.x = kNaN;
      kept[0] = point.x, kept[1] = point.y, kept[2] = step.x, kept[3] = step.y;
    }
    if (row % rows_kept == rows_kept - 1) kept_.drop();
  }
  kept_.drop();
  begun_ = true;
}

void smooth_frame(std::span<const float> frame, std::int64_t rows, std::int64_t columns, double sigma_pixels,
                  std::span<float> out) {
  const auto pixels = static_cast<std::size_t>(rows * columns);
  require(rows > 0 && columns > 0 && frame.size() == pixels && out.size() == pixels,
          "the frame to smooth has the wrong size");
  require(sigma_pixels > 0 && std::isfinite(sigma_pixels), "smoothing must be more than 0 pixels");
  const int height = static_cast<int>(rows), width = static_cast<int>(columns);
  cv::Mat1f value(height, width), valid(height, width);
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    const bool missing = std::isnan(frame[pixel]);
    valid.ptr<float>()[pixel] = missing ? 0.F : 1.F;
    value.ptr<float>()[pixel] = missing ? 0.F : frame[pixel];
  }
  const auto smooth = [&](const cv::Mat1f& image) {
    return sigma_pixels < kWideSigma ? gaussian(image, sigma_pixels) : wide_gaussian(image, sigma_pixels);
  };
  value = smooth(value);
  const cv::Mat1f weight = smooth(valid);
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    out[pixel] =
        std::isnan(frame[pixel]) ? frame[pixel] : value.ptr<float>()[pixel] / weight.ptr<float>()[pixel];
  }
}

ForecastFrames Advection::forecast(const PastFrames& past, std::int64_t leads) {
  if (past.frames < frames_needed()) {
    throw std::invalid_argument(
        fmt::format("advection needs {} past frames and got {}", frames_needed(), past.frames));
  }
  const Motion motion = estimate_motion(past, spec_);
  ForecastFrames out{.leads = leads,
                     .rows = past.rows,
                     .columns = past.columns,
                     .values = {},
                     .thresholds = {},
                     .probabilities = {}};
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  out.values.resize(pixels * static_cast<std::size_t>(leads));
  advect({{past.values.last(pixels), out.values}}, motion, leads, 0, 0, past.rows, past.columns);
  return out;
}

void Advection::stream(PastStream& past, std::int64_t leads, const LeadSink& sink) {
  if (past.frames() < frames_needed()) {
    throw std::invalid_argument(
        fmt::format("advection needs {} past frames and got {}", frames_needed(), past.frames()));
  }
  const Motion motion = estimate_motion(past, spec_);
  Trajectories trajectories(motion, scratch_);
  std::vector<float> values(static_cast<std::size_t>(past.pixels()));
  const auto last = past.frame(past.frames() - 1);
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    trajectories.step({{last, values}});
    sink(lead, values, {});
  }
}

}  // namespace raincell::model
