#pragma once
// What a document written by people must hold. Kept beside the codec and apart from the domain types, which know
// nothing of files; every file that instantiates the codec sees the same rules.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace berth::fleet {
struct Device;
struct DeploymentSpec;
struct DeviceClaim;
struct EngineInstall;
struct Variant;
struct Worker;
}  // namespace berth::fleet

namespace berth::engines {
struct Engine;
}  // namespace berth::engines

namespace berth::wire {

template <class T>
struct Tag {};

constexpr std::size_t kRequiredMax = 4;

/// Members without which a struct is refused under kStrict; messages and stored objects are free to leave them out. A
/// type gets rules by an overload of `field_rules(Tag<T>)` here or beside the struct. Names are checked at compile
/// time.
struct FieldRules {
  std::array<std::string_view, kRequiredMax> required{};
};

constexpr FieldRules field_rules(Tag<fleet::Worker>) { return {{"name", "os", "arch", "memory_total_bytes"}}; }
constexpr FieldRules field_rules(Tag<fleet::Device>) { return {{"vendor", "memory_total_bytes"}}; }
constexpr FieldRules field_rules(Tag<fleet::EngineInstall>) { return {{"engine"}}; }
constexpr FieldRules field_rules(Tag<fleet::DeviceClaim>) { return {{"device", "bytes"}}; }
constexpr FieldRules field_rules(Tag<fleet::DeploymentSpec>) { return {{"request"}}; }
constexpr FieldRules field_rules(Tag<fleet::Variant>) { return {{"name"}}; }
constexpr FieldRules field_rules(Tag<engines::Engine>) { return {{"id", "formats", "rows", "recipe"}}; }

template <class T>
constexpr FieldRules rules_of() {
  if constexpr (requires { field_rules(Tag<T>{}); })
    return field_rules(Tag<T>{});
  else
    return {};
}

}  // namespace berth::wire
