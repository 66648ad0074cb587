// What a training writes for people: environment and report.
#include <sys/utsname.h>

#include "app/train.hpp"
#include "app/version.hpp"
#include "io/publish.hpp"

namespace raincell::app {

void TrainingRun::write_environment(const kernels::Backend& backend) {
  struct utsname system {};
  ::uname(&system);
  const kernels::BackendInfo& info = backend.info();
  const nlohmann::ordered_json json = {{"version", version_text()},
                                       {"backend", info.name},
                                       {"device", info.device},
                                       {"libraries", info.libraries},
                                       {"threads", info.threads},
                                       {"system", std::string(system.sysname) + " " + system.release},
                                       {"archives", config_.data.archives},
                                       {"archive_hash", data_.hash},
                                       {"parameters", network_.layout().count()},
                                       {"train_windows", data_.train_windows.size()},
                                       {"validation_windows", data_.validation_windows.size()}};
  io::publish(folder_.path("env.json"), json.dump(1) + "\n");
}

}  // namespace raincell::app
