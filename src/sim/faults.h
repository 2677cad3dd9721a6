#pragma once
// What goes wrong in one simulated run, drawn from the seed before it starts, so that it can be printed and repeated.

#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/time.h"

namespace berth::sim {

enum class FaultKind {
  kDisconnect,      // the control connection closes; the engines run on
  kLostHeartbeats,  // they are sent and never arrive
  kLate,            // everything the worker says arrives later, in order
  kDuplicates,      // heartbeats arrive twice
  kEngineCrash,     // one engine exits
  kDeviceGone,      // a device is not there any more, then it is again
  kStranger,        // a process that is not ours takes memory on a device
  kStoreConflict,   // commits are refused
  kServerRestart,   // the server starts again from its store
};
constexpr std::uint64_t kFaultKinds = 9;
std::string_view fault_name(FaultKind kind);

struct Fault {
  Duration at{};  // since the start
  Duration lasts{};
  FaultKind kind = FaultKind::kDisconnect;
  std::size_t worker = 0;
};

struct FaultPlan {
  std::vector<Fault> faults;  // by time

  /// The faults of `kind` that hold at `now` (since the start) on this worker; those of the server have worker 0.
  [[nodiscard]] bool active(FaultKind kind, std::size_t worker, Duration now) const;
  [[nodiscard]] std::string text() const;
};

/// About one fault every eight seconds, none of them lasting beyond `phase`.
FaultPlan draw_faults(Rng& rng, std::size_t workers, Duration phase);

}  // namespace berth::sim
