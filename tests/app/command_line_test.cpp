// Options, sizes, durations and suggestions; wrong input to every command: message, exit code, nothing left
// behind.
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/cli.hpp"
#include "app/errors.hpp"
#include "tests/app/program.hpp"

namespace {

using namespace raincell;
using test::Folder;
using test::run_raincell;

TEST(CommandLine, ReadsSizes) {
  EXPECT_EQ(app::parse_bytes("2GiB"), std::int64_t{2} * 1024 * 1024 * 1024);
  EXPECT_EQ(app::parse_bytes("1.5kB"), 1500);
  EXPECT_EQ(app::parse_bytes("1 GiB"), std::nullopt);
  EXPECT_EQ(app::parse_bytes("GiB"), std::nullopt);
  EXPECT_EQ(app::parse_seconds("5min"), 300);
  EXPECT_EQ(app::parse_seconds("90"), 90);
  EXPECT_EQ(app::parse_seconds("5 minutes"), std::nullopt);
  EXPECT_EQ(app::parse_grid_size("700x765"), (std::pair<std::int64_t, std::int64_t>{700, 765}));
  EXPECT_EQ(app::parse_grid_size("700"), std::nullopt);
  EXPECT_EQ(app::parse_grid_size("0x5"), std::nullopt);
  EXPECT_EQ(app::parse_integer("010"), std::nullopt);
  EXPECT_EQ(app::parse_real("nan"), std::nullopt);
}

TEST(CommandLine, SuggestsTheNearestName) {
  EXPECT_EQ(app::nearest("nowcsat", {"inspect", "nowcast", "verify"}), "nowcast");
  EXPECT_EQ(app::nearest("thread", {"threads", "memory"}), "threads");
  EXPECT_EQ(app::nearest("xyzzy", {"threads", "memory"}), "");
}

struct Wrong {
  const char* name;
  std::vector<std::string> arguments;
  int code;
  std::vector<std::string> said;  // all on stderr
};

void PrintTo(const Wrong& wrong, std::ostream* out) {
  *out << wrong.name;
}

class WrongInput : public testing::TestWithParam<Wrong> {};

/// The folder that every case starts in: an empty folder, a text file, a simulated archive of six frames, one
/// of these truncated, and weights that are none.
class Ground {
 public:
  Ground() {
    std::filesystem::create_directory(folder / "empty");
    test::write_text(folder / "text.h5", "this is no radar file\n");
    test::write_text(folder / "weights.safetensors", std::string("\x10\0\0\0\0\0\0\0{\"a\":", 13));
    test::write_text(folder / "bad.yaml", "training:\n  bacth: 4\n  steps: 010\nmodel:\n  cell: lstm\n");
    test::write_text(folder / "alias.yaml", "training: &a {batch: 4}\nloss: *a\n");
    test::write_text(folder / "twice.yaml", "seed: 1\nseed: 2\n");
    test::write_text(folder / "good.yaml",
                     "data: {archive: none.nc, past: 2, future: 2, crop: 16x16, validation: 0}\n"
                     "model: {stages: [{hidden: 4}], feed: none}\ntraining: {steps: 1}\n");
    const auto made = run_raincell(folder.path(), {"simulate", "--output", "radar", "--frames", "6", "--size",
                                                   "32x32", "--format", "odim"});
    EXPECT_EQ(made.code, 0) << made.err;
    const auto other =
        run_raincell(folder.path(), {"simulate", "--output", "other", "--frames", "3", "--size", "24x24",
                                     "--start", "2024-06-01T00:30Z", "--format", "odim"});
    EXPECT_EQ(other.code, 0) << other.err;
    const auto packed = run_raincell(folder.path(), {"pack", "radar", "--output", "archive.nc"});
    EXPECT_EQ(packed.code, 0) << packed.err;
    std::filesystem::create_directory(folder / "disk");
    std::filesystem::create_directory(folder / "mixed");
    for (const char* from : {"radar", "other"}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder / from)) {
        std::filesystem::copy(entry.path(), folder / "mixed");
      }
    }
  }
  Folder folder;
};

