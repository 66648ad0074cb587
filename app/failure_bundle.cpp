#include "app/failure_bundle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "app/log.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMostBundles = 3;  // they are megabytes, and the first tell most

Json summary_of(std::span<const float> values) {
  std::int64_t not_finite = 0;
  double least = INFINITY, most = -INFINITY;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      ++not_finite;
      continue;
    }
    least = std::min(least, static_cast<double>(value));
    most = std::max(most, static_cast<double>(value));
  }
  if (least > most) return {{"values", values.size()}, {"not_finite", not_finite}};
  return {{"values", values.size()}, {"not_finite", not_finite}, {"min", least}, {"max", most}};
}

Json sample_json(const io::Sample& sample, const io::Archive& archive) {
  return {{"archive", archive.parts().front().string()},
          {"from", io::format_time(archive.time(sample.window.frame(0)))},
          {"to",
           io::format_time(archive.time(sample.window.frame(sample.window.past + sample.window.future - 1)))},
          {"crop", {sample.crop.row, sample.crop.column, sample.crop.rows, sample.crop.columns}},
          {"orientation", sample.orientation},
          {"rain_factor", sample.rain_factor}};
}

}  // namespace

FailureBundle::FailureBundle(std::filesystem::path folder, std::int64_t step, io::BatchSource& source,
                             const std::vector<io::Archive>& archives)
    : folder_(std::move(folder)), step_(step), source_(source), archives_(archives) {}

std::filesystem::path FailureBundle::stem() const {
  return folder_ / fmt::format("step-{:09}", step_);
}

bool FailureBundle::wanted() const {
  std::error_code none;
  std::int64_t others = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, none)) {
    if (entry.path() == stem().concat(".json")) return false;
    others += entry.path().extension() == ".json" ? 1 : 0;
  }
  return others < kMostBundles;
}

void FailureBundle::add(std::int64_t number, std::int64_t batch_size, std::int64_t share) {
  const std::int64_t epoch = number / source_.batches_per_epoch(),
                     index = number % source_.batches_per_epoch();
  io::Batch batch;
  source_.seek(epoch, index);
  source_.next(batch);
  Json samples = Json::array(), values;
  for (std::int64_t place = 0; place < batch_size; ++place) {
    const io::Sample sample = source_.sample(epoch, index * batch_size + place);
    samples.push_back(sample_json(sample, archives_[static_cast<std::size_t>(sample.window.archive)]));
  }
  const auto keep = [&](const char* name, const std::vector<float>& of) {
    if (of.empty()) return;
    values[name] = summary_of(of);
    values_.tensors.push_back({fmt::format("{}.{}", name, number),
                               {share, static_cast<std::int64_t>(of.size()) / share},
                               {of.begin(), of.end()},
                               false});
  };
  keep("past", batch.past);
  keep("past_mask", batch.past_mask);
  keep("future", batch.future);
  keep("future_mask", batch.future_mask);
  keep("guide", batch.guide);
  keep("guide_mask", batch.guide_mask);
  keep("tendency", batch.tendency);
  batches_.push_back({{"batch", number}, {"epoch", epoch}, {"values", values}, {"samples", samples}});
}

std::filesystem::path FailureBundle::save(Json details) const {
  Json json = {{"step", step_}};
  json.update(details);
  json["batches"] = batches_;
  io::make_folder(folder_);
  io::publish(stem().concat(".safetensors"), model::to_safetensors(values_));
  std::filesystem::path text = stem().concat(".json");
  io::publish(text, json_text(json, 1) + "\n");
  return text;
}

}  // namespace raincell::app
