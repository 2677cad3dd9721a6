#include "worker/supervise/resources.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>

#include "base/text.h"
#include "worker/files/fd.h"

namespace berth::worker {

bool port_is_free(std::uint16_t port) {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return false;
  // As servers do: connections in TIME_WAIT do not matter, a listener does.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return false;
  return ::listen(fd.get(), 1) == 0;
}

Result<std::uint16_t> pick_port(const PortRange& range,
                                std::uint16_t start,
                                const std::function<bool(std::uint16_t)>& taken) {
  if (range.first == 0 || range.last < range.first)
    return invalid(fmt::format("port range {}-{} is empty", range.first, range.last));
  const std::uint32_t count = static_cast<std::uint32_t>(range.last) - range.first + 1;
  const std::uint32_t from =
      start < range.first || start > range.last ? 0 : static_cast<std::uint32_t>(start) - range.first;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(range.first + (from + i) % count);
    if (!taken(port) && port_is_free(port)) return port;
  }
  return fail(Code::kUnavailable, fmt::format("no free port among {}-{} on 127.0.0.1", range.first, range.last));
}

Result<std::string> make_secret(const std::string& path, const EngineUser& user) {
  TRY(std::string secret, random_hex(kSecretBytes));
  WriteOptions options{.mode = 0600};
  if (user.switches) {
    options.uid = static_cast<int>(user.uid);
    options.gid = static_cast<int>(user.gid);
  }
  TRY_VOID(write_file_durably(path, secret, options));
  return secret;
}

Result<std::string> read_secret(const std::string& path) {
  TRY(std::string secret, read_small_file(path, kSecretBytes * 2));
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (secret.size() != kSecretBytes * 2 || !std::all_of(secret.begin(), secret.end(), is_hex))
    return invalid(path + " does not hold a secret");
  return secret;
}

}  // namespace berth::worker
