#include "gateway/detail/direct_pool.h"

#include "gateway/detail/hop.h"

namespace berth::gateway {

std::optional<net::ClientConnection> DirectPool::take(const std::string& address, const net::Executor& home) {
  const std::lock_guard lock(mutex_);
  const auto found = idle_.find(address);
  if (found == idle_.end()) return std::nullopt;
  std::vector<net::ClientConnection>& idle = found->second;
  for (std::size_t i = idle.size(); i-- > 0;) {
    if (idle[i].stream().executor() != home) continue;
    net::ClientConnection connection = std::move(idle[i]);
    idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(i));
    if (connection.idle_healthy()) return connection;
    dispose(std::move(connection));
  }
  return std::nullopt;
}

void DirectPool::give_back(const std::string& address, net::ClientConnection connection) {
  if (!connection.idle_healthy()) return dispose(std::move(connection));
  const std::lock_guard lock(mutex_);
  if (idle_.size() >= kDirectAddressesMax && !idle_.contains(address)) {
    for (auto& [key, held] : idle_) {
      for (net::ClientConnection& old : held) dispose(std::move(old));
    }
    idle_.clear();
  }
  std::vector<net::ClientConnection>& idle = idle_[address];
  if (idle.size() >= kDirectIdleMax) {
    dispose(std::move(idle.front()));
    idle.erase(idle.begin());
  }
  idle.push_back(std::move(connection));
}

}  // namespace berth::gateway
