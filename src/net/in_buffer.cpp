#include "net/detail/in_buffer.h"

#include <algorithm>
#include <cstring>

namespace berth::net {

std::span<char> InBuffer::tail(std::size_t least) {
  if (capacity_ - end_ >= least) return {data_.get() + end_, capacity_ - end_};
  const std::size_t used = end_ - begin_;
  if (capacity_ - used < least) {
    const std::size_t capacity = std::max({used + least, 2 * used, kIdleBufferBytes});
    std::unique_ptr<char[]> larger(new char[capacity]);
    if (used > 0) std::memcpy(larger.get(), data_.get() + begin_, used);
    data_ = std::move(larger);
    capacity_ = capacity;
  } else if (used > 0) {
    std::memmove(data_.get(), data_.get() + begin_, used);
  }
  begin_ = 0;
  end_ = used;
  return {data_.get() + end_, capacity_ - end_};
}

void InBuffer::shrink() {
  if (!empty() || capacity_ <= kIdleBufferBytes) return;
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

void BodyReader::start(http1::BodyFraming framing) {
  framing_ = framing;
  decoder_.reset();
  left_ = framing.length;
  received_ = 0;
  held_ = 0;
  done_ = framing.kind == http1::BodyFraming::Kind::kNone ||
          (framing.kind == http1::BodyFraming::Kind::kLength && framing.length == 0);
}

void BodyReader::release(InBuffer& in) {
  in.consume(held_);
  held_ = 0;
}

BodyReader::State BodyReader::next(InBuffer& in, std::string_view& data) {
  release(in);
  if (done_) return State::kDone;
  const std::string_view view = in.view();
  if (view.empty()) return State::kMore;
  if (framing_.kind == http1::BodyFraming::Kind::kChunked) {
    const http1::ChunkedDecoder::Step step = decoder_.feed(view);
    if (step.refused) return State::kRefused;
    if (step.data.empty()) {
      in.consume(step.consumed);
      done_ = step.done;
      return step.done ? State::kDone : State::kMore;
    }
    data = step.data;
    held_ = step.consumed;
  } else {
    const bool counted = framing_.kind == http1::BodyFraming::Kind::kLength;
    held_ = counted ? static_cast<std::size_t>(std::min<std::uint64_t>(left_, view.size())) : view.size();
    data = view.substr(0, held_);
    if (counted) left_ -= held_;
    done_ = counted && left_ == 0;
  }
  received_ += data.size();
  return State::kData;
}

bool BodyReader::end_of_stream() {
  if (framing_.kind != http1::BodyFraming::Kind::kUntilClose) return false;
  done_ = true;
  return true;
}

}  // namespace berth::net
