#pragma once
// Flags from users: typed by the catalog, whatever their spelling (`--a=b`, `--a b`, `--a_b`, one line or many).
//
// How text becomes flags. An entry that begins with '-' is a line: it is split at white space, and quotes (' or ") keep
// a value with spaces together; there are no other special characters, since no shell ever sees it. An entry that does
// not begin with '-' is, whole, the value of the flag before it. A value that begins with '-' and is no number must be
// given as `--a=-b`.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/request.h"

namespace berth::engines {

// Limits on what a deployment may give; beyond is kTooLarge.
constexpr std::size_t kFlagEntriesMax = 256;
constexpr std::size_t kFlagBytesMax = 64 * 1024;  // of all entries together; Linux takes 128 KiB per argument

/// A flag in its canonical form; `value` is empty for switches.
struct ParsedFlag {
  std::string name;
  std::string value;
  bool has_value = false;
  bool off = false;  // a switch that is turned off: by its negation, or by "=false"
  bool known = true;
  FlagClass kind = FlagClass::kAllowed;
  PathForm form = PathForm::kList;
  std::string setting;
};

/// Splits, resolves aliases, checks types and ranges; paths in values must be absolute and free of ".." (paths.h).
/// Result sorted by name, the last of duplicates wins. Flags that the catalog does not know come back with known =
/// false; one that could be read as the abbreviation of an owned flag is refused like it.
/// Errors: kInvalid naming flag, value and what is allowed; kForbidden for a flag that berth owns; kTooLarge.
Result<std::vector<ParsedFlag>> parse_flags(const Engine& engine, const std::vector<std::string>& flags);

/// The flag as one entry of settings.flags: "--name=value", "--name", or its negation. Empty for a switch that is off
/// and has none. parse_flags of it gives `flag` again.
std::string flag_text(const Engine& engine, const ParsedFlag& flag);
/// Names of those flags that the catalog does not know, sorted; empty as well for flags that parse_flags refuses.
std::vector<std::string> unknown_flags(const Engine& engine, const std::vector<std::string>& flags);
/// The flag with that canonical name, alias or negation ('_' counts as '-' in long names); null when unknown.
const Flag* find_flag(const Engine& engine, std::string_view spelling);

/// Moves flags that mean a setting or a parallel size into the request's fields, so that `-c 4096` and
/// `settings.context: 4096` are one request; the other flags stay, one canonical entry each, sorted. A size that no
/// plan holds (data_parallel_local, …) is then both field and flag, whichever of them was given. Idempotent.
/// Errors: kInvalid when flag and field disagree, or as parse_flags.
Result<fleet::Request> absorb_flags(const Engine& engine, fleet::Request request);

}  // namespace berth::engines
