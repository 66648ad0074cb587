// Configurations: YAML text into typed values, and the resolved text back.
#include "app/config.hpp"

#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace raincell;
  const std::string text = fuzz::text_of(data, size);
  std::string resolved;
  try {
    resolved = app::resolved_text(app::parse_config(text, "fuzz.yaml", {}));
  } catch (const app::ConfigError&) {
    return 0;
  }
  fuzz::require(app::resolved_text(app::parse_config(resolved, "fuzz.yaml", {})) == resolved,
                "a resolved configuration is read back as another one");
  return 0;
}
