#include "net/sse.h"

#include <fmt/format.h>

namespace berth::net {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (const char c : value) {
    if (c != '\n' && c != '\r' && c != '\0') out.push_back(c);
  }
  out.push_back('\n');
}

/// Size of the line end at `at` (CRLF, LF or CR), 0 when there is none.
std::size_t line_end(std::string_view text, std::size_t at) {
  if (text[at] == '\n') return 1;
  if (text[at] != '\r') return 0;
  return at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
}

}  // namespace

void append_sse(std::string& out, const SseEvent& event) {
  if (!event.id.empty()) append_field(out, "id", event.id);
  if (!event.event.empty()) append_field(out, "event", event.event);
  std::string_view rest = event.data;
  for (;;) {
    const std::size_t end = rest.find_first_of("\r\n");
    append_field(out, "data", rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + line_end(rest, end));
  }
  out.push_back('\n');
}

void append_sse_comment(std::string& out, std::string_view text) {
  out.push_back(':');
  for (const char c : text) {
    if (c != '\n' && c != '\r') out.push_back(c);
  }
  out.append("\n\n");
}

Result<void> SseReader::feed(std::string_view bytes) {
  if (start_ > 0) {
    buffer_.erase(0, start_);
    scanned_ -= start_;
    line_ -= start_;
    start_ = 0;
  }
  buffer_.append(bytes);
  if (buffer_.size() - start_ > event_bytes_max_ + bytes.size()) {
    return fail(Code::kTooLarge, fmt::format("an event is longer than {} bytes", event_bytes_max_));
  }
  return {};
}

std::optional<SseReader::Item> SseReader::next() {
  const std::string_view text = buffer_;
  while (scanned_ < text.size()) {
    const std::size_t size = line_end(text, scanned_);
    // A CR at the very end may be half of a CRLF: wait, so that raw bytes are never cut inside of one.
    if (size == 1 && text[scanned_] == '\r' && scanned_ + 1 == text.size()) break;
    const bool blank = size != 0 && scanned_ == line_;
    scanned_ += size == 0 ? 1 : size;
    if (size != 0) line_ = scanned_;
    if (!blank) continue;
    const std::string_view raw = text.substr(start_, scanned_ - start_);
    start_ = scanned_;
    return parse(raw, first_);
  }
  return std::nullopt;
}

SseReader::Item SseReader::parse(std::string_view raw, bool& first) {
  Item item{.raw = raw};
  std::string_view rest = raw;
  if (first && rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  first = false;
  while (!rest.empty()) {
    const std::size_t end = rest.find_first_of("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + line_end(rest, end));
    const std::size_t colon = line.find(':');
    if (colon == 0) continue;
    const std::string_view name = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "data") {
      if (item.has_data) item.data.push_back('\n');
      item.data.append(value);
      item.has_data = true;
    } else if (name == "event") {
      item.event = value;
    } else if (name == "id") {
      item.id = value;
    }
  }
  return item;
}

}  // namespace berth::net
