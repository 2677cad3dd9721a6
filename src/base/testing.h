#pragma once
// For tests only.

#include <cstdint>

namespace berth::testing {

/// Under a sanitizer, unoptimised, code is some twenty times as slow: there a repeated test makes one round in this
/// many. Every round runs in the release build.
#ifdef BERTH_SANITIZED
constexpr std::uint64_t kOneRoundIn = 20;
#else
constexpr std::uint64_t kOneRoundIn = 1;
#endif

/// `all` rounds, or a share of them.
constexpr std::uint64_t rounds(std::uint64_t all) { return all < kOneRoundIn ? 1 : all / kOneRoundIn; }

/// How often something must have been seen in rounds() of them, when it must be seen `in_all` times in all rounds: in a
/// share of the rounds chance may halve it, and what is rare may not come up.
constexpr std::uint64_t at_least(std::uint64_t in_all) {
  return kOneRoundIn == 1 ? in_all : in_all / (2 * kOneRoundIn);
}

}  // namespace berth::testing
