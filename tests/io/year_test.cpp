// A year of 5-minute frames of 700x765 pixels: 105,120 of them, 113 GB, in parts with holes on disk. What an
// archive takes must follow from its table of frames, not from the frames.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netcdf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "io/archive_part.hpp"
#include "io/archive_writer.hpp"
#include "io/batch_source.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

constexpr std::int64_t kParts = 60, kFramesAPart = 1752, kStep = 300;
constexpr std::int64_t kRows = 765, kColumns = 700;
const TimePoint kBegin = std::chrono::sys_days{std::chrono::year{2023} / 1 / 1};

TimePoint time_of_frame(std::int64_t frame) {
  return kBegin + std::chrono::seconds{kStep * frame};
}

std::string compact(TimePoint time) {
  std::string text = format_time(time);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

fs::path part_name(std::int64_t part) {
  return "part_" + compact(time_of_frame(part * kFramesAPart)) + "_" +
         compact(time_of_frame((part + 1) * kFramesAPart - 1)) + ".nc";
}

/// Dry, but the first frame of a part, which rains 0.01 mm/h in its first column, 0.02 in its second, ...
Frame frame_at(std::int64_t index) {
  Frame frame;
  frame.grid = {"+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378140 +b=6356750",
                kColumns,
                kRows,
                0.,
                -3650000.,
                1000.,
                1000.};
  frame.valid_time = time_of_frame(index);
  frame.codes.assign(static_cast<std::size_t>(kRows * kColumns), 0);
  if (index % kFramesAPart == 0) {
    for (std::int64_t i = 0; i < kRows * kColumns; ++i)
      frame.codes[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(i % kColumns + 1);
  }
  return frame;
}

/// Gives the blocks of dry frames back to the file system.
void punch_holes(const fs::path& path) {
  const auto part = ArchivePart::open(path);
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(file, 0);
  for (std::size_t i = 1; i < part->frames().size(); ++i) {
    const PackedFrame& frame = part->frames()[i];
    ASSERT_EQ(::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(frame.offset),
                          static_cast<off_t>(frame.bytes)),
              0);
  }
  ::close(file);
}

/// Copies what is no hole.
void copy_sparse(const fs::path& from, const fs::path& to) {
  const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC),
            out = ::open(to.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  ASSERT_TRUE(in >= 0 && out >= 0);
  const off_t size = static_cast<off_t>(fs::file_size(from));
  ASSERT_EQ(::ftruncate(out, size), 0);
  for (off_t at = 0; (at = ::lseek(in, at, SEEK_DATA)) >= 0 && at < size;) {
    const off_t end = ::lseek(in, at, SEEK_HOLE);
    std::vector<char> bytes(static_cast<std::size_t>(end - at));
    ASSERT_EQ(::pread(in, bytes.data(), bytes.size(), at), end - at);
    ASSERT_EQ(::pwrite(out, bytes.data(), bytes.size(), at), end - at);
    at = end;
  }
  ::close(in);
  ::close(out);
}

void set_times(const fs::path& path, std::int64_t first) {
  int file = 0, variable = 0;
  ASSERT_EQ(nc_open(path.c_str(), NC_WRITE, &file), NC_NOERR);
  ASSERT_EQ(nc_inq_varid(file, "time", &variable), NC_NOERR);
  std::vector<double> times;
  for (std::int64_t i = 0; i < kFramesAPart; ++i)
    times.push_back(static_cast<double>(time_of_frame(first + i).time_since_epoch().count()));
  ASSERT_EQ(nc_put_var_double(file, variable, times.data()), NC_NOERR);
  ASSERT_EQ(nc_close(file), NC_NOERR);
}

/// Without pages of files, which the system takes back when it wants.
std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    std::int64_t kib = 0;
    if (word == "RssAnon:" && file >> kib) return kib * 1024;
  }
  return 0;
}

/// What something took, for the record.
class Taken {
 public:
  explicit Taken(const char* what) : what_(what) {}
  std::int64_t bytes() const { return resident_bytes() - before_; }
  ~Taken() {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin_;
    std::printf("%s: %.3f s, %.1f MiB more\n", what_, took.count(), static_cast<double>(bytes()) / 1048576.);
  }

