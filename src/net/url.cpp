#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "net/http_types.h"

namespace berth::net {
namespace {

constexpr std::size_t kUrlBytesMax = 8 * 1024;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_host(std::string_view host) {
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == ':';
  };
  return !host.empty() && host.size() <= 255 && std::ranges::all_of(host, fine);
}

bool is_target(std::string_view target) {
  return target.starts_with('/') && std::ranges::all_of(target, [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

Result<Url> bad(std::string_view text, std::string_view why) {
  return invalid(fmt::format("\"{}\" is not a usable address: {}", printable(text.substr(0, 200)), why));
}

/// host, host:port, [v6], [v6]:port
Result<void> parse_authority(std::string_view text, Url& into) {
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return invalid("']' is missing");
    into.host = text.substr(1, close - 1);
    port = text.substr(close + 1);
  } else {
    const std::size_t colon = text.find(':');
    into.host = text.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (!is_host(into.host)) return invalid("the host is missing or has characters that no host has");
  into.port = into.tls ? 443 : 80;
  if (port.empty()) return {};
  const auto number = parse_u64(port.substr(1));
  if (port[0] != ':' || !number || *number == 0 || *number > 65535) return invalid("the port must be 1 to 65535");
  into.port = static_cast<std::uint16_t>(*number);
  return {};
}

Result<Url> parse_unix(std::string_view text) {
  Url url;
  const std::string_view rest = text.substr(5);
  const std::size_t colon = rest.find(':');
  url.unix_path = rest.substr(0, colon);
  if (colon != std::string_view::npos) url.target = rest.substr(colon + 1);
  if (!url.unix_path.starts_with('/')) return bad(text, "the socket's path must begin with '/'");
  if (!is_target(url.target)) return bad(text, "the path after the second colon must begin with '/'");
  return url;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (percent_decode(pair.substr(0, equals), true) != name) continue;
    return equals == std::string_view::npos ? std::string() : percent_decode(pair.substr(equals + 1), true);
  }
  return std::nullopt;
}

std::string Url::authority() const {
  if (!unix_path.empty()) return "localhost";
  const std::string name = host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
  return port == (tls ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kUrlBytesMax) return bad(text, "it is longer than 8 KiB");
  if (text.starts_with("unix:")) return parse_unix(text);
  Url url;
  std::string_view rest;
  const std::string scheme = to_lower(text.substr(0, 8));
  if (scheme.starts_with("http://")) {
    rest = text.substr(7);
  } else if (scheme == "https://") {
    rest = text.substr(8);
    url.tls = true;
  } else {
    return bad(text, "it must begin with http://, https:// or unix:/");
  }
  const std::size_t end = rest.find_first_of("/?#");
  const std::string_view authority = rest.substr(0, end);
  if (authority.find('@') != std::string_view::npos) return bad(text, "user names in addresses are refused");
  if (auto parsed = parse_authority(authority, url); !parsed) return bad(text, parsed.error().message);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  target = target.substr(0, target.find('#'));
  url.target = target.starts_with('/') ? std::string(target) : fmt::format("/{}", target);
  if (!is_target(url.target)) return bad(text, "the path has spaces or control characters; percent-encode them");
  return url;
}

}  // namespace berth::net
