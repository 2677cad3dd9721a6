#include "worker/files/fd.h"

#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace berth::worker {
namespace {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("cannot write " + path, errno);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> fill(int fd, std::string_view content, const WriteOptions& options, const std::string& path) {
  if (::fchmod(fd, options.mode) != 0) return system_error("cannot set the mode of " + path, errno);
  if (options.uid >= 0 || options.gid >= 0) {
    const auto uid = static_cast<uid_t>(options.uid);
    const auto gid = static_cast<gid_t>(options.gid);
    if (::fchown(fd, uid, gid) != 0) return system_error("cannot set the owner of " + path, errno);
  }
  TRY_VOID(write_all(fd, content, path));
  if (::fsync(fd) != 0) return system_error("cannot sync " + path, errno);
  return {};
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Error system_error(std::string_view what, int error_number) {
  Code code = Code::kInternal;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
      code = Code::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = Code::kForbidden;
      break;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOMEM:
      code = Code::kUnavailable;
      break;
    case ENOSYS:
    case EOPNOTSUPP:
      code = Code::kNotSupported;
      break;
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
    case EINVAL:
      code = Code::kInvalid;
      break;
    default:
      break;
  }
  return fail(code, fmt::format("{}: {}", what, std::generic_category().message(error_number)));
}

Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return system_error("cannot open " + path, errno);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return system_error("cannot stat " + path, errno);
  if (!S_ISREG(info.st_mode)) return invalid(path + " is not a regular file");
  std::string content;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("cannot read " + path, errno);
    if (n == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(n));
    if (content.size() > bytes_max)
      return fail(Code::kTooLarge, fmt::format("{} has more than {} bytes", path, bytes_max));
  }
}

Result<void> write_file_durably(const std::string& path, std::string_view content, const WriteOptions& options) {
  // One writer per path (the state folder is locked), so that a fixed name beside it is enough and leaves no litter.
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return system_error("cannot create " + temporary, errno);
  if (auto filled = fill(fd.get(), content, options, temporary); !filled.has_value()) {
    ::unlink(temporary.c_str());
    return std::move(filled).error();
  }
  fd.reset();
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary.c_str());
    return system_error("cannot rename to " + path, error_number);
  }
  const Fd folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::fsync(folder.get()) != 0) return system_error("cannot sync the folder of " + path, errno);
  return {};
}

Result<void> make_folder(const std::string& path, unsigned mode) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST)
      return system_error("cannot make folder " + parent, errno);
  }
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) != 0) return system_error("cannot set the mode of " + path, errno);
    return {};
  }
  if (errno != EEXIST) return system_error("cannot make folder " + path, errno);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return invalid(path + " exists and is not a folder");
  return {};
}

}  // namespace berth::worker
