// Placements under a policy that lists its candidates: the candidates as a set, the choice, the estimate, the scores.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>

#include "base/text.h"
#include "cli/conformance/compare.h"
#include "cli/conformance/kind_score.h"
#include "placement/listing.h"

namespace berth::cli::conformance {
namespace {

constexpr std::string_view kOvercommitted = "selection_overcommitted";
constexpr double kPointsPerScore = 1e9;

/// What a plan takes on one worker, in the words of a case; parts on one worker put together.
struct Taken {
  std::set<int> indexes;
  std::map<std::string, Bytes> devices;
  Bytes ram;
  std::set<std::string> runtimes;
  std::uint32_t layers = 0;
};

std::pair<std::string, int> device_of(const std::string& id) {
  const auto parts = split(id, ':');
  if (parts.size() != 2) return {id, 0};
  return {std::string(parts[0]), static_cast<int>(parse_u64(parts[1]).value_or(0))};
}

Taken taken_by(const fleet::PlanWorker& worker) {
  Taken out;
  for (const auto& id : worker.devices) {
    const auto [runtime, index] = device_of(id);
    out.indexes.insert(index);
    out.runtimes.insert(runtime);
  }
  for (const auto& claim : worker.claim.devices)
    out.devices[std::to_string(device_of(claim.device).second)] = claim.bytes;
  out.ram = worker.claim.memory_bytes;
  for (const auto n : worker.layers) out.layers += n;
  return out;
}

std::string taken_text(const Taken& taken) {
  std::string out = fmt::format("[{}]", fmt::join(taken.indexes, ","));
  for (const auto& [index, bytes] : taken.devices) out += fmt::format(" {}: {}", index, bytes.value);
  return out + fmt::format(", host {}", taken.ram.value);
}

template <class T>
std::vector<T> in_least_terms(std::vector<T> split) {
  T divisor = 0;
  for (const auto n : split) divisor = std::gcd(divisor, n);
  if (divisor > 0)
    for (auto& n : split) n /= divisor;
  return split;
}

/// An expected claim against what is taken; empty when it agrees.
std::string differing(const std::optional<std::vector<int>>& indexes,
                      const std::optional<std::string>& runtime,
                      const std::optional<CaseShare>& claim,
                      const Taken& got) {
  if (indexes && std::set<int>(indexes->begin(), indexes->end()) != got.indexes)
    return fmt::format("devices [{}], got {}", fmt::join(*indexes, ","), taken_text(got));
  if (runtime && !got.runtimes.empty() && got.runtimes != std::set<std::string>{*runtime})
    return fmt::format("runtime {}, got {}", *runtime, fmt::join(got.runtimes, ","));
  if (!claim) return "";
  if (claim->vram_bytes_by_gpu && *claim->vram_bytes_by_gpu != got.devices) {
    std::string wanted;
    for (const auto& [index, bytes] : *claim->vram_bytes_by_gpu) wanted += fmt::format(" {}: {}", index, bytes.value);
    return fmt::format("claims{}, got {}", wanted, taken_text(got));
  }
  if (claim->ram_bytes && *claim->ram_bytes != got.ram)
    return fmt::format("{} of the host, got {}", claim->ram_bytes->value, got.ram.value);
  return "";
}

void add(const CaseShare& from, CaseShare& to) {
  if (to.vram_bytes_by_gpu && from.vram_bytes_by_gpu)
    to.vram_bytes_by_gpu->insert(from.vram_bytes_by_gpu->begin(), from.vram_bytes_by_gpu->end());
  if (to.ram_bytes && from.ram_bytes) *to.ram_bytes += *from.ram_bytes;
  if (to.offload_layers && from.offload_layers) *to.offload_layers += *from.offload_layers;
}

/// Followers of one worker as one.
std::vector<CaseFollower> merged(const std::vector<CaseFollower>& followers) {
  std::vector<CaseFollower> out;
  for (const auto& follower : followers) {
    const auto same = [&](const CaseFollower& f) {
      return f.worker_id && follower.worker_id ? f.worker_id == follower.worker_id : f.worker == follower.worker;
    };
    const auto at = std::find_if(out.begin(), out.end(), same);
    if (at == out.end()) {
      out.push_back(follower);
      continue;
    }
    CaseFollower& one = *at;
    if (one.gpu_indexes && follower.gpu_indexes)
      one.gpu_indexes->insert(one.gpu_indexes->end(), follower.gpu_indexes->begin(), follower.gpu_indexes->end());
    if (one.claim && follower.claim) add(*follower.claim, *one.claim);
  }
  return out;
}

std::optional<double> score_of(const fleet::Plan& plan) {
  for (const auto& part : plan.key)
    if (part.name == "score") return static_cast<double>(parse_u64(part.value).value_or(0)) / kPointsPerScore;
  return std::nullopt;
}

class ListedPlace {
 public:
  ListedPlace(const World& world, const fleet::Plan& plan) : world_(world), plan_(plan) {}

