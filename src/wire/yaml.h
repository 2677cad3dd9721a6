#pragma once
// YAML for people: deployment, fleet, profile, scenario and catalog files. One decoder with JSON; plain scalars keep
// their spelling until the member that takes them says what they are.

#include <string>
#include <string_view>

#include "wire/json.h"

namespace berth::wire {

/// Nodes of one document after following aliases: a bound against documents that expand.
constexpr std::size_t kYamlNodesMax = 1'000'000;

/// YAML or JSON. Declared for types instantiated with BERTH_WIRE_YAML. Errors: as from_json; syntax errors with a line.
template <class T>
Result<T> from_yaml(std::string_view text, Strictness strictness);

/// Block-style YAML of JSON text.
Result<std::string> json_to_yaml(std::string_view json);

}  // namespace berth::wire
