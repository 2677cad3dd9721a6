#include "cli/conformance/facts.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/architectures.h"
#include "engines/world.h"

namespace berth::cli::conformance {
namespace {

using engines::SupportRow;

/// A reject with the facts it is held against.
struct Facts {
  const Case& c;
  const World& world;
  const fleet::RuleResult& result;
  const CaseWorker* worker;
  const engines::Engine* engine;

  [[nodiscard]] std::string arg(const std::string& name) const {
    const auto at = result.args.find(name);
    return at == result.args.end() ? "" : at->second;
  }
  [[nodiscard]] const fleet::Restriction& restriction() const { return world.request.restriction; }
};

bool lists(const std::vector<std::string>& list, const std::string& value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

// The builds that are not excluded by the version asked for, on the worker's system when `on_os`.
std::vector<const SupportRow*> rows_of(const Facts& f, bool on_os) {
  std::vector<const SupportRow*> out;
  if (f.engine == nullptr) return out;
  for (const auto& row : f.engine->rows) {
    const auto& version = f.restriction().engine_version;
    if (version && !lists(row.versions, *version)) continue;
    if (on_os && f.worker != nullptr && f.worker->os && !lists(row.os, *f.worker->os)) continue;
    out.push_back(&row);
  }
  return out;
}

bool is_for(const SupportRow& row, const CaseGpu& gpu) {
  const auto runtime = runtime_row(gpu.runtime);
  return row.vendor == gpu.vendor && runtime && (row.framework.empty() || row.framework == runtime->framework);
}

bool for_some_gpu(const Facts& f, const SupportRow& row) {
  return std::any_of(
      f.worker->gpus.begin(), f.worker->gpus.end(), [&](const CaseGpu& gpu) { return is_for(row, gpu); });
}

bool not_ready(const Facts& f) {
  const auto state = worker_state(f.worker->state);
  return state && *state != fleet::WorkerState::kReady;
}

bool label_differs(const Facts& f) {
  const auto key = f.arg("label");
  const auto wants = f.restriction().labels.find(key);
  const auto has = f.worker->labels.find(key);
  return wants != f.restriction().labels.end() && (has == f.worker->labels.end() || has->second != wants->second);
}

bool in_other_cluster(const Facts& f) {
  const auto& asked = model_of(f.c).cluster_id;
  return asked && f.worker->cluster_id && *asked != *f.worker->cluster_id;
}

bool devices_are_selected(const Facts& f) { return !f.restriction().devices.empty(); }

bool not_selected(const Facts& f) {
  const auto& devices = f.restriction().devices;
  return !devices.empty() && std::none_of(devices.begin(), devices.end(), [&](const std::string& ref) {
    return ref.starts_with(f.worker->name + "/");
  });
}

bool selected_is_missing(const Facts& f) {
  const auto ref = f.arg("device");
  const auto& devices = f.restriction().devices;
  if (std::find(devices.begin(), devices.end(), ref) == devices.end()) return false;
  for (const auto& worker : f.c.fleet.workers)
    for (const auto& gpu : worker.gpus)
      if (ref == fmt::format("{}/{}:{}", worker.name, gpu.runtime, gpu.index)) return false;
  return true;
}

bool engine_is_unknown(const Facts& f) {
  const auto& engine = f.restriction().engine;
  return engine && f.world.catalog.find(*engine) == nullptr;
}

bool no_build_for_os(const Facts& f) { return !rows_of(f, false).empty() && rows_of(f, true).empty(); }

bool no_build_for_vendor(const Facts& f) {
  const auto rows = rows_of(f, true);
  return !f.worker->gpus.empty() && !rows.empty() &&
         std::none_of(rows.begin(), rows.end(), [&](const SupportRow* row) { return for_some_gpu(f, *row); });
}

bool has_no_device_but_needs_one(const Facts& f) {
  const auto rows = rows_of(f, true);
  return f.worker->gpus.empty() &&
         std::none_of(rows.begin(), rows.end(), [](const SupportRow* row) { return row->vendor == "cpu"; });
}

bool no_build_for_anyone(const Facts& f) {
  return f.engine != nullptr && std::none_of(f.engine->rows.begin(), f.engine->rows.end(), [&](const SupportRow& row) {
           return std::any_of(f.c.fleet.workers.begin(), f.c.fleet.workers.end(), [&](const CaseWorker& w) {
             if (w.os && !lists(row.os, *w.os)) return false;
             if (row.vendor == "cpu") return f.restriction().devices.empty();
             return std::any_of(w.gpus.begin(), w.gpus.end(), [&](const CaseGpu& gpu) { return is_for(row, gpu); });
           });
         });
}

bool no_build_of_version(const Facts& f) { return f.engine != nullptr && rows_of(f, false).empty(); }

bool no_build_for_arch(const Facts& f) {
  if (!f.worker->arch) return false;
  const auto rows = rows_of(f, true);
  return !rows.empty() && std::none_of(rows.begin(), rows.end(), [&](const SupportRow* row) {
    const bool kind = f.worker->gpus.empty() ? row->vendor == "cpu" : for_some_gpu(f, *row);
    return kind && lists(row->arch, *f.worker->arch);
  });
}

bool some_gpu_is_below(const Facts& f, std::optional<std::string> CaseGpu::* reading) {
  const auto has = f.arg("has"), needs = f.arg("needs");
  return !needs.empty() && engines::compare_versions(has, needs) < 0 &&
         std::any_of(
             f.worker->gpus.begin(), f.worker->gpus.end(), [&](const CaseGpu& gpu) { return gpu.*reading == has; });
}

bool runtime_is_older(const Facts& f) { return some_gpu_is_below(f, &CaseGpu::runtime_version); }
bool driver_is_older(const Facts& f) { return some_gpu_is_below(f, &CaseGpu::driver_version); }
bool capability_is_lower(const Facts& f) { return some_gpu_is_below(f, &CaseGpu::compute_capability); }

bool format_is_not_read(const Facts& f) {
  return f.engine != nullptr && f.world.request.facts && !lists(f.engine->formats, f.world.request.facts->format);
}
bool task_is_not_served(const Facts& f) {
  if (f.engine == nullptr) return false;
  if (!lists(f.engine->tasks, f.world.request.task)) return true;
  // By the engine, but not with this architecture.
  if (!f.world.request.facts) return false;
  const auto match = engines::match_architecture(*f.engine, *f.world.request.facts);
  return !match.rows.empty() && std::none_of(match.rows.begin(), match.rows.end(), [&](const auto* row) {
    return lists(engines::tasks_of(match, *row), f.world.request.task);
  });
}
/// The newest list of the engine's architectures lacks it.
bool architecture_is_not_run(const Facts& f) {
  if (f.engine == nullptr || !f.c.model_facts || !f.c.model_facts->architectures) return false;
  const auto& told = *f.c.model_facts->architectures;
  const std::string name = f.arg("architecture");
  return std::find(told.begin(), told.end(), name) != told.end() &&
         std::none_of(f.engine->architectures.rows.begin(), f.engine->architectures.rows.end(), [&](const auto& row) {
           return row.until.empty() && std::find(row.names.begin(), row.names.end(), name) != row.names.end();
         });
}

bool code_is_not_trusted(const Facts& f) {
  const auto& flags = model_of(f.c).backend_parameters;
  return f.c.model_facts && f.c.model_facts->needs_custom_code.value_or(false) &&
         std::none_of(flags.begin(), flags.end(), [](const std::string& flag) {
           return flag.find("trust-remote-code") != std::string::npos;
         });
}

bool engine_is_unsupported(const Facts& f) { return f.engine != nullptr && !f.engine->supported; }

bool heads_do_not_divide(const Facts& f) {
  const auto by = parse_u64(f.arg("tp")).value_or(0), count = parse_u64(f.arg("heads")).value_or(0);
  if (by == 0 || count == 0 || count % by == 0 || !f.c.model_facts) return false;
  const auto& m = *f.c.model_facts;
  return m.attention_heads == count || m.kv_heads == count || m.vision_attention_heads == count || m.experts == count ||
         m.vocab_size == count;
}

/// Every build for one of its devices is for other chips.
bool is_another_chip(const Facts& f) {
  return std::any_of(f.worker->gpus.begin(), f.worker->gpus.end(), [&](const CaseGpu& gpu) {
    const auto is = [&](const SupportRow* row) {
      return engines::matches_variant(row->variants, gpu.name) ||
             (gpu.compute_capability && engines::matches_variant(row->variants, *gpu.compute_capability));
    };
    auto rows = rows_of(f, true);
    std::erase_if(rows, [&](const SupportRow* row) { return !is_for(*row, gpu); });
    return !rows.empty() && std::none_of(rows.begin(), rows.end(), is);
  });
}

bool has_that_type(const Facts& f) {
  const auto& facts = f.world.request.facts;
  return facts && (facts->quantization == f.arg("type") || facts->dtype == f.arg("type"));
}

bool groups_are_short(const Facts& f) {
  const auto needs = parse_u64(f.arg("groups")), has = parse_u64(f.arg("has"));
  return f.restriction().across_workers && needs && has && *has < *needs;
}

bool has_fewer_devices(const Facts& f) {
  const auto needs = parse_u64(f.arg("needs")), has = parse_u64(f.arg("has"));
  return needs && has && *has < *needs && *has <= f.worker->gpus.size();
}

bool selection_is_uneven(const Facts& f) {
  const auto& selector = model_of(f.c).gpu_selector;
  return selector && f.world.request.replicas > 0 &&
         (selector->gpu_ids.size() % f.world.request.replicas != 0 || f.restriction().devices_per_replica.has_value());
}

bool ranks_are_others(const Facts& f) {
  const auto& r = f.restriction();
  if (f.engine == nullptr || !r.devices_per_replica) return false;
  const auto world = engines::world_of(*f.engine, r, f.world.request.settings.flags);
  return world && world->here() != *r.devices_per_replica && f.arg("ranks") == std::to_string(world->here()) &&
         f.arg("each") == std::to_string(*r.devices_per_replica);
}

bool offload_is_off(const Facts& f) { return model_of(f.c).cpu_offloading == false; }

bool devices_are_asked_for(const Facts& f) {
  const auto& r = f.restriction();
  return devices_are_selected(f) || f.world.request.settings.offload_layers.value_or(0) > 0 ||
         r.devices_per_replica.value_or(0) > 0 || r.tensor_parallel || r.pipeline_parallel || r.data_parallel;
}

bool needs_more(const Facts& f) {
  return f.result.needed && f.result.available && *f.result.needed > *f.result.available;
}

Bytes claimed_on(const Case& c, const CaseWorker& worker, const CaseGpu& gpu) {
  Bytes sum;
  const auto add = [&](std::int64_t on, const std::optional<CaseClaim>& claim) {
    if (on != worker.id || !claim) return;
    const auto at = claim->vram_bytes_by_gpu.find(std::to_string(gpu.index));
    if (at != claim->vram_bytes_by_gpu.end()) sum += at->second;
  };
  for (const auto& instance : c.instances) {
    add(instance.worker_id, instance.claim);
    for (const auto& sub : instance.subordinates) add(sub.worker_id, sub.claim);
  }
  return sum;
}

// The sum of the cases: total − claims of instances − reserve.
bool device_is_short(const Facts& f) {
  return needs_more(f) && std::any_of(f.worker->gpus.begin(), f.worker->gpus.end(), [&](const CaseGpu& gpu) {
           const Bytes room =
               gpu.memory.total_bytes.minus_or_zero(claimed_on(f.c, *f.worker, gpu) + f.worker->reserved.vram_bytes);
           // Of memory that the host shares, what the host has left is the most.
           return gpu.memory.unified ? *f.result.available <= room : *f.result.available == room;
         });
}

bool host_is_short(const Facts& f) {
  return needs_more(f) && f.result.available.value_or(Bytes()) <=
                              f.worker->memory.total_bytes.minus_or_zero(f.worker->reserved.ram_bytes);
}

struct Check {
  std::string_view reason;
  bool (*holds)(const Facts&);
  bool about_worker = true;
};

// Reasons that no case can give, since no case carries what they look at (cordon, disk, health, engines present), have
// no row: whoever reports them made them up.
constexpr std::array kChecks = {
    Check{"worker_not_ready", not_ready},
    Check{"label_mismatch", label_differs},
    Check{"other_cluster", in_other_cluster},
    Check{"not_selected", not_selected},
    Check{"selected_device_missing", selected_is_missing, false},
    Check{"device_selected", devices_are_selected},
    Check{"devices_asked", devices_are_asked_for},
    Check{"unknown_engine", engine_is_unknown, false},
    Check{"engine_unsupported", engine_is_unsupported, false},
    Check{"task_unsupported", task_is_not_served, false},
    Check{"format_unsupported", format_is_not_read, false},
    Check{"unsupported_architecture", architecture_is_not_run, false},
    Check{"custom_code_not_trusted", code_is_not_trusted, false},
    Check{"engine_os", no_build_for_os},
    Check{"engine_vendor", no_build_for_vendor},
    Check{"needs_device", has_no_device_but_needs_one},
    Check{"no_worker_for_engine", no_build_for_anyone, false},
    Check{"engine_version_unsupported", no_build_of_version},
    Check{"engine_arch", no_build_for_arch},
    Check{"runtime_too_old", runtime_is_older},
    Check{"driver_too_old", driver_is_older},
    Check{"capability_too_low", capability_is_lower},
    Check{"type_needs_capability", capability_is_lower},
    Check{"type_unsupported", has_that_type},
    Check{"variant_unsupported", is_another_chip},
    Check{"heads_not_divisible", heads_do_not_divide},
    Check{"over_workers_short", groups_are_short, false},
    Check{"too_few_devices", has_fewer_devices},
    Check{"uneven_selection", selection_is_uneven},
    Check{"world_size_mismatch", ranks_are_others},
    Check{"no_cpu_offload", offload_is_off},
    Check{"free_memory", device_is_short},
    Check{"memory_uncertain", device_is_short},
    Check{"utilization_below_need", needs_more},
    Check{"ram_short", host_is_short},
    Check{"pool_short", host_is_short},
};

}  // namespace

std::optional<std::string> untrue(const Case& c, const World& world, const Said& said) {
  const auto& result = *said.result;
  const std::string where = said.worker == nullptr ? "the request" : "worker " + said.worker->name;
  const auto at =
      std::find_if(kChecks.begin(), kChecks.end(), [&](const Check& check) { return check.reason == result.reason; });
  if (at == kChecks.end())
    return fmt::format("{} is reported for {}, and nothing in the case could show it", result.reason, where);
  if (at->about_worker && said.worker == nullptr)
    return fmt::format("{} is a reason about a worker, but is reported for the request", result.reason);
  const Facts facts{c, world, result, said.worker, world.catalog.find(said.engine)};
  if (at->holds(facts)) return std::nullopt;
  return fmt::format("{} is reported for {}, which is not so: {}", result.reason, where, result.text);
}

std::vector<std::string> checked_reasons() {
  std::vector<std::string> out;
  for (const auto& check : kChecks) out.emplace_back(check.reason);
  return out;
}

}  // namespace berth::cli::conformance
