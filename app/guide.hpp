// The advected frames of a training window: motion of the whole domain, estimated once a window, then any
// crop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/batch_source.hpp"
#include "model/advection/guide.hpp"

namespace raincell::app {

/// A grid without a projection has pixels of 1 km.
model::FieldScale field_scale(const io::Grid&, std::int64_t step_s);

/// Advected frames for io::BatchSource. Pure in its result; what windows need is kept within
/// `cache_bytes` (at least one window), oldest use dropped first. Any thread. Copies share one cache.
io::GuideFunction make_guide(const model::GuideSpec&, std::int64_t cache_bytes);

}  // namespace raincell::app
