#pragma once
// Terms: the text beside a sum, "a [= n] + b = total B", built only when someone reads it.

#include <string>

#include "estimate/detail/sat.h"

namespace berth::estimate {

/// "8,192".
std::string grouped(std::uint64_t value);

/// Addends of one sum in bytes. Functions that compute take a pointer to one, null when nobody reads the text.
class Terms {
 public:
  void add(std::string formula, Sat bytes);
  /// "formula + formula = 1,234 B"; one addend: the formula and its value.
  [[nodiscard]] std::string text() const;

 private:
  std::string text_;
  Sat total_;
};

}  // namespace berth::estimate
