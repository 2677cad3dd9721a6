#pragma once
// What goes wrong in one simulated run, drawn from the seed before it starts, so that it can be printed and repeated.

#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/time.h"

namespace berth::sim {

/// A connection keeps the order of what is said on it, so that nothing overtakes anything here.
enum class FaultKind {
  kDisconnect,        // the control connection closes; the engines run on
  kSilent,            // the worker says nothing for a while, then goes on with what is new
  kLostReports,       // what engines do is sent and never arrives; then the connection breaks
  kLostDesired,       // instructions never arrive
  kLate,              // everything the worker says arrives later, in order
  kDuplicates,        // everything the worker says arrives twice
  kEngineCrash,       // one engine exits
  kDeviceGone,        // a device is not there any more, then it is again
  kStranger,          // a process that is not ours takes memory on a device
  kWorkerRestart,     // the agent starts again: its engines go on, what it had not begun is forgotten
  kStoreConflict,     // commits are refused
  kStoreFull,         // commits fail, nothing is written
  kStoreLost,         // commits time out, nothing is written
  kStoreUnconfirmed,  // commits time out, and are written
  kServerRestart,     // the server starts again from its store
  kServerDies,        // the same, in the middle of a commit, before or after it is written
};
constexpr std::uint64_t kFaultKinds = 16;
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
  /// One of them was over just now.
  [[nodiscard]] bool ends(FaultKind kind, std::size_t worker, Duration now) const;
  [[nodiscard]] std::string text() const;
};

/// About one fault every five seconds, none of them lasting beyond `phase`.
FaultPlan draw_faults(Rng& rng, std::size_t workers, Duration phase);

}  // namespace berth::sim
