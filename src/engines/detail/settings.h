#pragma once
// Fields of a request that engine flags can mean, by the names that catalog files use.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engines/flags.h"
#include "fleet/request.h"

namespace berth::engines::detail {

struct Setting {
  std::string_view name;  // "context"
  std::string_view path;  // "settings.context"
  /// Writes the flag's value into its field. Errors: kInvalid when the field holds another value, or for a value that
  /// it cannot hold.
  Result<void> (*apply)(const Setting& self, const ParsedFlag& flag, fleet::Request& request) = nullptr;
  /// A size that no plan holds: its flag stays in settings.flags beside the field, and is added where only the field is
  /// given, so that it reaches the engine.
  std::optional<std::uint32_t> fleet::Restriction::* kept = nullptr;
};

/// Null when there is none of that name.
const Setting* find_setting(std::string_view name);
/// Those with `kept`.
std::span<const Setting* const> kept_settings();
/// "context, sequences, …", for messages.
std::string setting_names();

}  // namespace berth::engines::detail
