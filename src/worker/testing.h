#pragma once
// For tests of this module: a folder of their own, and waiting for a condition with a deadline.

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace berth::worker::testing {

/// A temporary folder that other users may enter; removed at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = "/tmp/berth-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    root_ = pattern;
    std::filesystem::permissions(root_, std::filesystem::perms(0755));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] std::string path(const std::string& name = "") const {
    return name.empty() ? root_ : root_ + "/" + name;
  }
  /// Makes parents as needed.
  void write(const std::string& name, const std::string& content, unsigned mode = 0644) const {
    const std::filesystem::path at = path(name);
    std::filesystem::create_directories(at.parent_path());
    std::ofstream(at, std::ios::binary | std::ios::trunc) << content;
    std::filesystem::permissions(at, std::filesystem::perms(mode));
  }
  void link(const std::string& name, const std::string& target) const {
    std::filesystem::create_symlink(target, path(name));
  }

 private:
  std::string root_;
};

constexpr std::chrono::seconds kTestDeadline{20};

/// Polls until `done()` or the deadline; the last answer.
template <class F>
bool eventually(F&& done, std::chrono::milliseconds deadline = kTestDeadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace berth::worker::testing
