#pragma once
// What facts about a model may say, whoever says it: a file's header, a config or a person.

#include <string_view>

#include "base/result.h"
#include "fleet/model.h"

namespace berth::fleet {

// Far above anything published, far below what could hurt the arithmetic behind it.
constexpr std::uint32_t kModelLayersMax = 1'024;
constexpr std::uint32_t kModelWidthMax = 1U << 24;  // hidden, feed-forward and state sizes, low ranks
constexpr std::uint32_t kModelHeadsMax = 65'536;    // also the width of one head, and experts
constexpr std::uint32_t kModelVocabMax = 1U << 26;
constexpr std::uint32_t kModelContextMax = 1U << 30;
constexpr std::uint64_t kModelBytesMax = 1ULL << 50;

/// Unknown is absent, never 0: a figure that is there is in its range and does not contradict the others. `path` is the
/// place of the facts in the request. Errors: kInvalid naming field, value and what is allowed.
Result<void> check_facts(std::string_view path, const ModelFacts& facts);

}  // namespace berth::fleet
