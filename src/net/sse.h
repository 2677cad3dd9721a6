#pragma once
// Server-sent events: writer, and a reader that leaves the bytes as they came. Pure.
// Source: WHATWG HTML, "Server-sent events", parsing an event stream.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::net {

constexpr std::size_t kSseEventBytesMax = 4 * 1024 * 1024;
constexpr std::string_view kSseContentType = "text/event-stream";
/// A comment that keeps connections alive; send one every kSseHeartbeat of silence.
constexpr std::string_view kSseHeartbeatText = ": keep-alive\n\n";

struct SseEvent {
  std::string event;  // empty: "message"
  std::string data;   // lines joined by '\n'
  std::string id;
};

/// Appends the event in wire form; every line of `data` becomes a data field. Line breaks in event and id are dropped.
void append_sse(std::string& out, const SseEvent& event);
void append_sse_comment(std::string& out, std::string_view text);

/// Cuts a byte stream into events. Feed, then take events until there is none.
class SseReader {
 public:
  struct Item {
    std::string_view raw;    // the exact bytes with their blank line: forward these. Valid until the next feed
    std::string_view event;  // of the last `event:` line; empty without
    std::string_view id;
    std::string data;       // data lines joined; empty for comments and heartbeats
    bool has_data = false;  // false: a comment or an event without data, nothing to dispatch
  };

  explicit SseReader(std::size_t event_bytes_max = kSseEventBytesMax) : event_bytes_max_(event_bytes_max) {}

  /// Errors: kTooLarge when an event without end exceeds the limit; the reader is then useless.
  Result<void> feed(std::string_view bytes);
  std::optional<Item> next();
  /// Bytes of an unfinished event: what must still be forwarded when the stream ends.
  [[nodiscard]] std::string_view rest() const { return std::string_view(buffer_).substr(start_); }

 private:
  static Item parse(std::string_view raw, bool& first);

  std::size_t event_bytes_max_;
  std::string buffer_;
  std::size_t start_ = 0;    // of the first event not taken
  std::size_t scanned_ = 0;  // looked at before this
  std::size_t line_ = 0;     // start of the line being scanned
  bool first_ = true;        // a byte order mark may come
};

}  // namespace berth::net
