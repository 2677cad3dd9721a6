#pragma once
// Length-prefixed frames on a stream: u32 length of the payload (big endian, at most kFrameBytesMax), one byte of
// type, payload. Types from 0xf0 belong to this layer.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/stream.h"

namespace berth::net {

constexpr std::size_t kFrameBytesMax = 4 * 1024 * 1024;
constexpr std::size_t kFramesQueuedBytesMax = 8 * 1024 * 1024;
constexpr std::uint8_t kFramePing = 0xf0;
constexpr std::uint8_t kFramePong = 0xf1;
constexpr std::uint8_t kFrameTypeReserved = 0xf0;  // first of the layer's own types
constexpr Millis kFrameWriteMax{30'000};           // for the peer to take what is queued

struct Frame {
  std::uint8_t type = 0;
  std::string payload;
};

/// One reader; any number of tasks of the stream's executor may write.
class FrameChannel {
 public:
  struct Impl;

  FrameChannel();
  explicit FrameChannel(Stream stream);
  ~FrameChannel();
  FrameChannel(FrameChannel&& other) noexcept;
  FrameChannel& operator=(FrameChannel&& other) noexcept;

  /// The next frame. Pings are answered and pongs swallowed inside; both count as a sign of life.
  /// Errors: kTimeout when nothing at all came for `silence_max`, kUnavailable at the end of the stream, kInvalid when
  /// a frame is longer than `bytes_max` or of a reserved type, kCancelled.
  awaitable<Result<Frame>> read(Millis silence_max, std::size_t bytes_max = kFrameBytesMax);
  /// Frames leave in the order of the calls. Completes when the frame is written, or queued behind one being written;
  /// waits while kFramesQueuedBytesMax are queued. A lost connection shows in the next call and in read().
  awaitable<Result<void>> write(std::uint8_t type, std::string payload, Deadline deadline);
  awaitable<Result<void>> ping(Deadline deadline);
  /// Ends reads and writes with kCancelled.
  void cancel();
  void close();
  [[nodiscard]] bool is_open() const;
  [[nodiscard]] const std::string& peer() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::net
