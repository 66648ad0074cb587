// How fast every kernel of a backend is: the table of cases of tests/kernels, and the convolutions and cells
// of the reference workloads. Convolutions say what they computed with.
//
//   kernels_bench --backend cpu --threads 2 --precision bf16 --benchmark_filter=conv
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/kernels/cases.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

struct Options {
  std::string backend = "cpu";
  int threads = 0;
  Precision precision = Precision::f32;
};

Precision precision_of(std::string_view word) {
  if (word == "f32") return Precision::f32;
  if (word == "tf32") return Precision::tf32;
  if (word == "bf16") return Precision::bf16;
  std::fprintf(stderr, "kernels_bench: --precision %s: expected f32, tf32 or bf16\n", word.data());
  std::exit(2);
}

/// Takes our options out of the words; what is left is Google Benchmark's.
Options take_options(int& argc, char** argv) {
  Options options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--backend" && i + 1 < argc) {
      options.backend = argv[++i];
    } else if (word == "--threads" && i + 1 < argc) {
      options.threads = std::atoi(argv[++i]);
    } else if (word == "--precision" && i + 1 < argc) {
      options.precision = precision_of(argv[++i]);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return options;
}

std::vector<ConvSpec> workload_specs() {
  const auto gates = [](std::int64_t images, std::int64_t in, std::int64_t hidden, std::int64_t size,
                        std::int64_t kernel) {
    return ConvSpec{.images = images,
                    .channels_in = in,
                    .channels_out = 4 * hidden,
                    .height = size,
                    .width = size,
                    .kernel = kernel,
                    .padding = kernel / 2};
  };
  return {gates(4, 1, 64, 64, 3),
          gates(4, 64, 64, 64, 3),
          gates(4, 64, 64, 64, 5),
          gates(40, 64, 64, 64, 3),
          gates(1, 64, 64, 256, 3),
          gates(2, 16, 16, 128, 3),
          gates(2, 192, 192, 32, 3),
          {.images = 4,
           .channels_in = 1,
           .channels_out = 8,
           .height = 480,
           .width = 480,
           .kernel = 7,
           .stride = 5},
          {.images = 4,
           .channels_in = 64,
           .channels_out = 8,
           .height = 96,
           .width = 96,
           .kernel = 7,
           .stride = 5,
           .transposed = true},
          {.images = 4,
           .channels_in = 64,
           .channels_out = 1,
           .height = 64,
           .width = 64,
           .kernel = 1,
           .padding = 0}};
}

template <class Work>
void time_on(benchmark::State& state, Backend& backend, const Work& work) {
  work();  // the first call is slower
  for (auto _ : state) state.SetIterationTime(backend.seconds_of(work));
}

enum class Pass : std::uint8_t { forward, backward_data, backward_weights };

