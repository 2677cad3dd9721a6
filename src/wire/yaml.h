#pragma once
// YAML for people: deployment, fleet, profile, scenario and catalog files. One decoder with JSON; plain scalars keep
// their spelling until the member that takes them says what they are: `runtime_version: 12.10` stays "12.10".

#include <string>
#include <string_view>

#include "wire/json.h"

namespace berth::wire {

/// Nodes of one document after following aliases: a bound against documents that expand.
constexpr std::size_t kYamlNodesMax = 1'000'000;
constexpr std::size_t kYamlBytesMax = 8ULL * 1024 * 1024;

/// YAML or JSON (when it begins with '{' or '['). Declared for types instantiated with BERTH_WIRE_YAML. One document,
/// no duplicate keys, keys are texts, no tags but those of the core schema. Errors: as from_json, with the line before
/// the path: `line 12: $.workers[0].os must be …`.
template <class T>
Result<T> from_yaml(std::string_view text, Strictness strictness);

/// The document as compact JSON, without a type to say what plain scalars are: null, true, false and numbers spelt as
/// in JSON are that, everything else is a text: `no`, 0o17 and 017 too.
Result<std::string> yaml_to_json(std::string_view yaml);
/// Block-style YAML of JSON text; texts that another reader could take for something else are quoted.
Result<std::string> json_to_yaml(std::string_view json);

/// Block-style YAML, members in described order.
template <class T>
std::string to_yaml(const T& value) {
  auto yaml = json_to_yaml(to_json(value));
  return yaml ? *std::move(yaml) : std::string();
}

}  // namespace berth::wire
