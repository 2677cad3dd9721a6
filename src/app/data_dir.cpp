#include "app/data_dir.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>

#include "base/log.h"

namespace berth::app {
namespace {

Result<void> check_there(const std::string& path, const struct stat& info) {
  if (!S_ISDIR(info.st_mode)) return invalid(fmt::format("--data-dir {} is no directory", path));
  const unsigned mode = info.st_mode & 07777;
  // In a sticky folder, others can add files but not take ours away.
  if ((mode & S_IWOTH) != 0 && (mode & S_ISVTX) == 0)
    return invalid(fmt::format(
        "--data-dir {} can be written by everybody (mode {:04o}): chmod 700 it, or give another folder", path, mode));
  if ((mode & (S_IRWXG | S_IRWXO)) != 0)
    log::warn("others can look into the data folder; the files in it are for their owner alone",
              {log::kv("path", path), log::kv("mode", fmt::format("{:04o}", mode))});
  return {};
}

}  // namespace

Result<void> prepare_data_dir(const std::string& path) {
  const auto wrong = [&](const std::string& why) { return invalid(fmt::format("--data-dir {}: {}", path, why)); };
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) return check_there(path, info);
  if (errno != ENOENT) return wrong(std::strerror(errno));
  const auto above = std::filesystem::path(path).lexically_normal();
  const auto parent = above.has_filename() ? above.parent_path() : above.parent_path().parent_path();
  std::error_code ec;
  if (!parent.empty()) std::filesystem::create_directories(parent, ec);
  if (ec) return wrong(ec.message());
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) return wrong(std::strerror(errno));
  return {};
}

}  // namespace berth::app
