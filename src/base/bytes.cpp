#include "base/bytes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace berth {
namespace {

__extension__ using Wide = unsigned __int128;

struct Unit {
  std::string_view suffix;
  std::uint64_t factor;
};

constexpr std::uint64_t kKilo = 1000;
constexpr std::array kUnits = {
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"K", kKiB},
    Unit{"KiB", kKiB},
    Unit{"KB", kKilo},
    Unit{"M", kMiB},
    Unit{"MiB", kMiB},
    Unit{"MB", kKilo* kKilo},
    Unit{"G", kGiB},
    Unit{"GiB", kGiB},
    Unit{"GB", kKilo* kKilo* kKilo},
    Unit{"T", 1024 * kGiB},
    Unit{"TiB", 1024 * kGiB},
    Unit{"TB", kKilo* kKilo* kKilo* kKilo},
};

Error bad_size(std::string_view text) {
  return invalid(
      fmt::format("\"{}\" is not a size; write a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB", text));
}

}  // namespace

std::uint64_t mul_div_ceil(std::uint64_t a, std::uint64_t num, std::uint64_t den) {
  if (den == 0) return 0;
  const Wide product = Wide(a) * num;
  const Wide quotient = product / den + (product % den != 0 ? 1 : 0);
  return quotient > Bytes::kMax ? Bytes::kMax : static_cast<std::uint64_t>(quotient);
}

std::string human(Bytes bytes) {
  const auto v = static_cast<double>(bytes.value);
  if (bytes.value < kKiB) return fmt::format("{} B", bytes.value);
  if (bytes.value < kMiB) return fmt::format("{:.1f} KiB", v / static_cast<double>(kKiB));
  if (bytes.value < kGiB) return fmt::format("{:.1f} MiB", v / static_cast<double>(kMiB));
  return fmt::format("{:.2f} GiB", v / static_cast<double>(kGiB));
}

Result<Bytes> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || !(number >= 0)) return bad_size(text);
  std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!suffix.empty() && suffix.front() == ' ') suffix.remove_prefix(1);
  for (const auto& unit : kUnits) {
    if (unit.suffix != suffix) continue;
    const double value = number * static_cast<double>(unit.factor);
    if (!(value < 9e15)) return bad_size(text);
    return Bytes(static_cast<std::uint64_t>(std::llround(value)));
  }
  return bad_size(text);
}

}  // namespace berth
