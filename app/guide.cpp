#include "app/guide.hpp"

#include <list>
#include <mutex>
#include <utility>

namespace raincell::app {

namespace {

/// What a window needs for any crop and lead: its last frame and the motion there.
struct Field {
  std::once_flag once;
  std::vector<float> last;  // [rows, columns]
  model::Motion motion;
};

class MotionCache {
 public:
  MotionCache(const model::MotionSpec& spec, std::int64_t bytes) : spec_(spec), bytes_(bytes) {}

  std::shared_ptr<const Field> field(const io::Archive& archive, const io::Window& window) {
    const std::shared_ptr<Field> field = entry(archive, window);
    std::call_once(field->once, [&] { compute(archive, window, *field); });
    return field;
  }

 private:
  using Key = std::pair<const io::Archive*, std::int64_t>;
  struct Entry {
    Key key;
    std::shared_ptr<Field> field;  // shared: a worker may still use what is dropped here
  };

  std::shared_ptr<Field> entry(const io::Archive& archive, const io::Window& window) {
    const Key key{&archive, window.first + window.past - 1};
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->key == key) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().field;
      }
    }
    entries_.push_front({key, std::make_shared<Field>()});
    const std::int64_t each = 3 * 4 * archive.grid().pixels();
    while (entries_.size() > 1 && static_cast<std::int64_t>(entries_.size()) * each > bytes_)
      entries_.pop_back();
    return entries_.front().field;
  }

  void compute(const io::Archive& archive, const io::Window& window, Field& field) const {
    const io::Grid& grid = archive.grid();
    const std::int64_t frames = std::min(spec_.frames, window.past), pixels = grid.pixels();
    std::vector<float> past(static_cast<std::size_t>(frames * pixels));  // [frames, rows, columns]
    for (std::int64_t i = 0; i < frames; ++i) {
      archive.read(
          window.first + window.past - frames + i, {0, 0, grid.rows, grid.columns},
          std::span(past).subspan(static_cast<std::size_t>(i * pixels), static_cast<std::size_t>(pixels)));
    }
    field.motion = model::estimate_motion({frames, grid.rows, grid.columns, past}, spec_);
    field.last.assign(past.end() - pixels, past.end());
  }

  model::MotionSpec spec_;
  std::int64_t bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // latest use first
};

}  // namespace

io::GuideFunction make_guide(const model::MotionSpec& spec, std::int64_t cache_bytes) {
  // A std::function must be copyable, and its copies shall share the cache.
  auto cache = std::make_shared<MotionCache>(spec, cache_bytes);
  return [cache](const io::Archive& archive, const io::Window& window, const io::Crop& crop,
                 std::int64_t leads, std::span<float> values) {
    const std::shared_ptr<const Field> field = cache->field(archive, window);
    model::advect(field->last, field->motion, leads, crop.row, crop.column, crop.rows, crop.columns, values);
  };
}

}  // namespace raincell::app
