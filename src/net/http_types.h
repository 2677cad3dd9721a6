#pragma once
// Plain HTTP values shared by server and client.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::net {

/// Header fields in order; names compare without case. All text sits in one buffer, so a list costs two allocations
/// whatever its length, and none when it is reused.
class HeaderList {
 public:
  struct View {
    std::string_view name;
    std::string_view value;
  };

  HeaderList() = default;
  HeaderList(std::initializer_list<View> fields);

  void add(std::string_view name, std::string_view value);
  /// Replaces all fields of that name by one.
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  void clear();

  /// First field of that name.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
  /// True when any field `name`, read as a comma-separated list, has `token` (without case).
  [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  /// Views end with the next change of the list.
  [[nodiscard]] View operator[](std::size_t index) const;

 private:
  struct Entry {
    std::uint32_t name_at, name_size, value_at, value_size;
  };
  std::string text_;
  std::vector<Entry> entries_;
};

struct Request {
  std::string method = "GET";
  std::string target = "/";  // origin form: path and query. A received absolute form is reduced to it.
  int minor_version = 1;     // HTTP/1.x
  HeaderList headers;        // Host, framing and Connection are written by the client when absent
  std::string body;          // to send; a received body is read through the Exchange

  /// The target up to '?'. Not percent-decoded.
  [[nodiscard]] std::string_view path() const;
  /// The target after '?'; empty without one.
  [[nodiscard]] std::string_view query() const;
};

struct Response {
  int status = 200;
  std::string reason;  // empty: the usual phrase for the status
  int minor_version = 1;
  HeaderList headers;  // framing, Connection and Date are written by the server
  std::string body;
};

/// "Not Found" for 404; "Unknown" for what is not registered.
std::string_view reason_phrase(int status);
/// The response {status, content-type: type, body}.
Response make_response(int status, std::string_view content_type, std::string body);
/// Value of `name` in a query string, percent-decoded; absent when not there or malformed.
std::optional<std::string> query_value(std::string_view query, std::string_view name);
/// Percent-decodes one path segment or query value ('+' is a space only with `plus_is_space`). Absent when malformed.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
/// Escapes everything but unreserved characters.
std::string percent_encode(std::string_view text);

/// http://, https:// and http+unix: "unix:/run/x.sock:/path" (the path after the second colon).
struct Url {
  bool tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string unix_path;  // not empty: a unix socket
  std::string target = "/";

  /// Value of the Host header: the port only when it is not the scheme's.
  [[nodiscard]] std::string authority() const;
};

/// Errors: kInvalid, naming what is wrong with `text`. User names in URLs are refused.
Result<Url> parse_url(std::string_view text);

}  // namespace berth::net
