#include "controllers/states.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/assert.h"

namespace berth::controllers {
namespace {

using S = InstanceState;
using E = InstanceEvent;

constexpr std::array kTable = {
    InstanceTransition{S::kScheduled, E::kAccepted, S::kPreparing},
    InstanceTransition{S::kScheduled, E::kSimulated, S::kSimulated},
    InstanceTransition{S::kScheduled, E::kExited, S::kFailed},
    InstanceTransition{S::kScheduled, E::kStopRequested, S::kStopping},
    InstanceTransition{S::kScheduled, E::kWorkerLost, S::kUnknown},
    InstanceTransition{S::kPreparing, E::kStarted, S::kStarting},
    InstanceTransition{S::kPreparing, E::kExited, S::kFailed},
    InstanceTransition{S::kPreparing, E::kStopRequested, S::kStopping},
    InstanceTransition{S::kPreparing, E::kWorkerLost, S::kUnknown},
    InstanceTransition{S::kStarting, E::kAnswered, S::kReady},
    InstanceTransition{S::kStarting, E::kExited, S::kFailed},
    InstanceTransition{S::kStarting, E::kStopRequested, S::kStopping},
    InstanceTransition{S::kStarting, E::kWorkerLost, S::kUnknown},
    InstanceTransition{S::kReady, E::kExited, S::kFailed},
    InstanceTransition{S::kReady, E::kStopRequested, S::kStopping},
    InstanceTransition{S::kReady, E::kWorkerLost, S::kUnknown},
    InstanceTransition{S::kFailed, E::kAccepted, S::kPreparing},
    InstanceTransition{S::kFailed, E::kStarted, S::kStarting},
    InstanceTransition{S::kFailed, E::kStopRequested, S::kStopping},
    InstanceTransition{S::kFailed, E::kWorkerLost, S::kUnknown},
    InstanceTransition{S::kSimulated, E::kStopRequested, S::kStopping},
    InstanceTransition{S::kSimulated, E::kWorkerLost, S::kUnknown},
    InstanceTransition{S::kUnknown, E::kAccepted, S::kPreparing},
    InstanceTransition{S::kUnknown, E::kStarted, S::kStarting},
    InstanceTransition{S::kUnknown, E::kAnswered, S::kReady},
    InstanceTransition{S::kUnknown, E::kExited, S::kFailed},
    InstanceTransition{S::kUnknown, E::kSimulated, S::kSimulated},
    InstanceTransition{S::kUnknown, E::kStopRequested, S::kStopping},
};

constexpr Duration kNone{0};
constexpr std::array kRules = {
    StateRule{S::kScheduled, true, Duration{30'000}, "the worker to take the instruction", "it is sent again"},
    StateRule{
        S::kPreparing, true, Duration{60'000}, "the worker's checks and files", "the worker reports what is missing"},
    StateRule{S::kStarting, true, Duration{600'000}, "the engine's first answer", "the worker restarts the engine"},
    StateRule{S::kReady, false, kNone, "", ""},
    StateRule{S::kFailed, true, Duration{300'000}, "the next try after the back-off", "the engine is started again"},
    StateRule{S::kStopping, true, Duration{60'000}, "the process to end", "the worker kills its whole group"},
    StateRule{S::kSimulated, false, kNone, "", ""},
    StateRule{S::kUnknown, true, kNone, "the worker to come back", "its inventory says what still runs"},
};

}  // namespace

std::span<const InstanceTransition> instance_table() { return kTable; }

std::optional<InstanceState> next(InstanceState state, InstanceEvent event) {
  for (const auto& row : kTable)
    if (row.from == state && row.event == event) return row.to;
  return std::nullopt;
}

namespace {

bool has_way(InstanceState from, InstanceState to, bool by_worker) {
  std::vector<InstanceState> seen = {from};
  for (std::size_t at = 0; at < seen.size(); ++at) {
    if (seen[at] == to) return true;
    for (const auto& row : kTable) {
      const bool not_the_workers = row.event == E::kStopRequested || row.event == E::kWorkerLost;
      if (row.from != seen[at] || (by_worker && not_the_workers)) continue;
      bool known = false;
      for (const auto s : seen) known = known || s == row.to;
      if (!known) seen.push_back(row.to);
    }
  }
  return false;
}

}  // namespace

bool reachable(InstanceState from, InstanceState to) { return has_way(from, to, false); }
bool reportable(InstanceState from, InstanceState to) { return has_way(from, to, true); }

const StateRule& rule_of(InstanceState state) {
  for (const auto& rule : kRules)
    if (rule.state == state) return rule;
  ASSERT(false);
  return kRules.front();
}

WorkerJudgement judge(const WorkerSigns& signs, Time now) {
  if (!signs.joined_ever) return {WorkerState::kPending, "waiting for its first report", std::nullopt};
  if (!signs.connected) {
    const Time gone_at = signs.disconnected_at.value_or(now);
    const Time heard_until = signs.last_seen_at.value_or(gone_at) + kHeartbeatLate;
    const Time patience = std::min(gone_at + kReconnectGrace, heard_until);
    if (now < patience && signs.inventory_seen) return {WorkerState::kReady, "reconnecting", patience};
    return {WorkerState::kNotReady, "no connection", std::nullopt};
  }
  if (!signs.inventory_seen) return {WorkerState::kPending, "waiting for its inventory", std::nullopt};
  const Time seen = signs.last_seen_at.value_or(now);
  if (now - seen >= kHeartbeatLate) return {WorkerState::kNotReady, "no heartbeat", std::nullopt};
  return {WorkerState::kReady, "", seen + kHeartbeatLate};
}

}  // namespace berth::controllers
