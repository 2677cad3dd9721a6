#include "estimate/detail/llama_options.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::estimate {
namespace {

struct TypeRow {
  std::string_view name;
  std::uint32_t bytes_32;
};
constexpr std::array kTypes = {TypeRow{"f32", 128},
                               TypeRow{"f16", 64},
                               TypeRow{"bf16", 64},
                               TypeRow{"q8_0", 34},
                               TypeRow{"q5_1", 24},
                               TypeRow{"q5_0", 22},
                               TypeRow{"q4_1", 20},
                               TypeRow{"q4_0", 18},
                               TypeRow{"iq4_nl", 18}};
constexpr std::uint32_t kHalfBytes32 = 64;

Result<std::uint32_t> positive(std::string_view name, std::optional<std::uint32_t> value, std::uint32_t fallback) {
  if (value == 0U) return invalid(fmt::format("settings.{} is 0, must be at least 1", name));
  return value.value_or(fallback);
}

}  // namespace

std::optional<std::uint32_t> kv_type_bytes_32(std::string_view type) {
  for (const auto& row : kTypes)
    if (row.name == type) return row.bytes_32;
  return std::nullopt;
}

Result<void> check_options(const LlamaOptions& o) {
  if (o.context == 0) return invalid("settings.context is 0, must be at least 1");
  if (o.sequences == 0) return invalid("settings.sequences is 0, must be at least 1");
  if (o.ubatch == 0 || o.batch == 0) return invalid("a batch is 0, must be at least 1");
  for (const std::string& type : {o.kv_type, o.values()}) {
    if (kv_type_bytes_32(type)) continue;
    std::vector<std::string> names;
    for (const auto& row : kTypes) names.emplace_back(row.name);
    return invalid(fmt::format("settings.kv_type is \"{}\", must be one of {}", type, join(names, ", ")));
  }
  if (!o.flash_attention && kv_type_bytes_32(o.values()).value_or(0) < kHalfBytes32)
    return invalid(fmt::format("settings.flash_attention is off, but kv_type {} needs it", o.values()));
  return {};
}

std::optional<std::string_view> flag_value(const fleet::Settings& settings, std::string_view name) {
  std::optional<std::string_view> found;
  for (const std::string& flag : settings.flags) {
    const std::string_view text = flag;
    if (text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=')
      found = text.substr(name.size() + 1);
  }
  return found;
}

bool flag_on(const fleet::Settings& settings, std::string_view name) {
  return std::ranges::find(settings.flags, name) != settings.flags.end();
}

Result<LlamaOptions> llama_options(const fleet::ModelFacts& facts, const fleet::Settings& settings) {
  LlamaOptions o;
  TRY(o.sequences, positive("sequences", settings.sequences, kDefaultSequences));
  TRY(o.ubatch, positive("ubatch", settings.ubatch, kDefaultUbatch));
  TRY(o.context, positive("context", settings.context, facts.max_context.value_or(0)));
  if (o.context == 0) return invalid("facts.max_context is not known, and settings.context is not given");
  if (const auto batch = flag_value(settings, "--batch-size")) {
    const auto value = parse_u64(*batch).value_or(0);
    if (value == 0 || value > UINT32_MAX)
      return invalid(fmt::format("flag --batch-size is \"{}\", must be an integer from 1 to {}", *batch, UINT32_MAX));
    o.batch = static_cast<std::uint32_t>(value);
  }
  o.kv_type = settings.kv_type.value_or(o.kv_type);
  o.flash_attention = settings.flash_attention.value_or(true);
  TRY_VOID(check_options(o));
  // The server computes one row of logits per slot; for embeddings and scores every token's row, of the whole input.
  const bool whole = facts.task == "embed" || facts.task == "rerank";
  if (!whole) o.outputs = o.sequences;
  if (whole && !flag_value(settings, "--batch-size")) o.batch = o.ubatch;
  return o;
}

}  // namespace berth::estimate
