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
    if (recording_ != nullptr && parameters == parameters_ && recording_->replay()) return;
    if (recording_ != nullptr || parameters != parameters_) state_ = State::fresh;
    recording_.reset();
    parameters_ = parameters;
    if (state_ == State::done_once) {
      recording_ = backend.record(work);
      state_ = recording_ == nullptr ? State::never : State::recorded;
      if (recording_ != nullptr && recording_->replay()) return;
    }
    work();
    if (state_ == State::fresh) state_ = State::done_once;
  }
  bool recorded() const { return recording_ != nullptr; }

 private:
  enum class State : std::uint8_t { fresh, done_once, recorded, never };

  std::unique_ptr<kernels::Recording> recording_;
  const void* parameters_ = nullptr;
  State state_ = State::fresh;
};

}  // namespace raincell::model
