#include "app/guide.hpp"

#include <list>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "app/training_data.hpp"

namespace raincell::app {

namespace {

/// What a window needs for any crop and lead.
struct Entry {
  std::once_flag once;
  std::optional<model::Guide> guide;
};

class GuideCache {
 public:
  GuideCache(const model::GuideSpec& spec, std::int64_t bytes) : spec_(spec), bytes_(bytes) {}

  std::shared_ptr<const Entry> entry(const io::Archive& archive, const io::Window& window) {
    const std::shared_ptr<Entry> entry = find(archive, window);
    std::call_once(entry->once, [&] { entry->guide.emplace(guide(archive, window)); });
    return entry;
  }

 private:
  using Key = std::tuple<const io::Archive*, std::int64_t, bool>;

  std::shared_ptr<Entry> find(const io::Archive& archive, const io::Window& window) {
    const Key key{&archive, window.first, window.reversed};
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->first == key) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().second;
      }
    }
    entries_.emplace_front(key, std::make_shared<Entry>());
    const std::int64_t each = model::Guide::bytes(spec_, archive.grid().pixels(), window.future);
    while (entries_.size() > 1 && static_cast<std::int64_t>(entries_.size()) * each > bytes_)
      entries_.pop_back();
    return entries_.front().second;
  }

  model::Guide guide(const io::Archive& archive, const io::Window& window) const {
    const io::Grid& grid = archive.grid();
    const std::int64_t frames = std::min(spec_.frames(), window.past);
    const std::vector<float> past = read_frames(archive, window, window.past - frames, frames,
                                                {0, 0, grid.rows, grid.columns});  // [frames, rows, columns]
    model::GuideSpec spec = spec_;
    spec.scale = field_scale(grid, archive.step_s());
    return {{frames, grid.rows, grid.columns, past}, spec, window.future};
  }

  model::GuideSpec spec_;
  std::int64_t bytes_;
  std::mutex mutex_;
  // Latest use first; entries are shared because a worker may still use what is dropped here.
  std::list<std::pair<Key, std::shared_ptr<Entry>>> entries_;
};

}  // namespace

model::FieldScale field_scale(const io::Grid& grid, std::int64_t step_s) {
  model::FieldScale scale;
  if (!grid.projection.empty()) scale.pixel_km = io::pixel_km(grid);
  if (step_s > 0) scale.step_minutes = static_cast<double>(step_s) / 60.;
  return scale;
}

io::GuideFunction make_guide(const model::GuideSpec& spec, std::int64_t cache_bytes) {
  // A std::function must be copyable, and its copies shall share the cache.
  auto cache = std::make_shared<GuideCache>(spec, cache_bytes);
  return [cache](const io::Archive& archive, const io::Window& window, const io::Crop& crop, std::int64_t,
                 std::span<float> values, std::span<float> tendency) {
    const std::shared_ptr<const Entry> entry = cache->entry(archive, window);
    entry->guide->frames(crop.row, crop.column, crop.rows, crop.columns, values, tendency);
  };
}

}  // namespace raincell::app
