#pragma once
// Seeded randomness, equal on every standard library (std distributions are not).

#include <cstdint>
#include <random>

namespace berth {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t next() { return engine_(); }
  /// Uniform in [0, n); 0 when n is 0.
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : engine_() % n; }
  /// True in `num` of `den` cases.
  bool chance(std::uint64_t num, std::uint64_t den) { return below(den) < num; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace berth
