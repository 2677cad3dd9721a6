#include "controllers/states.h"

#include <doctest/doctest.h>
#include <set>

namespace berth::controllers {
namespace {

using S = InstanceState;
using E = InstanceEvent;

constexpr Time kNow{Duration{1'700'000'000'000}};

}  // namespace

TEST_CASE("the instance table has one answer to each event, and nothing leaves stopping") {
  std::set<std::pair<S, E>> seen;
  for (const auto& row : instance_table()) {
    CHECK(seen.insert({row.from, row.event}).second);
    CHECK(row.from != S::kStopping);
    CHECK(next(row.from, row.event) == row.to);
  }
  CHECK_FALSE(next(S::kReady, E::kAccepted).has_value());
}

TEST_CASE("every state but stopping can be stopped, and every waiting state says what it waits for") {
  for (const auto state :
       {S::kScheduled, S::kPreparing, S::kStarting, S::kReady, S::kFailed, S::kSimulated, S::kUnknown})
    CHECK(next(state, E::kStopRequested) == S::kStopping);
  for (const auto& row : instance_table()) {
    const auto& rule = rule_of(row.from);
    CHECK(rule.waiting == !rule.waits_for.empty());
  }
}

TEST_CASE("a report may skip states but not turn a stopping instance back") {
  CHECK(reportable(S::kScheduled, S::kReady));
  CHECK(reportable(S::kUnknown, S::kReady));
  CHECK_FALSE(reportable(S::kStopping, S::kReady));
  CHECK_FALSE(reportable(S::kReady, S::kScheduled));
  CHECK_FALSE(reportable(S::kSimulated, S::kReady));  // only by being lost, which no report can say
  CHECK_FALSE(reportable(S::kReady, S::kStopping));
  CHECK(reachable(S::kSimulated, S::kReady));
  CHECK(reachable(S::kReady, S::kStopping));
}

TEST_CASE("a worker is pending until its inventory, ready while it is heard, and not ready after fifteen seconds") {
  WorkerSigns signs;
  CHECK(judge(signs, kNow).state == WorkerState::kPending);
  signs.joined_ever = signs.connected = true;
  CHECK(judge(signs, kNow).state == WorkerState::kPending);
  signs.inventory_seen = true;
  signs.last_seen_at = kNow;
  CHECK(judge(signs, kNow).state == WorkerState::kReady);
  CHECK(judge(signs, kNow).next_at == kNow + kHeartbeatLate);
  CHECK(judge(signs, kNow + kHeartbeatLate - Duration{1}).state == WorkerState::kReady);
  CHECK(judge(signs, kNow + kHeartbeatLate).state == WorkerState::kNotReady);
}

TEST_CASE("a closed connection is forgiven for five seconds, if the inventory was seen") {
  WorkerSigns signs{
      .joined_ever = true, .connected = false, .inventory_seen = true, .last_seen_at = kNow, .disconnected_at = kNow};
  CHECK(judge(signs, kNow + kReconnectGrace - Duration{1}).state == WorkerState::kReady);
  CHECK(judge(signs, kNow + kReconnectGrace).state == WorkerState::kNotReady);
  signs.inventory_seen = false;
  CHECK(judge(signs, kNow).state == WorkerState::kNotReady);
}

TEST_CASE("a worker that was silent is not forgiven because its connection closed too") {
  WorkerSigns signs{
      .joined_ever = true, .connected = true, .inventory_seen = true, .last_seen_at = kNow, .disconnected_at = {}};
  const Time late = kNow + kHeartbeatLate;
  CHECK(judge(signs, late).state == WorkerState::kNotReady);
  signs.connected = false;
  signs.disconnected_at = late - Duration{1};
  CHECK(judge(signs, late - Duration{1}).next_at == late);
  CHECK(judge(signs, late).state == WorkerState::kNotReady);
}

}  // namespace berth::controllers
