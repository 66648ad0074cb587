#include "app/errors.hpp"

#include <fmt/format.h>

#include <csignal>
#include <new>

#include "io/frame.hpp"
#include "kernels/backend.hpp"
#include "model/convlstm_forecaster.hpp"
#include "model/safetensors.hpp"
#include "model/spec.hpp"

namespace raincell::app {

namespace {

/// What to do about a GPU; an error of a library on the processor speaks for itself.
std::string after_device_error(const kernels::DeviceError& error) {
  if (error.library() == "NCCL") {
    return "; a rank, its GPU or the network between them is lost: start all of them again, and they go on "
           "from the last checkpoint. NCCL_DEBUG=WARN says more";
  }
  if (error.library() != "CUDA" && error.library() != "cuDNN") return "";
  return "; the device is lost to this process: start it again, a training goes on from its last checkpoint. "
         "nvidia-smi and the kernel's log (Xid) may say why; in a container, a reload of systemd can take "
         "the "
         "GPU away until it is created anew";
}

}  // namespace

Failure failure_of(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(std::move(thrown));
  } catch (const OutputClosed&) {
    return {kOk, ""};
  } catch (const Stopped& stop) {
    return {stop.signal() == SIGINT ? kInterrupted : kTerminated, ""};
  } catch (const UsageError& error) {
    return {kUsage, error.what()};
  } catch (const kernels::BackendUnavailable& error) {
    return {kUsage, error.what()};
  } catch (const model::ModelError& error) {
    return {kUsage, error.what()};
  } catch (const io::DataError& error) {
    return {kInput, error.what()};
  } catch (const Withheld& error) {
    return {kWithheld, error.what()};
  } catch (const io::WriteError& error) {
    return {kResources, error.what()};
  } catch (const ResourceError& error) {
    return {kResources, error.what()};
  } catch (const kernels::OutOfMemory& error) {
    return {kResources, error.what()};
  } catch (const std::bad_alloc&) {
    return {kResources, "memory is exhausted; use a smaller grid, batch or crop, or a machine with more"};
  } catch (const Diverged& error) {
    return {kDiverged, error.what()};
  } catch (const model::NonFiniteForecast& error) {
    return {kDiverged, error.what()};
  } catch (const model::WeightsError& error) {
    return {kWeights, error.what()};
  } catch (const kernels::DeviceError& error) {
    return {kDevice, error.what() + after_device_error(error)};
  } catch (const PeerError& error) {
    return {kDevice, error.what()};
  } catch (const std::exception& error) {
    return {kInternal, fmt::format("internal error, please report it: {}", error.what())};
  }
}

}  // namespace raincell::app
