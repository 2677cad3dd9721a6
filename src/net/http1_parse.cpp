#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "net/detail/http1_chars.h"
#include "net/http1.h"

namespace berth::net::http1 {
namespace {

constexpr std::size_t kLengthDigitsMax = 18;

/// What framing and routing need to know of the fields; filled while they are read.
struct Seen {
  std::size_t host = 0;
  std::size_t content_length = 0;
  std::size_t transfer_encoding = 0;
  bool connection = false;
  std::string_view host_value;
  std::string_view length_value;
  std::string_view coding_value;
};

HeadResult refuse(int status, const char* reason) {
  return HeadResult{.refusal = {.status = status, .reason = reason}};
}

/// Takes the next line without its CRLF. The scanner has proved that every LF follows a CR.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos || end == 0) return rest = {};
  const std::string_view line = rest.substr(0, end - 1);
  rest.remove_prefix(end + 1);
  return line;
}

std::string_view trim_spaces(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

void note_field(std::string_view name, std::string_view value, Seen& seen) {
  switch (name.size()) {
    case 4:
      if (!equals_ignoring_case(name, "host")) break;
      ++seen.host;
      seen.host_value = value;
      break;
    case 10:
      if (equals_ignoring_case(name, "connection")) seen.connection = true;
      break;
    case 14:
      if (!equals_ignoring_case(name, "content-length")) break;
      ++seen.content_length;
      seen.length_value = value;
      break;
    case 17:
      if (!equals_ignoring_case(name, "transfer-encoding")) break;
      ++seen.transfer_encoding;
      seen.coding_value = value;
      break;
    default:
      break;
  }
}

/// Null when all lines up to the empty one are good fields.
const char* parse_fields(std::string_view rest, HeaderList& out, Seen& seen) {
  out.clear();
  for (;;) {
    const std::string_view line = take_line(rest);
    if (line.empty()) return rest.empty() ? nullptr : "bytes after the end of the head";
    if (out.size() >= kFieldsMax) return "more than 100 header fields";
    if (line.front() == ' ' || line.front() == '\t') return "folded header line";
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return "header line without a colon";
    const std::string_view name = line.substr(0, colon);
    if (!is_token(name)) return "header name with characters that no name has";
    const std::string_view value = trim_spaces(line.substr(colon + 1));
    if (!kValueChars.all(value)) return "control character in a header value";
    note_field(name, value, seen);
    out.add(name, value);
  }
}

/// Null when the fields frame one body without doubt.
const char* parse_framing(const Seen& seen, int minor_version, BodyFraming& out) {
  if (seen.content_length > 1) return "more than one Content-Length";
  if (seen.transfer_encoding > 1) return "more than one Transfer-Encoding";
  if (seen.content_length == 1 && seen.transfer_encoding == 1) return "both Content-Length and Transfer-Encoding";
  if (seen.transfer_encoding == 1) {
    if (minor_version == 0) return "Transfer-Encoding in HTTP/1.0";
    if (!equals_ignoring_case(seen.coding_value, "chunked")) return "a transfer coding other than chunked";
    out = {.kind = BodyFraming::Kind::kChunked};
    return nullptr;
  }
  if (seen.content_length == 1) {
    const bool digits = std::ranges::all_of(seen.length_value, [](char c) { return c >= '0' && c <= '9'; });
    if (seen.length_value.empty() || !digits) return "Content-Length is not a number";
    if (seen.length_value.size() > kLengthDigitsMax) return "Content-Length is too large";
    const std::uint64_t length = parse_u64(seen.length_value).value_or(0);
    if (length > kBodyBytesMax) return "Content-Length is too large";
    out = {.kind = BodyFraming::Kind::kLength, .length = length};
  }
  return nullptr;
}

bool wants_keep_alive(const HeaderList& headers, const Seen& seen, int minor_version) {
  if (!seen.connection) return minor_version == 1;
  if (headers.has_token("connection", "close")) return false;
  return minor_version == 1 || headers.has_token("connection", "keep-alive");
}

/// "HTTP/1.0" or "HTTP/1.1"; -1 for another version, -2 for what is none.
int parse_version(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 8 || !text.starts_with("HTTP/") || !digit(text[5]) || text[6] != '.' || !digit(text[7])) return -2;
  if (text == "HTTP/1.1") return 1;
  return text == "HTTP/1.0" ? 0 : -1;
}

bool is_host_value(std::string_view host) {
  const auto fine = [](char c) { return kTokenChars(c) || c == ':' || c == '[' || c == ']'; };
  return !host.empty() && std::ranges::all_of(host, fine);
}

/// Splits and checks the request line; null when good. `authority` is set for the absolute form.
const char* parse_request_line(std::string_view line, Request& out, std::string_view& authority, int& status) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return "request line without method, target and version";
  const std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  if (method.size() > kMethodBytesMax || !is_token(method)) return "malformed method";
  out.minor_version = parse_version(line.substr(last + 1));
  if (out.minor_version == -2) return "malformed HTTP version";
  if (out.minor_version < 0) {
    status = 505;
    return "only HTTP/1.0 and HTTP/1.1 are spoken";
  }
  if (target.size() > kTargetBytesMax) {
    status = 414;
    return "the target is longer than 8 KiB";
  }
  if (target.empty() || !kTargetChars.all(target)) return "malformed target";
  if (method == "CONNECT") {
    status = 501;
    return "CONNECT is not offered";
  }
  const std::size_t scheme = target.find("://");
  const bool absolute = scheme != std::string_view::npos && (equals_ignoring_case(target.substr(0, scheme), "http") ||
                                                             equals_ignoring_case(target.substr(0, scheme), "https"));
  out.method.assign(method);
  if (absolute) {
    target.remove_prefix(scheme + 3);
    const std::size_t path = target.find_first_of("/?");
    authority = target.substr(0, path);
    if (!is_host_value(authority)) return "malformed host in the target";
    target = path == std::string_view::npos ? std::string_view() : target.substr(path);
    out.target.assign(target.starts_with('/') ? "" : "/").append(target);
    return nullptr;
  }
  if (!target.starts_with('/') && !(target == "*" && method == "OPTIONS")) return "malformed target";
  out.target.assign(target);
  return nullptr;
}

}  // namespace

