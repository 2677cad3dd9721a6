#pragma once
// Kind "resolve_model_facts": what metadata reads out of a model's nested configuration.

#include <map>
#include <string>
#include <string_view>

#include "base/describe.h"
#include "base/result.h"
#include "cli/conformance/findings.h"
#include "wire/json.h"

namespace berth::cli::conformance {

constexpr std::string_view kKindFacts = "resolve_model_facts";

struct FactsCase {
  std::string id;
  wire::RawJson model_config_heads{""};           // object: figures and, nested, parts of the model
  std::map<std::string, wire::RawJson> expected;  // fact → number, or null: there is none
};
DESCRIBE(FactsCase, id, model_config_heads, expected);

/// Errors: kInvalid with a path.
Result<FactsCase> read_facts_case(std::string_view json);
/// The config.json that the case tells of. Errors: kNotSupported naming a key that is not understood; kInvalid.
Result<std::string> config_of(const FactsCase& c);
CaseResult run_facts(const FactsCase& c);

}  // namespace berth::cli::conformance
