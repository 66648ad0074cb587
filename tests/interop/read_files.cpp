// read_files FILE...: what raincell makes of radar files, for scripts that compare it with other programs.
// Prints a line a file, "read FRAMES" or "refused REASON", and writes the rain of all frames (float32, NaN:
// missing) into FILE.rain.
#include <cstdio>
#include <span>

#include "io/publish.hpp"
#include "io/reader.hpp"

int main(int count, char** arguments) {
  using namespace raincell::io;
  FrameReader reader;
  for (int i = 1; i < count; ++i) {
    const std::string path = arguments[i];
    try {
      const std::vector<Frame> frames = reader.read(path);
      std::vector<float> rain;
      for (const Frame& frame : frames) rain.insert(rain.end(), frame.values.begin(), frame.values.end());
      publish(path + ".rain", std::as_bytes(std::span(rain)));
      std::printf("read %zu\n", frames.size());
    } catch (const DataError& error) {
      std::printf("refused %s\n", error.what());
    }
  }
  return 0;
}
