#pragma once
// File descriptors and whole small files: what the rest of the worker needs of the system's file calls.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace berth::worker {

/// Owns one descriptor; always opened close-on-exec by the functions here.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset();
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// "cannot open /x: Permission denied", with the code that fits the errno (kNotFound, kForbidden, kUnavailable …).
Error system_error(std::string_view what, int error_number);

constexpr std::size_t kSmallFileBytesMax = 1024 * 1024;

/// A whole file of at most `bytes_max` bytes, also one of /proc whose size is told as 0. Never follows a FIFO: opened
/// without blocking and refused unless it is a regular file. Errors: kNotFound, kForbidden, kTooLarge, kInvalid.
Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max = kSmallFileBytesMax);

/// Who owns a file that is written; -1 leaves it to the caller's own ids.
struct WriteOptions {
  unsigned mode = 0600;
  int uid = -1;
  int gid = -1;
};

/// Replaces `path` so that after a crash either the old or the new content is there: temporary file beside it, fsync,
/// rename, fsync of the folder. Errors: kUnavailable on a full disk, kForbidden.
Result<void> write_file_durably(const std::string& path, std::string_view content, const WriteOptions& options = {});

/// Makes the folder and its parents; an existing one gets `mode` only when `path` itself was made now.
Result<void> make_folder(const std::string& path, unsigned mode);

}  // namespace berth::worker
