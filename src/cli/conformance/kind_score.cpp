#include "cli/conformance/kind_score.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/convert.h"
#include "placement/order.h"
#include "wire/codec.h"

namespace berth::cli::conformance {
namespace {

struct ScoreList {
  std::vector<double> scores;
};
DESCRIBE(ScoreList, scores);

constexpr std::string_view kChain = "chain";
constexpr std::string_view kFiles = "model_file_locality";
constexpr double kPoint = 1e9;       // scores are told in 1e-9
constexpr double kTolerance = 1e-6;  // relative, by the schema

/// Which parts of berth's key say what a scorer says. A device is filled up by what is left over on it, so that this
/// belongs to binpack and not to spread.
struct Scorer {
  std::string_view name;
  std::vector<std::string_view> spread;
  std::vector<std::string_view> binpack;
};

const std::vector<Scorer>& scorers() {
  static const std::vector<Scorer> kScorers = {
      {"placement", {"strategy"}, {"strategy", "bytes_left"}},
      {"model_file_locality", {"files_present"}, {"files_present"}},
  };
  return kScorers;
}

struct Ranked {
  std::string text;                // the parts, for people
  std::vector<std::uint64_t> key;  // the smaller, the better
  std::uint64_t bytes_to_fetch = 0;
};

/// Of a placement's further workers only their files are told: the others know nothing more of them either.
Case with_followers(Case c) {
  for (const auto& candidate : c.candidates)
    for (const auto& follower : candidate.subordinates.value_or(std::vector<CaseFollower>())) {
      const auto id = follower.worker_id.value_or(0);
      const bool known =
          std::any_of(c.fleet.workers.begin(), c.fleet.workers.end(), [&](const CaseWorker& w) { return w.id == id; });
      if (known || !follower.worker_id) continue;
      CaseWorker bare;
      bare.id = id;
      bare.name = fmt::format("worker-{}", id);
      bare.state = "ready";
      bare.memory.total_bytes = Bytes(1 * kGiB);
      c.fleet.workers.push_back(std::move(bare));
    }
  return c;
}

Result<fleet::PlanWorker> placed_on(const Case& c,
                                    std::int64_t id,
                                    const std::vector<int>& indexes,
                                    const std::optional<CaseShare>& share) {
  const auto worker =
      std::find_if(c.fleet.workers.begin(), c.fleet.workers.end(), [&](const CaseWorker& w) { return w.id == id; });
  if (worker == c.fleet.workers.end())
    return invalid(fmt::format("candidates: worker {} is not among the workers", id));
  fleet::PlanWorker out;
  out.worker = out.claim.worker = worker_id(id);
  out.worker_name = worker->name;
  if (share) out.claim.memory_bytes = share->ram_bytes.value_or(Bytes());
  for (const auto index : indexes) {
    const auto gpu =
        std::find_if(worker->gpus.begin(), worker->gpus.end(), [&](const CaseGpu& g) { return g.index == index; });
    if (gpu == worker->gpus.end())
      return invalid(fmt::format("candidates: worker {} has no gpu {}", printable(worker->name), index));
    const auto device = device_id(gpu->runtime, index);
    out.devices.push_back(device);
    if (!share || !share->vram_bytes_by_gpu) continue;
    const auto bytes = share->vram_bytes_by_gpu->find(std::to_string(index));
    if (bytes != share->vram_bytes_by_gpu->end()) out.claim.devices.push_back({device, bytes->second});
  }
  return out;
}

Result<fleet::Plan> to_plan(const Case& c, const CasePlace& place, const World& world) {
  const auto& engine = world.request.restriction.engine;
  if (!engine) return invalid("the model names no backend");
  if (!place.worker_id) return invalid("candidates[].worker_id is absent");
  fleet::Plan plan;
  plan.engine = *engine;
  plan.engine_version = world.request.restriction.engine_version.value_or("");
  plan.total_layers = place.claim ? place.claim->total_layers : std::nullopt;
  plan.offload_layers = place.claim ? place.claim->offload_layers : std::nullopt;
  TRY(auto first, placed_on(c, *place.worker_id, place.gpu_indexes.value_or(std::vector<int>()), place.claim));
  plan.workers.push_back(std::move(first));
  for (const auto& follower : place.subordinates.value_or(std::vector<CaseFollower>())) {
    TRY(auto part,
        placed_on(
            c, follower.worker_id.value_or(0), follower.gpu_indexes.value_or(std::vector<int>()), follower.claim));
    plan.workers.push_back(std::move(part));
  }
  return plan;
}

/// Parts of the key that a scorer is about; those of all its parts for a chain.
Result<std::vector<std::string_view>> parts_of(const Case& c, const World& world) {
  std::vector<std::string> names = {c.scorer};
  if (c.scorer == kChain) names.clear();
  for (const auto& part : c.parts)
    if (c.scorer == kChain) names.push_back(part.scorer);
  std::vector<std::string_view> out;
  for (const auto& name : names) {
    const auto at =
        std::find_if(scorers().begin(), scorers().end(), [&](const Scorer& scorer) { return scorer.name == name; });
    if (at == scorers().end())
      return fail(Code::kNotSupported, fmt::format("scorer is \"{}\", which is not understood", printable(name)));
    const auto& parts = world.request.strategy == fleet::Strategy::kBinpack ? at->binpack : at->spread;
    out.insert(out.end(), parts.begin(), parts.end());
  }
  if (out.empty()) return invalid("the chain has no parts");
  return out;
}

Result<Ranked> ranked(const Case& c, const CasePlace& place, const World& world) {
  TRY(const auto wanted, parts_of(c, world));
  TRY(const auto plan, to_plan(c, place, world));
  TRY(const auto key, placement::plan_key(world.snapshot, world.request, world.policy, world.catalog, plan));
  Ranked out;
  for (const auto& part : key) {
    const auto value = parse_u64(part.value);
    if (part.name == "files_present") out.bytes_to_fetch = value.value_or(0);
    if (std::find(wanted.begin(), wanted.end(), part.name) == wanted.end() || !value) continue;
    out.key.push_back(*value);
    out.text += fmt::format("{}{} {}", out.text.empty() ? "" : ", ", part.name, *value);
  }
  return out;
}

/// -1: the first is better, 0: a tie.
int score_order(double a, double b) { return same_score(a, b) ? 0 : a > b ? -1 : 1; }

std::string_view order_text(int order) { return order < 0 ? "before" : order > 0 ? "after" : "beside"; }

void compare_pairs(const std::vector<double>& scores, const std::vector<Ranked>& got, Findings& findings) {
  for (std::size_t i = 0; i < got.size(); ++i)
    for (std::size_t j = i + 1; j < got.size(); ++j) {
      const int wanted = score_order(scores[i], scores[j]);
      const int is = got[i].key < got[j].key ? -1 : got[i].key > got[j].key ? 1 : 0;
      findings.check(wanted == is,
                     fmt::format("candidate {} must be {} candidate {} ({:.6g} and {:.6g}), but is {}: its key is {}; "
                                 "that of the other, {}",
                                 i,
                                 order_text(wanted),
                                 j,
                                 scores[i],
                                 scores[j],
                                 order_text(is),
                                 got[i].text,
                                 got[j].text));
    }
}

/// The ceiling means that every file is there, 0 that none is, and what is between, that some are.
void compare_files(const Case& c,
                   const World& world,
                   const std::vector<double>& scores,
                   const std::vector<Ranked>& got,
                   Findings& findings) {
  const auto& facts = world.request.facts;
  const std::uint64_t whole = facts ? facts->weight_bytes.value_or(Bytes()).value : 0;
  const double ceiling = c.max_score.value_or(0);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::uint64_t workers = 1 + c.candidates[i].subordinates.value_or(std::vector<CaseFollower>()).size();
    const auto share = [&](bool all, bool none) { return all ? "all" : none ? "none" : "some"; };
    const std::string_view wanted = share(score_order(scores[i], ceiling) == 0, scores[i] <= kTolerance);
    const std::string_view is = share(got[i].bytes_to_fetch == 0, got[i].bytes_to_fetch >= whole * workers);
    findings.check(
        wanted == is,
        fmt::format("candidate {}: {} of its files are there by its score, {} by berth's key", i, wanted, is));
  }
}

CaseResult not_understood_case(const Case& c, const Error& error) {
  return failed_case(c.id, fmt::format("not understood: {}", error.message));
}

/// The scores themselves: those of one scorer, or the sum of a chain's.
CaseResult compare_scores(const Case& c, World world, const std::vector<double>& wanted) {
  std::vector<std::string> scorers = {c.scorer};
  if (c.scorer == kChain) scorers.clear();
  for (const auto& part : c.parts)
    if (c.scorer == kChain) scorers.push_back(part.scorer);
  world.policy.plan_key.clear();
  for (const auto& scorer : scorers)
    world.policy.plan_key.emplace_back(scorer == kFiles ? "file_score" : "placement_score");
  Findings findings;
  for (std::size_t i = 0; i < c.candidates.size(); ++i) {
    const auto plan = to_plan(c, c.candidates[i], world);
    if (!plan) return not_understood_case(c, plan.error());
    const auto key = placement::plan_key(world.snapshot, world.request, world.policy, world.catalog, *plan);
    if (!key) return not_understood_case(c, key.error());
    double score = 0;
    for (const auto& part : *key) score += static_cast<double>(parse_u64(part.value).value_or(0)) / kPoint;
    findings.check(same_score(score, wanted[i]),
                   fmt::format("candidate {}: expected a score of {}, got {}", i, wanted[i], score));
  }
  return std::move(findings).result(c.id);
}

}  // namespace

