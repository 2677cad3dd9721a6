#include "estimate/detail/terms.h"

#include <fmt/format.h>

namespace berth::estimate {

std::string grouped(std::uint64_t value) {
  constexpr std::size_t kGroup = 3;
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > kGroup;) digits.insert(at -= kGroup, 1, ',');
  return digits;
}

void Terms::add(std::string formula, Sat bytes) {
  if (bytes == Sat(0)) return;
  if (!text_.empty()) text_ += " + ";
  text_ += formula;
  total_ += bytes;
}

std::string Terms::text() const {
  if (text_.empty()) return "0 B";
  return fmt::format("{} = {} B", text_, grouped(total_.value));
}

}  // namespace berth::estimate
