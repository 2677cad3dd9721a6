#pragma once
// One device in full: what it has, who holds what of it, and what a model would need there. The answer is decide()'s,
// of the same request with this device selected by hand.

#include <optional>
#include <string>
#include <vector>

#include "base/describe.h"
#include "base/result.h"
#include "cli/server.h"
#include "cli/terminal.h"
#include "cli/views.h"
#include "fleet/snapshot.h"
#include "placement/rules/rule.h"

namespace berth::cli {

/// Who holds part of a device. What counts is the larger of claim and measured use.
struct HolderView {
  std::string name;        // of the instance; of a process where it is not berth's
  std::string deployment;  // empty: not known
  std::string kind;        // "ours", "orphan", "foreign"
  Bytes claim;
  std::optional<Bytes> observed;  // measured use; absent: not told
  bool stopping = false;
};
DESCRIBE(HolderView, name, deployment, kind, claim, observed, stopping);

struct DeviceSums {
  std::string worker;
  std::string device;
  std::string name;
  fleet::DeviceCapacity capacity;
  std::optional<fleet::DeviceCapacity> pool;  // unified memory: what the device shares with the host
  std::vector<HolderView> holders;
};
DESCRIBE(DeviceSums, worker, device, name, capacity, pool, holders);

/// `berth check --explain WORKER/DEVICE -o json`.
struct ExplainedAnswer {
  DeviceSums device;
  fleet::Decision decision;
  std::vector<fleet::Fix> fixes;
};
DESCRIBE(ExplainedAnswer, device, decision, fixes);

/// The request with this device selected and nothing else.
fleet::Request for_device(fleet::Request request, const std::string& device);
/// Errors: kInvalid for a reference that is no WORKER/DEVICE or that this fleet does not have, with those it has.
Result<DeviceSums> sums_of(const fleet::FleetSnapshot& snapshot, const std::string& reference);
/// The same of a running server, by its devices and instances.
Result<DeviceSums> sums_of(const Server& server, const std::string& reference);

std::string render(const Terminal& terminal, const DeviceSums& sums, placement::Language language);

}  // namespace berth::cli
