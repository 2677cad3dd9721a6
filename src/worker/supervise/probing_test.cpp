#include <doctest/doctest.h>

#include "worker/supervise/supervisor.h"
#include "worker/supervise/supervisor_testing.h"

using namespace berth;
using namespace berth::worker;
using berth::worker::testing::has;
using berth::worker::testing::Machine;
using fleet::InstanceState;

TEST_CASE("an engine that is ready is asked again, and one that answers no more is started again") {
  Machine machine;
  machine.restart();
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  machine.probe.set_ready("i1");
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  const std::size_t asked = machine.probe.targets().size();
  CHECK(machine.until([&] { return machine.probe.targets().size() > asked; }));
  CHECK(machine.report("i1").status.state == InstanceState::kReady);
  // One answer that is missed is no reason.
  machine.probe.set_failing(0);
  machine.probe.set_ready("i1", false);
  REQUIRE(machine.until([&] { return has(machine.report("i1").status.message, "does not answer (1 of 3"); }));
  machine.probe.set_ready("i1");
  REQUIRE(machine.until([&] { return machine.report("i1").status.message.empty(); }));
  // Nor is one that says that it has too much to do.
  machine.probe.set_failing(503);
  machine.probe.set_ready("i1", false);
  const std::size_t so_far = machine.probe.targets().size();
  REQUIRE(machine.until([&] { return machine.probe.targets().size() > so_far + 5; }));
  CHECK(machine.report("i1").status.state == InstanceState::kReady);
  machine.probe.set_failing(500);
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  CHECK(machine.report("i1").status.last_exit->cause == "unanswered");
  CHECK(has(machine.report("i1").status.message, "stopped answering while it was ready, 3 times in a row"));
  machine.probe.set_ready("i1");
  CHECK(machine.until_state("i1", InstanceState::kReady));
  CHECK(machine.report("i1").status.restarts == 1);
}

TEST_CASE("an engine that works all the while and answers late is left alone") {
  Machine machine;
  machine.restart();
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "while :; do :; done"), machine.clock.now()));
  machine.probe.set_ready("i1");
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  machine.probe.set_failing(0, std::chrono::milliseconds(300));
  machine.probe.set_ready("i1", false);
  const std::size_t asked = machine.probe.targets().size();
  REQUIRE(machine.until([&] { return machine.probe.targets().size() >= asked + 5; }));
  CHECK(machine.report("i1").status.state == InstanceState::kReady);
  CHECK(machine.report("i1").status.message.empty());
}

TEST_CASE("an engine that was ready is asked at once by the next worker") {
  Machine machine;
  machine.restart();
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  machine.probe.set_ready("i1");
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  machine.probe.set_failing(0);
  machine.probe.set_ready("i1", false);
  machine.restart();
  const Time from = machine.clock.now();
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  CHECK(machine.clock.now() - from < std::chrono::seconds(25));
}
