#include "kernels/cuda/cudnn.hpp"

#include <cudnn.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace raincell::kernels::cuda {

namespace {

/// The functions used, found in the library once it is loaded.
struct Library {
#define RAINCELL_CUDNN_FUNCTIONS(X) \
  X(cudnnGetVersion)                \
  X(cudnnGetErrorString)            \
  X(cudnnGetLastErrorString)        \
  X(cudnnCreate)                    \
  X(cudnnDestroy)                   \
  X(cudnnSetStream)                 \
  X(cudnnBackendCreateDescriptor)   \
  X(cudnnBackendDestroyDescriptor)  \
  X(cudnnBackendSetAttribute)       \
  X(cudnnBackendGetAttribute)       \
  X(cudnnBackendFinalize)           \
  X(cudnnBackendExecute)
#define RAINCELL_DECLARE(function) decltype(&::function) function = nullptr;
  RAINCELL_CUDNN_FUNCTIONS(RAINCELL_DECLARE)
#undef RAINCELL_DECLARE

  Library() {
    constexpr const char* kFile = "libcudnn.so.9";
    void* const file = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);  // stays: cuDNN cannot be unloaded safely
    if (file == nullptr) {
      const char* const why = dlerror();
      throw BackendUnavailable(std::string("cuDNN 9 cannot be loaded (") + (why == nullptr ? kFile : why) +
                               "); install it, or name its folder in LD_LIBRARY_PATH");
    }
    const auto find = [&](const char* name) {
      void* const found = dlsym(file, name);
      if (found == nullptr) throw BackendUnavailable(std::string(kFile) + " has no " + name);
      return found;
    };
#define RAINCELL_FIND(function) function = reinterpret_cast<decltype(&::function)>(find(#function));
    RAINCELL_CUDNN_FUNCTIONS(RAINCELL_FIND)
#undef RAINCELL_FIND
  }

  std::string reason(cudnnStatus_t status) const {
    std::array<char, 512> text{};
    cudnnGetLastErrorString(text.data(), text.size());
    std::string all = cudnnGetErrorString(status);
    if (text[0] != '\0') all += std::string(", ") + text.data();
    return all;
  }
  void check(cudnnStatus_t status, const char* call, CodePlace place = CodePlace::current()) const {
    if (status != CUDNN_STATUS_SUCCESS) throw DeviceError("cuDNN", call, reason(status), place);
  }
};

const Library& library() {
  static const Library loaded;
  return loaded;
}

/// Owner of one descriptor of the graph interface; move-only.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    library().check(library().cudnnBackendCreateDescriptor(type, &raw_), "cudnnBackendCreateDescriptor");
  }
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Descriptor() {
    if (raw_ != nullptr) library().cudnnBackendDestroyDescriptor(raw_);
  }
  cudnnBackendDescriptor_t raw() const { return raw_; }

  template <class Value>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                  const Value* values) {
    library().check(library().cudnnBackendSetAttribute(raw_, name, type, count, values),
                    "cudnnBackendSetAttribute");
    return *this;
  }
  template <class Value>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const Value& value) {
    return set(name, type, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.raw_);
  }
  Descriptor& finalize() {
    library().check(library().cudnnBackendFinalize(raw_), "cudnnBackendFinalize");
    return *this;
  }
  /// False: this build of cuDNN or this GPU cannot do what is described.
  bool try_finalize() { return library().cudnnBackendFinalize(raw_) == CUDNN_STATUS_SUCCESS; }

  template <class Value>
  std::vector<Value> get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         std::int64_t room) const {
    std::vector<Value> values(static_cast<std::size_t>(room));
    std::int64_t count = 0;
    library().check(library().cudnnBackendGetAttribute(raw_, name, type, room, &count, values.data()),
                    "cudnnBackendGetAttribute");
    values.resize(static_cast<std::size_t>(std::min(count, room)));
    return values;
  }
  /// Fills this descriptor from an attribute that is one.
  void get_from(const Descriptor& owner, cudnnBackendAttributeName_t name) {
    std::int64_t count = 0;
    library().check(
        library().cudnnBackendGetAttribute(owner.raw_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw_),
        "cudnnBackendGetAttribute");
  }

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
};

