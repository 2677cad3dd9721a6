#pragma once
// Socket addresses as the kernel wants them.

#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "net/deadline.h"
#include "net/stream.h"

namespace berth::net {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
  /// "127.0.0.1:80", "[::1]:80", "unix:/path", "unix"
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint16_t port() const;
};

/// Absent when `host` is no numeric address.
std::optional<Address> numeric_address(const std::string& host, std::uint16_t port);
/// Errors: kInvalid when the path is longer than a socket address holds.
Result<Address> unix_address(const std::string& path);
/// Numeric at once, else by the system's resolver on a thread of its own. Errors: kUnavailable, kTimeout.
awaitable<Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port, Deadline deadline);

}  // namespace berth::net
