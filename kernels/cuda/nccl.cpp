#include "kernels/cuda/nccl.hpp"

#include <dlfcn.h>
#include <nccl.h>

#include <cstring>
#include <exception>
#include <utility>

namespace raincell::kernels::cuda {

namespace {

/// The functions used, found in the library once it is loaded.
struct Library {
#define RAINCELL_NCCL_FUNCTIONS(X) \
  X(ncclGetVersion)                \
  X(ncclGetErrorString)            \
  X(ncclGetLastError)              \
  X(ncclGetUniqueId)               \
  X(ncclCommInitRank)              \
  X(ncclCommDestroy)               \
  X(ncclCommAbort)                 \
  X(ncclCommGetAsyncError)         \
  X(ncclGroupStart)                \
  X(ncclGroupEnd)                  \
  X(ncclSend)                      \
  X(ncclRecv)                      \
  X(ncclAllGather)
#define RAINCELL_DECLARE(function) decltype(&::function) function = nullptr;
  RAINCELL_NCCL_FUNCTIONS(RAINCELL_DECLARE)
#undef RAINCELL_DECLARE

  std::string missing;

  Library() {
    constexpr const char* kFile = "libnccl.so.2";
    void* const file = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);  // stays: its threads cannot be unloaded safely
    if (file == nullptr) {
      const char* const why = dlerror();
      missing = std::string("NCCL cannot be loaded (") + (why == nullptr ? kFile : why) +
                "); install it, or name its folder in LD_LIBRARY_PATH";
      return;
    }
    const auto find = [&](const char* name) {
      void* const found = dlsym(file, name);
      if (found == nullptr) missing = std::string(kFile) + " has no " + name;
      return found;
    };
#define RAINCELL_FIND(function) function = reinterpret_cast<decltype(&::function)>(find(#function));
    RAINCELL_NCCL_FUNCTIONS(RAINCELL_FIND)
#undef RAINCELL_FIND
  }

  void check(ncclResult_t result, const char* call, ncclComm_t communicator = nullptr,
             CodePlace place = CodePlace::current()) const {
    if (result == ncclSuccess || result == ncclInProgress) return;
    std::string why = ncclGetErrorString(result);
    if (const char* const more = ncclGetLastError(communicator); more != nullptr && *more != '\0')
      why += std::string(", ") + more;
    throw DeviceError("NCCL", call, why, place);
  }
};

const Library& library() {
  static const Library loaded;
  return loaded;
}

}  // namespace

struct Nccl::State {
  ncclComm_t communicator = nullptr;
  Stream stream = nullptr;

  void check(ncclResult_t result, const char* call, CodePlace place = CodePlace::current()) const {
    library().check(result, call, communicator, place);
  }
  /// Errors of work that was queued earlier. It is given up at once: memory that it uses could not be freed.
  void check_queued() {
    ncclResult_t result = ncclSuccess;
    check(library().ncclCommGetAsyncError(communicator, &result), "ncclCommGetAsyncError");
    if (result == ncclSuccess || result == ncclInProgress) return;
    ncclComm_t const lost = std::exchange(communicator, nullptr);
    library().ncclCommAbort(lost);
    check(result, "work queued earlier");
  }
};

std::string Nccl::missing() {
  return library().missing;
}

std::string Nccl::version() {
  int version = 0;
  library().check(library().ncclGetVersion(&version), "ncclGetVersion");
  return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

std::string Nccl::draw_id() {
  ncclUniqueId id{};
  library().check(library().ncclGetUniqueId(&id), "ncclGetUniqueId");
  return {id.internal, sizeof id.internal};
}

Nccl::Nccl(const std::string& id, int rank, int size, Stream stream) : state_(std::make_unique<State>()) {
  ncclUniqueId unique{};
  if (id.size() != sizeof unique.internal) throw std::logic_error("Nccl: the id is none of draw_id()");
  std::memcpy(unique.internal, id.data(), id.size());
  state_->stream = stream;
  state_->check(library().ncclCommInitRank(&state_->communicator, size, unique, rank), "ncclCommInitRank");
}

Nccl::~Nccl() {
  if (state_->communicator == nullptr) return;
  // Where something has failed, others may never do their part of what is queued.
  if (std::uncaught_exceptions() > 0) {
    library().ncclCommAbort(state_->communicator);
  } else {
    library().ncclCommDestroy(state_->communicator);
  }
}

void Nccl::exchange(std::span<const Piece> sent, std::span<const Piece> received) {
  state_->check_queued();
  ncclComm_t const communicator = state_->communicator;
  state_->check(library().ncclGroupStart(), "ncclGroupStart");
  ncclResult_t sending = ncclSuccess, receiving = ncclSuccess;
  for (const Piece& piece : sent) {
    if (sending == ncclSuccess)
      sending =
          library().ncclSend(piece.memory, piece.count, ncclFloat, piece.rank, communicator, state_->stream);
  }
  for (const Piece& piece : received) {
    if (receiving == ncclSuccess)
      receiving =
          library().ncclRecv(piece.memory, piece.count, ncclFloat, piece.rank, communicator, state_->stream);
  }
  const ncclResult_t end = library().ncclGroupEnd();  // whatever happened, the group is closed
  state_->check(sending, "ncclSend");
  state_->check(receiving, "ncclRecv");
  state_->check(end, "ncclGroupEnd");
}

void Nccl::gather(const float* mine, std::size_t count, float* all) {
  state_->check(library().ncclAllGather(mine, all, count, ncclFloat, state_->communicator, state_->stream),
                "ncclAllGather");
}

}  // namespace raincell::kernels::cuda
