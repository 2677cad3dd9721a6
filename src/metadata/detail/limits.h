#pragma once
// What a model may claim to be. Far above anything published, far below what could hurt the arithmetic behind it.

#include <cstdint>

namespace berth::metadata::detail {

constexpr std::uint32_t kLayersMax = 1'024;
constexpr std::uint32_t kWidthMax = 1U << 24;  // hidden, feed-forward, state sizes, low ranks
constexpr std::uint32_t kHeadsMax = 65'536;
constexpr std::uint32_t kHeadDimMax = 65'536;
constexpr std::uint32_t kExpertsMax = 65'536;
constexpr std::uint32_t kVocabMax = 1U << 26;
constexpr std::uint32_t kContextMax = 1U << 30;

}  // namespace berth::metadata::detail
