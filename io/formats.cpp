#include "io/formats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <iterator>
#include <string_view>

#include "io/hdf5_superblock.hpp"
#include "io/pattern.hpp"

namespace raincell::io {
namespace {

bool never(const Content&) {
  return false;
}

constexpr std::array<Format, 5> kFormats = {{{"odim", is_odim, read_odim},
                                             {"knmi", is_knmi, read_knmi},
                                             {"cf", is_cf, read_cf},
                                             {"described", never, read_described},
                                             {"product", never, read_own_product}}};

struct Magic {
  std::size_t offset;
  std::string_view bytes;
  const char* what;
};

using namespace std::string_view_literals;
constexpr Magic kForeign[] = {
    {0, "\x1f\x8b"sv, "gzip-compressed; gunzip it first"},
    {0, "BZh"sv, "bzip2-compressed; bunzip2 it first"},
    {0,
     "\xfd"
     "7zXZ"sv,
     "xz-compressed; unxz it first"},
    {0, "\x28\xb5\x2f\xfd"sv, "zstd-compressed; unzstd it first"},
    {0, "PK\x03\x04"sv, "a zip archive; unzip it first"},
    {257, "ustar"sv, "a tar archive; unpack it first"},
    {0, "GRIB"sv, "GRIB; convert it to NetCDF first (cdo -f nc copy, or gdal_translate)"},
    {0, "BUFR"sv, "BUFR; convert it to HDF5 or NetCDF first"},
    {0, "II*\0"sv, "TIFF; convert it to NetCDF first (gdal_translate -of netCDF)"},
    {0, "MM\0*"sv, "TIFF; convert it to NetCDF first (gdal_translate -of netCDF)"},
    {0, "\x89PNG"sv, "a PNG picture; expected data"},
    {0, "GIF8"sv, "a GIF picture; expected data"},
    {0, "%PDF"sv, "PDF; expected data"},
    {0, "\x0e\x03\x13\x01"sv, "HDF4; convert it first (h4toh5)"},
};

bool is_printable(std::string_view head) {
  return std::all_of(head.begin(), head.end(),
                     [](unsigned char c) { return c >= 0x20 || c == '\n' || c == '\r' || c == '\t'; });
}

/// DWD's RADOLAN: two letters, day and time, radar number, then tokens "BY", "VS", ... ended by ETX.
bool is_radolan(std::string_view head) {
  if (head.size() < 40 || head[0] < 'A' || head[0] > 'Z' || head[1] < 'A' || head[1] > 'Z') return false;
  for (std::size_t i = 2; i < 17; ++i) {
    if (head[i] < '0' || head[i] > '9') return false;
  }
  return head.find("BY") != std::string_view::npos;
}

/// What the bytes are when they are neither HDF5 nor NetCDF.
std::string name_foreign(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 512));
  for (const Magic& magic : kForeign) {
    if (head.size() >= magic.offset + magic.bytes.size() &&
        head.substr(magic.offset, magic.bytes.size()) == magic.bytes) {
      return magic.what;
    }
  }
  if (is_radolan(head)) return "DWD RADOLAN binary; convert it to NetCDF first, or take DWD's HDF5 files";
  std::string lower(head.substr(0, 256));
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower.find("<html") != std::string::npos || lower.find("<!doctype") != std::string::npos) {
    return "an HTML page, probably an error page saved by a download; download the file again";
  }
  if (lower.starts_with("id,file_name"))
    return "a table such as SEVIR's CATALOG.csv; expected data; raincell pack takes it by itself";
  if (is_printable(head)) return "plain text; expected data";
  return "neither HDF5 nor NetCDF (no known signature); truncated, or another format";
}

bool is_classic_netcdf(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "CDF", 3) == 0 &&
         (bytes[3] == std::byte{1} || bytes[3] == std::byte{2} || bytes[3] == std::byte{5});
}