/// Names of the tensors of a graph.
enum Tensor : std::int64_t { kA = 'a', kFilter = 'f', kB = 'b', kSum = 's', kAddend = 'p' };

cudnnDataType_t type_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/// Channels-last, whatever cuDNN's order of dimensions says.
Descriptor tensor(std::int64_t name, cudnnDataType_t type, std::int64_t n, std::int64_t c, std::int64_t h,
                  std::int64_t w, bool is_virtual = false) {
  Descriptor out(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  // Steps of images are views that begin where the one before ends: cuDNN may count on no more than that.
  std::int64_t alignment = 16;
  while (name != kFilter && c * h * w * (type == CUDNN_DATA_BFLOAT16 ? 2 : 4) % alignment != 0)
    alignment /= 2;
  out.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, {n, c, h, w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, {c * h * w, 1, c * w, c})
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, name)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment)
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual)
      .finalize();
  return out;
}

/// The descriptors of one operation graph.
struct Graph {
  std::vector<Descriptor> parts;
  Descriptor graph{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};
};

Descriptor tensor_of(const Correlation& c, Correlation::Result which, std::int64_t name, cudnnDataType_t type,
                     bool is_virtual) {
  switch (which) {
    case Correlation::Result::a:
      return tensor(name, type, c.images, c.a.channels, c.a.height, c.a.width, is_virtual);
    case Correlation::Result::b:
      return tensor(name, type, c.images, c.b.channels, c.b.height, c.b.width, is_virtual);
    case Correlation::Result::filter:
      break;
  }
  return tensor(name, type, c.b.channels, c.a.channels, c.kernel, c.kernel, is_virtual);
}

/// Attribute names of the three operations, in one order.
struct OperationNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, a, filter, b, alpha, beta;
};

OperationNames names_of(Correlation::Result result) {
  switch (result) {
    case Correlation::Result::b:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Correlation::Result::a:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Correlation::Result::filter:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

/// The convolution, followed by an addition that cuDNN fuses behind it.
Graph graph_of(const Correlation& c, Arithmetic arithmetic, cudnnHandle_t handle) {
  using Result = Correlation::Result;
  const cudnnDataType_t type = type_of(arithmetic), sums = CUDNN_DATA_FLOAT;
  const bool adds = c.then != Correlation::Then::nothing;
  Graph out;
  std::vector<Descriptor>& parts = out.parts;
  for (const auto& [which, name] :
       {std::pair<Result, std::int64_t>{Result::a, kA}, {Result::filter, kFilter}, {Result::b, kB}}) {
    const bool is_virtual = adds && c.result == which;
    parts.push_back(tensor_of(c, which, is_virtual ? kSum : name, is_virtual ? sums : type, is_virtual));
  }
  const std::int64_t dimensions = 2;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, sums)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, mode)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, dimensions)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {c.top, c.padding})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {c.bottom, c.padding})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {c.stride, c.stride})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1})
      .finalize();
  const OperationNames names = names_of(c.result);
  const float one = 1, zero = 0;
  Descriptor operation(names.operation);
  operation.set(names.convolution, convolution)
      .set(names.a, parts[0])
      .set(names.filter, parts[1])
      .set(names.b, parts[2])
      .set(names.alpha, CUDNN_TYPE_FLOAT, one)
      .set(names.beta, CUDNN_TYPE_FLOAT, zero)
      .finalize();
  std::vector<cudnnBackendDescriptor_t> operations{operation.raw()};
  parts.push_back(std::move(convolution));
  parts.push_back(std::move(operation));
  if (adds) {
    const std::int64_t result = c.result == Result::a ? kA : c.result == Result::b ? kB : kFilter;
    const std::size_t sum = c.result == Result::a ? 0 : c.result == Result::filter ? 1 : 2;
    Descriptor addend = c.then == Correlation::Then::add_before
                            ? tensor_of(c, c.result, kAddend, type, false)
                            : tensor(kAddend, sums, 1, (c.result == Result::a ? c.a : c.b).channels, 1, 1);
    Descriptor after = tensor_of(c, c.result, result, type, false);
    const cudnnPointwiseMode_t add = CUDNN_POINTWISE_ADD;
    Descriptor pointwise(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    pointwise.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, add)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, sums)
        .finalize();
    Descriptor addition(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    addition.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, parts[sum])
        .set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, addend)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, after)
        .finalize();
    operations.push_back(addition.raw());
    parts.push_back(std::move(addend));
    parts.push_back(std::move(after));
    parts.push_back(std::move(pointwise));
    parts.push_back(std::move(addition));
  }
  out.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                static_cast<std::int64_t>(operations.size()), operations.data());
  if (handle != nullptr) out.graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
  out.graph.finalize();
  return out;
}

