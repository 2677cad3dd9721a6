#pragma once
// A decision as text for people: the sums that make it true, and what would make a no a yes.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/terminal.h"
#include "fleet/decision.h"
#include "fleet/snapshot.h"
#include "placement/rules/rule.h"

namespace berth::cli {

struct RenderOptions {
  bool verbose = false;
  placement::Language language = placement::Language::kEnglish;
  std::size_t width = 100;
};

/// What a device or a worker's RAM had free before the plans of the decision.
struct FreeBytes {
  Bytes total;
  Bytes reserved;
  Bytes allocatable;
  bool unified = false;
};

/// Figures beside the plans. Keys: (worker name, device id); device "" is the host's RAM, or the pool on unified
/// memory.
struct Figures {
  std::map<std::pair<std::string, std::string>, FreeBytes> free;

  /// From the snapshot that the decision was made on.
  static Figures of(const fleet::FleetSnapshot& snapshot);
  /// From the report's own device lines, when the snapshot is elsewhere; they know the first worker of each line.
  static Figures of(const fleet::Report& report);
};

/// The text of `berth check`: verdict, plans, lines, counts, defaults, fixes. Without `fixes` nobody has looked for
/// them, and the text says how to.
std::string render(const Terminal& terminal,
                   const fleet::Decision& decision,
                   const std::optional<std::vector<fleet::Fix>>& fixes,
                   const Figures& figures,
                   const RenderOptions& options = {});

/// What the report names beside what passed → its page in the documentation, "docs/reasons/free_memory.md".
std::map<std::string, std::string> reason_pages(const fleet::Report& report);

/// The sentence of one outcome in the language asked for; its English text when the reason is not known here.
std::string sentence_of(const fleet::RuleResult& result, placement::Language language);

}  // namespace berth::cli
