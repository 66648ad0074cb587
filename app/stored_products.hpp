// Forecasts that lie in product files, of raincell or of any program that writes such files, as a forecaster
// among the others of verify.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "app/log.hpp"
#include "io/reader.hpp"
#include "model/forecasters.hpp"

namespace raincell::app {

/// Reads product files, which radar sources refuse.
io::SourceOptions product_source();

class StoredProducts : public model::Forecaster {
 public:
  /// Looks at the products (*.nc) of a folder; those that cannot be read are warnings. Throws DataError when
  /// none can, or two begin at the same reference time.
  StoredProducts(std::string name, const std::filesystem::path& folder, Log&);

  std::string name() const override { return name_; }
  std::int64_t frames_needed() const override { return 1; }
  bool has(io::TimePoint reference) const { return files_.contains(reference); }
  /// "80 products from 2010-08-26T05:00Z to 2010-08-26T07:35Z"
  std::string describe() const;
  /// Which product the next forecasts come from, and what it must fit.
  void choose(io::TimePoint reference, const io::Grid&, io::Quantity, std::int64_t step_s);
  /// Leads that the product does not hold are NaN. Throws DataError when it lies on another grid or holds
  /// another quantity.
  model::ForecastFrames forecast(const model::PastFrames&, std::int64_t leads) override;

 private:
  std::string name_;
  std::filesystem::path folder_;
  io::FrameReader reader_;
  std::map<io::TimePoint, std::filesystem::path> files_;  // by reference time
  io::TimePoint reference_;
  io::Grid grid_;
  io::Quantity quantity_ = io::Quantity::rain_rate;
  std::int64_t step_s_ = 0;
};

}  // namespace raincell::app
