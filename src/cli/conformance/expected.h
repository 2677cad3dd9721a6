#pragma once
// What a sched-case/1 file may expect, and the placements that it tells of.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "wire/json.h"

namespace berth::cli::conformance {

/// A reason with the numbers that are part of the fact. Other numbers are no part of berth's reasons yet: a case that
/// has them is failed for them.
struct CaseReason {
  std::string code;
  std::optional<std::string> worker;
  std::optional<std::uint64_t> matched;
  std::optional<std::uint64_t> of;
  std::optional<std::string> missing;
  std::optional<std::string> backend_version;
  std::optional<std::uint64_t> selected;    // devices of one replica
  std::optional<std::uint64_t> world_size;  // ranks that its flags make
  std::optional<std::string> architecture;
};
DESCRIBE(CaseReason, code, worker, matched, of, missing, backend_version, selected, world_size, architecture);

/// What a placement takes on one worker.
struct CaseShare {
  std::optional<Bytes> ram_bytes;
  std::optional<std::map<std::string, Bytes>> vram_bytes_by_gpu;  // by index
  std::optional<std::uint32_t> offload_layers;
  std::optional<std::uint32_t> total_layers;
  std::optional<std::vector<std::uint64_t>> tensor_split;
  std::optional<double> vram_utilization;
  std::optional<bool> unified;
};
DESCRIBE(
    CaseShare, ram_bytes, vram_bytes_by_gpu, offload_layers, total_layers, tensor_split, vram_utilization, unified);

/// A further worker of a placement. `address` and `gpus_on_worker` say what the fleet says already.
struct CaseFollower {
  std::string worker;
  std::optional<std::int64_t> worker_id;
  std::optional<std::string> gpu_runtime;
  std::optional<std::vector<int>> gpu_indexes;
  std::optional<CaseShare> claim;
  std::optional<std::string> address;
  std::optional<std::uint32_t> gpus_on_worker;
  std::optional<std::vector<std::string>> gpu_addresses;
};
DESCRIBE(CaseFollower, worker, worker_id, gpu_runtime, gpu_indexes, claim, address, gpus_on_worker, gpu_addresses);

struct CasePlace {
  std::string worker;
  std::optional<std::int64_t> worker_id;
  std::optional<std::string> gpu_runtime;
  std::optional<std::vector<int>> gpu_indexes;
  std::optional<CaseShare> claim;
  std::optional<double> score;
  std::optional<std::vector<CaseFollower>> subordinates;
  std::optional<bool> overcommit;
  std::optional<std::vector<std::string>> gpu_addresses;
};
DESCRIBE(CasePlace, worker, worker_id, gpu_runtime, gpu_indexes, claim, score, subordinates, overcommit, gpu_addresses);

/// The need as the scheduler sums it that the cases were recorded from.
struct CaseEstimate {
  std::optional<Bytes> vram_bytes;
  std::optional<Bytes> ram_bytes;
  std::optional<double> gpu_fraction;
  std::optional<wire::RawJson> gpu_fraction_by_runtime;
  std::optional<std::uint32_t> gpus_required;
  std::optional<std::uint32_t> total_layers;
};
DESCRIBE(CaseEstimate, vram_bytes, ram_bytes, gpu_fraction, gpu_fraction_by_runtime, gpus_required, total_layers);

/// Every key of the schema is here: another one is not understood, and fails the case.
struct CaseExpected {
  std::optional<bool> feasible;
  bool overcommit_only = false;
  std::optional<std::vector<std::vector<std::string>>> reasons_any_of_per_entry;
  wire::RawJson choice{""};  // a CasePlace; "null": none is chosen; empty: not told
  bool choice_from_mutated_fleet = false;
  std::optional<CasePlace> choice_must_have;
  std::vector<std::string> workers_never_used;
  std::optional<std::vector<std::string>> passed;
  std::optional<std::vector<std::string>> rejected;
  std::optional<wire::RawJson> reasons;  // read as CaseReason where they are compared
  std::optional<CaseEstimate> estimate;
  std::optional<std::vector<wire::RawJson>> candidates;
  // Kind "evaluate".
  std::optional<bool> compatible;
  std::optional<std::vector<std::string>> detected_categories;
  // Kind "gpu_count".
  std::optional<bool> accepted;
  std::optional<std::uint32_t> gpus_per_replica;
  std::optional<std::uint32_t> gpu_count;
  std::optional<bool> bypass_active;
  std::optional<wire::RawJson> scores;  // kinds "score" and "scale_down_score": their order is compared
  // Not compared yet.
  std::optional<std::uint32_t> choice_index_by_score;
  std::optional<std::uint32_t> choice_ties;
  std::optional<wire::RawJson> requirement_as_reported;
  std::optional<wire::RawJson> pipeline;
  std::optional<std::string> rejected_at;
  std::optional<wire::RawJson> scores_v0_6_0;
  // About the case, not about the answer.
  std::optional<std::string> asserted_by;
  std::optional<std::string> choice_scope;
};
DESCRIBE(CaseExpected,
         feasible,
         overcommit_only,
         reasons_any_of_per_entry,
         choice,
         choice_from_mutated_fleet,
         choice_must_have,
         workers_never_used,
         passed,
         rejected,
         reasons,
         estimate,
         candidates,
         compatible,
         detected_categories,
         accepted,
         gpus_per_replica,
         gpu_count,
         bypass_active,
         scores,
         choice_index_by_score,
         choice_ties,
         requirement_as_reported,
         pipeline,
         rejected_at,
         scores_v0_6_0,
         asserted_by,
         choice_scope);

}  // namespace berth::cli::conformance