void time_convolution(benchmark::State& state, Backend& backend, const ConvSpec& spec, Pass pass) {
  const auto plan =
      backend.plan_convolution(spec, pass == Pass::forward ? ConvUse::inference : ConvUse::training);
  Tensor weights = backend.allocate_plain(spec.weight_shape(), "weights"), bias;
  if (spec.bias) bias = backend.allocate_plain({1, 1, spec.channels_out, 1, 1}, "bias");
  Tensor x = backend.allocate({1, spec.images, spec.channels_in, spec.height, spec.width}, "x");
  Tensor y = backend.allocate({1, spec.images, spec.channels_out, spec.out_height(), spec.out_width()}, "y");
  const View b = spec.bias ? bias.view() : View{};
  plan->load_weights(weights.view(), b);
  time_on(state, backend, [&] {
    if (pass == Pass::forward) plan->forward(x.view(), y.view(), Accumulate::no);
    if (pass == Pass::backward_data) plan->backward_data(y.view(), x.view(), Accumulate::no);
    if (pass == Pass::backward_weights)
      plan->backward_weights(x.view(), y.view(), weights.view(), b, Accumulate::yes);
  });
  state.counters["FLOP/s"] = benchmark::Counter(2. * static_cast<double>(spec.macs()),
                                                benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(plan->implementation());
}

void add_convolution(Backend& backend, const ConvSpec& spec) {
  constexpr const char* kNames[] = {"forward", "backward_data", "backward_weights"};
  for (const Pass pass : {Pass::forward, Pass::backward_data, Pass::backward_weights}) {
    const std::string name = "conv_" + std::string(kNames[static_cast<std::size_t>(pass)]) + "/" +
                             spec.text() + (spec.bias ? "b" : "");
    benchmark::RegisterBenchmark(
        name.c_str(),
        [&backend, spec, pass](benchmark::State& state) { time_convolution(state, backend, spec, pass); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

/// Memory of a case's tensors is the count of its bytes: read or written once, or both.
void time_case(benchmark::State& state, Backend& backend, const Case& made) {
  std::vector<Tensor> tensors;
  std::vector<View> views;
  double bytes = 0.;
  for (const Slot& slot : made.slots) {
    if (slot.values.empty()) {
      views.emplace_back();
      continue;
    }
    tensors.push_back(slot.plain    ? backend.allocate_plain(slot.shape, slot.name)
                      : slot.memory ? backend.allocate_memory(slot.shape, slot.name)
                                    : backend.allocate(slot.shape, slot.name));
    backend.write(tensors.back().view(), std::span<const double>(slot.values));
    views.push_back(tensors.back().view());
    bytes += static_cast<double>(tensors.back().bytes()) * (slot.access == Access::inout ? 2. : 1.);
  }
  time_on(state, backend, [&] { made.run(backend, views); });
  state.counters["B/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

void add_case(Backend& backend, const Case& made) {
  benchmark::RegisterBenchmark(("table/" + made.name).c_str(),
                               [&backend, made](benchmark::State& state) { time_case(state, backend, made); })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

/// The cell of cpu-small, and a wide one.
void add_cells(Backend& backend) {
  for (const auto& [images, hidden, size] : {std::tuple{4L, 64L, 64L}, std::tuple{1L, 64L, 256L}}) {
    const Shape state{1, images, hidden, size, size}, gates{1, images, 4 * hidden, size, size};
    const CellSpec cell{.hidden = hidden};
    const std::string sizes =
        "n" + std::to_string(images) + "hidden" + std::to_string(hidden) + "size" + std::to_string(size);
    const auto slot = [](const char* name, const Shape& shape, Access access) {
      const std::string_view what = name;
      const bool memory = what == "c" || what == "c_prev" || what == "dc";
      return Slot{
          name,  shape, access, false, std::vector<double>(static_cast<std::size_t>(shape.elements()), 0.1),
          memory};
    };
    const Slot sums = slot("gates", gates, Access::inout), c_prev = slot("c_prev", state, Access::in),
               c = slot("c", state, Access::inout), h = slot("h", state, Access::out);
    add_case(backend,
             {"cell_forward_" + sizes, {sums, c_prev, c, h}, [cell](Backend& b, const std::vector<View>& v) {
                b.cell_forward(cell, v[0], {}, {}, v[1], {}, v[2], v[3]);
              }});
    const Slot dh = slot("dh", state, Access::in), dc = slot("dc", state, Access::inout);
    add_case(
        backend,
        {"cell_backward_" + sizes, {sums, c_prev, c, dh, dc}, [cell](Backend& b, const std::vector<View>& v) {
           b.cell_backward(cell, v[0], {}, {}, v[1], v[2], {}, v[3], {}, v[4], {}, {});
         }});
  }
}

int run(int argc, char** argv) {
  const Options options = take_options(argc, argv);
  std::unique_ptr<Backend> backend;
  try {
    backend = make_backend(options.backend, {.threads = options.threads, .precision = options.precision});
  } catch (const BackendUnavailable& absence) {
    std::fprintf(stderr, "kernels_bench: --backend %s: %s\n", options.backend.c_str(), absence.what());
    return 2;
  }
  const BackendInfo& info = backend->info();
  benchmark::AddCustomContext("backend", info.name);
  benchmark::AddCustomContext("device", info.device);
  benchmark::AddCustomContext("libraries", info.libraries);
  for (const ConvSpec& spec : workload_specs()) add_convolution(*backend, spec);
  add_cells(*backend);
  for (const ConvSpec& spec : convolution_specs()) add_convolution(*backend, spec);
  for (const auto& cases : {cell_cases(), pointwise_cases(), loss_cases(), optimizer_cases()})
    for (const Case& made : cases) add_case(*backend, made);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace raincell::test

int main(int argc, char** argv) {
  return raincell::test::run(argc, argv);
}
