#include "app/tensorboard.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <boost/crc.hpp>
#include <chrono>
#include <cstring>
#include <span>

#include "io/frame.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

// Fields of tensorflow.Event, Summary and SessionLog (tensorboard/compat/proto), by number and wire type.
enum Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

std::string as_varint(std::uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7U) text += static_cast<char>(value | 0x80U);
  return text + static_cast<char>(value);
}

template <class Number>
std::string little_endian(Number value) {
  std::string text(sizeof value, '\0');
  std::memcpy(text.data(), &value, sizeof value);  // the machines that raincell runs on are little-endian
  return text;
}
static_assert(std::endian::native == std::endian::little);

std::string key(unsigned field, Wire wire) {
  return as_varint(field << 3U | wire);
}
std::string number(unsigned field, std::uint64_t value) {
  return key(field, varint) + as_varint(value);
}
std::string number(unsigned field, double value) {
  return key(field, fixed64) + little_endian(value);
}
std::string number(unsigned field, float value) {
  return key(field, fixed32) + little_endian(value);
}
std::string message(unsigned field, const std::string& content) {
  return key(field, bytes) + as_varint(content.size()) + content;
}

std::string event(std::int64_t step, const std::string& content) {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return number(1, now) + number(2, static_cast<std::uint64_t>(step)) + content;
}

}  // namespace

std::uint32_t masked_crc32c(const std::string& text) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(text.data(), text.size());
  const std::uint32_t sum = crc.checksum();
  return std::rotr(sum, 15) + 0xa282ead8U;
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t step) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  // TensorBoard reads the files of a folder in the order of their names.
  path_ =
      folder / fmt::format("events.out.tfevents.{:010}.raincell.{}.{}",
                           std::chrono::duration_cast<std::chrono::seconds>(now).count(), ::getpid(), step);
  constexpr std::uint64_t kStart = 1;  // SessionLog.START
  try {
    write(event(0, message(3, "brain.Event:2")));
    write(event(step + 1, message(7, number(1, kStart))));
  } catch (const io::WriteError&) {  // a full disk needs no empty files
    std::error_code none;
    std::filesystem::remove(path_, none);
    throw;
  }
}

void EventFile::scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [tag, value] : values)
    summary += message(1, message(1, tag) + number(2, static_cast<float>(value)));
  write(event(step, message(5, summary)));
}

void EventFile::write(const std::string& event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  const std::string record =
      length + little_endian(masked_crc32c(length)) + event + little_endian(masked_crc32c(event));
  io::append(path_, std::as_bytes(std::span(record.data(), record.size())));
}

}  // namespace raincell::app
