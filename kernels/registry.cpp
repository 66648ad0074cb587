// The visible list of backends: name -> factory, and the order of "auto".
#include "kernels/backend.hpp"
#include "kernels/cpu/cpu.hpp"
#include "kernels/cuda/cuda.hpp"
#include "kernels/reference/reference.hpp"

namespace raincell::kernels {

namespace {

struct Entry {
  const char* name;
  bool automatic;   // tried by "auto"
  bool tf32, bf16;  // beside f32
  std::unique_ptr<Backend> (*make_it)(const BackendOptions&);

  std::unique_ptr<Backend> make(const BackendOptions& options) const {
    if (options.precision == Precision::tf32 && !tf32)
      throw BackendUnavailable("tf32 is a precision of GPUs: leave precision at f32, or compute on a GPU");
    if (options.precision == Precision::bf16 && !bf16)
      throw BackendUnavailable("it has no reduced precision: leave precision at f32");
    return make_it(options);
  }
};

constexpr Entry kEntries[] = {
    {"cuda", true, true, true, make_cuda},
    {"cpu", true, false, true, make_cpu},
    {"reference", false, false, false,
     [](const BackendOptions& options) { return make_reference(DType::f64, options); }},
    {"reference-f32", false, false, false,
     [](const BackendOptions& options) { return make_reference(DType::f32, options); }},
};

std::string listed_names() {
  std::string names = "auto";
  for (const Entry& entry : kEntries) names += std::string(", ") + entry.name;
  return names;
}

std::unique_ptr<Backend> make_first_available(BackendOptions options) {
  std::string reasons;
  for (const Entry& entry : kEntries) {
    if (!entry.automatic) continue;
    try {
      return entry.make(options);
    } catch (const BackendUnavailable& absence) {
      const std::string reason = std::string(entry.name) + ": " + absence.what();
      reasons += "\n  " + reason;
      if (dynamic_cast<const BackendNotBuilt*>(&absence) == nullptr)
        options.passed_over += (options.passed_over.empty() ? "" : "; ") + reason;
    }
  }
  throw BackendUnavailable("no backend is available:" + reasons);
}

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kEntries) names.emplace_back(entry.name);
  return names;
}

std::vector<Precision> precisions_of(std::string_view name) {
  std::vector<Precision> all{Precision::f32};
  for (const Entry& entry : kEntries) {
    if (name != entry.name) continue;
    if (entry.tf32) all.push_back(Precision::tf32);
    if (entry.bf16) all.push_back(Precision::bf16);
  }
  return all;
}

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
  if (name == "auto") return make_first_available(options);
  for (const Entry& entry : kEntries) {
    if (name == entry.name) return entry.make(options);
  }
  throw BackendUnavailable("there is no backend '" + std::string(name) + "'; choose one of " +
                           listed_names());
}

}  // namespace raincell::kernels
