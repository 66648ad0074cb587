// Forecasts: all steps at once on a training plan, or rolling with one step of memory.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "model/network.hpp"

namespace raincell::model {

using kernels::FrameLayout;
using kernels::View;
using std::int64_t;

Network::EncoderState Network::read_encoder_state(std::size_t stage) {
  if (!encoder_) throw std::logic_error("Network::read_encoder_state needs a plan");
  CellLayer& layer = encoder_->recurrent(stage);
  EncoderState state;
  const auto read = [&](View view, std::vector<double>& values) {
    if (view.empty()) return;
    values.resize(static_cast<std::size_t>(view.shape.elements()));
    backend_.read(view, std::span<double>(values));
  };
  read(layer.h(spec_.past - 1), state.h);
  read(layer.c(spec_.past - 1), state.c);
  return state;
}

namespace {

/// Rows of whole frames of one sample.
class WholeFrames : public FrameExchange {
 public:
  WholeFrames(const HostBatch& batch, const NetworkPlan& plan, int64_t channels, int64_t out_channels,
              std::span<float> out)
      : batch_(batch), plan_(plan), channels_(channels), out_channels_(out_channels), out_(out) {}
  void past(int64_t t, Kind kind, int64_t first, int64_t rows, std::span<float> to) override {
    each(kind == Kind::mask ? batch_.past_mask : batch_.past, t, channels_, first, rows,
         [&](std::span<const float> from, std::size_t at) {
           std::copy(from.begin(), from.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
         });
  }
  void guide(int64_t lead, Kind kind, int64_t first, int64_t rows, std::span<float> to) override {
    each(kind == Kind::mask       ? batch_.guide_mask
         : kind == Kind::tendency ? batch_.tendency
                                  : batch_.guide,
         lead, channels_, first, rows, [&](std::span<const float> from, std::size_t at) {
           std::copy(from.begin(), from.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
         });
  }
  void take(int64_t lead, int64_t first, int64_t rows, std::span<const float> from) override {
    each(out_, lead, out_channels_, first, rows, [&](std::span<float> to, std::size_t at) {
      std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), to.size(), to.begin());
    });
  }

 private:
  /// visit(rows of a channel of [T,C,H,W], where they lie in [C,rows,W])
  template <class Value, class Visit>
  void each(std::span<Value> frames, int64_t t, int64_t channels, int64_t first, int64_t rows,
            const Visit& visit) const {
    const auto count = static_cast<std::size_t>(rows * plan_.width);
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t row = (t * channels + c) * plan_.height + first;
      visit(frames.subspan(static_cast<std::size_t>(row * plan_.width), count),
            static_cast<std::size_t>(c) * count);
    }
  }
  const HostBatch& batch_;
  const NetworkPlan& plan_;
  int64_t channels_, out_channels_;
  std::span<float> out_;
};

}  // namespace

void Network::forecast(FrameExchange& frames, int64_t leads) {
  if (!banded_) throw std::logic_error("Network::forecast of frames as they come needs a banded plan");
  if (leads < 1) throw std::invalid_argument("a forecast needs at least one lead");
  banded_->forecast(frames, leads);
}

void Network::forecast(const HostBatch& batch, int64_t leads, std::span<float> out) {
  if (!is_planned()) throw std::logic_error("Network::forecast needs a plan");
  if (leads < 1) throw std::invalid_argument("a forecast needs at least one lead");
  expect_size(out.size(), frame_layout(leads, spec_.out_channels()).elements(), "the forecast");
  if (!plan_.training) expect_frames(batch, leads);
  if (banded_) {
    WholeFrames frames(batch, plan_, spec_.channels, spec_.out_channels(), out);
    forecast(frames, leads);
  } else if (!plan_.training) {
    forecast_rolling(batch, leads, out);
  } else {
    if (leads != spec_.future)
      throw std::invalid_argument("a network planned for training forecasts model.future leads");
    load_past(batch);
    load_guide(batch);
    const bool teacher = teacher_set_;
    teacher_set_ = false;
    forward();
    teacher_set_ = teacher;
    export_forecast(out);
  }
  from_logits(out);
}

void Network::from_logits(std::span<float> out) const {
  if (!spec_.logits()) return;
  for (float& value : out) value = 1.F / (1.F + std::exp(-value));
}

