#include "gateway/detail/usage.h"

#include "base/text.h"
#include "gateway/detail/json_scan.h"

namespace berth::gateway {
namespace {

std::optional<TokenCounts> read_counts(std::string_view object) {
  TokenCounts counts;
  bool found = false;
  const OnMember on_member = [&](const JsonMember& member) -> Result<void> {
    const auto count = member.kind == JsonKind::kNumber ? json_count(member.value) : std::nullopt;
    if (!count) return {};
    if (member.key == "prompt_tokens") {
      counts.prompt = *count;
      found = true;
    } else if (member.key == "completion_tokens") {
      counts.completion = *count;
      found = true;
    }
    return {};
  };
  if (!scan_object(object, on_member) || !found) return std::nullopt;
  return counts;
}

}  // namespace

AnswerFacts read_answer(std::string_view json) {
  AnswerFacts facts;
  const OnMember on_member = [&facts](const JsonMember& member) -> Result<void> {
    if (member.key == "usage" && member.kind == JsonKind::kObject) facts.usage = read_counts(member.value);
    if (member.key == "error" && member.kind != JsonKind::kNull) facts.is_error = true;
    if (member.key == "choices" && member.kind == JsonKind::kArray) {
      facts.empty_choices = trim(member.value.substr(1, member.value.size() - 2)).empty();
      facts.has_choices = !facts.empty_choices;
    }
    return {};
  };
  if (!scan_object(json, on_member)) return {};
  return facts;
}

}  // namespace berth::gateway
