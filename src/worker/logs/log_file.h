#pragma once
// Log files of engines: tail, follow and the cap on their size. Memory is bounded whatever an engine writes.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace berth::worker {

constexpr std::size_t kTailLinesMax = 10'000;
/// What one tail or one read of a follower may return at most.
constexpr std::size_t kTailBytesMax = 1024 * 1024;
/// An engine's log is cut at this size; one older part is kept as "<path>.1". So an instance holds twice this at most.
constexpr Bytes kLogBytesMax = 16 * kMiB;

/// The last `lines` lines, at most kTailBytesMax bytes (then from the first whole line inside them). A missing file is
/// empty text. A last line without newline counts.
Result<std::string> tail_lines(const std::string& path, std::size_t lines);

/// Reads what is appended after a point, across rotation: a file that became shorter or another file is read from its
/// start. Drive it by calling read() at intervals; it never blocks.
class LogFollower {
 public:
  /// Starts at the present end; `lines` of what is there already come with the first read().
  static Result<LogFollower> open(std::string path, std::size_t lines);

  /// New text, at most kTailBytesMax; empty when there is none.
  Result<std::string> read();

 private:
  std::string path_;
  std::string pending_;  // the tail that opened it
  std::uint64_t offset_ = 0;
  std::uint64_t inode_ = 0;
};

/// When the log is larger than `bytes_max`: its last half goes to "<path>.1" (replacing the older one) and the file is
/// cut to nothing. The engine goes on writing: its descriptor appends. True when it was cut.
Result<bool> cap_log(const std::string& path, Bytes bytes_max = kLogBytesMax);

}  // namespace berth::worker
