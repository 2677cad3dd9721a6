#pragma once
// Bytes: a count of bytes that cannot wrap. Every operation saturates at 0 and at kMax, so that a hostile or absurd
// figure can make a model look too large, never small.

#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth {

struct Bytes {
  std::uint64_t value = 0;

  constexpr Bytes() = default;
  constexpr Bytes(std::uint64_t v) : value(v) {}  // NOLINT: integers in formulas read better without casts

  /// Saturation limit. Above 2^53 JavaScript loses exactness, so the wire refuses larger values (wire/json.h).
  static constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

  friend constexpr auto operator<=>(Bytes, Bytes) = default;

  friend constexpr Bytes operator+(Bytes a, Bytes b) {
    return a.value > kMax - b.value ? Bytes(kMax) : Bytes(a.value + b.value);
  }
  friend constexpr Bytes operator*(Bytes a, std::uint64_t n) {
    if (n != 0 && a.value > kMax / n) return Bytes(kMax);
    return Bytes(a.value * n);
  }
  Bytes& operator+=(Bytes b) { return *this = *this + b; }

  /// a − b, or 0 when b is larger.
  [[nodiscard]] constexpr Bytes minus_or_zero(Bytes b) const {
    return b.value >= value ? Bytes(0) : Bytes(value - b.value);
  }
  [[nodiscard]] constexpr bool saturated() const { return value == kMax; }
};

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

/// a / b rounded up; 0 when b is 0.
constexpr std::uint64_t div_ceil(std::uint64_t a, std::uint64_t b) { return b == 0 ? 0 : a / b + (a % b != 0); }
/// Product that stops at the largest value instead of wrapping.
constexpr std::uint64_t sat_mul(std::uint64_t a, std::uint64_t b) { return (Bytes(a) * b).value; }
constexpr std::uint64_t sat_add(std::uint64_t a, std::uint64_t b) { return (Bytes(a) + Bytes(b)).value; }
/// `value` rounded up to a multiple of `step`, saturating.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return sat_mul(div_ceil(value, step), step);
}
/// a · num / den without overflow in the product, rounded up; saturating. 0 when den is 0.
std::uint64_t mul_div_ceil(std::uint64_t a, std::uint64_t num, std::uint64_t den);

/// "18.40 GiB", "512.0 MiB", "12 B": two decimals from 1 GiB on, one below. Exact values stand in -o json.
std::string human(Bytes bytes);
/// Reads "24GiB", "24 GB", "512M", "1024"; suffixes K/M/G/T are 1024-based like KiB, KB/MB/GB/TB 1000-based.
/// Errors: kInvalid naming the text and what is allowed.
Result<Bytes> parse_bytes(std::string_view text);

}  // namespace berth
