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

}  // namespace berth::testing
