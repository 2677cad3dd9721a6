#pragma once
// Finds the token counts in answers and events of engines. Pure.

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::gateway {

struct TokenCounts {
  std::uint64_t prompt = 0;
  std::uint64_t completion = 0;  // 0 for embeddings
};

/// What one JSON object of an engine says: a whole answer, or the data of one event.
struct AnswerFacts {
  std::optional<TokenCounts> usage;  // absent or null: none
  bool has_choices = false;          // "choices" is there and not empty
  bool empty_choices = false;        // "choices": []
  bool is_error = false;             // has a member "error" that is not null
};

/// Lenient: what cannot be read is not there.
AnswerFacts read_answer(std::string_view json);

}  // namespace berth::gateway
