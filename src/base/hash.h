#pragma once
// Content hashes: equal bytes, equal hash, on every machine and in every release. Not for secrets.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace berth {

struct Hash {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;

  friend auto operator<=>(const Hash&, const Hash&) = default;
  /// Order-independent combination: the hash of a fleet is the sum of its workers' hashes (DESIGN §1).
  Hash& operator+=(const Hash& other);
  Hash& operator-=(const Hash& other);
  /// 32 hexadecimal digits.
  [[nodiscard]] std::string text() const;
};

/// Feeds values in a self-delimiting form, so that ("ab","c") and ("a","bc") differ.
class Hasher {
 public:
  Hasher& add(std::string_view text);
  Hasher& add(std::uint64_t value);
  [[nodiscard]] Hash finish() const;

 private:
  std::uint64_t a_ = 0x9E3779B97F4A7C15ULL;
  std::uint64_t b_ = 0xC2B2AE3D27D4EB4FULL;
};

}  // namespace berth
