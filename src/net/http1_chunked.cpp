#include <algorithm>

#include "net/detail/http1_chars.h"
#include "net/http1.h"

namespace berth::net::http1 {
namespace {

constexpr std::size_t kSizeDigitsMax = 12;  // 2^48: larger than any body that is let through

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::refuse(const char* reason, std::size_t consumed) {
  state_ = State::kRefused;
  refusal_ = {.status = 400, .reason = reason};
  return Step{.consumed = consumed, .refused = true};
}

const char* ChunkedDecoder::size_byte(char c) {
  if (++line_bytes_ > kChunkLineBytesMax) return "chunk line too long";
  const int value = hex_digit(c);
  if (value >= 0) {
    if (++digits_ > kSizeDigitsMax) return "chunk size too large";
    left_ = left_ * 16 + static_cast<std::uint64_t>(value);
    return nullptr;
  }
  if (digits_ == 0) return "chunk without a size";
  if (c == ';') {
    state_ = State::kExtension;
  } else if (c == '\r') {
    state_ = State::kSizeLf;
  } else {
    return "malformed chunk size";
  }
  return nullptr;
}

const char* ChunkedDecoder::extension_byte(char c) {
  if (++line_bytes_ > kChunkLineBytesMax) return "chunk line too long";
  if (c == '"') quoted_ = !quoted_;
  if (c == '\r' && !quoted_) {
    state_ = State::kSizeLf;
    return nullptr;
  }
  return kValueChars(c) && c != '\\' ? nullptr : "malformed chunk extension";
}

const char* ChunkedDecoder::trailer_byte(char c) {
  if (++trailer_bytes_ > kTrailerBytesMax) return "trailers too long";
  if (c == '\r') {
    if (trailer_line_ != 0 && !trailer_colon_) return "trailer line without a colon";
    state_ = State::kTrailerLf;
    return nullptr;
  }
  if (trailer_colon_) return kValueChars(c) ? nullptr : "control character in a trailer";
  if (c == ':' && trailer_line_ != 0) {
    trailer_colon_ = true;
  } else if (!kTokenChars(c)) {
    return "malformed trailer";
  }
  ++trailer_line_;
  return nullptr;
}

const char* ChunkedDecoder::line_byte(char c) {
  switch (state_) {
    case State::kSize:
      return size_byte(c);
    case State::kExtension:
      return extension_byte(c);
    case State::kSizeLf:
      if (c != '\n') return "chunk line without LF";
      state_ = left_ == 0 ? State::kTrailer : State::kData;
      return nullptr;
    case State::kDataCr:
      if (c != '\r') return "chunk data without CRLF";
      state_ = State::kDataLf;
      return nullptr;
    case State::kDataLf:
      if (c != '\n') return "chunk data without CRLF";
      state_ = State::kSize;
      digits_ = line_bytes_ = 0;
      quoted_ = false;
      return nullptr;
    case State::kTrailer:
      return trailer_byte(c);
    case State::kTrailerLf:
      if (c != '\n') return "trailer line without LF";
      state_ = trailer_line_ == 0 ? State::kDone : State::kTrailer;
      trailer_line_ = 0;
      trailer_colon_ = false;
      return nullptr;
    case State::kData:
    case State::kDone:
    case State::kRefused:
      break;
  }
  return "chunk state";
}

ChunkedDecoder::Step ChunkedDecoder::feed(std::string_view input) {
  if (state_ == State::kRefused) return Step{.refused = true};
  std::size_t at = 0;
  while (at < input.size() && state_ != State::kDone) {
    if (state_ == State::kData) {
      const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size() - at));
      left_ -= size;
      if (left_ == 0) state_ = State::kDataCr;
      return Step{.consumed = at + size, .data = input.substr(at, size)};
    }
    if (const char* reason = line_byte(input[at])) return refuse(reason, at);
    ++at;
  }
  return Step{.consumed = at, .done = state_ == State::kDone};
}

}  // namespace berth::net::http1