const Format& choose(const Content& content, const SourceOptions& options) {
  if (options.format != "auto" && !options.format.empty()) {
    for (const Format& format : kFormats) {
      if (options.format == format.name) return format;
    }
    throw DataError(
        fmt::format("source: format \"{}\" is not known; expected auto, odim, knmi, cf, described or product",
                    options.format));
  }
  for (const Format& format : kFormats) {
    if (format.probe(content)) return format;
  }
  if (content.hdf5->exists("/vil") && content.hdf5->exists("/id"))
    throw DataError(
        "hdf5: /: events of SEVIR, whose times stand in its CATALOG.csv; expected one frame or sequence; "
        "pack them "
        "all with raincell pack CATALOG.csv --output DIR");
  std::string members;
  for (const std::string& name : content.hdf5->members("/"))
    members += (members.empty() ? "" : ", ") + name.substr(0, 64);
  throw DataError(
      fmt::format("hdf5: /: unrecognised layout (members: {}); expected ODIM_H5, KNMI or CF NetCDF; describe "
                  "it in YAML and set source.layout",
                  members.empty() ? "none" : members));
}

}  // namespace

std::span<const Format> formats() {
  return kFormats;
}

std::vector<Frame> read_content(std::string name, std::span<const std::byte> bytes,
                                const ReadRequest& request) {
  if (bytes.empty())
    throw DataError("reader: /: the file is empty (0 bytes); expected HDF5 or NetCDF; download it again");
  Content content{std::move(name), bytes, std::nullopt};
  if (looks_like_hdf5(bytes)) {
    content.hdf5.emplace(bytes);
  } else if (!is_classic_netcdf(bytes)) {
    throw DataError(fmt::format("reader: /: is {}", name_foreign(bytes)));
  }
  const Format& format = choose(content, request.options);
  if (!content.hdf5 && std::strcmp(format.name, "cf") != 0) {
    throw DataError(
        fmt::format("{}: /: is NetCDF classic; expected HDF5; set source.format: auto", format.name));
  }
  std::vector<Frame> frames = format.read(content, request);
  if (frames.empty()) throw DataError(fmt::format("{}: /: holds no frame", format.name));
  const auto named = time_from_name(request.options, content.name);
  if (named && frames.size() == 1) frames.front().valid_time = *named;
  for (Frame& frame : frames) frame.source.format = format.name;
  std::stable_sort(frames.begin(), frames.end(),
                   [](const Frame& a, const Frame& b) { return a.valid_time < b.valid_time; });
  return frames;
}

TimePoint time_of(const std::string& where, const std::string& date, const std::string& time) {
  const bool plain = (date + time).find_first_not_of("0123456789") == std::string::npos;
  if (plain && date.size() == 8 && (time.size() == 6 || time.size() == 4)) {
    const std::string text = date.substr(0, 4) + "-" + date.substr(4, 2) + "-" + date.substr(6, 2) + "T" +
                             time.substr(0, 2) + ":" + time.substr(2, 2) +
                             (time.size() == 6 ? ":" + time.substr(4, 2) : "");
    if (const auto parsed = parse_time(text)) return *parsed;
  }
  throw DataError(fmt::format("{}: date \"{}\" and time \"{}\" are no time; expected YYYYMMDD and HHMMSS",
                              where, date.substr(0, 40), time.substr(0, 40)));
}

void check_sides(const std::string& where, std::int64_t rows, std::int64_t columns) {
  if (rows < 1 || columns < 1 || rows > kMaxSide || columns > kMaxSide || rows * columns > kMaxPixels) {
    throw DataError(fmt::format("{}: {}x{} pixels; expected 1 to {} a side and at most {} in all", where,
                                columns, rows, kMaxSide, kMaxPixels));
  }
}

std::optional<TimePoint> time_from_name(const SourceOptions& options, const std::string& name) {
  constexpr std::string_view kPrefix = "filename:";
  if (options.time_from.rfind(kPrefix, 0) != 0) return std::nullopt;
  const std::string pattern = options.time_from.substr(kPrefix.size());
  const auto caught = Pattern("source: time_from", pattern).search(name);
  if (!caught) throw DataError(fmt::format("reader: file name: does not match time_from \"{}\"", pattern));
  // All captured digits in a row: YYYYMMDDHHMM[SS].
  std::string all;
  for (const std::string& part : *caught)
    std::copy_if(part.begin(), part.end(), std::back_inserter(all),
                 [](char c) { return c >= '0' && c <= '9'; });
  if (all.size() != 12 && all.size() != 14) {
    throw DataError(fmt::format(
        "reader: file name: time_from \"{}\" caught \"{}\"; expected YYYYMMDDHHMM or with seconds", pattern,
        all.substr(0, 40)));
  }
  return time_of("reader: file name", all.substr(0, 8), all.substr(8));
}

}  // namespace raincell::io
