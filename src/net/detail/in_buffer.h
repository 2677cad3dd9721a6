#pragma once
// Received bytes not used up yet, and the body that is cut out of them.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "net/http1.h"

namespace berth::net {

constexpr std::size_t kReadBytes = 16 * 1024;       // of a body, at once
constexpr std::size_t kIdleBufferBytes = 4 * 1024;  // kept by a connection that waits for its next message

/// One flat buffer: read at the tail, consumed at the front.
class InBuffer {
 public:
  [[nodiscard]] std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  /// Free space of at least `least` bytes behind what is there. Ends views.
  std::span<char> tail(std::size_t least);
  void commit(std::size_t bytes) { end_ += bytes; }
  /// Gives memory beyond kIdleBufferBytes back when empty.
  void shrink();

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// Cuts one message body out of a buffer, without copying.
class BodyReader {
 public:
  enum class State { kData, kMore, kDone, kRefused };

  void start(http1::BodyFraming framing);
  /// kData: `data` is the next piece, in the buffer until the next call. kMore: read into the buffer and call again.
  State next(InBuffer& in, std::string_view& data);
  /// Uses up what the last next() returned; also done by the following one.
  void release(InBuffer& in);
  /// The stream ended: the end of a body until close, and an error for the others.
  [[nodiscard]] bool end_of_stream();
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const http1::BodyFraming& framing() const { return framing_; }
  [[nodiscard]] std::uint64_t left() const { return left_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] const char* reason() const { return decoder_.refusal().reason; }

 private:
  http1::BodyFraming framing_;
  http1::ChunkedDecoder decoder_;
  std::uint64_t left_ = 0;
  std::uint64_t received_ = 0;
  std::size_t held_ = 0;  // bytes at the front of the buffer that were handed out
  bool done_ = true;
};

}  // namespace berth::net
