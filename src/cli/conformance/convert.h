#pragma once
// A case in the words of the decision: data only, no rule is asked here.

#include <map>

#include "cli/conformance/case.h"
#include "engines/catalog.h"
#include "fleet/objects.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"

namespace berth::cli::conformance {

struct World {
  fleet::FleetSnapshot snapshot;
  fleet::Request request;
  engines::EngineCatalog catalog;                  // the embedded one with the builds that the case tells of
  fleet::Policy policy;                            // rules of the house that the case is put to
  std::map<std::int64_t, std::int64_t> workers{};  // ids of the case → those that the snapshot has; empty: the same
};

/// Errors: kNotSupported naming the key and value that is not understood; kInvalid where the case contradicts itself.
/// `policy`: berth's own, or GPUStack's with the rows of the version that the case was recorded from; of a case that
/// tells of no builds, it asks for none.
Result<World> to_world(const Case& c, const engines::EngineCatalog& embedded, fleet::Policy policy = {});
/// Under a policy whose ties go to the first of the fleet's list: its workers called in that order.
Case in_order(Case c, std::map<std::int64_t, std::int64_t>& ids);

/// `embedded` with rows added and taken away as backend_catalog says of the engine `id`. One that the catalog does not
/// have, and of which the case has builds, is a custom engine of the case's users. Errors: kNotSupported on an unknown
/// runtime.
Result<engines::EngineCatalog> catalog_of(const std::vector<CaseBackend>& builds,
                                          const std::optional<std::string>& id,
                                          const engines::EngineCatalog& embedded);

/// "l1:cuda:0" → "l1/cuda:0". Errors: kInvalid.
Result<std::string> device_ref(const std::string& gpu_id);
/// How berth's catalog calls the engine; a name that is not in the table stays as it is.
std::string engine_id(const std::string& backend);
/// The ids that a case's worker, its device and a model's deployment have in the snapshot.
std::string worker_id(std::int64_t id);
std::string device_id(std::string_view runtime, int index);
std::string deployment_id(std::int64_t model);
/// Workers with what runs on them, and with the files of the model's source that the case tells of. Errors: as
/// to_world.
Result<fleet::FleetSnapshot> to_snapshot(const Case& c, const fleet::Request& request, const fleet::Policy& policy);

/// A case about flags or an architecture alone, with a fleet, a build and a model that have room for whatever it asks,
/// so that nothing but what it tells decides. Errors: kInvalid about a selected device; kNotSupported on its runtime.
Result<Case> with_room(Case c);

/// What berth calls the task of a category. Errors: kNotSupported.
Result<std::string> task_of_category(std::string_view category);
/// What metadata takes a model with these architectures for. Errors: as facts_from_hf_config().
Result<std::string> task_of_architectures(const std::vector<std::string>& names);

/// What a runtime of the cases is to berth. Errors: kNotSupported.
struct RuntimeRow {
  std::string_view runtime;
  std::string_view vendor;
  std::string_view framework;
};
Result<RuntimeRow> runtime_row(std::string_view runtime);
/// Errors: kNotSupported.
Result<fleet::InstanceState> instance_state(std::string_view state);
/// Errors: kNotSupported.
Result<fleet::WorkerState> worker_state(std::string_view state);

}  // namespace berth::cli::conformance
