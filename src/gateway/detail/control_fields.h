#pragma once
// The few fields of a request body that decide its way, and the one change the gateway makes to a body. Pure.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::gateway {

constexpr std::size_t kModelNameBytesMax = 256;

/// Where a body asks for usage, so that it can be made to.
struct UsageSwitch {
  enum class Kind { kNoOptions, kNullOptions, kNoSwitch, kOff, kOn };
  Kind kind = Kind::kNoOptions;
  std::size_t at = 0;    // offset in the body of what is replaced, or where text is inserted
  std::size_t size = 0;  // bytes replaced
  bool alone = false;    // the object has no other member: no comma behind the inserted one
};

struct ControlFields {
  std::string model;
  bool stream = false;
  UsageSwitch usage;

  [[nodiscard]] bool wants_usage() const { return usage.kind == UsageSwitch::Kind::kOn; }
};

/// What a client is told: `param` names the field, empty when it is the body as a whole.
struct BodyProblem {
  std::string message;
  std::string param;
};

/// Reads the whole body strictly: valid UTF-8, one JSON object, "model" a non-empty string, "stream" a boolean or null,
/// "stream_options" an object or null, none of them given twice (in whatever spelling). Other members are checked for
/// grammar only. Deterministic; no byte is kept but the model's name.
tl::expected<ControlFields, BodyProblem> read_control_fields(std::string_view body);

/// The same body with "stream_options": {"include_usage": true}; all other bytes stay as they are.
void switch_usage_on(std::string& body, const UsageSwitch& usage);

}  // namespace berth::gateway
