// The list of formats raincell-reader understands. Every reader turns the bytes of one file into frames.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"
#include "io/hdf5_file.hpp"
#include "io/reader.hpp"

namespace raincell::io {

/// A file as the readers see it. `hdf5` is set when the bytes are HDF5.
struct Content {
  std::string name;  // file name without folders, for time_from "filename:..." only
  std::span<const std::byte> bytes;
  std::optional<Hdf5File> hdf5;
};

struct ReadRequest {
  SourceOptions options;
  Wanted wanted = Wanted::values;
};

struct Format {
  const char* name;
  bool (*probe)(const Content&);
  std::vector<Frame> (*read)(const Content&, const ReadRequest&);
};

/// In the order they are asked.
std::span<const Format> formats();

/// Picks the format by content (or options.format) and reads, frames in time order. Throws DataError
/// "reader: object: what is wrong (value seen); expected ...; hint", without the file's name.
std::vector<Frame> read_content(std::string name, std::span<const std::byte> bytes, const ReadRequest&);

bool is_odim(const Content&);
std::vector<Frame> read_odim(const Content&, const ReadRequest&);
bool is_knmi(const Content&);
std::vector<Frame> read_knmi(const Content&, const ReadRequest&);
bool is_cf(const Content&);
std::vector<Frame> read_cf(const Content&, const ReadRequest&);
std::vector<Frame> read_described(const Content&, const ReadRequest&);
/// A nowcast of raincell's, a frame a lead: only when options.format asks for a product.
std::vector<Frame> read_own_product(const Content&, const ReadRequest&);

/// "20101231" + "235900" or "2359". Throws DataError beginning with `where`.
TimePoint time_of(const std::string& where, const std::string& date, const std::string& time);
/// Grid sides within what is accepted. Throws DataError beginning with `where`.
void check_sides(const std::string& where, std::int64_t rows, std::int64_t columns);
/// The time options.time_from asks for from the file's name; empty when it asks for something else.
std::optional<TimePoint> time_from_name(const SourceOptions&, const std::string& name);

}  // namespace raincell::io
