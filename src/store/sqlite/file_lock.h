#pragma once
// One server per database: an advisory lock on `<path>.lock`, which the kernel releases when its holder dies.

#include <string>

#include "base/result.h"

namespace berth::store::sqlite {

class FileLock {
 public:
  /// Errors: kConflict `another berth server uses <path>`, kUnavailable when the lock file cannot be made.
  static Result<FileLock> take(const std::string& path);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace berth::store::sqlite
