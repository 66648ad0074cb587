// Room for what memory is too small for, as somebody else provides it: this folder touches no file.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace raincell::model {

/// Reads and writes like memory, and leaves memory where it is dropped. Outlives what is taken from it.
class Scratch {
 public:
  virtual ~Scratch() = default;
  /// Zeros, at the start of a page; until give_back() or the end. Throws what the owner throws when there is
  /// no room.
  virtual std::span<std::byte> take(std::size_t bytes, std::string_view what) = 0;
  /// `memory` as it came from take().
  virtual void give_back(std::span<std::byte> memory) noexcept = 0;
  /// Takes it out of memory; the contents stay.
  virtual void drop(std::span<std::byte> memory) noexcept = 0;
};

/// Floats in memory, or in scratch where there is one; zeros at first. Move-only.
class Floats {
 public:
  Floats() = default;
  Floats(std::size_t count, Scratch* scratch, std::string_view what) : scratch_(scratch) {
    if (scratch_ == nullptr) {
      memory_.resize(count);
      values_ = memory_;
      return;
    }
    room_ = scratch_->take(count * sizeof(float), what);
    values_ = {reinterpret_cast<float*>(room_.data()), count};
  }
  Floats(Floats&& other) noexcept { swap(other); }
  Floats& operator=(Floats&& other) noexcept {
    Floats moved(std::move(other));
    swap(moved);
    return *this;
  }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  ~Floats() {
    if (scratch_ != nullptr) scratch_->give_back(room_);
  }
  std::span<float> values() { return values_; }
  std::span<const float> values() const { return values_; }
  /// Out of memory, where that does not lose them.
  void drop() {
    if (scratch_ != nullptr) scratch_->drop(room_);
  }

 private:
  void swap(Floats& other) noexcept {
    std::swap(scratch_, other.scratch_);
    std::swap(memory_, other.memory_);
    std::swap(room_, other.room_);
    std::swap(values_, other.values_);
  }
  Scratch* scratch_ = nullptr;
  std::vector<float> memory_;
  std::span<std::byte> room_;
  std::span<float> values_;
};

}  // namespace raincell::model
