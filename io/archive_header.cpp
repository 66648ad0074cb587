#include "io/archive_header.hpp"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "io/hdf5_chunks.hpp"
#include "io/hdf5_handle.hpp"
#include "io/hdf5_places.hpp"
#include "io/netcdf_in.hpp"

namespace raincell::io {
namespace {

/// Everything but the places of the frames; the variable that holds them.
std::string read_table(std::span<const std::byte> file, ArchiveTable& table) {
  const NetcdfIn in(file, "is it a packed archive, written to its end? If so, pack it again");
  const std::string variable = in.text(NetcdfIn::kGlobal, "raincell_variable");
  const std::string quantity = in.text(NetcdfIn::kGlobal, "raincell_quantity");
  bool known = false;
  for (const Quantity q : {Quantity::rain_rate, Quantity::reflectivity, Quantity::vil, Quantity::intensity}) {
    if (quantity != name_of(q)) continue;
    table.quantity = q;
    known = true;
  }
  if (quantity.empty()) in.refuse("no attribute raincell_quantity");
  if (!known) throw DataError("quantity \"" + quantity + "\" is unknown; was it written by a later version?");
  const std::vector<double> grid = in.numbers(NetcdfIn::kGlobal, "raincell_grid");
  const std::size_t frames = in.length("time");
  table.grid.projection = in.text(NetcdfIn::kGlobal, "raincell_projection");
  table.grid.rows = static_cast<std::int64_t>(in.length("y"));
  table.grid.columns = static_cast<std::int64_t>(in.length("x"));
  if (grid.size() != 4 || !(grid[2] > 0.) || !(grid[3] > 0.))
    throw DataError("raincell_grid is not x0, y0, dx, dy");
  table.grid.x0 = grid[0];
  table.grid.y0 = grid[1];
  table.grid.dx = grid[2];
  table.grid.dy = grid[3];
  const std::vector<double> scale = in.numbers(in.variable(variable), "scale_factor");
  if (scale.size() != 1 || !(scale[0] > 0.) || !std::isfinite(scale[0]))
    throw DataError("scale_factor is not a number");
  table.scale = scale[0];
  const std::vector<double> times = in.values("time", {"time"}),
                            covered = in.values("covered_fraction", {"time"}),
                            wet = in.values("wet_fraction", {"time"});
  const std::vector<std::string> sources = in.texts("source_name", {"time"}),
                                 hashes = in.texts("frame_hash", {"time"});
  table.frames.resize(frames);
  for (std::size_t i = 0; i < frames; ++i) {
    if (!(std::abs(times[i]) < 1e11))
      throw DataError(fmt::format("time {} of frame {} is out of range", times[i], i));
    table.frames[i].time = TimePoint{std::chrono::seconds{std::llround(times[i])}};
    table.add_source(table.frames[i], sources[i]);
    table.frames[i].hash = FrameHash::parse(hashes[i]);
    table.frames[i].covered = static_cast<float>(covered[i]);
    table.frames[i].wet = static_cast<float>(wet[i]);
    if (i > 0 && table.frames[i].time <= table.frames[i - 1].time) {
      throw DataError(fmt::format("times do not ascend at frame {}; pack the archive again", i));
    }
  }
  if (table.frames.empty()) throw DataError("holds no frame");
  return variable;
}

void locate_chunks(std::span<const std::byte> image, const std::string& variable, ArchiveTable& table) {
  const Hdf5Handle file = hdf5_open_image(image);
  const Hdf5Handle dataset = hdf5_checked(H5Dopen2(file.get(), variable.c_str(), H5P_DEFAULT), H5Dclose,
                                          variable, "cannot be opened");
  const Hdf5Handle type = hdf5_checked(H5Dget_type(dataset.get()), H5Tclose, variable, "has no type");
  const Hdf5Handle layout =
      hdf5_checked(H5Dget_create_plist(dataset.get()), H5Pclose, variable, "has no layout");
  const Hdf5Handle space = hdf5_checked(H5Dget_space(dataset.get()), H5Sclose, variable, "has no extent");
  hsize_t chunk[3] = {0, 0, 0}, shape[3] = {0, 0, 0};
  const bool frame_a_chunk = H5Sget_simple_extent_ndims(space.get()) == 3 &&
                             H5Sget_simple_extent_dims(space.get(), shape, nullptr) == 3 &&
                             H5Pget_layout(layout.get()) == H5D_CHUNKED &&
                             H5Pget_chunk(layout.get(), 3, chunk) == 3 && chunk[0] == 1 &&
                             chunk[1] == static_cast<hsize_t>(table.grid.rows) &&
                             chunk[2] == static_cast<hsize_t>(table.grid.columns) &&
                             shape[0] == table.frames.size() && shape[1] == chunk[1] && shape[2] == chunk[2];
  if (!frame_a_chunk || H5Tequal(type.get(), H5T_STD_I16LE) <= 0) {
    throw DataError(
        "does not hold one chunk of int16 a frame; it was rewritten by another program: pack it again");
  }
  const ChunkPipeline pipeline = chunk_pipeline(layout.get(), variable);
  if (!pipeline.own || (pipeline.shuffle && pipeline.shuffled_bytes != sizeof(std::int16_t)))
    throw DataError("frames are stored with a filter of another program; pack the archive again");
  const auto done = [](const std::optional<unsigned>& place, unsigned skipped) {
    return place && ((skipped >> *place) & 1U) == 0;
  };
  const std::vector<ChunkPlace> places = chunk_places(image, variable, 3, table.frames.size());
  for (std::size_t i = 0; i < table.frames.size(); ++i) {
    const ChunkPlace& place = places[i];
    if (place.address == HADDR_UNDEF || place.bytes == 0)
      throw DataError(fmt::format("frame {} was never written", i));
    table.frames[i].offset = place.address;
    table.frames[i].bytes = place.bytes;
    table.frames[i].deflated = done(pipeline.deflate, place.skipped);
    table.frames[i].shuffled = done(pipeline.shuffle, place.skipped);
  }
}

}  // namespace

ArchiveTable read_archive_header(std::span<const std::byte> file) {
  ArchiveTable table;
  const std::string variable = read_table(file, table);
  locate_chunks(file, variable, table);
  return table;
}

}  // namespace raincell::io
