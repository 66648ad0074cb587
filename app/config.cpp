#include "app/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "app/cli.hpp"
#include "app/config_fields.hpp"
#include "app/config_reading.hpp"
#include "app/watch_config.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

std::string place(const std::string& file, int line) {
  return line > 0 ? fmt::format("{}:{}", file, line) : file;
}

void check_whole(const Config& config, const std::string& file, Problems& problems) {
  for (const std::string& text : model::problems(config.model)) problems.add(file, 0, "model", text);
  const auto& loss = config.loss;
  if (loss.kind == kernels::LossKind::balanced &&
      loss.class_weights.size() != loss.class_bounds_mm_h.size() + 1) {
    problems.add(file, 0, "loss.class_weights",
                 fmt::format("{} values for {} bounds; expected one more than bounds",
                             loss.class_weights.size(), loss.class_bounds_mm_h.size()));
  }
  if (!std::is_sorted(loss.class_bounds_mm_h.begin(), loss.class_bounds_mm_h.end())) {
    problems.add(file, 0, "loss.class_bounds_mm_h", "must ascend");
  }
  if (!loss.lead_weights.empty() &&
      loss.lead_weights.size() != static_cast<std::size_t>(config.model.future)) {
    problems.add(file, 0, "loss.lead_weights",
                 fmt::format("{} values for data.future = {}; expected one a lead", loss.lead_weights.size(),
                             config.model.future));
  }
  if (loss.texture_weight > 0. && config.model.logits()) {
    problems.add(file, 0, "loss.texture_weight",
                 "is for forecasts of rain, not of probabilities; expected 0");
  }
  if (config.transform.floor_dbz >= config.transform.ceiling_dbz) {
    problems.add(file, 0, "transform.ceiling_dbz", "must lie above transform.floor_dbz");
  }
  if (loss.kind == kernels::LossKind::mse_rate && config.transform.growth() == 0.) {
    problems.add(file, 0, "loss.kind",
                 "mse_rate needs transform.kind: log or dbz; of a linear one mse is the same");
  }
  const bool logits = config.model.logits();
  if (logits != (loss.kind == kernels::LossKind::bce)) {
    problems.add(
        file, 0, "loss.kind",
        logits ? "model.thresholds or output: sigmoid asks for probabilities; expected bce"
               : "bce is for probabilities; set model.output: sigmoid, model.thresholds or another loss");
  }
}

}  // namespace

void Problems::add(const std::string& file, int line, const std::string& key, const std::string& reason) {
  lines_.push_back(fmt::format("{}: {}{}{}", place(file, line), key, key.empty() ? "" : ": ", reason));
}

void Problems::unknown(const std::string& file, int line, const std::string& key,
                       const std::vector<std::string>& keys) {
  std::string near = nearest(key, keys);
  if (near.empty()) {  // the right name in the wrong section
    const std::string last = key.substr(key.rfind('.') + 1);
    for (const std::string& candidate : keys) {
      if (candidate.substr(candidate.rfind('.') + 1) == last) near = candidate;
    }
  }
  add(file, line, key,
      near.empty() ? "there is no such key; configs/README.md lists them all"
                   : fmt::format("there is no such key; did you mean '{}'?", near));
}

void Problems::raise() const {
  if (lines_.empty()) return;
  throw ConfigError(lines_.size() == 1
                        ? lines_[0]
                        : fmt::format("{} problems\n  {}", lines_.size(), fmt::join(lines_, "\n  ")));
}

Config parse_config(const std::string& text, const std::string& file,
                    const std::vector<std::string>& settings) {
  Config config;
  config.name = std::filesystem::path(file).stem().string();
  Problems problems;
  read_document(config, config_fields(), text, file, problems);
  apply_settings(config, config_fields(), settings, problems);
  problems.raise();
  check_whole(config, file, problems);
  problems.raise();
  config.guide.tendency = config.model.tendency;
  return config;
}

Config load_config(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  return parse_config(config_text(path, "configs/radar.yaml"), path.string(), settings);
}

std::string config_text(const std::filesystem::path& path, const std::string& example) {
  try {
    return io::read_file(path, kLargestYaml);
  } catch (const io::DataError& error) {
    throw ConfigError(fmt::format("{}; expected a configuration such as {}", error.what(), example));
  }
}

Config config_from_settings(const std::vector<std::string>& settings,
                            const std::vector<std::string>& sections, const std::string& command) {
  Config config;
  Problems problems;
  for (const std::string& setting : settings) {
    const std::string key = setting.substr(0, setting.find('='));
    const auto keys = keys_of(config_fields());
    const bool known = std::find(keys.begin(), keys.end(), key) != keys.end();
    const bool ours = std::any_of(sections.begin(), sections.end(),
                                  [&](const std::string& s) { return key.rfind(s, 0) == 0; });
    if (known && !ours) {
      std::vector<std::string> takes = sections;
      for (std::string& section : takes) section += section.ends_with('.') ? "*" : "";
      problems.add("--set", 0, key,
                   fmt::format("has no effect on {}; it takes {}", command, fmt::join(takes, ", ")));
    }
  }
  apply_settings(config, config_fields(), settings, problems);
  problems.raise();
  return config;
}

std::string resolved_text(const Config& config) {
  return yaml_of(config, config_fields());
}