bool is_token(std::string_view text) { return !text.empty() && kTokenChars.all(text); }

bool is_field_value(std::string_view text) { return kValueChars.all(text) && trim_spaces(text) == text; }

HeadScanner::State HeadScanner::scan(std::string_view buffer) {
  const auto refused = [this](int status, const char* reason) {
    refusal_ = {.status = status, .reason = reason};
    return State::kRefused;
  };
  if (refusal_.reason[0] != '\0') return State::kRefused;
  if (buffer.empty()) return State::kMore;
  if (!kTokenChars(buffer[0]) && buffer[0] != '\r' && buffer[0] != '\n') return refused(400, "this is not HTTP");
  for (;;) {
    const void* found = std::memchr(buffer.data() + scanned_, '\n', buffer.size() - scanned_);
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data());
    if (at >= kHeadBytesMax) return refused(431, "the head is longer than 32 KiB");
    if (at == 0 || buffer[at - 1] != '\r') return refused(400, "line end without CR");
    const bool empty = at - line_start_ == 1;
    const bool leading = line_start_ == 0;
    scanned_ = at + 1;
    line_start_ = at + 1;
    // One empty line before a request is forgiven (RFC 9112 §2.2); a second one is not.
    if (empty && at == 3) return refused(400, "empty lines instead of a head");
    if (empty && !leading) return State::kComplete;
  }
  scanned_ = buffer.size();
  if (buffer.size() > kHeadBytesMax) return refused(431, "the head is longer than 32 KiB");
  return State::kMore;
}

HeadResult parse_request_head(std::string_view head, Request& out) {
  if (head.starts_with("\r\n")) head.remove_prefix(2);
  int status = 400;
  std::string_view authority;
  if (const char* reason = parse_request_line(take_line(head), out, authority, status)) return refuse(status, reason);
  Seen seen;
  if (const char* reason = parse_fields(head, out.headers, seen)) {
    return refuse(out.headers.size() >= kFieldsMax ? 431 : 400, reason);
  }
  HeadResult result;
  if (const char* reason = parse_framing(seen, out.minor_version, result.framing)) {
    const std::string_view why = reason;
    const int code = why.ends_with("other than chunked") ? 501 : why.ends_with("is too large") ? 413 : 400;
    return refuse(code, reason);
  }
  if (seen.host > 1) return refuse(400, "more than one Host");
  if (seen.host == 0 && out.minor_version == 1) return refuse(400, "no Host");
  if (seen.host == 1 && !is_host_value(seen.host_value)) return refuse(400, "malformed Host");
  result.keep_alive = wants_keep_alive(out.headers, seen, out.minor_version);
  if (!authority.empty()) out.headers.set("Host", authority);
  out.body.clear();
  result.ok = true;
  return result;
}

HeadResult parse_response_head(std::string_view head, std::string_view method, Response& out) {
  const std::string_view line = take_line(head);
  out.minor_version = parse_version(line.substr(0, 8));
  if (out.minor_version < 0) return refuse(502, "malformed status line or another version of HTTP");
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (line.size() < 12 || line[8] != ' ' || !digit(line[9]) || !digit(line[10]) || !digit(line[11]) ||
      (line.size() > 12 && line[12] != ' ')) {
    return refuse(502, "malformed status line");
  }
  out.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (out.status < 100 || out.status > 599) return refuse(502, "status outside of 100 to 599");
  out.reason.assign(line.size() > 13 ? line.substr(13) : std::string_view());
  if (!kValueChars.all(out.reason)) return refuse(502, "control character in the status line");
  Seen seen;
  if (const char* reason = parse_fields(head, out.headers, seen)) return refuse(502, reason);
  HeadResult result;
  if (const char* reason = parse_framing(seen, out.minor_version, result.framing)) return refuse(502, reason);
  result.keep_alive = wants_keep_alive(out.headers, seen, out.minor_version);
  const bool framed = result.framing.kind != BodyFraming::Kind::kNone;
  const bool bodiless = method == "HEAD" || out.status < 200 || out.status == 204 || out.status == 304;
  if (bodiless) {
    // A body announced where none may be: read none, and trust the connection no further.
    const bool odd = (out.status < 200 || out.status == 204) && framed &&
                     result.framing != BodyFraming{.kind = BodyFraming::Kind::kLength};
    result.keep_alive = result.keep_alive && !odd;
    result.framing = {};
  } else if (!framed) {
    result.framing = {.kind = BodyFraming::Kind::kUntilClose};
    result.keep_alive = false;
  }
  out.body.clear();
  result.ok = true;
  return result;
}

}  // namespace berth::net::http1
