#include "worker/logs/log_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "worker/files/fd.h"

namespace berth::worker {
namespace {

struct OpenLog {
  Fd fd;
  std::uint64_t size = 0;
  std::uint64_t inode = 0;
};

/// An invalid descriptor when there is no such file (yet).
Result<OpenLog> open_log(const std::string& path) {
  OpenLog log{.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW))};
  if (!log.fd.valid()) {
    if (errno == ENOENT) return log;
    return system_error("cannot open log " + path, errno);
  }
  struct stat info{};
  if (::fstat(log.fd.get(), &info) != 0) return system_error("cannot stat log " + path, errno);
  if (!S_ISREG(info.st_mode)) return invalid(path + " is not a regular file");
  log.size = static_cast<std::uint64_t>(info.st_size);
  log.inode = info.st_ino;
  return log;
}

/// At most `bytes` from `offset` on; fewer at the end of the file.
Result<std::string> read_at(const OpenLog& log, std::uint64_t offset, std::size_t bytes) {
  std::string out(bytes, '\0');
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t n = ::pread(log.fd.get(), out.data() + have, bytes - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("cannot read a log", errno);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  out.resize(have);
  return out;
}

Result<std::string> tail_of(const OpenLog& log, std::size_t lines) {
  lines = std::min(lines, kTailLinesMax);
  if (lines == 0 || log.size == 0) return std::string();
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(log.size, kTailBytesMax));
  TRY(std::string text, read_at(log, log.size - bytes, bytes));
  if (text.empty()) return text;
  std::size_t seen = 0;
  std::size_t from = text.size() - (text.back() == '\n' ? 1 : 0);
  while (from > 0) {
    if (text[from - 1] == '\n' && ++seen == lines) return text.substr(from);
    --from;
  }
  if (bytes == log.size) return text;
  // The first line began before what was read: leave it out, unless it is all there is.
  const std::size_t newline = text.find('\n');
  return newline == std::string::npos || newline + 1 == text.size() ? text : text.substr(newline + 1);
}

}  // namespace

Result<std::string> tail_lines(const std::string& path, std::size_t lines) {
  TRY(const OpenLog log, open_log(path));
  return tail_of(log, lines);
}

Result<LogFollower> LogFollower::open(std::string path, std::size_t lines) {
  TRY(const OpenLog log, open_log(path));
  LogFollower follower;
  TRY(follower.pending_, tail_of(log, lines));
  follower.path_ = std::move(path);
  follower.offset_ = log.size;
  follower.inode_ = log.inode;
  return follower;
}

Result<std::string> LogFollower::read() {
  if (!pending_.empty()) return std::exchange(pending_, {});
  TRY(const OpenLog log, open_log(path_));
  if (!log.fd.valid()) return std::string();
  if (log.inode != inode_ || log.size < offset_) offset_ = 0;
  inode_ = log.inode;
  if (log.size == offset_) return std::string();
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(log.size - offset_, kTailBytesMax));
  TRY(std::string text, read_at(log, offset_, bytes));
  offset_ += text.size();
  return text;
}

Result<bool> cap_log(const std::string& path, Bytes bytes_max) {
  const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!fd.valid()) {
    if (errno == ENOENT) return false;
    return system_error("cannot open log " + path, errno);
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return system_error("cannot stat log " + path, errno);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || size <= bytes_max.value) return false;

  const std::string older = path + ".1";
  ::unlink(older.c_str());
  const Fd kept(::open(older.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  // Without room for the older part the cut still has to be made: a log must not fill the disk for good.
  if (kept.valid()) {
    off_t from = static_cast<off_t>(size - bytes_max.value / 2);
    while (from < static_cast<off_t>(size)) {
      const auto rest = static_cast<std::size_t>(static_cast<off_t>(size) - from);
      if (::copy_file_range(fd.get(), &from, kept.get(), nullptr, rest, 0) <= 0) break;
    }
  }
  if (::ftruncate(fd.get(), 0) != 0) return system_error("cannot cut log " + path, errno);
  return true;
}

}  // namespace berth::worker