namespace {

void table_of(std::string& text, const std::vector<KeyRow>& rows) {
  text += "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n";
  for (const KeyRow& row : rows) {
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.key, row.type,
                        row.standard.empty() ? "" : "`" + row.standard + "`", row.allowed, row.meaning);
  }
}

constexpr const char* kLayoutReference = R"md(
## A layout of one's own (`source.layout`)

HDF5 that is neither ODIM, KNMI nor CF is described in a few lines, in a file of its own (`source.layout: mine.yaml`) or in
the configuration. Wherever a number is expected, the path of an attribute may stand: `gain: /rain@scale`.

| key | meaning |
|---|---|
| `dataset` | path of the array; or |
| `datasets`, `group` | a regular expression (RE2's syntax) for names in a group (default `/`): each array is a frame, or several |
| `axes` | what each dimension is: `time`, `y`, `x`, or a name; default: the two that are longer than 1 are y and x |
| `select` | places in the named dimensions: `{member: 0}` |
| `unit` | `mm/h`, `mm`, `dBZ`, ... |
| `gain`, `offset` | value = offset + gain * stored number; 1 and 0 |
| `missing`, `dry` | stored numbers that mean not observed, and observed without rain: one or a list |
| `zero_is_dry` | whether a value of 0 is dry; default: for rain, not for reflectivity |
| `rows` | `north` (default) or `south`: where row 0 lies |
| `window_s` | length of the window of amounts, s |
| `decode` | `sevir_vil`: bytes of SEVIR's VIL into kg m-2, 255 missing |
| `named` | `{dataset: /id, index: 12, name: S1234}`: refuse the file unless this text lies there |
| `quantity` | `reflectivity`, `vil`, `intensity`; default: rain |
| `time` | one of `{attribute: /what@time}`, `{date: /what@date, time: /what@time}`, `{filename: REGEX}`, `{dataset: REGEX}` (digits caught in the name), `{start: TIME or /what@time, step_s: 300}`, `{values: /time, unit: "seconds since 1970-01-01"}`; with `steps: 49`, a file of another number of times is refused |
| `grid` | `{projection: "+proj=...", x0: , y0: , dx: , dy: }`: outer upper left corner and pixel size, metres or degrees; with `rows` and `columns`, an array of another size is refused |

```yaml
dataset: /precipitation/rate
axes: [time, y, x]
unit: mm/h
gain: /precipitation/rate@scale
missing: 65535
time: {values: /time, unit: "minutes since 2020-01-01"}
grid: {projection: "+proj=laea +lat_0=55 +lon_0=10 +ellps=WGS84", x0: 0, y0: 0, dx: 1000}
```

SEVIR needs no layout: `raincell pack SEVIR/CATALOG.csv --output sevir` makes an archive of every event of radar VIL in the
table, whose files are looked for beside it and in `data`; a training takes them all with `data.archive: sevir/*.nc`. With as
many archives as `data.validation_blocks` or more, the blocks are cut from the time of all of them together.
)md";

}  // namespace

std::string config_reference() {
  std::string text =
      "# Configurations\n\n"
      "A configuration is a YAML file of the keys below; every key has a default, and every key can be "
      "changed on\n"
      "the command line with `--set KEY=VALUE`. Unknown keys, wrong types and values out of range are "
      "errors, and\n"
      "all of them are reported at once. Aliases, tags and duplicate keys are refused. Paths are relative to "
      "the\n"
      "current folder, times are UTC.\n\n"
      "| file | what |\n|---|---|\n"
      "| `quickstart.yaml` | small network for `app/quickstart.sh`: minutes on two cores |\n"
      "| `radar.yaml` | the default for one's own archive: three stages, fed with advected frames |\n"
      "| `knmi.yaml` | two stages fed with advected frames, for the KNMI event of 2010-08-26 |\n"
      "| `exceedance.yaml` | probabilities of 0.5, 1 and 5 mm/h, two stages fed with advected frames |\n"
      "| `hko7.yaml` | HKO-7 encoder-forecaster, 5 to 20 frames of 480x480, 11,316,841 parameters |\n"
      "| `hko7-small.yaml` | its layout with an eighth of the channels, minutes on two cores |\n"
      "| `mnist-small.yaml` | Moving MNIST in a quarter of an hour on two cores |\n"
      "| `paper-mnist.yaml` | ConvLSTM paper, Moving MNIST, 7,585,296 parameters |\n"
      "| `paper-radar.yaml` | ConvLSTM paper, radar echo data: 5 to 15 frames of 100x100 |\n"
      "| `openstl-mnist.yaml` | OpenSTL's ConvLSTM, Moving MNIST, 11,675,648 parameters |\n"
      "| `bench/*.yaml` | reference workloads for speed and memory |\n"
      "| `watch.yaml` | the rolling service, `raincell watch` |\n\n"
      "Generated by `raincell plan --keys`; a test keeps it fresh.\n\n## Keys\n\n";
  table_of(text, key_rows());
  text += "\n## Keys of a stage (`model.stages`)\n\n";
  table_of(text, stage_key_rows());
  text += "\n## Keys of a sampling or head convolution (`down`, `up`, `model.head`)\n\n";
  table_of(text, convolution_key_rows());
  text += "\n## Keys of the rolling service (`raincell watch`)\n\nA file of its own, such as `watch.yaml`.\n\n";
  table_of(text, watch_key_rows());
  text += kLayoutReference;
  return text;
}

}  // namespace raincell::app
