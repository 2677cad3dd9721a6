#include "worker/files/resolve.h"

#ifdef __linux__
#include <linux/openat2.h>
#include <sys/syscall.h>
#endif
#include <sys/stat.h>

#include <algorithm>
#include <array>
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
#include "worker/files/fd.h"

namespace berth::worker {
namespace {

constexpr std::size_t kContentSampleBytes = 1024 * 1024;
constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
#ifdef O_PATH
constexpr int kLookFlags = O_PATH | O_CLOEXEC;
#else
constexpr int kLookFlags = kReadFlags;
#endif
constexpr int kOpenTriesMax = 8;  // the kernel asks to try again while a folder on the way is being renamed

Result<std::string> canonical(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  if (::realpath(path.c_str(), buffer.data()) == nullptr) return system_error("cannot resolve " + path, errno);
  return std::string(buffer.data());
}

/// What is left of `path` below `root`; absent when it is not beneath. Both canonical.
std::optional<std::string> below(const std::string& path, const std::string& root) {
  if (path == root) return ".";
  if (root == "/") return path.substr(1);
  if (path.size() <= root.size() || !path.starts_with(root) || path[root.size()] != '/') return std::nullopt;
  return path.substr(root.size() + 1);
}

Result<Fd> open_stepwise(Fd folder, const std::string& relative, int last_flags) {
  const std::vector<std::string> parts = split(relative, '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    const bool last = i + 1 == parts.size();
    if (part.empty() || (part == "." && !last)) continue;
    if (part == "..") return fail(Code::kForbidden, fmt::format("path {} leads out of its root", printable(relative)));
    Fd next(
        ::openat(folder.get(), part.c_str(), last ? last_flags | O_NOFOLLOW : kLookFlags | O_DIRECTORY | O_NOFOLLOW));
    if (!next.valid()) return system_error("cannot open " + printable(relative), errno);
    folder = std::move(next);
  }
  return folder;
}

Result<Fd> open_any_beneath(const std::string& root, const std::string& relative, int flags = kReadFlags) {
  Fd folder(::open(root.c_str(), kLookFlags | O_DIRECTORY));
  if (!folder.valid()) return system_error("cannot open model root " + root, errno);
#ifdef __linux__
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int tries = 1;; ++tries) {
    const long fd = ::syscall(SYS_openat2, folder.get(), relative.c_str(), &how, sizeof(how));
    if (fd >= 0) return Fd(static_cast<int>(fd));
    if (errno != EAGAIN || tries == kOpenTriesMax) break;
  }
  if (errno == EXDEV) return fail(Code::kForbidden, fmt::format("path {} leads out of {}", printable(relative), root));
  // EPERM: a container's seccomp filter that does not know the call answers so.
  if (errno != ENOSYS && errno != EPERM)
    return system_error(fmt::format("cannot open {}/{}", root, printable(relative)), errno);
#endif
  return open_stepwise(std::move(folder), relative, flags);
}

/// The name that an open file has now, free of links; empty where the system does not tell.
std::string name_of(const Fd& fd) {
  std::array<char, PATH_MAX + 1> buffer{};
#ifdef __linux__
  const auto n = ::readlink(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), buffer.data(), PATH_MAX);
  return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : "";
#else
  return ::fcntl(fd.get(), F_GETPATH, buffer.data()) == 0 ? std::string(buffer.data()) : "";
#endif
}

/// What was opened beneath a root. `path` is the name of just that, so that an engine that opens it again meets no
/// link; who may write in the root can still put another file in its place.
struct Opened {
  Fd fd;
  std::string root;
  std::string path;
};

/// Absent when `path` lies, its links followed, under none of the roots.
Result<std::optional<Opened>> open_under(const std::string& path,
                                         const std::vector<std::string>& roots,
                                         int flags = kReadFlags) {
  TRY(const std::string wanted, canonical(path));
  for (const std::string& root : roots) {
    const auto real = canonical(root);
    if (!real.has_value()) continue;
    const auto relative = below(wanted, *real);
    if (!relative) continue;
    TRY(Fd fd, open_any_beneath(*real, *relative, flags));
    std::string name = name_of(fd);
    if (name.empty()) name = wanted;
    if (!below(name, *real))
      return fail(Code::kForbidden, fmt::format("{} was moved while it was opened", printable(path)));
    return std::optional<Opened>(Opened{std::move(fd), *real, std::move(name)});
  }
  return std::optional<Opened>();
}

