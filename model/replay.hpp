// Operations that are the same at every call, replayed by backends that can.
#pragma once

#include <functional>
#include <memory>

#include "kernels/backend.hpp"

namespace raincell::model {

/// One such piece of work: done at the first call, recorded at the second, replayed from then on.
class Replay {
 public:
  /// `parameters`: where they lie; elsewhere than at the call before, everything starts anew.
  void run(kernels::Backend& backend, const void* parameters, const std::function<void()>& work) {
    if (parameters != parameters_) start_anew(parameters);
    if (recording_ == nullptr && calls_ == 1) recording_ = backend.record(work);
    if (recording_ != nullptr) {
      if (recording_->replay()) return;
      start_anew(parameters);
    }
    work();
    if (calls_ < 2) ++calls_;  // from two on there is nothing to record any more
  }

 private:
  void start_anew(const void* parameters) {
    recording_.reset();
    parameters_ = parameters;
    calls_ = 0;
  }

  std::unique_ptr<kernels::Recording> recording_;
  const void* parameters_ = nullptr;
  int calls_ = 0;  // of work, since the start
};

}  // namespace raincell::model
