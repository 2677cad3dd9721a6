#pragma once
// State machines as closed tables: state × event → state (DESIGN §4). What is not in the table does not happen.
// docs/states.md draws them from here.

#include <optional>
#include <span>
#include <string_view>

#include "base/time.h"
#include "fleet/objects.h"

namespace berth::controllers {

using fleet::InstanceState;
using fleet::WorkerState;

enum class InstanceEvent {
  kAccepted,       // the worker has the instruction
  kStarted,        // the process runs
  kAnswered,       // a real inference succeeded
  kExited,         // the process ended, or the worker refused with numbers
  kStopRequested,  // the controllers want it gone
  kWorkerLost,     // the worker is not ready any more
  kSimulated,      // a simulated worker accepted
};

struct InstanceTransition {
  InstanceState from;
  InstanceEvent event;
  InstanceState to;
};
std::span<const InstanceTransition> instance_table();
/// Absent: the event means nothing in that state.
std::optional<InstanceState> next(InstanceState state, InstanceEvent event);

/// True when the table has a way from `from` to `to`, perhaps over several steps.
bool reachable(InstanceState from, InstanceState to);
/// True when a worker may report `to` of an instance last seen in `from`: as reachable(), by events that a worker
/// makes. It neither asks for a stop nor loses itself.
bool reportable(InstanceState from, InstanceState to);

/// How long an instance may stay in a waiting state before it is named as stuck, and what then comes next.
struct StateRule {
  InstanceState state;
  bool waiting;
  Duration deadline;
  std::string_view waits_for;
  std::string_view then;
};
const StateRule& rule_of(InstanceState state);

/// No heartbeat for this long: the worker is not ready. Three missed ones and a margin.
constexpr Duration kHeartbeatLate{15'000};
/// The control connection is closed for this long: not ready. Time to reconnect after a restart of the agent.
constexpr Duration kReconnectGrace{5'000};
constexpr Duration kHeartbeatEvery{2'000};

struct WorkerSigns {
  bool joined_ever = false;
  bool connected = false;
  bool inventory_seen = false;       // since the connection was opened
  std::optional<Time> last_seen_at;  // heartbeat or inventory
  std::optional<Time> disconnected_at;
};
struct WorkerJudgement {
  WorkerState state = WorkerState::kPending;
  std::string_view reason;
  std::optional<Time> next_at;  // when it will be looked at again if nothing comes
};
/// Pure: readiness out of signs of life. A worker whose inventory was not seen yet is `pending`, never ready.
WorkerJudgement judge(const WorkerSigns& signs, Time now);

}  // namespace berth::controllers
