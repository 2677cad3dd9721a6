#pragma once
// Flags from users: typed by the catalog, whatever their spelling (`--a=b`, `--a b`, one line or many).

#include <string>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/request.h"

namespace berth::engines {

/// A flag in its canonical form; `value` is empty for switches.
struct ParsedFlag {
  std::string name;
  std::string value;
  bool has_value = false;
  bool known = true;
  FlagClass kind = FlagClass::kAllowed;
  std::string setting;
};

/// Splits, resolves aliases, checks types and ranges. Result sorted by name, the last of duplicates wins.
/// Errors: kInvalid naming flag, value and what is allowed; kForbidden for a flag that berth owns.
Result<std::vector<ParsedFlag>> parse_flags(const Engine& engine, const std::vector<std::string>& flags);

/// Moves flags that mean a setting or a parallel size into the request's fields, so that `-c 4096` and
/// `settings.context: 4096` are one request. Errors: kInvalid when flag and field disagree, or as parse_flags.
Result<fleet::Request> absorb_flags(const Engine& engine, fleet::Request request);

}  // namespace berth::engines
