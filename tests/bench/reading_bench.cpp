// What reading.py times, each in a process of its own. Prints a number.
//
// loop DATASET PROCESSES FILE...  s: the peer of pack, a loop of H5Dread in as many processes
// frame SIZE FRAMES               ms a frame of SIZE x SIZE through raincell-reader
// codes|values ARCHIVE SECONDS    crops a second of 25 frames of 128x128 from a mapped archive
// netcdf FILE CACHE_MIB SECONDS   the same crops of codes by netCDF-C; CACHE_MIB 0: its default chunk cache
// And what they need:
// repeat ARCHIVE DAYS OUTPUT      an archive of one day, one day after another
// deflate ARCHIVE OUTPUT          its codes as one NetCDF-4 file, a frame a chunk, shuffled, deflate 1
#include <hdf5.h>
#include <netcdf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/archive.hpp"
#include "io/archive_writer.hpp"
#include "io/odim_out.hpp"
#include "io/publish.hpp"
#include "io/reader.hpp"
#include "io/simulate.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kFrames = 25, kSide = 128;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void check(int status) {
  if (status != NC_NOERR) throw std::runtime_error(nc_strerror(status));
}

void loop(const char* dataset, int processes, const std::vector<std::string>& files) {
  const auto begin = Clock::now();
  for (int p = 0; p < processes; ++p) {
    if (::fork() != 0) continue;
    std::vector<std::byte> buffer;
    for (std::size_t i = static_cast<std::size_t>(p); i < files.size();
         i += static_cast<std::size_t>(processes)) {
      const hid_t file = H5Fopen(files[i].c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                  data = H5Dopen2(file, dataset, H5P_DEFAULT), type = H5Dget_type(data),
                  native = H5Tget_native_type(type, H5T_DIR_ASCEND), space = H5Dget_space(data);
      buffer.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)) * H5Tget_size(native));
      if (H5Dread(data, native, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer.data()) < 0) ::_exit(1);
      H5Sclose(space);
      H5Tclose(native);
      H5Tclose(type);
      H5Dclose(data);
      H5Fclose(file);
    }
    ::_exit(0);
  }
  int status = 0;
  while (::wait(&status) > 0) {
    if (status != 0) throw std::runtime_error("a process could not read");
  }
  std::printf("%.4f\n", seconds_since(begin));
}

void frame(std::int64_t size, int frames) {
  char pattern[] = "/tmp/raincell-bench-XXXXXX";
  const fs::path folder = ::mkdtemp(pattern);
  SimulationSpec rain;
  rain.columns = rain.rows = size;
  rain.frames = 2;
  publish(folder / "frame.h5", std::span<const std::byte>(odim_bytes(simulate_frame(rain, 0))));
  FrameReader reader;
  reader.read(folder / "frame.h5");  // the child is there
  const auto begin = Clock::now();
  for (int i = 0; i < frames; ++i) reader.read(folder / "frame.h5");
  std::printf("%.3f\n", 1e3 * seconds_since(begin) / frames);
  fs::remove_all(folder);
}

/// Calls `read(first frame, row, column)` at the same random places for everybody, and prints how often a
/// second.
void crops(std::int64_t frames, const Grid& grid, double seconds,
           const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& read) {
  std::mt19937 random(1);
  const auto below = [&](std::int64_t limit) {
    return static_cast<std::int64_t>(random() % static_cast<unsigned long>(limit + 1));
  };
  const auto begin = Clock::now();
  int done = 0;
  while (seconds_since(begin) < seconds) {
    const std::int64_t first = below(frames - kFrames), row = below(grid.rows - kSide),
                       column = below(grid.columns - kSide);
    read(first, row, column);
    ++done;
  }
  std::printf("%.1f\n", done / seconds_since(begin));
}

/// Codes, as the peer reads them, or values.
void archive_crops(const Archive& archive, bool as_codes, double seconds) {
  std::vector<float> values(kFrames * kSide * kSide);
  std::vector<std::int16_t> codes(values.size());
  constexpr std::size_t kPixels = kSide * kSide;
  crops(archive.frames(), archive.grid(), seconds,
        [&](std::int64_t first, std::int64_t row, std::int64_t column) {
          for (std::size_t f = 0; f < kFrames; ++f) {
            const Crop crop{row, column, kSide, kSide};
            const std::int64_t frame = first + static_cast<std::int64_t>(f);
            if (as_codes) {
              archive.read_codes(frame, crop, std::span(codes).subspan(f * kPixels, kPixels));
            } else {
              archive.read(frame, crop, std::span(values).subspan(f * kPixels, kPixels));
            }
          }
        });
}

