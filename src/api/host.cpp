#include "api/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <ifaddrs.h>
#include <optional>
#include <unistd.h>

#include "base/text.h"

namespace berth::api {
namespace {

constexpr std::size_t kHostNameMax = 256;

/// Four bytes or sixteen.
std::optional<std::string> address_bytes(std::string_view text) {
  std::array<char, sizeof(in6_addr)> bytes{};
  const std::string host(text);
  if (::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return std::string(bytes.data(), sizeof(in_addr));
  if (::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) return std::string(bytes.data(), sizeof(in6_addr));
  return std::nullopt;
}

std::string_view without_brackets(std::string_view host) {
  return host.size() >= 2 && host.front() == '[' && host.back() == ']' ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

std::string_view host_of(std::string_view authority) {
  const bool bracketed = authority.starts_with('[');
  const auto end = bracketed ? authority.find(']') : authority.find(':');
  if (bracketed && end == std::string_view::npos) return {};
  const auto rest = end == std::string_view::npos ? std::string_view() : authority.substr(end + (bracketed ? 1 : 0));
  if (!rest.empty() && (rest.front() != ':' || (rest.size() > 1 && !parse_u64(rest.substr(1))))) return {};
  return bracketed ? authority.substr(1, end - 1) : authority.substr(0, end);
}

bool is_loopback_host(std::string_view host) {
  if (equals_ignoring_case(host, "localhost")) return true;
  constexpr char kLoopbackNet = 127;
  const auto bytes = address_bytes(host);
  if (!bytes) return false;
  if (bytes->size() == sizeof(in_addr)) return bytes->front() == kLoopbackNet;
  return std::memcmp(bytes->data(), &in6addr_loopback, sizeof(in6_addr)) == 0;
}

bool is_same_host(std::string_view a, std::string_view b) {
  a = without_brackets(a);
  b = without_brackets(b);
  if (a.empty() || b.empty()) return false;
  if (equals_ignoring_case(a, b)) return true;
  const auto left = address_bytes(a);
  return left && left == address_bytes(b);
}

std::vector<std::string> own_hosts() {
  std::vector<std::string> out;
  std::array<char, kHostNameMax> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0 && name.front() != '\0') {
    out.emplace_back(name.data());
    if (const auto dot = out.front().find('.'); dot != std::string::npos) out.push_back(out.front().substr(0, dot));
  }
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  for (const auto* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = nullptr;
    if (at->ifa_addr->sa_family == AF_INET)
      bytes = &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
    else if (at->ifa_addr->sa_family == AF_INET6)
      bytes = &reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
    if (bytes != nullptr && ::inet_ntop(at->ifa_addr->sa_family, bytes, text.data(), text.size()) != nullptr)
      out.emplace_back(text.data());
  }
  ::freeifaddrs(list);
  return out;
}

}  // namespace berth::api
