// The manifests of checkpoints.
#include "app/run_directory.hpp"
#include "io/frame.hpp"
#include "model/safetensors.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace raincell;
  app::Manifest manifest;
  try {
    manifest = app::parse_manifest(fuzz::text_of(data, size));
  } catch (const io::DataError&) {
    return 0;
  } catch (const model::WeightsError&) {  // of another version
    return 0;
  }
  fuzz::require(manifest.state.find('/') == std::string::npos, "the state lies elsewhere");
  const app::Position& p = manifest.position;
  fuzz::require(p.updates >= 0 && p.batches >= 0 && p.best_step >= 0 && p.rollbacks >= 0 && p.skipped >= 0,
                "a count is negative");
  const app::Manifest back = app::parse_manifest(app::manifest_text(manifest));
  fuzz::require(back.position.updates == p.updates && back.sha256 == manifest.sha256, "is not read back");
  return 0;
}
