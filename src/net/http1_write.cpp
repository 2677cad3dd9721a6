#include <charconv>

#include "base/text.h"
#include "net/detail/http1_chars.h"
#include "net/http1.h"

namespace berth::net::http1 {
namespace {

/// Fields that only the writer sets.
bool is_framing_field(std::string_view name) {
  switch (name.size()) {
    case 7:
      return equals_ignoring_case(name, "upgrade");
    case 10:
      return equals_ignoring_case(name, "connection") || equals_ignoring_case(name, "keep-alive");
    case 14:
      return equals_ignoring_case(name, "content-length");
    case 17:
      return equals_ignoring_case(name, "transfer-encoding");
    default:
      return false;
  }
}

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

Result<void> append_fields(std::string& out, const HeaderList& headers) {
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const HeaderList::View field = headers[i];
    if (is_framing_field(field.name)) continue;
    if (!is_token(field.name) || !is_field_value(field.value)) {
      return invalid("header \"" + printable(field.name) + "\" has a name or value that may not be sent");
    }
    out.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  return {};
}

void append_framing(std::string& out, const WriteOptions& options) {
  if (options.framing.kind == BodyFraming::Kind::kLength) {
    out.append("Content-Length: ");
    append_number(out, options.framing.length);
    out.append("\r\n");
  } else if (options.framing.kind == BodyFraming::Kind::kChunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  }
  if (!options.upgrade.empty()) {
    out.append("Connection: Upgrade\r\nUpgrade: ").append(options.upgrade).append("\r\n");
  } else if (!options.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (options.say_keep_alive) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

}  // namespace

Result<void> append_request_head(std::string& out, const Request& request, const WriteOptions& options) {
  if (!is_token(request.method)) return invalid("method \"" + printable(request.method) + "\" is not a token");
  if (request.target.empty() || !kTargetChars.all(request.target)) {
    return invalid("target \"" + printable(request.target) + "\" has characters that must be percent-encoded");
  }
  if (!options.upgrade.empty() && !is_token(options.upgrade)) return invalid("the protocol to switch to is no token");
  out.append(request.method).append(" ").append(request.target).append(" HTTP/1.1\r\n");
  if (!options.host.empty() && !request.headers.get("host")) {
    if (!is_field_value(options.host)) return invalid("host \"" + printable(options.host) + "\" may not be sent");
    out.append("Host: ").append(options.host).append("\r\n");
  }
  TRY_VOID(append_fields(out, request.headers));
  append_framing(out, options);
  return {};
}

Result<void> append_response_head(std::string& out, const Response& response, const WriteOptions& options) {
  if (response.status < 100 || response.status > 599) return invalid("status is outside of 100 to 599");
  const std::string_view reason = response.reason.empty() ? reason_phrase(response.status) : response.reason;
  if (!kValueChars.all(reason)) return invalid("the reason phrase has control characters");
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::uint64_t>(response.status));
  out.append(" ").append(reason).append("\r\n");
  TRY_VOID(append_fields(out, response.headers));
  append_framing(out, options);
  return {};
}

Result<void> append_upgrade_head(std::string& out, std::string_view protocol, const HeaderList& headers) {
  if (!is_token(protocol)) return invalid("the protocol to switch to is no token");
  out.append("HTTP/1.1 101 Switching Protocols\r\n");
  TRY_VOID(append_fields(out, headers));
  append_framing(out, WriteOptions{.upgrade = protocol});
  return {};
}

std::size_t chunk_prefix(char* out, std::size_t data_bytes) {
  char* end = std::to_chars(out, out + 16, data_bytes, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return static_cast<std::size_t>(end - out);
}

}  // namespace berth::net::http1