 private:
  const char* what_;
  std::int64_t before_ = resident_bytes();
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

class Year : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    fs::create_directories(archive());
    {
      ArchiveWriter writer(folder_->path() / "one", {});
      for (std::int64_t i = 0; i < kFramesAPart; ++i)
        ASSERT_TRUE(writer.add(frame_at(i), "RAD_NL25_RAC_RT_" + compact(time_of_frame(i)) + ".h5"));
      writer.finish();
    }
    const fs::path first = archive() / part_name(0);
    fs::rename(folder_->path() / "one" / part_name(0), first);
    punch_holes(first);
    for (std::int64_t part = 1; part < kParts; ++part) {
      copy_sparse(first, archive() / part_name(part));
      set_times(archive() / part_name(part), part * kFramesAPart);
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path archive() { return folder_->path() / "year"; }
  /// The first parts of the year, as an archive of their own.
  static fs::path beginning(std::int64_t parts) {
    const fs::path folder = folder_->path() / ("beginning_" + std::to_string(parts));
    fs::create_directories(folder);
    for (std::int64_t part = 0; part < parts; ++part) {
      if (!fs::exists(folder / part_name(part)))
        fs::create_hard_link(archive() / part_name(part), folder / part_name(part));
    }
    return folder;
  }
  static TemporaryFolder* folder_;
};

TemporaryFolder* Year::folder_ = nullptr;

TEST_F(Year, IsIndexedByItsTable) {
  const std::int64_t before = resident_bytes();
  {
    const Taken taken("index of a tenth");
    EXPECT_EQ(Archive::open(beginning(kParts / 10)).frames(), kParts / 10 * kFramesAPart);
  }
  const Taken taken("index of the year");
  const Archive year = Archive::open(archive());
  EXPECT_EQ(year.frames(), 105120);
  EXPECT_EQ(year.step_s(), kStep);
  EXPECT_EQ(year.time(105119), time_of_frame(105119));
  EXPECT_LT((resident_bytes() - before) / year.frames(), 160) << "bytes a frame";
  for (const std::int64_t part : {0, 31, 59}) {
    std::vector<std::int16_t> codes(6);
    year.read_codes(part * kFramesAPart, {764, 100, 1, 6}, codes);
    EXPECT_EQ(codes, (std::vector<std::int16_t>{101, 102, 103, 104, 105, 106}));
    year.read_codes(part * kFramesAPart + 1, {764, 100, 1, 6}, codes);
    EXPECT_EQ(codes, std::vector<std::int16_t>(6, 0));
  }
}

TEST_F(Year, IsSampledInBoundedMemory) {
  const Archive year = Archive::open(archive());
  const Taken taken("windows, rain maps and 100 batches of 8 crops of 25 x 128 x 128");
  const std::vector<Window> windows = cut_windows(year, 0, 5, 20, {});
  EXPECT_EQ(windows.size(), 105120U - 24U);
  BatchSpec spec;
  spec.past = 5;
  spec.future = 20;
  spec.crop_rows = spec.crop_columns = 128;
  Transform transform;
  BatchSource source({&year}, windows, transform, spec);
  Batch batch;
  for (int i = 0; i < 100; ++i) source.next(batch);
  EXPECT_EQ(batch.future.size(), 8U * 20U * 128U * 128U);
  // Maps and prefetched batches have a size of their own; mapped frames are the system's to take back.
  EXPECT_LT(taken.bytes(), std::int64_t{400} << 20);
}

TEST_F(Year, IsAppendedToWithoutOpeningIt) {
  std::vector<fs::file_time_type> before;
  for (std::int64_t part = 0; part < kParts; ++part)
    before.push_back(fs::last_write_time(archive() / part_name(part)));
  {
    const Taken taken("appending an hour");
    ArchiveOptions options;
    options.append = true;
    ArchiveWriter writer(archive(), options);
    EXPECT_TRUE(writer.wants(time_of_frame(105120)));
    EXPECT_FALSE(writer.wants(time_of_frame(50000)));
    for (std::int64_t i = 105120; i < 105132; ++i) EXPECT_TRUE(writer.add(frame_at(i), "new"));
    const PackReport report = writer.finish();
    EXPECT_EQ(report.frames, 12);
    EXPECT_EQ(report.written.size(), 1U);
    EXPECT_LT(taken.bytes(), std::int64_t{64} << 20);
    fs::remove(report.written.front());
  }
  for (std::int64_t part = 0; part < kParts; ++part)
    EXPECT_EQ(fs::last_write_time(archive() / part_name(part)), before[static_cast<std::size_t>(part)]);
}

}  // namespace