Result<Bytes> bytes_of(const Fd& fd, const std::string& path) {
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return system_error("cannot stat " + path, errno);
  return S_ISREG(info.st_mode) ? Bytes(static_cast<std::uint64_t>(info.st_size)) : Bytes();
}

/// A file that the engine will open by itself because of another: 0 when it is not there.
Result<Bytes> neighbour_bytes(const std::string& path, const std::string& root) {
  auto opened = open_under(path, {root}, kLookFlags);
  if (!opened.has_value()) {
    if (opened.error().code == Code::kNotFound) return Bytes();
    return std::move(opened).error();
  }
  if (const auto& file = *opened) return bytes_of(file->fd, path);
  return fail(Code::kForbidden, fmt::format("{} leads out of {}", printable(path), root));
}

Result<Bytes> folder_bytes(const Opened& folder) {
  Bytes sum;
  std::size_t count = 0;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder.path, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (++count > kFolderFilesMax)
      return fail(Code::kTooLarge, fmt::format("{} holds more than {} files", folder.path, kFolderFilesMax));
    TRY(const Bytes size, neighbour_bytes(entry->path().string(), folder.root));
    sum += size;
  }
  if (error) return system_error("cannot list " + folder.path, error.value());
  return sum;
}

/// Of a file "…-00001-of-00003.gguf", whose other parts the engine opens by their names.
Result<Bytes> parts_bytes(const Opened& file, Bytes own) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  constexpr std::size_t kDigits = 5;
  if (file.path.size() < kShape.size()) return own;
  const std::size_t at = file.path.size() - kShape.size();
  const std::string tail = file.path.substr(at);
  std::string shape = tail;
  for (char& c : shape)
    if (c >= '0' && c <= '9') c = '0';
  const auto count = parse_u64(tail.substr(kShape.find("of-") + 3, kDigits));
  if (shape != kShape || !count || *count > kFolderFilesMax) return own;
  Bytes sum;
  for (std::uint64_t i = 1; i <= *count; ++i) {
    TRY(const Bytes part,
        neighbour_bytes(fmt::format("{}-{:05}-of-{:05}.gguf", file.path.substr(0, at), i, *count), file.root));
    sum += part;
  }
  return sum;
}

Result<ModelFile> inspect(const Opened& opened) {
  struct stat info{};
  if (::fstat(opened.fd.get(), &info) != 0) return system_error("cannot stat " + opened.path, errno);
  Bytes size(static_cast<std::uint64_t>(info.st_size));
  if (S_ISREG(info.st_mode)) {
    TRY(size, parts_bytes(opened, size));
  } else if (S_ISDIR(info.st_mode)) {
    TRY(size, folder_bytes(opened));
  } else {
    return invalid(fmt::format("{} is neither a regular file nor a folder", printable(opened.path)));
  }
  return ModelFile{.path = opened.path, .size_bytes = size};
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
  TRY(const auto opened, open_under(source.path, roots));
  if (opened) {
    auto file = inspect(*opened);
    return file.has_value() ? std::move(file) : in("model", std::move(file).error());
  }
  TRY(const std::string path, canonical(source.path));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return fail(Code::kForbidden,
              fmt::format("model path {} is not under a model root of this worker ({}): start the worker, or `berth "
                          "up`, with --model-root {}",
                          printable(source.path),
                          roots.empty() ? "none is configured" : join(roots, ", "),
                          printable(folder)));
}

Result<std::map<std::string, std::string>> resolve_flag_paths(const std::vector<engines::FlagPath>& paths,
                                                              const std::vector<std::string>& roots) {
  std::map<std::string, std::string> out;
  for (const auto& [flag, path] : paths) {
    if (!engines::is_under(path, {"/"}) || path.find('\0') != std::string::npos)
      return invalid(fmt::format("flag {}: {} must be an absolute path without . or ..", flag, printable(path)));
    const std::string field = "flag " + flag;
    auto opened = open_under(path, roots);
    if (!opened.has_value()) return in(field, std::move(opened).error());
    const auto& beneath = *opened;
    if (!beneath)
      return fail(Code::kForbidden,
                  fmt::format("{}: {} leads out of the folders that engines may read ({})",
                              field,
                              printable(path),
                              roots.empty() ? "none" : join(roots, ", ")));
    auto file = inspect(*beneath);
    if (!file.has_value()) return in(field, std::move(file).error());
    out.insert_or_assign(path, std::move(file->path));
  }
  return out;
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
