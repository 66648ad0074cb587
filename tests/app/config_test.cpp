// The configuration: round trip, shipped files, and the reference that is generated from the table of keys.
#include "app/config.hpp"

#include <gtest/gtest.h>

#include "app/watch_config.hpp"
#include "model/spec.hpp"
#include "tests/app/program.hpp"

namespace {

using namespace raincell;

std::filesystem::path configs() {
  return std::filesystem::path(RAINCELL_SOURCE) / "configs";
}

std::string problems_of(const std::string& text, const std::vector<std::string>& settings = {}) {
  try {
    app::parse_config(text, "my.yaml", settings);
  } catch (const app::ConfigError& error) {
    return error.what();
  }
  return "";
}

const std::string kModel = "model:\n  stages: [{hidden: 4}]\n";

TEST(Config, ResolvedTextReadsBackTheSame) {
  for (const char* name : {"knmi", "hko7", "openstl-mnist", "paper-radar"}) {
    const app::Config config = app::load_config(configs() / (std::string(name) + ".yaml"), {});
    const std::string text = app::resolved_text(config);
    EXPECT_EQ(app::resolved_text(app::parse_config(text, "again.yaml", {})), text);
  }
}

TEST(Config, SettingsWinOverTheFile) {
  const app::Config config = app::parse_config(kModel + "training: {batch: 3}\n", "my.yaml",
                                               {"training.batch=5", "data.archive=[a.nc, b.nc]"});
  EXPECT_EQ(config.training.batch, 5);
  EXPECT_EQ(config.data.archives, (std::vector<std::string>{"a.nc", "b.nc"}));
}

TEST(Config, EverythingWrongIsSaidAtOnce) {
  const std::string said =
      problems_of(kModel + "training:\n  batch: 0\n  stpes: 5\noptimizer: {learning_rate: .inf}\n");
  EXPECT_NE(said.find("my.yaml:4: training.batch: '0'; expected a whole number from 1 to 4096"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("my.yaml:5: training.stpes: there is no such key; did you mean 'training.steps'?"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("my.yaml:6: optimizer.learning_rate"), std::string::npos) << said;
}

TEST(Config, ErrorsOfRatesNeedALogarithm) {
  EXPECT_EQ(problems_of(kModel + "loss: {kind: mse_rate}\ntransform: {kind: log}\n"), "");
  const std::string said = problems_of(kModel + "loss: {kind: mse_rate}\ntransform: {kind: linear}\n");
  EXPECT_NE(said.find("loss.kind: mse_rate needs transform.kind: log or dbz"), std::string::npos) << said;
}

TEST(Config, RefusesWhatYamlWouldLetPass) {
  EXPECT_NE(problems_of("seed: 010\n").find("'010'"), std::string::npos);
  EXPECT_NE(problems_of("seed: 1\nseed: 2\n").find("there twice, first in line 1"), std::string::npos);
  EXPECT_NE(problems_of("a: &x 1\nb: *x\n").find("aliases"), std::string::npos);
  EXPECT_NE(problems_of("a: &x [*x]\n").find("aliases"), std::string::npos);
  EXPECT_NE(problems_of("seed: !!int 1\n").find("tag"), std::string::npos);
  for (const char* bytes : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe9"}) {
    const std::string said = problems_of(kModel + "data: {archive: \"" + bytes + ".nc\"}\n");
    EXPECT_NE(said.find("my.yaml:3: "), std::string::npos) << said;
    EXPECT_NE(said.find("no UTF-8"), std::string::npos) << said;
  }
  EXPECT_EQ(problems_of(kModel + "data: {archive: \"h\u00f6he \u96e8 \U0001f327.nc\"}\n"), "");
  EXPECT_NE(problems_of("seed: 1\n---\nseed: 2\n").find("more than one document"), std::string::npos);
  EXPECT_NE(problems_of("seed: [\n").find("not YAML"), std::string::npos);
  EXPECT_NE(problems_of(std::string(1100000, '#')).find("1 MiB"), std::string::npos);
  EXPECT_NE(problems_of("optimizer: {learning_rate: \"0.1\"}\n").find("expected a number"),
            std::string::npos);
  EXPECT_NE(problems_of("data: {train: tomorrow}\n").find("FROM/TO"), std::string::npos);
  EXPECT_NE(problems_of("data: {train: 2010-08-26T05:00Z/2010-08-26T00:00Z}\n").find("FROM/TO"),
            std::string::npos);
}

/// Counts from the papers and by hand, not from the code.
TEST(ShippedConfigs, HaveTheirParameterCounts) {
  const std::vector<std::pair<std::string, std::int64_t>> counts = {
      {"paper-mnist", 7585296},     {"openstl-mnist", 11675648},  {"hko7", 11316841},
      {"bench/ref-train", 2013249}, {"bench/ref-infer", 2013249}, {"bench/infer-128", 2013249}};
  for (const auto& [name, count] : counts) {
    EXPECT_EQ(model::parameter_count(app::load_config(configs() / (name + ".yaml"), {}).model), count)
        << name;
  }
}

TEST(ShippedConfigs, AllParse) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(configs())) {
    if (entry.path().extension() != ".yaml") continue;
    if (entry.path().filename() == "watch.yaml") {
      // And what it resolves to is read back as the same.
      const app::WatchConfig config = app::load_watch_config(entry.path(), {});
      const std::string resolved = app::resolved_text(config);
      EXPECT_EQ(app::resolved_text(app::parse_watch_config(resolved, "resolved", {})), resolved);
    } else {
      EXPECT_NO_THROW(app::load_config(entry.path(), {})) << entry.path();
    }
    ++files;
  }
  EXPECT_GE(files, 12);
}

TEST(ShippedConfigs, TheReferenceIsFresh) {
  EXPECT_EQ(test::read_text(configs() / "README.md"), app::config_reference() + "\n")
      << "renew it: raincell plan --keys > configs/README.md";
}

}  // namespace
