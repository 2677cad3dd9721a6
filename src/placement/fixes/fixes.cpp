// fixes(): tries single edits in order of cost, then pairs, each verified by the same solve() that decides.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "placement/detail/solve.h"
#include "placement/fixes/change.h"

namespace berth::placement {
namespace {

using fixes_detail::Edit;
using fixes_detail::Question;

class FixSearch {
 public:
  FixSearch(const Policy& policy, const EngineCatalog& catalog, Question start, FixBudget budget)
      : rules_(detail::make_rules(policy, catalog)), catalog_(catalog), start_(std::move(start)), budget_(budget) {}

  std::vector<Fix> run(const std::vector<Edit>& edits) {
    for (const auto& e : edits) {
      if (found_[e.change.kind] >= budget_.per_kind_max) continue;
      if (try_edits({&e})) ++found_[e.change.kind];
    }
    // Pairs of kinds that do not help alone; a kind that does would only repeat itself.
    std::set<std::pair<std::string, std::string>> pairs;
    for (std::size_t i = 0; i < edits.size(); ++i) {
      for (std::size_t k = i + 1; k < edits.size(); ++k) {
        const std::string &a = edits[i].change.kind, &b = edits[k].change.kind;
        if (a == b || found_[a] > 0 || found_[b] > 0 || pairs.contains({a, b})) continue;
        if (try_edits({&edits[i], &edits[k]})) pairs.emplace(a, b);
      }
    }
    return std::move(fixes_);
  }

 private:
  bool try_edits(const std::vector<const Edit*>& edits) {
    if (calls_ >= budget_.calls_max || fixes_.size() >= budget_.fixes_max) return false;
    ++calls_;
    Question q = start_;
    for (const auto* e : edits) q = e->apply(std::move(q));
    auto canonical = fleet::canonical(std::move(q.request));
    if (!canonical) return false;
    Decision d = detail::solve(q.snapshot, *canonical, rules_, detail::Depth::kPlans);
    if (d.verdict != fleet::Verdict::kFits) return false;
    Fix fix;
    fix.verdict = d.verdict;
    fix.fit_count = d.fit_count;
    fix.plan = std::move(d.plans.front());
    fix.plan->variant = q.variant;
    for (const auto* e : edits) {
      fix.changes.push_back(e->change);
      fix.text += (fix.text.empty() ? "" : ", and ") + e->change.text;
    }
    fix.text += where(q.snapshot, *fix.plan);
    fixes_.push_back(std::move(fix));
    return true;
  }

  /// "fits on X with llama.cpp: 20.9 GiB of 146.50 GiB, …": the sum that makes it true.
  std::string where(const FleetSnapshot& snapshot, const Plan& plan) const {
    const auto* engine = catalog_.find(plan.engine);
    std::string on;
    for (const auto& part : plan.workers)
      on += (on.empty() ? "" : ", ") + part.worker_name + (part.simulated ? " (simulated)" : "");
    std::string text = fmt::format(": fits on {} with {}", on, engine == nullptr ? plan.engine : engine->title);
    for (const auto& part : plan.workers)
      text += sum_on(snapshot, part, plan.workers.size() > 1 ? part.worker_name + "/" : "");
    return text;
  }

  static std::string sum_on(const FleetSnapshot& snapshot,
                            const fleet::PlanWorker& part,
                            const std::string& at_worker) {
    std::string text;
    const auto* entry = snapshot.find(part.worker);
    if (entry == nullptr) return text;
    Bytes pool = part.claim.memory_bytes;
    for (const auto& claim : part.claim.devices) {
      const auto at = fleet::device_position(*entry, claim.device);
      if (at == std::string::npos) continue;
      const auto& device = entry->worker.devices[at];
      if (device.unified_memory) pool += claim.bytes;
      text += fmt::format("; {}{}: {} of {} allocatable{}",
                          at_worker,
                          claim.device,
                          human(claim.bytes),
                          human(entry->capacity[at].allocatable),
                          device.unified_memory ? fmt::format(" (working-set cap {} less {} reserved)",
                                                              human(device.memory_total_bytes),
                                                              human(entry->capacity[at].reserved))
                                                : "");
    }
    const bool shared = pool != part.claim.memory_bytes;
    text += fmt::format("; {}{}: {} of {}",
                        at_worker,
                        shared ? "shared pool" : "host RAM",
                        human(pool),
                        human(entry->memory.allocatable));
    return text;
  }

  detail::Rules rules_;
  const EngineCatalog& catalog_;
  Question start_;
  FixBudget budget_;
  std::uint32_t calls_ = 0;
  std::map<std::string, std::uint32_t> found_;
  std::vector<Fix> fixes_;
};

void add_stop(const Decision& decision, std::vector<Edit>& edits) {
  if (decision.holders.empty()) return;
  std::string names;
  for (const auto& h : decision.holders) names += (names.empty() ? "" : ", ") + h.instance;
  edits.push_back({.change = {"stop", "instances", names, "", "stop " + names},
                   .cost = 12,
                   .amount = decision.holders.size(),
                   .apply = [holders = decision.holders](Question q) {
                     q.snapshot = detail::release(q.snapshot, holders);
                     return q;
                   }});
}

}  // namespace

std::vector<Fix> fixes(const FleetSnapshot& snapshot,
                       const Request& request,
                       const Policy& policy,
                       const EngineCatalog& catalog,
                       const Decision& decision,
                       FixBudget budget) {
  if (decision.verdict == fleet::Verdict::kFits) return {};
  auto canonical = fleet::canonical(request);
  if (!canonical) return {};
  auto edits = fixes_detail::propose(snapshot, *canonical, policy, catalog, decision);
  add_stop(decision, edits);
  return FixSearch(policy, catalog, {snapshot, *canonical, ""}, budget).run(edits);
}

}  // namespace berth::placement