Ground& ground() {
  static Ground made;
  return made;
}

TEST_P(WrongInput, SaysWhatAndWhyAndLeavesNothing) {
  const Wrong& wrong = GetParam();
  const auto before = test::files_below(ground().folder.path());
  const auto outcome = run_raincell(ground().folder.path(), wrong.arguments);
  EXPECT_EQ(outcome.code, wrong.code) << outcome.err;
  for (const std::string& text : wrong.said) {
    EXPECT_NE(outcome.err.find(text), std::string::npos) << "no '" << text << "' in: " << outcome.err;
  }
  EXPECT_EQ(test::files_below(ground().folder.path()), before);
}

const std::vector<std::string> kNowcast = {"nowcast", "--forecaster", "advection", "--output", "out.nc"};
std::vector<std::string> nowcast(std::vector<std::string> more) {
  more.insert(more.begin(), kNowcast.begin(), kNowcast.end());
  return more;
}
std::vector<std::string> verify(std::vector<std::string> more) {
  const std::vector<std::string> first = {"verify", "--json", "out.json"};
  more.insert(more.begin(), first.begin(), first.end());
  return more;
}
const char* kFrom = "2024-06-01T00:00Z";
const char* kTo = "2024-06-01T00:25Z";

INSTANTIATE_TEST_SUITE_P(
    General, WrongInput,
    testing::Values(
        Wrong{"no_command", {}, 2, {"Commands:"}},
        Wrong{"command", {"nowcst"}, 2, {"no command 'nowcst'", "did you mean 'nowcast'"}},
        Wrong{"abbreviated", {"simulate", "--out", "x"}, 2, {"no option '--out'", "'--output'"}},
        Wrong{"missing_option", {"pack", "radar"}, 2, {"--output is missing", "for example"}},
        Wrong{"twice", {"simulate", "--output", "x", "--seed", "1", "--seed", "2"}, 2, {"given twice"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Inspect, WrongInput,
    testing::Values(
        Wrong{"missing_file", {"inspect", "none.h5"}, 3, {"none.h5"}},
        Wrong{"wrong_kind", {"inspect", "text.h5"}, 3, {"text.h5"}},
        Wrong{"no_file", {"inspect"}, 2, {"FILE... is missing"}},
        Wrong{"empty_folder", {"inspect", "empty"}, 3, {"empty"}},
        Wrong{"truncated_weights", {"inspect", "weights.safetensors"}, 7, {"weights.safetensors"}},
        Wrong{"unknown_key", {"inspect", "text.h5", "--set", "source.formt=odim"}, 2, {"source.format"}},
        Wrong{"no_effect", {"inspect", "text.h5", "--set", "model.cell=rnn"}, 2, {"has no effect"}},
        Wrong{"bad_choice", {"inspect", "text.h5", "--set", "source.format=odmi"}, 2, {"'odim'"}},
        Wrong{"too_many_values", {"inspect", "text.h5", "--json=1"}, 2, {"--json"}},
        Wrong{"option", {"inspect", "text.h5", "--jsn"}, 2, {"'--json'"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Simulate, WrongInput,
    testing::Values(
        Wrong{"not_empty", {"simulate", "--output", "radar"}, 2, {"radar", "not empty"}},
        Wrong{"file_in_the_way", {"simulate", "--output", "text.h5"}, 5, {"text.h5"}},
        Wrong{"below_a_file", {"simulate", "--output", "text.h5/x"}, 5, {"text.h5"}},
        Wrong{"frames", {"simulate", "--output", "x", "--frames", "0"}, 2, {"--frames 0", "from 1"}},
        Wrong{"size", {"simulate", "--output", "x", "--size", "64"}, 2, {"--size 64", "COLUMNSxROWS"}},
        Wrong{"step", {"simulate", "--output", "x", "--step", "soon"}, 2, {"--step soon", "5min"}},
        Wrong{"format", {"simulate", "--output", "x", "--format", "odmi"}, 2, {"'odim'"}},
        Wrong{"time", {"simulate", "--output", "x", "--start", "tomorrow"}, 2, {"ISO 8601"}},
        Wrong{"gaps", {"simulate", "--output", "x", "--frames", "5", "--gaps", "7"}, 2, {"--gaps 7"}},
        Wrong{"digits", {"simulate", "--output", "x", "--kind", "moving-mnist"}, 2, {"--digits"}},
        Wrong{"no_digits",
              {"simulate", "--output", "x", "--kind", "moving-mnist", "--digits", "none.gz"},
              3,
              {"none.gz"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Pack, WrongInput,
    testing::Values(
        Wrong{"missing_folder", {"pack", "none", "--output", "x.nc"}, 3, {"none"}},
        Wrong{"empty_folder", {"pack", "empty", "--output", "x.nc"}, 3, {"empty"}},
        Wrong{"wrong_kind", {"pack", "text.h5", "--output", "x.nc"}, 3, {"text.h5"}},
        Wrong{"report_nowhere",
              {"pack", "radar", "--output", "x.nc", "--report", "none/x.html"},
              2,
              {"none", "create it first"}},
        Wrong{"no_input", {"pack", "--output", "x.nc"}, 2, {"DIR... is missing"}},
        Wrong{"no_output", {"pack", "radar"}, 2, {"--output is missing"}},
        Wrong{"below_a_file", {"pack", "radar", "--output", "text.h5/x.nc"}, 5, {"text.h5"}},
        Wrong{"append_to_text", {"pack", "radar", "--output", "text.h5", "--append"}, 5, {"text.h5"}},
        Wrong{"into_the_input", {"pack", "radar", "--output", "radar"}, 2, {"radar", "archive.nc"}},
        Wrong{"compact_nothing", {"pack", "--compact", "--output", "none.nc"}, 3, {"none.nc"}},
        Wrong{"unknown_key",
              {"pack", "radar", "--output", "x.nc", "--set", "sourc.units=mm"},
              2,
              {"source.units"}},
        Wrong{"option", {"pack", "radar", "--outptu", "x.nc"}, 2, {"'--output'"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    PlanAndTrain, WrongInput,
    testing::Values(
        Wrong{"plan_missing", {"plan", "none.yaml"}, 2, {"none.yaml"}},
        Wrong{"plan_nothing", {"plan"}, 2, {"CONFIG is missing"}},
        Wrong{"plan_all_at_once",
              {"plan", "bad.yaml"},
              2,
              {"bad.yaml:2: training.bacth", "'training.batch'", "bad.yaml:3: training.steps", "'010'",
               "bad.yaml:5: model.cell", "expected one of convlstm"}},
        Wrong{"plan_alias", {"plan", "alias.yaml"}, 2, {"alias.yaml:2", "aliases", "anchors"}},
        Wrong{"plan_duplicate", {"plan", "twice.yaml"}, 2, {"twice.yaml:2: seed", "there twice"}},
        Wrong{"plan_wrong_kind", {"plan", "text.h5"}, 2, {"text.h5"}},
        Wrong{"plan_size", {"plan", "good.yaml", "--size", "12"}, 2, {"--size 12"}},
        Wrong{"plan_backend", {"plan", "good.yaml", "--backend", "gpu"}, 2, {"no such backend", "cuda"}},
        Wrong{"plan_memory",
              {"plan", "good.yaml", "--memory", "1MiB", "--set", "training.batch=512"},
              5,
              {"memory"}},
        Wrong{"plan_precision",
              {"plan", "good.yaml", "--set", "precision=tf32", "--backend", "cpu"},
              2,
              {"--backend cpu", "precision of GPUs"}},
        Wrong{"plan_set", {"plan", "good.yaml", "--set", "batch=4"}, 2, {"training.batch"}},
        Wrong{"train_no_archive", {"train", "good.yaml", "--run", "run"}, 3, {"none.nc"}},
        Wrong{"train_wrong_archive",
              {"train", "good.yaml", "--run", "run", "--set", "data.archive=text.h5"},
              3,
              {"text.h5"}},
        Wrong{"train_empty_archive",
              {"train", "good.yaml", "--run", "run", "--set", "data.archive=[]"},
              2,
              {"data.archive"}},
        Wrong{"train_bad_config", {"train", "bad.yaml", "--run", "run"}, 2, {"training.bacth"}},
        Wrong{"train_no_run", {"train", "good.yaml"}, 2, {"--run is missing"}},
        Wrong{"train_nan",
              {"train", "good.yaml", "--run", "run", "--set", "optimizer.learning_rate=.nan"},
              2,
              {"'.nan'"}},
        Wrong{"train_threads", {"train", "good.yaml", "--run", "run", "--threads", "0"}, 3, {"none.nc"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Nowcast, WrongInput,
    testing::Values(
        Wrong{"missing_folder", nowcast({"--input", "none"}), 3, {"none"}},
        Wrong{"empty_folder", nowcast({"--input", "empty"}), 3, {"empty"}},
        Wrong{"wrong_kind", nowcast({"--input", "text.h5"}), 3, {"text.h5"}},
        Wrong{"bad_time", nowcast({"--input", "radar", "--at", "now"}), 2, {"--at now", "ISO 8601"}},
        Wrong{"too_early",
              nowcast({"--input", "radar", "--at", "2024-05-31T00:00Z"}),
              4,
              {"withheld", "no frame"}},
        Wrong{"too_few",
              nowcast({"--input", "radar", "--at", kFrom}),
              4,
              {"withheld", "2 consecutive frames", "1 are there"}},
        Wrong{"too_old",
              nowcast({"--input", "radar", "--at", "2024-06-01T02:00Z"}),
              4,
              {"withheld", "--max-age"}},
        Wrong{"other_grid",
              nowcast({"--input", "mixed", "--at", "2024-06-01T00:30Z"}),
              3,
              {"another grid", "24x24"}},
        Wrong{"output_below_a_file",
              {"nowcast", "--forecaster", "advection", "--input", "radar", "--output", "text.h5/x.nc"},
              5,
              {"text.h5"}},
        Wrong{"forecaster",
              {"nowcast", "--forecaster", "advect", "--input", "radar", "--output", "out.nc"},
              2,
              {"'advection'"}},
        Wrong{"no_weights",
              {"nowcast", "--input", "radar", "--output", "out.nc"},
              2,
              {"no default weights", "advection"}},
        Wrong{"missing_weights",
              {"nowcast", "--model", "none.safetensors", "--input", "radar", "--output", "out.nc"},
              7,
              {"none.safetensors"}},
        Wrong{"truncated_weights",
              {"nowcast", "--model", "weights.safetensors", "--input", "radar", "--output", "out.nc"},
              7,
              {"weights.safetensors"}},
        Wrong{"horizon", nowcast({"--input", "radar", "--horizon", "7min"}), 2, {"multiple of the step"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Verify, WrongInput,
    testing::Values(
        Wrong{"missing_folder", verify({"--input", "none", "--from", kFrom, "--to", kTo}), 3, {"none"}},
        Wrong{"empty_folder", verify({"--input", "empty", "--from", kFrom, "--to", kTo}), 3, {"empty"}},
        Wrong{"bad_time", verify({"--input", "radar", "--from", "x", "--to", kTo}), 2, {"--from x"}},
        Wrong{"reversed", verify({"--input", "radar", "--from", kTo, "--to", kFrom}), 2, {"later"}},
        Wrong{
            "no_case", verify({"--input", "radar", "--from", kFrom, "--to", kTo}), 3, {"no case of 5 + 12"}},
        Wrong{"protocol",
              verify({"--input", "radar", "--from", kFrom, "--to", kTo, "--protocol", "hko8"}),
              2,
              {"'hko7'"}},
        Wrong{"thresholds",
              verify({"--input", "radar", "--from", kFrom, "--to", kTo, "--thresholds", "5,1"}),
              2,
              {"ascending"}},
        Wrong{"fss_scales",
              verify({"--input", "radar", "--from", kFrom, "--to", kTo, "--fss-scales", "8,4"}),
              2,
              {"ascending numbers of pixels"}},
        Wrong{"support",
              verify({"--input", "radar", "--from", kFrom, "--to", kTo, "--support", "all"}),
              2,
              {"transported or observed"}},
        Wrong{"forecasters",
              verify({"--input", "radar", "--from", kFrom, "--to", kTo, "--forecasters",
                      "advection,advection"}),
              2,
              {"named twice"}},
        Wrong{"weights",
              verify({"--input", "radar", "--from", kFrom, "--to", kTo, "--model", "weights.safetensors"}),
              7,
              {"weights.safetensors"}},
        Wrong{"output",
              {"verify", "--json", "text.h5/x", "--input", "radar", "--from", kFrom, "--to", kTo, "--past",
               "2", "--horizon", "10min"},
              5,
              {"text.h5"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Check, WrongInput,
    testing::Values(
        Wrong{"backend", {"check", "--backend", "cdua"}, 2, {"no such backend", "'cuda'"}},
        Wrong{"no_cuda", {"check", "--backend", "cuda"}, 2, {"--backend cuda: "}},
        Wrong{"empty_backend", {"check", "--backend", ""}, 2, {"--backend"}},
        Wrong{"no_value", {"check", "--backend"}, 2, {"--backend"}},
        Wrong{"threads", {"check", "--threads", "many"}, 2, {"--threads many"}},
        Wrong{"no_threads", {"check", "--threads", "0"}, 2, {"--threads 0", "from 1"}},
        Wrong{"too_many_threads", {"check", "--threads", "100000"}, 2, {"--threads 100000", "4096"}},
        Wrong{"file", {"check", "text.h5"}, 2, {"one argument too many"}},
        Wrong{"option", {"check", "--jsn"}, 2, {"no option '--jsn'", "'--json'"}},
        Wrong{"value_of_a_flag", {"check", "--json=yes"}, 2, {"--json"}},
        Wrong{"twice", {"check", "--backend", "cpu", "--backend", "cpu"}, 2, {"given twice"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Bench, WrongInput,
    testing::Values(
        Wrong{"nothing", {"bench"}, 2, {"NAME|CONFIG"}},
        Wrong{"two", {"bench", "good.yaml", "good.yaml"}, 2, {"one argument too many"}},
        Wrong{"name", {"bench", "ref-trian"}, 2, {"no workload 'ref-trian'", "'ref-train'", "a config file"}},
        Wrong{"missing", {"bench", "none.yaml"}, 2, {"none.yaml"}},
        Wrong{"wrong_kind", {"bench", "./text.h5"}, 2, {"text.h5"}},
        Wrong{"measure", {"bench", "good.yaml", "--only", "stp"}, 2, {"--only stp", "'step'"}},
        Wrong{"repetitions", {"bench", "good.yaml", "--repetitions", "0"}, 2, {"--repetitions 0", "from 1"}},
        Wrong{"size", {"bench", "good.yaml", "--size", "12"}, 2, {"--size 12"}},
        Wrong{"backend", {"bench", "good.yaml", "--backend", "gpu"}, 2, {"no such backend"}},
        Wrong{"set", {"bench", "good.yaml", "--set", "batch=4"}, 2, {"training.batch"}},
        Wrong{"memory",
              {"bench", "good.yaml", "--memory", "1MiB", "--set", "training.batch=512"},
              5,
              {"of good", "needs about"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::istringstream lines(text);
  std::vector<nlohmann::json> found;
  for (std::string line; std::getline(lines, line);) found.push_back(nlohmann::json::parse(line));
  return found;
}

/// The work counted is the model's: a step of it is at most three forward passes.
TEST(Bench, TimesEveryMeasure) {
  const auto outcome =
      run_raincell(ground().folder.path(), {"bench", "good.yaml", "--repetitions", "2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<nlohmann::json> found = json_lines(outcome.out);
  ASSERT_EQ(found.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found[i]["measure"], (std::array{"forecast", "forward", "step"})[i]);
    EXPECT_EQ(found[i]["repetitions"], 2);
    EXPECT_EQ(found[i]["columns"], 16);
    EXPECT_GT(found[i]["least_ms"], 0.);
    EXPECT_LE(found[i]["least_ms"], found[i]["median_ms"]);
  }
  EXPECT_EQ(found[0]["gflop"], found[1]["gflop"]);
  EXPECT_GT(found[2]["gflop"].get<double>(), 2 * found[0]["gflop"].get<double>());
  EXPECT_LT(found[2]["gflop"].get<double>(), 3 * found[0]["gflop"].get<double>());
  const auto one =
      run_raincell(ground().folder.path(), {"bench", "good.yaml", "--repetitions", "1", "--only", "step"});
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_NE(one.out.find("step"), std::string::npos);
  EXPECT_EQ(one.out.find("forward"), std::string::npos);
}

std::vector<std::string> train(std::vector<std::string> more) {
  const std::vector<std::string> first = {"train", "good.yaml", "--set", "data.archive=archive.nc"};
  more.insert(more.begin(), first.begin(), first.end());
  return more;
}

INSTANTIATE_TEST_SUITE_P(
    Train, WrongInput,
    testing::Values(
        Wrong{"missing_config", {"train", "none.yaml", "--run", "run"}, 2, {"none.yaml"}},
        Wrong{"below_a_file", train({"--run", "text.h5/run"}), 5, {"text.h5"}},
        Wrong{"small_grid", train({"--run", "run", "--set", "data.crop=64x64"}), 2, {"64x64", "32x32"}},
        Wrong{"too_few_frames", train({"--run", "run", "--set", "data.past=20"}), 3, {"archive.nc", "20"}},
        Wrong{"bad_time", train({"--run", "run", "--set", "data.train=yesterday"}), 2, {"data.train"}},
        Wrong{"backend", train({"--run", "run", "--backend", "cpuu"}), 2, {"'cpu'"}},
        Wrong{"memory",
              train({"--run", "run", "--memory", "1MiB", "--set", "training.batch=512"}),
              5,
              {"needs about", "--force"}},
        Wrong{"memory_size", train({"--run", "run", "--memory", "some"}), 2, {"--memory some", "2GiB"}},
        Wrong{"empty_folder", train({"--run", "run", "--set", "data.archive=empty"}), 3, {"empty"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

/// A command that writes below `disk`, on a disk of its own.
struct Writes {
  const char* name;
  std::vector<std::string> arguments;
};
void PrintTo(const Writes& writes, std::ostream* out) {
  *out << writes.name;
}
const std::vector<Writes> kWriters = {
    {"inspect", {"inspect", "radar/raincell_20240601T0000Z.h5", "--png", "disk/maps"}},
    {"simulate", {"simulate", "--output", "disk/radar", "--frames", "3"}},
    {"pack", {"pack", "radar", "--output", "disk/x.nc"}},
    {"train", {"train", "good.yaml", "--set", "data.archive=archive.nc", "--run", "disk/run"}},
    {"nowcast",
     {"nowcast", "--forecaster", "persistence", "--input", "radar", "--output", "disk/out.nc", "--png",
      "disk/maps"}},
    {"verify",
     {"verify", "--input", "radar", "--from", kFrom, "--to", kTo, "--past", "2", "--horizon", "10min",
      "--json", "disk/scores.json", "--report", "disk/scores.html"}}};

class OwnDisk : public testing::TestWithParam<Writes> {};

TEST_P(OwnDisk, ReadOnlyIsSaid) {
  const auto& folder = ground().folder;
  const auto outcome = run_raincell(folder.path(), GetParam().arguments, {.disk = folder / "disk"});
  if (!outcome.no_disk.empty()) GTEST_SKIP() << "no disk of its own: " << outcome.no_disk;
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_NE(outcome.err.find("disk"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("ead-only"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.disk_files.empty());
}

TEST_P(OwnDisk, FullIsSaidAndNothingIsHalfWritten) {
  const auto& folder = ground().folder;
  const auto outcome =
      run_raincell(folder.path(), GetParam().arguments, {.disk = folder / "disk", .disk_bytes = 8192});
  if (!outcome.no_disk.empty()) GTEST_SKIP() << "no disk of its own: " << outcome.no_disk;
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_TRUE(outcome.err.find("No space left on device") != std::string::npos ||
              outcome.err.find("disk full") != std::string::npos)
      << outcome.err;
  for (const std::string& name : outcome.disk_files) {  // a run keeps what it could write whole
    EXPECT_EQ(GetParam().name, std::string("train")) << name;
    EXPECT_EQ(name.find("tmp"), std::string::npos) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Commands, OwnDisk, testing::ValuesIn(kWriters),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(FullDisk, LeavesTheOldProduct) {
  const auto& folder = ground().folder;
  auto arguments = nowcast({"--input", "radar"});
  const auto first = run_raincell(folder.path(), arguments);
  ASSERT_EQ(first.code, 0) << first.err;
  const std::string before = test::read_text(folder / "out.nc");
  const auto names = test::files_below(folder.path());
  arguments.insert(arguments.end(), {"--horizon", "10min"});
  const auto second = run_raincell(folder.path(), arguments, {.file_bytes = 20000});
  EXPECT_EQ(second.code, 5) << second.err;
  EXPECT_NE(second.err.find("out.nc"), std::string::npos) << second.err;
  EXPECT_EQ(test::read_text(folder / "out.nc"), before);
  EXPECT_EQ(test::files_below(folder.path()), names);
  std::filesystem::remove(folder / "out.nc");
}

TEST(FullDisk, StdoutThatIsFullIsAnError) {
  const auto& folder = ground().folder;
  const auto outcome = run_raincell(folder.path(), {"help"}, {.file_bytes = 10});
  EXPECT_EQ(outcome.code, 5);
}

TEST(InspectFolder, SaysWhatItsFramesAre) {
  const auto& folder = ground().folder;
  const auto said = run_raincell(folder.path(), {"inspect", "mixed", "archive.nc", "--json"});
  ASSERT_EQ(said.code, 0) << said.err;
  const auto lines = json_lines(said.out);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["format"], "folder");
  EXPECT_EQ(lines[0]["frames"], 9);
  EXPECT_EQ(lines[0]["valid_time"], "2024-06-01T00:00Z");
  EXPECT_EQ(lines[0]["step_minutes"], 5.);
  EXPECT_EQ(lines[0]["grids"].size(), 2U);
  EXPECT_EQ(lines[0]["rejected"].size(), 0U);
  EXPECT_EQ(lines[1]["format"], "archive");
  const auto text = run_raincell(folder.path(), {"inspect", "mixed"});
  EXPECT_NE(text.out.find("more than one grid"), std::string::npos) << text.out;
}

TEST(Layout, DescribedInYamlReadsAsTheFormatItself) {
  const Folder folder;
  ASSERT_EQ(
      run_raincell(folder.path(), {"simulate", "--output", "radar", "--frames", "2", "--size", "32x32"}).code,
      0);
  test::write_text(folder / "mine.yaml",
                   "dataset: /dataset1/data1/data\n"
                   "axes: [y, x]\n"
                   "unit: mm/h\n"
                   "gain: /dataset1/data1/what@gain\n"
                   "offset: /dataset1/data1/what@offset\n"
                   "missing: /dataset1/data1/what@nodata\n"
                   "dry: [/dataset1/data1/what@undetect]\n"
                   "zero_is_dry: false\n"
                   "time: {date: /what@date, time: /what@time}\n"
                   "grid: {projection: /where@projdef, x0: -16000, y0: 16000, dx: /where@xscale}\n");
  const std::string file = test::files_below(folder / "radar").front();
  const auto own = run_raincell(folder.path(), {"inspect", "radar/" + file, "--json"}),
             described = run_raincell(
                 folder.path(), {"inspect", "radar/" + file, "--json", "--set", "source.layout=mine.yaml"});
  ASSERT_EQ(described.code, 0) << described.err;
  const auto a = json_lines(own.out)[0], b = json_lines(described.out)[0];
  EXPECT_EQ(b["format"], "described");
  for (const char* key : {"missing", "dry", "valued", "sum", "max_mm_h", "valid_time", "grid"})
    EXPECT_EQ(a[key], b[key]) << key;
  EXPECT_EQ(
      run_raincell(folder.path(), {"pack", "radar", "--output", "a.nc", "--set", "source.layout=mine.yaml"})
          .code,
      0);
  test::write_text(folder / "wrong.yaml", "dataset: /dataset1/data1/data\nunits: mm/h\n");
  const auto wrong =
      run_raincell(folder.path(), {"inspect", "radar/" + file, "--set", "source.layout=wrong.yaml"});
  EXPECT_EQ(wrong.code, 3);
  EXPECT_NE(wrong.err.find("units: is no known key; expected one of"), std::string::npos) << wrong.err;
  const auto none =
      run_raincell(folder.path(), {"inspect", "radar/" + file, "--set", "source.layout=none.yaml"});
  EXPECT_EQ(none.code, 2);
  EXPECT_NE(none.err.find("none.yaml"), std::string::npos) << none.err;
}

TEST(PackReport, IsOnePageWithMapsAndRemarks) {
  const Folder folder;
  ASSERT_EQ(
      run_raincell(folder.path(), {"simulate", "--output", "radar", "--frames", "12", "--size", "32x32"})
          .code,
      0);
  std::filesystem::remove(folder / "radar" / test::files_below(folder / "radar")[4]);
  const auto packed = run_raincell(folder.path(), {"pack", "radar", "--output", "archive", "--report",
                                                   "page.html", "--json", "--threads", "2"});
  ASSERT_EQ(packed.code, 0) << packed.err;
  const auto json = json_lines(packed.out)[0];
  EXPECT_EQ(json["frames"], 11);
  EXPECT_EQ(json["gaps"].size(), 1U);
  EXPECT_EQ(json["climatology_by_month"][0]["month"], 6);
  EXPECT_EQ(json["parts"].size(), 1U);
  const std::string page = test::read_text(folder / "page.html");
  for (const char* part :
       {"<h1>Archive archive</h1>", "1 frames missing until", "data:image/png;base64,", "Wet by hour"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(page.find("http"), page.find("http://www.w3.org"));  // nothing is fetched
}

TEST(Help, StartsWithAnExample) {
  for (const char* command : {"inspect", "simulate", "pack", "plan", "train", "nowcast", "verify", "check"}) {
    const auto outcome = run_raincell(".", {"help", command});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out.rfind(std::string("  raincell ") + command, 0), 0U) << outcome.out;
  }
  EXPECT_EQ(run_raincell(".", {"--version"}).out.rfind("raincell ", 0), 0U);
}

}  // namespace
