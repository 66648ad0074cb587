// What the files that compute with oneDNN share. Included by them alone.
#pragma once

#include <dnnl.hpp>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace raincell::kernels::cpu {

/// Runs a oneDNN call, turning its error into ours.
template <class Call>
auto checked(const char* name, const std::string& what, Call call) {
  try {
    return call();
  } catch (const dnnl::error& error) {
    throw DeviceError("oneDNN", name, std::string(error.what()) + " for " + what);
  }
}

/// One primitive with its argument list, ready to run. Addresses change from run to run, objects do not.
class Call {
 public:
  Call() = default;
  explicit Call(dnnl::primitive primitive) : primitive_(std::move(primitive)) {}

  void add(int argument, dnnl::memory value) {
    arguments_.push_back({argument, value.get()});
    keep_.push_back(std::move(value));
  }
  /// An argument whose address is given at each run, by its position among these.
  dnnl::memory& add_moving(int argument, const dnnl::memory::desc& desc, const dnnl::engine& engine) {
    add(argument, dnnl::memory(desc, engine, DNNL_MEMORY_NONE));
    return keep_.back();
  }
  void place(std::size_t position, const void* address) {
    keep_[position].set_data_handle(const_cast<void*>(address));
  }
  void run(const dnnl::stream& stream, const char* name) const {
    const dnnl_status_t status = dnnl_primitive_execute(
        primitive_.get(), stream.get(), static_cast<int>(arguments_.size()), arguments_.data());
    if (status != dnnl_success) {
      throw DeviceError("oneDNN", name, "status " + std::to_string(static_cast<int>(status)));
    }
  }

 private:
  dnnl::primitive primitive_;
  std::vector<dnnl::memory> keep_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

}  // namespace raincell::kernels::cpu
