#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>
#include <tuple>

#include "base/assert.h"
#include "base/text.h"
#include "placement/fixes/change.h"

namespace berth::placement::fixes_detail {
namespace {

// Order of cost. "variant" is another quantization or format of the same model.
constexpr std::array<std::string_view, 14> kKinds = {"selection",
                                                     "labels",
                                                     "engine",
                                                     "parallel",
                                                     "across_workers",
                                                     "utilization",
                                                     "kv_type",
                                                     "context",
                                                     "variant",
                                                     "replicas",
                                                     "accept",
                                                     "worker_ready",
                                                     "uncordon",
                                                     "stop"};

std::uint32_t cost_of(std::string_view kind) {
  const auto at = std::find(kKinds.begin(), kKinds.end(), kind);
  ASSERT(at != kKinds.end());
  return static_cast<std::uint32_t>(at - kKinds.begin());
}

Edit edit(fleet::Change change, std::uint64_t amount, std::function<Question(Question)> apply) {
  const std::uint32_t cost = cost_of(change.kind);
  return {std::move(change), cost, amount, std::move(apply)};
}

bool rejected(const Decision& d, std::string_view rule) {
  return std::any_of(d.report.counts.begin(), d.report.counts.end(), [&](const fleet::RuleCount& c) {
    return c.rule == rule && (c.fails > 0 || c.unknown > 0);
  });
}

void propose_selection(const Request& r, std::vector<Edit>& out) {
  const auto& x = r.restriction;
  if (!x.devices.empty() || !x.workers.empty()) {
    const std::string from = join(x.devices.empty() ? x.workers : x.devices, ", ");
    const std::string field = x.devices.empty() ? "restriction.workers" : "restriction.devices";
    out.push_back(edit({"selection", field, from, "", "drop the selection"}, 1, [](Question q) {
      q.request.restriction.devices.clear();
      q.request.restriction.workers.clear();
      q.request.restriction.use = fleet::DeviceUse::kAny;  // how a selection is used goes with it
      return q;
    }));
  }
  for (const auto& label : x.labels) {
    const std::string& key = label.first;
    const std::string& value = label.second;
    const fleet::Change change{
        "labels", "restriction.labels." + key, value, "", fmt::format("drop the label {}={}", key, value)};
    out.push_back(edit(change, 1, [name = key](Question q) {
      q.request.restriction.labels.erase(name);
      return q;
    }));
  }
}

void propose_engine(const Request& r, std::vector<Edit>& out) {
  const auto& x = r.restriction;
  if (x.engine)
    out.push_back(
        edit({"engine", "restriction.engine", *x.engine, "", "let berth choose the engine"}, 1, [](Question q) {
          q.request.restriction.engine.reset();
          q.request.restriction.engine_version.reset();
          return q;
        }));
  if (x.engine_version)
    out.push_back(
        edit({"engine", "restriction.engine_version", *x.engine_version, "", "let berth choose the engine's version"},
             0,
             [](Question q) {
               q.request.restriction.engine_version.reset();
               return q;
             }));
  const bool count_given = x.devices_per_replica && x.use == fleet::DeviceUse::kAny;
  if (x.tensor_parallel || x.pipeline_parallel || x.data_parallel || count_given) {
    std::vector<std::string> given;
    if (x.tensor_parallel) given.push_back(fmt::format("tensor_parallel {}", *x.tensor_parallel));
    if (x.pipeline_parallel) given.push_back(fmt::format("pipeline_parallel {}", *x.pipeline_parallel));
    if (x.data_parallel) given.push_back(fmt::format("data_parallel {}", *x.data_parallel));
    if (count_given) given.push_back(fmt::format("devices_per_replica {}", *x.devices_per_replica));
    const std::string from = join(given, ", ");
    const std::string field = "restriction." + given.front().substr(0, given.front().find(' '));
    out.push_back(edit(
        {"parallel", field, from, "", fmt::format("let berth choose how many devices a replica takes (drop {})", from)},
        1,
        [](Question q) {
          auto& y = q.request.restriction;
          y.tensor_parallel.reset();
          y.pipeline_parallel.reset();
          y.data_parallel.reset();
          if (y.use == fleet::DeviceUse::kAny) y.devices_per_replica.reset();
          return q;
        }));
  }
}

void propose_across_workers(const FleetSnapshot& snapshot,
                            const Request& r,
                            const Policy& policy,
                            std::vector<Edit>& out) {
  if (r.restriction.across_workers || !policy.over_workers || snapshot.size() < 2) return;
  out.push_back(
      edit({"across_workers", "restriction.across_workers", "false", "true", "let one replica lie on several workers"},
           1,
           [](Question q) {
             q.request.restriction.across_workers = true;
             return q;
           }));
}

void propose_memory(const Request& r, const Policy& policy, const Decision& d, std::vector<Edit>& out) {
  if (!rejected(d, "memory") && !rejected(d, "ram")) return;
  if (r.settings.utilization)
    out.push_back(edit({"utilization",
                        "settings.utilization",
                        fmt::format("{}", *r.settings.utilization),
                        "",
                        "let berth choose the utilization"},
                       1,
                       [](Question q) {
                         q.request.settings.utilization.reset();
                         return q;
                       }));
  const std::string kv = r.settings.kv_type.value_or(policy.default_kv_type);
  // Engines differ in what they call eight bits; the wrong one of the two does not fit and is not shown.
  for (const std::string to : {"q8_0", "fp8"}) {
    if (kv != "f16" && kv != "bf16" && kv != "auto") break;
    const fleet::Change change{
        "kv_type", "settings.kv_type", kv, to, fmt::format("hold the KV cache in 8 bits ({})", to)};
    out.push_back(edit(change, 1, [to](Question q) {
      q.request.settings.kv_type = to;
      return q;
    }));
  }
  const std::uint32_t most = r.facts && r.facts->max_context ? *r.facts->max_context : policy.default_context;
  const std::uint32_t context = r.settings.context.value_or(std::min(most, policy.default_context));
  constexpr std::uint32_t kContextLeast = 1024;
  for (std::uint32_t to = context / 2, step = 1; to >= kContextLeast; to /= 2, ++step)
    out.push_back(edit({"context",
                        "settings.context",
                        std::to_string(context),
                        std::to_string(to),
                        fmt::format("lower the context from {} to {} tokens", context, to)},
                       step,
                       [to](Question q) {
                         q.request.settings.context = to;
                         return q;
                       }));
}

void propose_variants(const Request& r, std::vector<Edit>& out) {
  for (const auto& v : r.variants) {
    if (!v.facts) continue;
    const std::string format = v.facts->format.empty()               ? ""
                               : to_lower(v.facts->format) == "gguf" ? "GGUF "
                                                                     : v.facts->format + " ";
    // The least change is the variant that keeps most of the weights.
    const std::uint64_t amount = Bytes::kMax - v.facts->weight_bytes.value_or(Bytes()).value;
    out.push_back(edit({"variant", "variant", "", v.name, fmt::format("use the {}variant {}", format, v.name)},
                       amount,
                       [v](Question q) {
                         q.request.facts = v.facts;
                         q.request.source = v.source;
                         q.variant = v.name;
                         return q;
                       }));
  }
}

void propose_replicas_and_accept(const Request& r, const Decision& d, std::vector<Edit>& out) {
  if (d.fit_count > 0 && d.fit_count < r.replicas)
    out.push_back(edit({"replicas",
                        "replicas",
                        std::to_string(r.replicas),
                        std::to_string(d.fit_count),
                        fmt::format("ask for {} replica{}", d.fit_count, d.fit_count == 1 ? "" : "s")},
                       r.replicas - d.fit_count,
                       [n = d.fit_count](Question q) {
                         q.request.replicas = n;
                         return q;
                       }));
  for (const std::string reason : {"memory_uncertain",
                                   "runtime_newer_than_driver",
                                   "unknown_architecture",
                                   "os_unknown",
                                   "arch_unknown",
                                   "runtime_unknown",
                                   "driver_unknown",
                                   "driver_too_old",
                                   "capability_unknown"}) {
    bool seen = std::any_of(d.report.request.begin(), d.report.request.end(), [&](const fleet::RuleResult& result) {
      return result.reason == reason;
    });
    for (const auto& line : d.report.lines)
      for (const auto& result : line.results) seen = seen || result.reason == reason;
    if (!seen || std::find(r.accept.begin(), r.accept.end(), reason) != r.accept.end()) continue;
    out.push_back(edit({"accept", "accept", "", reason, "accept " + reason}, 1, [reason](Question q) {
      q.request.accept.push_back(reason);
      return q;
    }));
  }
}

// The kind of an acceptance: whoever applies it lets code of the model's run.
void propose_trust(const Request& r, const EngineCatalog& catalog, const Decision& d, std::vector<Edit>& out) {
  if (!rejected(d, "architecture")) return;
  std::set<std::string> flags;
  for (const auto& engine : catalog.engines())
    if (r.restriction.engine == engine.id && !engine.architectures.trust_flag.empty())
      flags.insert(engine.architectures.trust_flag);
  for (const auto& flag : flags)
    out.push_back(edit({"accept", "settings.flags", "", flag, fmt::format("trust the model's own code ({})", flag)},
                       2,
                       [flag](Question q) {
                         q.request.settings.flags.push_back(flag);
                         return q;
                       }));
}

Question with_worker(Question q, const std::string& id, const std::function<void(fleet::Worker&)>& change) {
  const auto* entry = q.snapshot.find(id);
  ASSERT(entry != nullptr);
  fleet::Worker worker = entry->worker;
  change(worker);
  auto rebuilt = fleet::make_entry(std::move(worker), entry->occupants);
  ASSERT(rebuilt.has_value());
  q.snapshot = q.snapshot.with(std::move(*rebuilt));
  return q;
}

void propose_workers(const FleetSnapshot& snapshot, std::vector<Edit>& out) {
  std::size_t tried = 0;
  snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    const auto& w = entry.worker;
    const bool ready = w.state == fleet::WorkerState::kReady;
    if ((ready && !w.cordoned) || tried++ >= kWorkersTriedMax) return;
    if (!ready)
      out.push_back(edit({"worker_ready",
                          "workers/" + w.id + "/state",
                          "not_ready",
                          "ready",
                          fmt::format("bring worker {} back to ready", w.name)},
                         1,
                         [id = w.id](Question q) {
                           return with_worker(
                               std::move(q), id, [](fleet::Worker& x) { x.state = fleet::WorkerState::kReady; });
                         }));
    if (w.cordoned)
      out.push_back(edit(
          {"uncordon", "workers/" + w.id + "/cordoned", "true", "false", fmt::format("uncordon worker {}", w.name)},
          1,
          [id = w.id](Question q) {
            return with_worker(std::move(q), id, [](fleet::Worker& x) { x.cordoned = false; });
          }));
  });
}

}  // namespace

std::vector<Edit> propose(const FleetSnapshot& snapshot,
                          const Request& r,
                          const Policy& policy,
                          const EngineCatalog& catalog,
                          const Decision& decision) {
  std::vector<Edit> out;
  propose_selection(r, out);
  propose_engine(r, out);
  propose_across_workers(snapshot, r, policy, out);
  propose_memory(r, policy, decision, out);
  propose_variants(r, out);
  propose_replicas_and_accept(r, decision, out);
  propose_trust(r, catalog, decision, out);
  propose_workers(snapshot, out);
  std::sort(out.begin(), out.end(), [](const Edit& a, const Edit& b) {
    return std::tie(a.cost, a.amount, a.change.field, a.change.to) <
           std::tie(b.cost, b.amount, b.change.field, b.change.to);
  });
  return out;
}

}  // namespace berth::placement::fixes_detail