  /// Empty when the plan is the one that is expected.
  std::string difference(const CasePlace& wanted) const {
    const auto& first = plan_.workers.front();
    if (!named(first, wanted.worker, wanted.worker_id))
      return fmt::format("worker {}, got {}", wanted.worker, first.worker_name);
    if (auto why = differing(wanted.gpu_indexes, wanted.gpu_runtime, wanted.claim, taken_by(first)); !why.empty())
      return why;
    if (wanted.claim)
      if (auto why = settings(*wanted.claim, first); !why.empty()) return why;
    if (auto why = followers(merged(wanted.subordinates.value_or(std::vector<CaseFollower>()))); !why.empty())
      return why;
    const auto score = score_of(plan_);
    if (wanted.score && (!score || !same_score(*wanted.score, *score)))
      return fmt::format("a score of {}, got {}", *wanted.score, score.value_or(0));
    return "";
  }

 private:
  bool named(const fleet::PlanWorker& worker, const std::string& name, std::optional<std::int64_t> id) const {
    if (!id) return worker.worker_name == name;
    const auto at = world_.workers.find(*id);
    return worker.worker == worker_id(at == world_.workers.end() ? *id : at->second);
  }

  std::string settings(const CaseShare& claim, const fleet::PlanWorker& first) const {
    const auto layers = [&](std::string_view what, const std::optional<std::uint32_t>& wanted, std::uint32_t got) {
      return wanted && *wanted != got ? fmt::format("{} {}, got {}", *wanted, what, got) : std::string();
    };
    if (auto why = layers("layers on devices", claim.offload_layers, plan_.offload_layers.value_or(0)); !why.empty())
      return why;
    if (auto why = layers("layers", claim.total_layers, plan_.total_layers.value_or(0)); !why.empty()) return why;
    const double share = plan_.settings.utilization.value_or(0);
    if (claim.vram_utilization && std::abs(*claim.vram_utilization - share) > 1e-9)
      return fmt::format("a utilization of {}, got {}", *claim.vram_utilization, share);
    if (claim.tensor_split) {
      const std::vector<std::uint64_t> got(first.tensor_split.begin(), first.tensor_split.end());
      if (in_least_terms(*claim.tensor_split) != in_least_terms(got))
        return fmt::format("a split of {}, got {}", fmt::join(*claim.tensor_split, ","), fmt::join(got, ","));
    }
    if (claim.unified) {
      const auto* entry = world_.snapshot.find(first.worker);
      const bool shared = entry != nullptr && std::any_of(entry->worker.devices.begin(),
                                                          entry->worker.devices.end(),
                                                          [](const auto& d) { return d.unified_memory; });
      if (shared != *claim.unified) return fmt::format("unified memory {}", *claim.unified);
    }
    return "";
  }