/// Null where cuDNN does not know the addition behind this convolution.
std::shared_ptr<const Graph> try_graph(const Correlation& c, Arithmetic arithmetic, cudnnHandle_t handle) {
  try {
    return std::make_shared<const Graph>(graph_of(c, arithmetic, handle));
  } catch (const DeviceError&) {
    if (c.then != Correlation::Then::nothing) return nullptr;
    throw;
  }
}

/// Whether an engine computes as asked: f32 keeps all bits of the inputs and multiplies as written.
bool suits(const std::vector<cudnnBackendNumericalNote_t>& notes, Arithmetic arithmetic, bool deterministic) {
  return std::none_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return arithmetic == Arithmetic::f32;
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        return deterministic;
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return true;
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return arithmetic != Arithmetic::bf16;
      default:
        return false;
    }
  });
}

class CudnnEngine : public Engine {
 public:
  CudnnEngine(std::shared_ptr<const Graph> graph, Descriptor configuration, Descriptor plan,
              cudnnHandle_t handle, const Correlation& correlation, std::string name)
      : graph_(std::move(graph)),
        configuration_(std::move(configuration)),
        plan_(std::move(plan)),
        handle_(handle),
        result_(correlation.result),
        then_(correlation.then),
        name_(std::move(name)) {
    workspace_ = static_cast<std::size_t>(
        plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1).at(0));
  }
  const std::string& name() const override { return name_; }
  std::size_t workspace_bytes() const override { return workspace_; }

  void run(const Operands& operands) override {
    auto known = packs_.find(operands);
    if (known == packs_.end()) {
      if (packs_.size() >= kMaximumPacks) packs_.clear();
      known = packs_.emplace(operands, pack(operands)).first;
    }
    library().check(library().cudnnBackendExecute(handle_, plan_.raw(), known->second.raw()),
                    "cudnnBackendExecute");
  }

 private:
  /// A network calls a plan with the same few tensors in every step: their descriptors are kept.
  Descriptor pack(const Operands& operands) const {
    std::vector<std::int64_t> names{kA, kFilter, kB};
    std::vector<const void*> pointers{operands.a, operands.filter, operands.b};
    if (then_ != Correlation::Then::nothing) {
      names.push_back(kAddend);
      pointers.push_back(then_ == Correlation::Then::add_bias ? operands.bias
                         : result_ == Correlation::Result::a  ? operands.a
                                                              : operands.b);
    }
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, names)
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
             static_cast<std::int64_t>(pointers.size()), pointers.data())
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, operands.workspace)
        .finalize();
    return pack;
  }

  static constexpr std::size_t kMaximumPacks = 1024;

  std::shared_ptr<const Graph> graph_;
  Descriptor configuration_, plan_;
  cudnnHandle_t handle_;
  Correlation::Result result_;
  Correlation::Then then_;
  std::string name_;
  std::size_t workspace_ = 0;
  std::map<Operands, Descriptor> packs_;
};

}  // namespace

