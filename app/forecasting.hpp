// The forecasters by name, with the model loaded when one of them needs it: what nowcast and verify share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/cli.hpp"
#include "app/forecast_memory.hpp"
#include "app/frame_series.hpp"
#include "app/weights.hpp"
#include "kernels/backend.hpp"
#include "model/advection/advection.hpp"
#include "model/convlstm_forecaster.hpp"

namespace raincell::app {

/// Owns backend and forecasters; they are destroyed in the right order.
class Forecasting {
 public:
  /// past: frames that the network is to see; 0: as in its training. Throws UsageError for an unknown name,
  /// model::WeightsError when the weights cannot be used.
  Forecasting(const Arguments&, kernels::Precision, Log&, const std::vector<std::string>& names,
              const model::MotionSpec&, const std::string& command, std::int64_t past = 0);
  Forecasting(const Forecasting&) = delete;  // forecasters refer to it
  Forecasting& operator=(const Forecasting&) = delete;
  /// One more, beside those by name.
  void add(std::unique_ptr<model::Forecaster> forecaster) { forecasters_.push_back(std::move(forecaster)); }
  model::Forecaster& operator[](std::size_t i) { return *forecasters_[i]; }
  std::size_t size() const { return forecasters_.size(); }
  std::vector<model::Forecaster*> all();
  /// Null without a network.
  const WeightsInfo* weights() const { return info_ ? &*info_ : nullptr; }
  std::string model_path() const { return model_path_; }
  /// Frames that forecasters see: what the model was trained with, else 5.
  std::int64_t past() const { return info_ ? info_->spec.past : kDefaultPast; }
  /// The fewest frames that all forecasters can do with.
  std::int64_t least_past() const;
  /// Leads: what the model was trained with, else 12.
  std::int64_t leads() const { return info_ ? info_->spec.future : kDefaultLeads; }
  /// Throws model::WeightsError when the model was trained for another quantity than the frames have, or
  /// another step than it can do with (WeightsInfo::reach); warns when that is near.
  void require_fit(const FrameSeries&, Log&);
  void require_fit(std::int64_t step_s, io::Quantity, Log&);
  /// Chooses how forecasts of such a domain are computed in the memory that may be used, and says so when
  /// --memory bounds it or the domain has to be cut. past: frames that are held before it. Throws
  /// ResourceError when there is no way.
  const MemoryChoice& fit(const io::Grid&, std::int64_t past, std::int64_t leads, bool pictures, Log&);
  /// The same for scoring them all; past: with the frames of the truth.
  const MemoryChoice& fit_scoring(const io::Grid&, std::int64_t past, std::int64_t leads,
                                  std::int64_t threads, Log&);
  /// Gives memory back between forecasts.
  void rest();
  model::Scratch* scratch() { return scratch_.get(); }
  /// Null where nothing lies there.
  model::Scratch* scratch_for_frames() { return choice_.past_in_scratch ? scratch_.get() : nullptr; }

 private:
  std::unique_ptr<model::ConvLstm> load_convlstm(std::int64_t past);
  std::unique_ptr<model::Forecaster> make_blend();
  ForecastWork work_of(const io::Grid&, std::int64_t past, std::int64_t leads) const;
  const MemoryChoice& choose(const ForecastWork&, const std::string& what, Log&);
  void use_scale(const io::Grid&);
  [[noreturn]] void refuse(const std::string& what) const;
  static constexpr std::int64_t kDefaultPast = 5, kDefaultLeads = 12;
  std::unique_ptr<FileScratch> scratch_;  // outlives whatever takes from it
  std::unique_ptr<kernels::Backend> backend_;
  std::optional<WeightsInfo> info_;
  std::string model_path_;
  std::int64_t memory_limit_ = 0;
  bool limited_ = false;     // by --memory
  std::int64_t step_s_ = 0;  // of the frames
  MemoryChoice choice_;
  model::ConvLstm* convlstm_ = nullptr;  // these are among the forecasters
  model::Advection* advection_ = nullptr;
  model::Blend* blend_ = nullptr;
  std::unique_ptr<model::ConvLstm> behind_blend_;  // which is not asked for by itself
  std::vector<std::unique_ptr<model::Forecaster>> forecasters_;
};

/// A network as a forecaster of physical fields, guided as in its training. info outlives it, and its guide's
/// scale is set before a forecast.
std::unique_ptr<model::ConvLstm> make_convlstm(std::unique_ptr<model::Network>, const WeightsInfo& info);

/// Frames [first, first + count) of the series as one block [count, rows, columns]. Throws DataError on
/// another grid.
std::vector<float> stack_frames(FrameSeries&, const std::vector<std::int64_t>& indices);

}  // namespace raincell::app
