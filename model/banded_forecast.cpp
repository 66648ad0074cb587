#include "model/banded_forecast.hpp"

#include <algorithm>
#include <stdexcept>

namespace raincell::model {

using kernels::FrameLayout;
using kernels::View;
using std::int64_t;

BandedForecast::BandedForecast(const ModelSpec& spec, const Blueprint& blueprint, Workspace& workspace,
                               Parameters& parameters, const BandPlan& plan, const FrameSize& frame,
                               int64_t height, int64_t width, int64_t& scratch_bytes)
    : spec_(spec), backend_(workspace.backend()), frame_(frame) {
  if (backend_.place({1, 1, 2, 2, 2}).channel_block < 2) {  // as Network::can_be_cut() tells before
    throw ModelError("the backend " + backend_.info().name +
                     " keeps planes of channels and cannot compute in bands of rows; use another --backend, "
                     "allow more with --memory or take a smaller domain");
  }
  BandContext context{
      workspace,     parameters, height, width, plan.band_bytes, plan.scratch, plan.scratch_from_bytes,
      &scratch_bytes};
  states_.reserve(spec.stages.size());
  for (const Node& node : blueprint.encoder.nodes) {
    if (!node.recurrent) continue;
    const int64_t divisor = blueprint.encoder.flows[static_cast<std::size_t>(node.output)].divisor;
    states_.emplace_back(context, node, height / divisor, width / divisor);
  }
  const bool beside = spec.adds_guide() || fed_back();
  encoder_ = std::make_unique<BandedRun>(context, blueprint.encoder, states_, shared() && beside);
  if (!shared()) forecaster_ = std::make_unique<BandedRun>(context, blueprint.forecaster, states_, beside);
  if (fed_back()) fed_ = workspace.activation({1, 1, spec.out_planes(), height, width}, "fed frames");
  const int64_t rows = std::min(this->rows().second, frame.height);
  staging_.resize(
      static_cast<std::size_t>(rows * frame.width * std::max(spec.channels, spec.out_channels())));
}

void BandedForecast::load_weights() {
  encoder_->load_weights();
  if (forecaster_) forecaster_->load_weights();
}

std::pair<int64_t, int64_t> BandedForecast::rows() const {
  auto [least, most] = encoder_->rows();
  if (forecaster_) {
    const auto [low, high] = forecaster_->rows();
    least = std::min(least, low);
    most = std::max(most, high);
  }
  return {least * spec_.patch, most * spec_.patch};
}

int64_t BandedForecast::frame_rows(int64_t first, int64_t rows) const {
  return std::min(rows * spec_.patch, frame_.height - first * spec_.patch);
}

BandedForecast::Kind BandedForecast::kind_of(const Graph& graph, int flow) const {
  return flow == graph.mask ? Kind::mask : flow == graph.tendency ? Kind::tendency : Kind::values;
}

template <class Read>
void BandedForecast::import_rows(int64_t first, View to, const Read& read) {
  const int64_t rows = frame_rows(first, to.shape.h);
  if (rows < 1) return backend_.fill(to, 0.F);
  const FrameLayout layout{1, 1, spec_.channels, rows, frame_.width, spec_.patch};
  const auto values = std::span(staging_).first(static_cast<std::size_t>(layout.elements()));
  read(first * spec_.patch, rows, values);
  backend_.import_frames(values, layout, to);
}

void BandedForecast::fill_past(FrameExchange& frames, int64_t t, int flow, const Graph& graph, int64_t first,
                               View to) {
  import_rows(first, to, [&](int64_t row, int64_t rows, std::span<float> values) {
    frames.past(t, kind_of(graph, flow), row, rows, values);
  });
}

void BandedForecast::fill_lead(FrameExchange& frames, int64_t lead, int flow, int64_t first, View to) {
  const Graph& graph = decoder().graph();
  if (spec_.feed == Feed::advection) {
    import_rows(first, to, [&](int64_t row, int64_t rows, std::span<float> values) {
      frames.guide(lead, kind_of(graph, flow), row, rows, values);
    });
  } else if (!fed_back()) {
    backend_.fill(to, 0.F);
  } else if (lead == 0) {
    fill_past(frames, spec_.past - 1, flow, graph, first, to);
  } else if (flow == graph.mask) {
    backend_.fill(to, 1.F);
  } else {
    backend_.copy(fed_.view().rows(first, to.shape.h), to);
  }
}

void BandedForecast::take(FrameExchange& frames, int64_t lead, int64_t first, View output, View fed) {
  if (spec_.adds_guide()) backend_.add_scaled(output, 1.F, fed);
  if (fed_back()) backend_.copy(output, fed_.view().rows(first, output.shape.h));
  const int64_t rows = frame_rows(first, output.shape.h);
  if (rows < 1) return;
  const FrameLayout layout{1, 1, spec_.out_channels(), rows, frame_.width, spec_.patch};
  const auto values = std::span(staging_).first(static_cast<std::size_t>(layout.elements()));
  backend_.export_frames(output, layout, values);
  frames.take(lead, first * spec_.patch, rows, values);
}

void BandedForecast::forecast(FrameExchange& frames, int64_t leads) {
  const auto none = [](int64_t, View, View) {};
  for (int64_t t = 0; t < spec_.past; ++t) {
    encoder_->step(
        BandedRun::Part::body, t > 0,
        {[&](int flow, int64_t first, View to) { fill_past(frames, t, flow, encoder_->graph(), first, to); },
         none});
  }
  for (int64_t lead = 0; lead < leads; ++lead) {
    // A shared stack has seen the last past frame already.
    const bool seen = shared() && fed_back() && lead == 0;
    decoder().step(seen ? BandedRun::Part::head : BandedRun::Part::all, true,
                   {[&](int flow, int64_t first, View to) { fill_lead(frames, lead, flow, first, to); },
                    [&](int64_t first, View output, View fed) { take(frames, lead, first, output, fed); }});
  }
}

}  // namespace raincell::model