struct Cudnn::State {
  cudnnHandle_t handle = nullptr;
  std::unique_ptr<Descriptor> device;  // when there is no GPU
};

Cudnn::Cudnn(Stream stream) : state_(std::make_unique<State>()) {
  // Here its other libraries are loaded, and the driver and the GPU are judged.
  if (const cudnnStatus_t created = library().cudnnCreate(&state_->handle); created != CUDNN_STATUS_SUCCESS)
    throw BackendUnavailable(version() + " cannot start: " + library().reason(created));
  const cudnnStatus_t status = library().cudnnSetStream(state_->handle, stream);
  if (status != CUDNN_STATUS_SUCCESS) library().cudnnDestroy(state_->handle);
  library().check(status, "cudnnSetStream");
}

Cudnn::Cudnn(const std::string& device_properties) : state_(std::make_unique<State>()) {
  state_->device = std::make_unique<Descriptor>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  state_->device
      ->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
            static_cast<std::int64_t>(device_properties.size()), device_properties.data())
      .finalize();
}

Cudnn::~Cudnn() {
  if (state_->handle != nullptr) library().cudnnDestroy(state_->handle);
}

std::string Cudnn::version() const {
  const std::size_t number = library().cudnnGetVersion();
  return "cuDNN " + std::to_string(number / 10000) + "." + std::to_string(number % 10000 / 100) + "." +
         std::to_string(number % 100);
}

std::vector<std::unique_ptr<Engine>> Cudnn::engines(const Correlation& correlation, Arithmetic arithmetic,
                                                    bool deterministic, int count, std::size_t workspace) {
  std::vector<std::unique_ptr<Engine>> found;
  const Descriptor* const device = state_->device.get();
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (static_cast<int>(found.size()) >= count) break;
    const auto graph = try_graph(correlation, arithmetic, state_->handle);
    if (graph == nullptr) return found;
    Descriptor advice(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    advice.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph->graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    if (device != nullptr) advice.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
    if (!advice.try_finalize()) continue;
    std::int64_t advised = 0;
    library().check(library().cudnnBackendGetAttribute(advice.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &advised, nullptr),
                    "cudnnBackendGetAttribute");
    std::vector<Descriptor> configurations;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (std::int64_t i = 0; i < advised; ++i) {
      raw.push_back(configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw());
    }
    if (advised == 0) continue;
    library().check(
        library().cudnnBackendGetAttribute(advice.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                           CUDNN_TYPE_BACKEND_DESCRIPTOR, advised, &advised, raw.data()),
        "cudnnBackendGetAttribute");
    for (std::int64_t i = 0; i < advised && static_cast<int>(found.size()) < count; ++i) {
      Descriptor& configuration = configurations[static_cast<std::size_t>(i)];
      Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
      engine.get_from(configuration, CUDNN_ATTR_ENGINECFG_ENGINE);
      const auto notes = engine.get<cudnnBackendNumericalNote_t>(
          CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
      if (!suits(notes, arithmetic, deterministic)) continue;
      const auto behaviour = engine.get<cudnnBackendBehaviorNote_t>(
          CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
      const bool compiles =
          std::count(behaviour.begin(), behaviour.end(), CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) > 0;
      const auto index = engine.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1);
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (state_->handle != nullptr)
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, state_->handle);
      if (device != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
      if (!plan.try_finalize()) continue;
      auto built = std::make_unique<CudnnEngine>(
          graph, std::move(configuration), std::move(plan), state_->handle, correlation,
          "engine " + (index.empty() ? std::string("?") : std::to_string(index[0])) +
              (compiles ? ", compiled at run time" : ""));
      if (built->workspace_bytes() <= workspace) found.push_back(std::move(built));
    }
  }
  return found;
}

}  // namespace raincell::kernels::cuda