void repeat(const Archive& archive, int days, const std::string& output) {
  ArchiveWriter writer(output, {});
  Frame frame;
  frame.grid = archive.grid();
  frame.quantity = archive.quantity();
  frame.codes.resize(static_cast<std::size_t>(frame.grid.pixels()));
  for (int day = 0; day < days; ++day) {
    for (std::int64_t f = 0; f < archive.frames(); ++f) {
      archive.read_codes(f, frame.codes);
      frame.valid_time = archive.time(f) + std::chrono::days{day};
      writer.add(frame, archive.source(f));
    }
  }
  std::printf("%lld\n", static_cast<long long>(writer.finish().frames));
}

void deflate(const Archive& archive, const std::string& output) {
  const auto rows = static_cast<std::size_t>(archive.grid().rows),
             columns = static_cast<std::size_t>(archive.grid().columns);
  int file = -1, variable = -1, dimensions[3] = {};
  check(nc_create(output.c_str(), NC_NETCDF4, &file));
  check(nc_def_dim(file, "time", static_cast<std::size_t>(archive.frames()), &dimensions[0]));
  check(nc_def_dim(file, "y", rows, &dimensions[1]));
  check(nc_def_dim(file, "x", columns, &dimensions[2]));
  check(nc_def_var(file, "rain", NC_SHORT, 3, dimensions, &variable));
  const std::size_t chunk[3] = {1, rows, columns};
  check(nc_def_var_chunking(file, variable, NC_CHUNKED, chunk));
  check(nc_def_var_deflate(file, variable, 1, 1, 1));
  std::vector<std::int16_t> codes(rows * columns);
  for (std::int64_t f = 0; f < archive.frames(); ++f) {
    archive.read_codes(f, codes);
    const std::size_t start[3] = {static_cast<std::size_t>(f), 0, 0};
    check(nc_put_vara_short(file, variable, start, chunk, codes.data()));
  }
  check(nc_close(file));
  std::printf("%lld\n", static_cast<long long>(archive.frames()));
}

void netcdf_crops(const std::string& path, std::size_t cache_mib, double seconds) {
  int file = -1, variable = -1, dimensions[3] = {};
  std::size_t frames = 0;
  Grid grid;
  check(nc_open(path.c_str(), NC_NOWRITE, &file));
  check(nc_inq_varid(file, "rain", &variable));
  check(nc_inq_vardimid(file, variable, dimensions));
  std::size_t rows = 0, columns = 0;
  check(nc_inq_dimlen(file, dimensions[0], &frames));
  check(nc_inq_dimlen(file, dimensions[1], &rows));
  check(nc_inq_dimlen(file, dimensions[2], &columns));
  grid.rows = static_cast<std::int64_t>(rows);
  grid.columns = static_cast<std::int64_t>(columns);
  if (cache_mib > 0) check(nc_set_var_chunk_cache(file, variable, cache_mib << 20, 4133, 0.75F));
  std::vector<std::int16_t> crop(kFrames * kSide * kSide);
  crops(static_cast<std::int64_t>(frames), grid, seconds,
        [&](std::int64_t first, std::int64_t row, std::int64_t column) {
          const std::size_t start[3] = {static_cast<std::size_t>(first), static_cast<std::size_t>(row),
                                        static_cast<std::size_t>(column)},
                            count[3] = {kFrames, kSide, kSide};
          check(nc_get_vara_short(file, variable, start, count, crop.data()));
        });
  check(nc_close(file));
}

int run(const std::vector<std::string>& words) {
  const std::string what = words.empty() ? "" : words[0];
  if (what == "loop" && words.size() > 3) {
    loop(words[1].c_str(), std::atoi(words[2].c_str()), {words.begin() + 3, words.end()});
  } else if (what == "frame" && words.size() == 3) {
    frame(std::atoi(words[1].c_str()), std::atoi(words[2].c_str()));
  } else if ((what == "codes" || what == "values") && words.size() == 3) {
    archive_crops(Archive::open(words[1]), what == "codes", std::atof(words[2].c_str()));
  } else if (what == "netcdf" && words.size() == 4) {
    netcdf_crops(words[1], static_cast<std::size_t>(std::atoi(words[2].c_str())),
                 std::atof(words[3].c_str()));
  } else if (what == "repeat" && words.size() == 4) {
    repeat(Archive::open(words[1]), std::atoi(words[2].c_str()), words[3]);
  } else if (what == "deflate" && words.size() == 3) {
    deflate(Archive::open(words[1]), words[2]);
  } else {
    std::fputs(
        "reading_bench loop|frame|codes|values|netcdf|repeat|deflate ...; see its first lines, or run "
        "reading.py\n",
        stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "reading_bench: %s\n", error.what());
    return 1;
  }
}