  std::string followers(const std::vector<CaseFollower>& wanted) const {
    if (plan_.workers.size() != wanted.size() + 1)
      return fmt::format("{} further workers, got {}", wanted.size(), plan_.workers.size() - 1);
    for (const auto& follower : wanted) {
      const auto got = std::find_if(plan_.workers.begin() + 1, plan_.workers.end(), [&](const fleet::PlanWorker& w) {
        return named(w, follower.worker, follower.worker_id);
      });
      if (got == plan_.workers.end()) return fmt::format("worker {} besides", follower.worker_id.value_or(0));
      const Taken taken = taken_by(*got);
      if (auto why = differing(follower.gpu_indexes, follower.gpu_runtime, follower.claim, taken); !why.empty())
        return fmt::format("on {}: {}", got->worker_name, why);
      if (follower.claim && follower.claim->offload_layers && *follower.claim->offload_layers != taken.layers)
        return fmt::format("on {}: {} layers, got {}", got->worker_name, *follower.claim->offload_layers, taken.layers);
    }
    return "";
  }

  const World& world_;
  const fleet::Plan& plan_;
};

}  // namespace

void Comparison::listed_place(const std::string& what, const CasePlace& wanted) {
  if (decision_.plans.empty()) return check(false, fmt::format("{}: expected {}, got no plan", what, wanted.worker));
  const auto why = ListedPlace(world_, decision_.plans.front()).difference(wanted);
  check(why.empty(), fmt::format("{}: expected {}", what, why));
}

void Comparison::listed_choice(const std::vector<CasePlace>& candidates) {
  const auto& e = case_.expected;
  if (e.choice.text == "null") return check(decision_.plans.empty(), "choice: expected none, got a plan");
  if (!e.choice.text.empty() && !e.choice_from_mutated_fleet) {
    const auto wanted = read_place(e.choice);
    if (!wanted) return differs(fmt::format("expected.choice is not understood: {}", wanted.error().message));
    // Of plans that score the same any will do.
    listed_place("choice", *wanted);
  }
  if (!e.choice_index_by_score || *e.choice_index_by_score >= candidates.size()) return;
  if (decision_.plans.empty()) return check(false, "choice_index_by_score: expected a choice, got no plan");
  const auto& best = candidates[*e.choice_index_by_score];
  const bool any = std::any_of(candidates.begin(), candidates.end(), [&](const CasePlace& place) {
    const bool ties = place.score && best.score && same_score(*place.score, *best.score);
    return ties && ListedPlace(world_, decision_.plans.front()).difference(place).empty();
  });
  check(any,
        fmt::format("choice_index_by_score: none of the best is chosen, but a plan on {}",
                    decision_.plans.front().workers.front().worker_name));
}

void Comparison::listed_candidates(const std::vector<CasePlace>& wanted, const placement::Listing& listing) {
  const auto& got = listing.plans;
  std::vector<std::uint32_t> places;
  check(wanted.size() == got.size(), fmt::format("candidates: expected {}, got {}", wanted.size(), got.size()));
  std::vector<bool> used(got.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::string nearest = "got none";
    bool found = false;
    for (std::size_t k = 0; k < got.size() && !found; ++k) {
      if (used[k]) continue;
      const auto why = ListedPlace(world_, got[k]).difference(wanted[i]);
      found = used[k] = why.empty();
      if (found) places.push_back(listing.places[k]);
      if (!found && got[k].workers.front().worker_name == wanted[i].worker) nearest = "expected " + why;
    }
    check(found, fmt::format("candidates[{}] on {}: {}", i, wanted[i].worker, nearest));
  }
  if (strict_ && places.size() == wanted.size())
    check(std::is_sorted(places.begin(), places.end()), "candidates: the order of the list is another");
}

void Comparison::listed_estimate(const CaseEstimate& wanted, const placement::Listing& listing) {
  if (!listing.need) return check(false, "estimate: nothing is known of it");
  const auto& need = *listing.need;
  const auto same = [&](std::string_view name, const auto& told, const auto& got) {
    if (told) check(*told == got, fmt::format("estimate.{}: expected {}, got {}", name, *told, got));
  };
  const auto value = [](const std::optional<Bytes>& bytes) {
    return bytes ? std::optional(bytes->value) : std::nullopt;
  };
  same("vram_bytes", value(wanted.vram_bytes), need.device_bytes.value);
  same("ram_bytes", value(wanted.ram_bytes), need.host_bytes.value);
  same("gpu_fraction", wanted.gpu_fraction, need.share.value_or(0));
  same("gpus_required", wanted.gpus_required, listing.devices.value_or(0));
  same("total_layers", wanted.total_layers, need.total_layers.value_or(0));
  if (!wanted.gpu_fraction_by_runtime) return;
  const auto told =
      wire::from_json<std::map<std::string, double>>(wanted.gpu_fraction_by_runtime->text, wire::Strictness::kStrict);
  if (!told) return differs(fmt::format("gpu_fraction_by_runtime is not understood: {}", told.error().message));
  for (const auto& [runtime, share] : *told) {
    if (runtime == "*") continue;  // of devices that there are none of
    const auto row = runtime_row(runtime);
    const auto at = row ? listing.shares.find(std::string(row->framework)) : listing.shares.end();
    const double got = need.share ? *need.share : at == listing.shares.end() ? 0 : at->second;
    check(std::abs(got - share) < 1e-9,
          fmt::format("estimate.gpu_fraction_by_runtime.{}: expected {}, got {}", runtime, share, got));
  }
}

void Comparison::schedule_listed() {
  const auto& e = case_.expected;
  const auto listing = placement::list_candidates(world_.snapshot, world_.request, world_.policy, world_.catalog);
  if (!listing) return differs(fmt::format("candidates: {}", listing.error().message));
  if (e.feasible) {
    const bool answered = decision_.verdict != fleet::Verdict::kUnknown;
    check(
        answered && *e.feasible == (decision_.verdict == fleet::Verdict::kFits),
        fmt::format(
            "feasible: expected {}, got {} ({})", *e.feasible, wire::enum_name(decision_.verdict), decision_.summary));
  }
  if (e.overcommit_only) {
    const bool warned = std::any_of(decision_.plans.begin(), decision_.plans.end(), [](const fleet::Plan& plan) {
      return std::any_of(plan.warnings.begin(), plan.warnings.end(), [](const fleet::RuleResult& warning) {
        return warning.reason == kOvercommitted;
      });
    });
    check(warned, "overcommit_only: the plan has no warning that it claims more than there is");
  }
  std::vector<CasePlace> candidates;
  for (const auto& json : e.candidates.value_or(std::vector<wire::RawJson>())) {
    auto place = read_place(json);
    if (!place) return differs(fmt::format("expected.candidates is not understood: {}", place.error().message));
    candidates.push_back(*std::move(place));
  }
  if (e.candidates) listed_candidates(candidates, *listing);
  listed_choice(candidates);
  if (e.choice_must_have) listed_place("choice_must_have", *e.choice_must_have);
  if (e.estimate) listed_estimate(*e.estimate, *listing);
  never_used(e.workers_never_used);
  if (e.reasons_any_of_per_entry)
    for (const auto& any_of : *e.reasons_any_of_per_entry) reported(any_of);
  const std::pair<bool, std::string_view> parts[] = {{e.pipeline.has_value() || e.rejected_at.has_value(), "stages"},
                                                     {e.reasons.has_value(), "reasons"},
                                                     {e.requirement_as_reported.has_value(), "requirement_as_reported"},
                                                     {e.scores_v0_6_0.has_value(), "scores_v0_6_0"}};
  for (const auto& [told, name] : parts)
    if (told) left_out_.emplace_back(name);
}

}  // namespace berth::cli::conformance
