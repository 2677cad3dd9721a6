#include "net/detail/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>

namespace berth::net {
namespace {

struct Lookup {
  explicit Lookup(const Executor& executor) : resolver(executor), done(executor) {}
  asio::ip::tcp::resolver resolver;
  Signal done;
  std::optional<Result<std::vector<Address>>> result;
};

}  // namespace

std::string Address::text() const {
  if (family() == AF_UNIX) {
    const auto* local = reinterpret_cast<const sockaddr_un*>(&storage);
    const std::size_t head = offsetof(sockaddr_un, sun_path);
    return size > head && local->sun_path[0] != '\0' ? fmt::format("unix:{}", local->sun_path) : std::string("unix");
  }
  char host[INET6_ADDRSTRLEN] = {};
  if (family() == AF_INET6) {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, host, sizeof host);
    return fmt::format("[{}]:{}", host, port());
  }
  ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, host, sizeof host);
  return fmt::format("{}:{}", host, port());
}

std::uint16_t Address::port() const {
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  return 0;
}

std::optional<Address> numeric_address(const std::string& host, std::uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return std::nullopt;
}

Result<Address> unix_address(const std::string& path) {
  Address address;
  auto* local = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty() || path.size() >= sizeof local->sun_path) {
    return invalid(
        fmt::format("socket path \"{}\" has {} bytes, must be 1 to {}", path, path.size(), sizeof local->sun_path - 1));
  }
  local->sun_family = AF_UNIX;
  std::memcpy(local->sun_path, path.c_str(), path.size() + 1);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

awaitable<Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port, Deadline deadline) {
  if (const auto numeric = numeric_address(host, port)) co_return std::vector<Address>{*numeric};
  const Executor executor = co_await asio::this_coro::executor;
  // The system's resolver cannot be interrupted: at the deadline its answer is left to nobody.
  auto lookup = std::make_shared<Lookup>(executor);
  lookup->resolver.async_resolve(
      host,
      std::to_string(port),
      [lookup, host](const boost::system::error_code& error, const asio::ip::tcp::resolver::results_type& found) {
        std::vector<Address> addresses;
        for (const auto& entry : found) {
          Address address;
          address.size = static_cast<socklen_t>(entry.endpoint().size());
          std::memcpy(&address.storage, entry.endpoint().data(), address.size);
          addresses.push_back(address);
        }
        if (error || addresses.empty()) {
          lookup->result.emplace(
              fail(Code::kUnavailable, fmt::format("no address for \"{}\": {}", host, error.message())));
        } else {
          lookup->result.emplace(std::move(addresses));
        }
        lookup->done.notify();
      });
  for (;;) {
    if (auto& found = lookup->result) co_return std::move(*found);
    if (co_await lookup->done.wait(deadline)) continue;
    if (auto& found = lookup->result) co_return std::move(*found);
    if (co_await task_cancelled()) co_return fail(Code::kCancelled, "cancelled");
    co_return fail(Code::kTimeout, fmt::format("no address for \"{}\" in time", host));
  }
}

}  // namespace berth::net
