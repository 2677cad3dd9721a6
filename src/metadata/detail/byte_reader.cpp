#include "metadata/detail/byte_reader.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::metadata::detail {

static_assert(std::endian::native == std::endian::little, "number() copies bytes as they lie in the file");

std::string Part::text() const {
  std::string text(kind);
  if (index) text += fmt::format(" {}", *index);
  if (!name.empty()) text += ' ' + quoted(name);
  return text;
}

std::string quoted(std::string_view name) {
  constexpr std::size_t kShownMax = 80;
  std::string text = printable(name.substr(0, kShownMax));
  if (name.size() > kShownMax) text += "…";
  return '"' + text + '"';
}

std::uint64_t ByteReader::remaining() const {
  const std::uint64_t end = std::min(limits_.file_bytes, limits_.header_bytes);
  return end > position_ ? end - position_ : 0;
}

Result<std::string_view> ByteReader::take(std::uint64_t count, const Part& what) {
  const std::uint64_t at_hand = bytes_.size() - position_;
  if (count <= at_hand && position_ + count <= limits_.header_bytes) {
    const std::string_view view(reinterpret_cast<const char*>(bytes_.data() + position_), count);
    position_ += count;
    return view;
  }
  if (count > limits_.file_bytes - position_) {
    return invalid(fmt::format("{} needs {} bytes at {}, but the file has {} bytes: it is truncated or damaged",
                               what.text(),
                               count,
                               position_,
                               limits_.file_bytes));
  }
  if (count > remaining()) {
    return fail(Code::kTooLarge,
                fmt::format("{} reaches past {} bytes, the most a header may have", what.text(), limits_.header_bytes));
  }
  needed_ = position_ + count;
  return fail(
      Code::kUnavailable,
      fmt::format("{} needs the first {} bytes of the file, {} are at hand", what.text(), needed_, bytes_.size()));
}

}  // namespace berth::metadata::detail
