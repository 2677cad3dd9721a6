#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include "api/auth.h"

namespace berth::api {
namespace {

constexpr std::size_t kSecretBytes = 32;

Error os_error(const std::string& path) {
  return fail(errno == EACCES ? Code::kInvalid : Code::kUnavailable, fmt::format("{}: {}", path, std::strerror(errno)));
}

Result<std::string> read_secret(int fd, const std::string& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return os_error(path);
  if (!S_ISREG(info.st_mode))
    return invalid(fmt::format("{} is {}, must be a file of {} bytes",
                               path,
                               S_ISDIR(info.st_mode) ? "a directory" : "no regular file",
                               kSecretBytes));
  if ((info.st_mode & 077) != 0) return invalid(fmt::format("{} can be read by others: chmod 600 it", path));
  std::string secret(kSecretBytes, '\0');
  if (::read(fd, secret.data(), secret.size()) != static_cast<ssize_t>(kSecretBytes))
    return invalid(fmt::format(
        "{} is shorter than {} bytes: restore it, or remove it and all keys become invalid", path, kSecretBytes));
  return secret;
}

}  // namespace

Result<std::string> load_or_make_secret(const std::string& path, SecretLost lost) {
  std::error_code ec;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ec);
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd >= 0) {
    auto secret = read_secret(fd, path);
    ::close(fd);
    return secret;
  }
  if (errno != ENOENT) return os_error(path);
  if (lost == SecretLost::kRefuse)
    return invalid(
        fmt::format("{0} is missing, but the database has keys that only it can check: restore it from a backup. "
                    "To give up all keys and join tokens instead: head -c {1} /dev/urandom > {0}; chmod 600 {0}",
                    path,
                    kSecretBytes));
  if (sodium_init() < 0) return fail(Code::kInternal, "the crypto library could not be initialised");
  std::string secret(kSecretBytes, '\0');
  randombytes_buf(secret.data(), secret.size());
  fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return os_error(path);
  const bool ok = ::write(fd, secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) && ::fsync(fd) == 0;
  ::close(fd);
  if (!ok) return os_error(path);
  return secret;
}

}  // namespace berth::api
