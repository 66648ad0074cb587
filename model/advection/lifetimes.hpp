// How long rain structures of each size live, and what is left of a frame when that time goes by.
//
// The smaller a structure, the sooner it is gone (Venugopal et al. 1999; Germann and Zawadzki 2002). As in
// S-PROG (Seed 2003) a frame is cut into bands of scales, and each band fades with the time that it was seen
// to live along the motion of the last frames: what is left is close to the mean of what may come. Widespread
// rain lives longer than showers, so the time is measured in every scene.
#pragma once

#include <array>

#include "model/advection/advection.hpp"

namespace raincell::model {

/// Pixels and steps of a field in the units of the weather.
struct FieldScale {
  double pixel_km = 1.;
  double step_minutes = 5.;
};

inline constexpr std::int64_t kLifetimeLags = 4;  // older frames that are looked at
inline constexpr std::size_t kBands = 6;          // and what is wider than all of them, which does not fade

struct Lifetimes {
  std::array<double, kBands> minutes{};  // until 1/e of a band is left

  /// What radar climates of two continents had in common: the start of every estimate.
  static Lifetimes usual();
  /// Between 0 and 1.
  double left(std::size_t band, double lead_minutes) const;
};

/// From how much of each band of the latest frame the older ones, brought here by the motion, still explain.
/// The fewer structures of a size there are, the nearer to usual(); one frame, or no rain: usual().
Lifetimes estimate_lifetimes(PastStream&, const Motion&, const FieldScale&, Scratch*);

/// A frame cut into bands, to be put together again without what is gone by a lead.
class Fading {
 public:
  /// frame: [rows, columns], copied. Its bands lie in scratch where there is one.
  Fading(std::span<const float> frame, std::int64_t rows, std::int64_t columns, const FieldScale&, Scratch*);
  /// Bands times what is left of them: NaN where the frame is missing, and never negative. out: [rows,
  /// columns].
  void at(const Lifetimes&, double lead_minutes, std::span<float> out);
  static constexpr std::int64_t kPlanes = kBands + 1;  // of the field, that it holds
  static constexpr std::int64_t kMorePlanes = 7;       // while it is made

  /// What a band adds, until another is asked for.
  std::span<const float> band(std::size_t band) { return plane(band); }

 private:
  std::span<float> plane(std::size_t band);
  std::size_t pixels_;
  std::array<bool, kBands> there_{};  // not where pixels are too coarse for the band
  Floats planes_;                     // [kPlanes, rows, columns], the widest last
};

}  // namespace raincell::model
