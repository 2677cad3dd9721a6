#include <fmt/format.h>

#include "base/text.h"
#include "net/stream.h"

namespace berth::net {

std::string Endpoint::text() const {
  if (is_unix()) return "unix:" + unix_path;
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

bool Endpoint::is_loopback() const {
  return is_unix() || host == "localhost" || host == "::1" || host.starts_with("127.");
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return invalid(fmt::format("\"{}\" is no address to listen on or connect to: {}", printable(text), why));
  };
  if (text.starts_with("unix:")) {
    if (!text.substr(5).starts_with('/')) return bad("a unix socket needs an absolute path");
    return Endpoint{.unix_path = std::string(text.substr(5))};
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("want HOST:PORT, [IPv6]:PORT or unix:/path");
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return bad("the host is missing");
  if (!bracketed && host.find(':') != std::string_view::npos) return bad("write IPv6 addresses in brackets");
  const auto port = parse_u64(text.substr(colon + 1));
  if (!port || *port > 65535) return bad("the port must be 0 to 65535");
  return Endpoint{.host = std::string(host), .port = static_cast<std::uint16_t>(*port)};
}

}  // namespace berth::net
