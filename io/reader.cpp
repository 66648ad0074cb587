#include "io/reader.hpp"

#include "io/jail.hpp"

namespace raincell::io {

struct FrameReader::State {
  SourceOptions options;
  Jail jail;
};

FrameReader::FrameReader(SourceOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
}
FrameReader::~FrameReader() = default;
FrameReader::FrameReader(FrameReader&&) noexcept = default;
FrameReader& FrameReader::operator=(FrameReader&&) noexcept = default;

const SourceOptions& FrameReader::options() const {
  return state_->options;
}

std::vector<Frame> FrameReader::read(const std::filesystem::path& path) {
  return read(path, Wanted::values);
}

std::vector<Frame> FrameReader::describe(const std::filesystem::path& path) {
  return read(path, Wanted::description);
}

std::vector<Frame> FrameReader::read(const std::filesystem::path& path, Wanted wanted) {
  return state_->jail.read(path, state_->options, wanted);
}

}  // namespace raincell::io
