// The only code that writes files: temporary name, fsync, verify, rename, fsync of the folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace raincell::io {

/// Publishes bytes under `path` atomically and durably. Throws WriteError naming the path, the step that
/// failed and what to do; the old file is untouched then and no temporary is left.
void publish(const std::filesystem::path&, std::span<const std::byte> bytes);
void publish(const std::filesystem::path&, const std::string& text);
/// For files too large for memory: a free hidden name beside `path`, to be written and then handed to
/// publish_file.
std::filesystem::path temporary_beside(const std::filesystem::path& path);
/// Has the system begin to write to disk what lies under `temporary` so far, so that sync_file finds little
/// left to wait for. Only a hint: fails in silence.
void begin_sync(const std::filesystem::path& temporary);
/// Syncs what was written under `temporary` to disk. Throws WriteError.
void sync_file(const std::filesystem::path& temporary);
/// Syncs, renames and syncs the folder. The caller verified the content. Throws WriteError; the temporary is
/// removed then.
void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& target);
/// A symbolic link at `path` to `target`, put there as publish() puts a file. Throws WriteError.
void publish_link(const std::filesystem::path&, const std::filesystem::path& target);
/// Appends to a log-like file (metrics.jsonl) with O_APPEND, all of it or nothing. Throws WriteError.
void append(const std::filesystem::path&, std::span<const std::byte> bytes);
void append_line(const std::filesystem::path&, const std::string& line);
/// Creates the folder and its parents; a WriteError says why not (a file in the way, read-only, no
/// permission).
void make_folder(const std::filesystem::path&);
/// SHA-256, hexadecimal.
std::string sha256(std::span<const std::byte> bytes);
/// Whole file, checked: regular file only, at most `limit` bytes. Throws DataError.
std::string read_file(const std::filesystem::path&, std::uint64_t limit = std::uint64_t{1} << 34);

}  // namespace raincell::io
