#include "cli/render.h"

#include "cli/detail/page.h"
#include "wire/texts.h"

namespace berth::cli {

Figures Figures::of(const fleet::FleetSnapshot& snapshot) {
  Figures out;
  snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    const auto& w = entry.worker;
    out.free[{w.name, ""}] = {entry.memory.total, entry.memory.reserved, entry.memory.allocatable, entry.unified};
    for (std::size_t i = 0; i < w.devices.size(); ++i) {
      const auto& c = entry.capacity[i];
      out.free[{w.name, w.devices[i].id}] = {c.total, c.reserved, c.allocatable, w.devices[i].unified_memory};
    }
  });
  return out;
}

Figures Figures::of(const fleet::Report& report) {
  Figures out;
  for (const auto& line : report.lines) {
    const bool pool = line.host && line.host->name == "shared pool";
    for (const auto& d : line.devices) out.free[{d.worker, d.device}] = {d.total, d.reserved, d.allocatable, pool};
    if (const auto& h = line.host) out.free[{h->worker, ""}] = {h->total, h->reserved, h->allocatable, pool};
  }
  return out;
}

std::string sentence_of(const fleet::RuleResult& result, placement::Language language) {
  if (language == placement::Language::kEnglish) return result.text;
  for (auto r = std::uint8_t{1}; r <= static_cast<std::uint8_t>(placement::Reason::kInternalError); ++r) {
    const auto reason = static_cast<placement::Reason>(r);
    if (placement::reason_name(reason) != result.reason) continue;
    placement::RuleOutcome outcome = placement::RuleOutcome::reject(reason);
    for (const auto& [key, value] : result.args) outcome.args.emplace_back(key.c_str(), value);
    if (result.needed && result.available)
      return placement::sentence(std::move(outcome).with(*result.needed, *result.available), language);
    return placement::sentence(outcome, language);
  }
  return result.text;
}

std::string render(const Terminal& terminal,
                   const fleet::Decision& as_decided,
                   const std::optional<std::vector<fleet::Fix>>& as_proposed,
                   const Figures& figures,
                   const RenderOptions& options) {
  // Names of devices and models come from anywhere; nothing in them may steer the terminal.
  const auto decision = wire::printable_copy(as_decided);
  std::optional<std::vector<fleet::Fix>> fixes;
  if (as_proposed) fixes = wire::printable_copy(*as_proposed);
  detail::Page page(terminal, figures, options);
  page.verdict(decision);
  page.plans(decision);
  page.holders(decision);
  if (decision.verdict != fleet::Verdict::kFits || options.verbose) {
    page.lines(decision);
    page.counts(decision.report);
    page.pages(decision.report);
  }
  page.remarks(decision);
  page.fixes(decision, fixes);
  return page.take();
}

}  // namespace berth::cli
