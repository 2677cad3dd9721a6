#include "net/frames.h"

#include <array>

#include "net/detail/in_buffer.h"

namespace berth::net {
namespace {

constexpr std::size_t kHeaderBytes = 5;

void append_frame(std::string& out, std::uint8_t type, std::string_view payload) {
  const auto size = static_cast<std::uint32_t>(payload.size());
  for (const unsigned shift : {24U, 16U, 8U, 0U}) out.push_back(static_cast<char>((size >> shift) & 0xffU));
  out.push_back(static_cast<char>(type));
  out.append(payload);
}

}  // namespace

struct FrameChannel::Impl {
  explicit Impl(Stream on) : stream(std::move(on)), drained(stream.executor()) {}

  static awaitable<Result<void>> put(std::shared_ptr<Impl> self,
                                     std::uint8_t type,
                                     std::string payload,
                                     Deadline deadline);
  static awaitable<Result<void>> flush(std::shared_ptr<Impl> self);

  Stream stream;
  InBuffer in;
  std::string queued;   // frames not given to the stream yet
  std::string sending;  // frames being written
  bool writing = false;
  std::optional<Error> broken;
  Signal drained;
};

/// Writes what is queued, also what is added meanwhile. One at a time.
awaitable<Result<void>> FrameChannel::Impl::flush(std::shared_ptr<Impl> self) {
  self->writing = true;
  while (!self->queued.empty() && !self->broken) {
    self->sending.clear();
    self->sending.swap(self->queued);
    auto sent = co_await self->stream.write_all(self->sending, Deadline::in(kFrameWriteMax));
    if (!sent) self->broken = sent.error();
    self->drained.notify();
  }
  self->writing = false;
  if (self->sending.capacity() > kReadBytes) self->sending = std::string();
  if (const auto& broken = self->broken) co_return *broken;
  co_return Result<void>{};
}

awaitable<Result<void>> FrameChannel::Impl::put(std::shared_ptr<Impl> self,
                                                std::uint8_t type,
                                                std::string payload,
                                                Deadline deadline) {
  while (!self->broken && self->queued.size() + payload.size() + kHeaderBytes > kFramesQueuedBytesMax) {
    if (co_await self->drained.wait(deadline)) continue;
    if (co_await task_cancelled()) co_return fail(Code::kCancelled, "cancelled");
    if (deadline.passed()) co_return fail(Code::kTimeout, "the peer does not take frames in time");
  }
  if (const auto& broken = self->broken) co_return *broken;
  append_frame(self->queued, type, payload);
  if (self->writing) co_return Result<void>{};
  co_return co_await flush(self);
}

FrameChannel::FrameChannel() = default;
FrameChannel::FrameChannel(Stream stream) : impl_(std::make_shared<Impl>(std::move(stream))) {}
FrameChannel::~FrameChannel() = default;
FrameChannel::FrameChannel(FrameChannel&& other) noexcept = default;
FrameChannel& FrameChannel::operator=(FrameChannel&& other) noexcept = default;

awaitable<Result<Frame>> FrameChannel::read(Millis silence_max, std::size_t bytes_max) {
  const std::shared_ptr<Impl> self = impl_;
  for (;;) {
    const std::string_view view = self->in.view();
    std::size_t wanted = kHeaderBytes;
    if (view.size() >= kHeaderBytes) {
      std::size_t size = 0;
      for (std::size_t i = 0; i < 4; ++i) size = size << 8U | static_cast<unsigned char>(view[i]);
      if (size > bytes_max) co_return invalid(fmt::format("a frame of {} bytes, the limit is {}", size, bytes_max));
      wanted += size;
    }
    if (view.size() >= kHeaderBytes && view.size() >= wanted) {
      Frame frame{.type = static_cast<std::uint8_t>(view[4]),
                  .payload = std::string(view.substr(kHeaderBytes, wanted - kHeaderBytes))};
      self->in.consume(wanted);
      self->in.shrink();
      if (frame.type < kFrameTypeReserved) co_return std::move(frame);
      if (frame.type == kFramePong) continue;
      if (frame.type != kFramePing) co_return invalid(fmt::format("a frame of the reserved type {}", frame.type));
      // A peer that sends pings and reads nothing fills the queue, and then waits for itself.
      CO_TRY_VOID(co_await Impl::put(self, kFramePong, std::move(frame.payload), Deadline::in(kFrameWriteMax)));
      continue;
    }
    // Memory grows with what really comes, not with what a header declares.
    const std::size_t least = std::min(wanted - view.size(), kReadBytes);
    CO_TRY(const std::size_t got, co_await self->stream.read_some(self->in.tail(least), Deadline::in(silence_max)));
    if (got == 0) co_return fail(Code::kUnavailable, "the peer closed the connection");
    self->in.commit(got);
  }
}

awaitable<Result<void>> FrameChannel::write(std::uint8_t type, std::string payload, Deadline deadline) {
  if (type >= kFrameTypeReserved) co_return fail(Code::kInternal, fmt::format("frame type {} is reserved", type));
  if (payload.size() > kFrameBytesMax) {
    co_return fail(Code::kTooLarge,
                   fmt::format("a frame of {} bytes, the limit is {}", payload.size(), kFrameBytesMax));
  }
  co_return co_await Impl::put(impl_, type, std::move(payload), deadline);
}

awaitable<Result<void>> FrameChannel::ping(Deadline deadline) {
  co_return co_await Impl::put(impl_, kFramePing, {}, deadline);
}

void FrameChannel::cancel() {
  if (impl_) impl_->stream.cancel();
}

void FrameChannel::close() {
  if (impl_) impl_->stream.close();
}

bool FrameChannel::is_open() const { return impl_ && impl_->stream.is_open() && !impl_->broken; }
const std::string& FrameChannel::peer() const { return impl_->stream.peer(); }

}  // namespace berth::net
