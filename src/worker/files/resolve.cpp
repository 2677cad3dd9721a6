#include "worker/files/resolve.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"

namespace berth::worker {
namespace {

constexpr std::size_t kContentSampleBytes = 1024 * 1024;
constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

Result<std::string> canonical(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  if (::realpath(path.c_str(), buffer.data()) == nullptr) return system_error("cannot resolve " + path, errno);
  return std::string(buffer.data());
}

/// What is left of `path` below `root`; absent when it is not beneath. Both canonical.
std::optional<std::string> below(const std::string& path, const std::string& root) {
  if (root == "/") return path.substr(1);
  if (path.size() <= root.size() || !path.starts_with(root) || path[root.size()] != '/') return std::nullopt;
  return path.substr(root.size() + 1);
}

Result<Fd> open_stepwise(Fd folder, const std::string& relative) {
  const std::vector<std::string> parts = split(relative, '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(Code::kForbidden, fmt::format("path {} leads out of its root", printable(relative)));
    const bool last = i + 1 == parts.size();
    const int flags = last ? kReadFlags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    Fd next(::openat(folder.get(), part.c_str(), flags));
    if (!next.valid()) return system_error("cannot open " + printable(relative), errno);
    folder = std::move(next);
  }
  return folder;
}

Result<Fd> open_any_beneath(const std::string& root, const std::string& relative) {
  Fd folder(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return system_error("cannot open model root " + root, errno);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(kReadFlags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, folder.get(), relative.c_str(), &how, sizeof(how));
  if (fd >= 0) return Fd(static_cast<int>(fd));
  // EPERM: a container's seccomp filter that does not know the call answers so.
  if (errno == ENOSYS || errno == EPERM) return open_stepwise(std::move(folder), relative);
  if (errno == EXDEV) return fail(Code::kForbidden, fmt::format("path {} leads out of {}", printable(relative), root));
  return system_error(fmt::format("cannot open {}/{}", root, printable(relative)), errno);
}

Result<Bytes> folder_bytes(const std::string& path) {
  Bytes sum;
  std::size_t count = 0;
  std::error_code error;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (++count > kFolderFilesMax)
      return fail(Code::kTooLarge, fmt::format("{} holds more than {} files", path, kFolderFilesMax));
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) sum += Bytes(entry->file_size(ignored));
  }
  if (error) return system_error("cannot list " + path, error.value());
  return sum;
}

Result<ModelFile> inspect(const std::string& root, const std::string& relative, const std::string& path) {
  TRY(const Fd fd, open_any_beneath(root, relative));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return system_error("cannot stat " + path, errno);
  if (S_ISREG(info.st_mode)) return ModelFile{.path = path, .size_bytes = static_cast<std::uint64_t>(info.st_size)};
  if (!S_ISDIR(info.st_mode))
    return invalid(fmt::format("model {} is neither a regular file nor a folder", printable(path)));
  TRY(const Bytes size, folder_bytes(path));
  return ModelFile{.path = path, .size_bytes = size};
}

Result<void> sample(int fd, std::uint64_t offset, std::uint64_t size, Hasher& hasher) {
  std::string buffer(static_cast<std::size_t>(size), '\0');
  std::size_t have = 0;
  while (have < buffer.size()) {
    const ssize_t n = ::pread(fd, buffer.data() + have, buffer.size() - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("cannot read a model file", errno);
    if (n == 0) return fail(Code::kConflict, "a model file became shorter while it was read");
    have += static_cast<std::size_t>(n);
  }
  hasher.add(buffer);
  return {};
}

}  // namespace

Result<Fd> open_beneath(const std::string& root, const std::string& relative) {
  TRY(Fd fd, open_any_beneath(root, relative));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return system_error("cannot stat " + printable(relative), errno);
  if (!S_ISREG(info.st_mode)) return invalid(fmt::format("{} is not a regular file", printable(relative)));
  return fd;
}

Result<ModelFile> resolve_model(const fleet::ModelSource& source, const std::vector<std::string>& roots) {
  if (source.kind != "local")
    return fail(Code::kNotSupported,
                fmt::format("model source kind \"{}\" cannot be loaded by this worker yet: pull {} first and give its "
                            "local path",
                            printable(source.kind),
                            source.repo.empty() ? "the model" : printable(source.repo)));
  if (source.path.empty() || source.path.front() != '/')
    return invalid(fmt::format("model path \"{}\" must be absolute", printable(source.path)));
  if (source.path.find('\0') != std::string::npos) return invalid("model path holds a zero byte");
  TRY(const std::string path, canonical(source.path));
  for (const std::string& root : roots) {
    const auto real = canonical(root);
    if (!real.has_value()) continue;
    if (const auto relative = below(path, *real)) return inspect(*real, *relative, path);
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return fail(Code::kForbidden,
              fmt::format("model path {} is not under a model root of this worker ({}): start the worker, or `berth "
                          "up`, with --model-root {}",
                          printable(source.path),
                          roots.empty() ? "none is configured" : join(roots, ", "),
                          printable(folder)));
}

Result<void> check_folders(std::string_view flag, const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    const auto bad = [&](std::string_view why) {
      return invalid(fmt::format("{} is \"{}\", {}", flag, printable(folder), why));
    };
    if (folder.empty() || folder.front() != '/') return bad("must be an absolute path");
    struct stat info{};
    if (::stat(folder.c_str(), &info) != 0) return bad(errno == ENOENT ? "which is not there" : "which cannot be read");
    if (!S_ISDIR(info.st_mode)) return bad("which is not a folder");
    if (::access(folder.c_str(), R_OK | X_OK) != 0) return bad("which this user may not enter");
  }
  return {};
}

Result<std::string> content_id(const std::string& path) {
  const Fd fd(::open(path.c_str(), kReadFlags));
  if (!fd.valid()) return system_error("cannot open " + path, errno);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return system_error("cannot stat " + path, errno);
  if (!S_ISREG(info.st_mode)) return invalid(path + " is not a regular file");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const std::uint64_t part = std::min<std::uint64_t>(size, kContentSampleBytes);
  Hasher hasher;
  hasher.add(size);
  TRY_VOID(sample(fd.get(), 0, part, hasher));
  TRY_VOID(sample(fd.get(), size - part, part, hasher));
  return fmt::format("{}-{}", size, hasher.finish().text());
}

}  // namespace berth::worker
