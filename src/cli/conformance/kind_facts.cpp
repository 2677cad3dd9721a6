#include "cli/conformance/kind_facts.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/convert.h"
#include "metadata/hf_config.h"
#include "wire/codec.h"
#include "wire/json_value.h"

namespace berth::cli::conformance {
namespace {

namespace json = boost::json;

struct Spelt {
  std::string_view theirs;
  std::string_view ours;
};

// As config.json files spell it.
constexpr std::array kParts = {
    Spelt{"thinker", "thinker_config"},
    Spelt{"talker", "talker_config"},
    Spelt{"text", "text_config"},
    Spelt{"llm", "llm_config"},
    Spelt{"language", "language_config"},
    Spelt{"vision", "vision_config"},
    Spelt{"audio", "audio_config"},
};
constexpr std::array kFigures = {
    Spelt{"attention_heads", "num_attention_heads"},
    Spelt{"heads", "num_heads"},
    Spelt{"dummy_heads", "num_dummy_heads"},
    Spelt{"kv_heads", "num_key_value_heads"},
    Spelt{"head_dim", "head_dim"},
    Spelt{"hidden_size", "hidden_size"},
    Spelt{"layers", "num_hidden_layers"},
    Spelt{"vocab_size", "vocab_size"},
    Spelt{"max_context", "max_position_embeddings"},
    Spelt{"experts", "num_local_experts"},
};

struct Fact {
  std::string_view name;
  std::optional<std::uint32_t> fleet::ModelFacts::* value;
};

constexpr std::array kFacts = {
    Fact{"attention_heads", &fleet::ModelFacts::attention_heads},
    Fact{"vision_attention_heads", &fleet::ModelFacts::vision_attention_heads},
    Fact{"kv_heads", &fleet::ModelFacts::kv_heads},
    Fact{"head_dim", &fleet::ModelFacts::head_dim},
    Fact{"hidden_size", &fleet::ModelFacts::hidden_size},
    Fact{"layers", &fleet::ModelFacts::layers},
    Fact{"vocab_size", &fleet::ModelFacts::vocab_size},
    Fact{"max_context", &fleet::ModelFacts::max_context},
    Fact{"experts", &fleet::ModelFacts::experts},
};

Result<json::object> spelt(const json::object& part, const std::string& path) {
  json::object out;
  for (const auto& member : part) {
    const std::string_view key(member.key().data(), member.key().size());
    const std::string where = fmt::format("{}.{}", path, printable(key));
    const auto named = [&](const Spelt& row) { return row.theirs == key; };
    if (const auto* nested = member.value().if_object()) {
      const auto at = std::find_if(kParts.begin(), kParts.end(), named);
      if (at == kParts.end()) return fail(Code::kNotSupported, fmt::format("{} is not understood", where));
      TRY(out[at->ours], spelt(*nested, where));
      continue;
    }
    const auto at = std::find_if(kFigures.begin(), kFigures.end(), named);
    if (at == kFigures.end() || !member.value().is_number())
      return fail(Code::kNotSupported, fmt::format("{} is not understood", where));
    out[at->ours] = member.value();
  }
  return out;
}

std::string number_or_null(const std::optional<std::uint32_t>& value) {
  return value ? std::to_string(*value) : "null";
}

void compare(const std::string& name, const std::string& expected, const fleet::ModelFacts& got, Findings& findings) {
  const auto at = std::find_if(kFacts.begin(), kFacts.end(), [&](const Fact& fact) { return fact.name == name; });
  if (at == kFacts.end())
    return findings.differs(fmt::format("expected.{} is not compared: no fact of berth's is called so", name));
  if (expected != "null" && !parse_u64(expected))
    return findings.differs(fmt::format("expected.{} is {}, which is not understood", name, printable(expected)));
  const std::string is = number_or_null(got.*at->value);
  findings.check(is == expected, fmt::format("{}: expected {}, got {}", name, expected, is));
}

}  // namespace

Result<std::string> task_of_architectures(const std::vector<std::string>& names) {
  const json::value config = {{"architectures", json::array(names.begin(), names.end())}};
  TRY(const auto facts, metadata::facts_from_hf_config(wire::serialize_value(config)));
  return facts.task;
}

Result<FactsCase> read_facts_case(std::string_view json) {
  return wire::from_json<FactsCase>(json, wire::Strictness::kLenient);
}

Result<std::string> config_of(const FactsCase& c) {
  if (c.model_config_heads.text.empty()) return invalid("model_config_heads is absent");
  TRY(const auto value, wire::parse_value(c.model_config_heads.text));
  if (!value.is_object()) return invalid("model_config_heads must be an object");
  TRY(const auto config, spelt(value.get_object(), "model_config_heads"));
  return wire::serialize_value(config);
}

CaseResult run_facts(const FactsCase& c) {
  const auto config = config_of(c);
  if (!config) return failed_case(c.id, fmt::format("not understood: {}", config.error().message));
  const auto facts = metadata::facts_from_hf_config(*config);
  Findings findings;
  if (!facts)
    findings.differs(fmt::format("the configuration is refused: {}", facts.error().message));
  else
    for (const auto& [name, expected] : c.expected) compare(name, expected.text, *facts, findings);
  return std::move(findings).result(c.id);
}

}  // namespace berth::cli::conformance