void Network::import_steps(std::span<const float> frames, int64_t steps, int64_t t, int64_t count,
                           StepStore& to, int64_t first) {
  if (count == steps) {
    backend_.import_frames(frames, frame_layout(steps, spec_.channels), to.at(first, count));
    return;
  }
  const FrameLayout layout = frame_layout(1, spec_.channels);
  const auto image = static_cast<std::size_t>(layout.elements() / plan_.batch);
  for (int64_t i = 0; i < count; ++i) {
    if (plan_.batch == 1) {
      backend_.import_frames(frames.subspan(static_cast<std::size_t>(t + i) * image, image), layout,
                             to.step(first + i));
      continue;
    }
    for (int64_t n = 0; n < plan_.batch; ++n) {
      const auto from = frames.subspan(static_cast<std::size_t>(n * steps + t + i) * image, image);
      std::copy(from.begin(), from.end(), staging_.begin() + static_cast<std::ptrdiff_t>(image) * n);
    }
    backend_.import_frames(
        std::span<const float>(staging_).first(image * static_cast<std::size_t>(plan_.batch)), layout,
        to.step(first + i));
  }
}

void Network::export_steps(StepStore& from, int64_t first, int64_t steps, int64_t t, int64_t count,
                           std::span<float> out) {
  if (count == steps) {
    backend_.export_frames(from.at(first, count), frame_layout(steps, spec_.out_channels()), out);
    return;
  }
  const FrameLayout layout = frame_layout(1, spec_.out_channels());
  const auto image = static_cast<std::size_t>(layout.elements() / plan_.batch);
  for (int64_t i = 0; i < count; ++i) {
    if (plan_.batch == 1) {
      backend_.export_frames(from.step(first + i), layout,
                             out.subspan(static_cast<std::size_t>(t + i) * image, image));
      continue;
    }
    const auto staged = std::span<float>(staging_).first(image * static_cast<std::size_t>(plan_.batch));
    backend_.export_frames(from.step(first + i), layout, staged);
    for (int64_t n = 0; n < plan_.batch; ++n) {
      const auto part = staged.subspan(static_cast<std::size_t>(n) * image, image);
      std::copy(part.begin(), part.end(),
                out.begin() + static_cast<std::ptrdiff_t>(image) * (n * steps + t + i));
    }
  }
}

/// The operations of one lead; what comes from outside is there.
void Network::roll(int64_t lead) {
  GraphRun& run = decoder();
  const int64_t step = first_lead() + lead;
  if (lead == 0 && !shared()) run.start_from(*encoder_, spec_.past - 1);
  if (fed_back()) {
    feed(lead);
  } else if (shared() && spec_.feed == Feed::none) {
    backend_.fill(run.frames().step(step), 0.F);
    if (run.has_mask()) backend_.fill(run.mask().step(step), 0.F);
  }
  if (!(shared() && fed_back() && lead == 0)) run.body(step, 1);
  run.head(step, 1);
  if (spec_.adds_guide()) backend_.add_scaled(run.output().step(step), 1.F, run.frames().step(step));
}

void Network::expect_frames(const HostBatch& batch, int64_t leads) const {
  const bool guided = spec_.feed == Feed::advection;
  expect_size(batch.past.size(), frame_layout(spec_.past, spec_.channels).elements(), "HostBatch::past");
  if (blueprint_.encoder.mask >= 0)
    expect_size(batch.past_mask.size(), static_cast<int64_t>(batch.past.size()), "HostBatch::past_mask");
  if (guided) {
    expect_size(batch.guide.size(), frame_layout(leads, 1).elements(), "HostBatch::guide");
    expect_size(batch.guide_mask.size(), frame_layout(leads, 1).elements(), "HostBatch::guide_mask");
  }
  if (spec_.tendency)
    expect_size(batch.tendency.size(), frame_layout(leads, 1).elements(), "HostBatch::tendency");
}

void Network::forecast_rolling(const HostBatch& batch, int64_t leads, std::span<float> out) {
  const bool guided = spec_.feed == Feed::advection;
  for (int64_t t = 0, count = 0; t < spec_.past; t += count) {
    count = encoder_->frames().contiguous(t, spec_.past - t);
    import_steps(batch.past, spec_.past, t, count, encoder_->frames(), t);
    if (encoder_->has_mask()) import_steps(batch.past_mask, spec_.past, t, count, encoder_->mask(), t);
    replay(past_pieces_[{t, count}], [&] {
      for (int64_t i = 0; i < count; ++i) encoder_->body(t + i, 1);
    });
  }
  GraphRun& run = decoder();
  for (int64_t lead = 0, count = 0; lead < leads; lead += count) {
    const int64_t step = first_lead() + lead;
    count = run.output().contiguous(step, leads - lead);
    if (guided) {
      import_steps(batch.guide, leads, lead, count, run.frames(), step);
      import_steps(batch.guide_mask, leads, lead, count, run.mask(), step);
      if (spec_.tendency) import_steps(batch.tendency, leads, lead, count, run.tendency(), step);
    }
    replay(lead_pieces_[{lead, count}], [&] {
      for (int64_t i = 0; i < count; ++i) roll(lead + i);
    });
    export_steps(run.output(), step, leads, lead, count, out);
  }
}

}  // namespace raincell::model