bool same_score(double a, double b) { return std::abs(a - b) <= kTolerance * std::max(std::abs(a), std::abs(b)); }

CaseResult run_score(const Case& as_written, const engines::EngineCatalog& embedded, const fleet::Policy& policy) {
  const auto c = with_room(with_followers(as_written));
  if (!c) return not_understood_case(as_written, c.error());
  const auto& told = (*c).expected.scores;
  if (!told) return failed_case(c->id, "nothing in it could be compared");
  const auto world = to_world(*c, embedded, policy);
  if (!world) return not_understood_case(*c, world.error());
  const auto list = wire::from_json<ScoreList>(fmt::format("{{\"scores\":{}}}", told->text), wire::Strictness::kStrict);
  if (!list) return not_understood_case(*c, list.error());
  if (list->scores.size() != c->candidates.size())
    return failed_case(c->id,
                       fmt::format("it has {} scores of {} candidates", list->scores.size(), c->candidates.size()));
  if (!policy.scores.empty()) return compare_scores(*c, *world, list->scores);
  std::vector<Ranked> got;
  for (const auto& place : c->candidates) {
    auto one = ranked(*c, place, *world);
    if (!one) return not_understood_case(*c, one.error());
    got.push_back(std::move(*one));
  }
  Findings findings;
  compare_pairs(list->scores, got, findings);
  if (c->scorer == kFiles && c->max_score) compare_files(*c, *world, list->scores, got, findings);
  return std::move(findings).result(c->id);
}

}  // namespace berth::cli::conformance
