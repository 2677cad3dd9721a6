#pragma once
// Kept connections to engines on this host, by address and executor. Any thread.

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/client.h"

namespace berth::gateway {

constexpr std::size_t kDirectIdleMax = 32;         // per address
constexpr std::size_t kDirectAddressesMax = 1024;  // engines come and go: beyond it, all idle ones are dropped

class DirectPool {
 public:
  /// A healthy connection of the executor `home`.
  std::optional<net::ClientConnection> take(const std::string& address, const net::Executor& home);
  /// Called on the connection's executor, after a response that ended in order.
  void give_back(const std::string& address, net::ClientConnection connection);

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<net::ClientConnection>, std::less<>> idle_;
};

}  // namespace berth::gateway
