// The forecasters by name, with the model loaded when one of them needs it: what nowcast and verify share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/cli.hpp"
#include "app/frame_series.hpp"
#include "app/network_forecaster.hpp"
#include "app/weights.hpp"
#include "kernels/backend.hpp"

namespace raincell::app {

/// Owns backend, model and forecasters; they are destroyed in the right order.
class Forecasting {
 public:
  /// Throws UsageError for an unknown name, model::WeightsError when the weights cannot be used.
  Forecasting(const Arguments&, const std::vector<std::string>& names, const model::MotionSpec&,
              const std::string& command);
  model::Forecaster& operator[](std::size_t i) { return *forecasters_[i]; }
  std::size_t size() const { return forecasters_.size(); }
  std::vector<model::Forecaster*> all();
  /// Null without a convlstm.
  const WeightsInfo* weights() const { return model_ ? &model_->info : nullptr; }
  std::string model_path() const { return model_path_; }
  /// Frames that forecasters see: what the model was trained with, else 5.
  std::int64_t past() const { return model_ ? model_->info.spec.past : kDefaultPast; }
  /// The fewest frames that all forecasters can do with.
  std::int64_t least_past() const;
  /// Leads: what the model was trained with, else 12.
  std::int64_t leads() const { return model_ ? model_->info.spec.future : kDefaultLeads; }
  /// Throws model::WeightsError when the model was trained for another step or quantity than the frames have.
  void require_fit(const FrameSeries&) const;

 private:
  static constexpr std::int64_t kDefaultPast = 5, kDefaultLeads = 12;
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<LoadedModel> model_;
  std::string model_path_;
  std::vector<std::unique_ptr<model::Forecaster>> forecasters_;
};

/// Frames [first, first + count) of the series as one block [count, rows, columns]. Throws DataError on
/// another grid.
std::vector<float> stack_frames(FrameSeries&, const std::vector<std::int64_t>& indices);

}  // namespace raincell::app
