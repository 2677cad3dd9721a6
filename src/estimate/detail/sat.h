#pragma once
// Sat: a count that stops at the largest value instead of wrapping, so that absurd facts can make a model look too
// large, never small.

#include "base/bytes.h"

namespace berth::estimate {

struct Sat {
  std::uint64_t value = 0;

  constexpr Sat() = default;
  constexpr Sat(std::uint64_t v) : value(v) {}  // NOLINT: integers in formulas read better without casts

  friend constexpr auto operator<=>(Sat, Sat) = default;
  friend constexpr Sat operator+(Sat a, Sat b) { return sat_add(a.value, b.value); }
  friend constexpr Sat operator*(Sat a, Sat b) { return sat_mul(a.value, b.value); }
  /// Rounded down. A saturated count stays saturated; 0 when the divisor is 0.
  friend constexpr Sat operator/(Sat a, Sat b) {
    if (b.value == 0) return 0;
    return a.value == Bytes::kMax ? a : Sat(a.value / b.value);
  }
  Sat& operator+=(Sat b) { return *this = *this + b; }
  /// Stops at 0; a saturated count stays saturated.
  [[nodiscard]] constexpr Sat minus_or_zero(Sat b) const {
    if (value == Bytes::kMax) return *this;
    return b.value >= value ? Sat(0) : Sat(value - b.value);
  }
};

}  // namespace berth::estimate
