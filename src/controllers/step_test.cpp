#include "controllers/step.h"

#include <doctest/doctest.h>

namespace berth::controllers {
namespace {

using fleet::InstanceState;

struct Replica {
  InstanceState state;
  std::uint32_t offload_layers;

  Replica(InstanceState s = InstanceState::kReady, std::uint32_t layers = 10) : state(s), offload_layers(layers) {}
};

/// One deployment with these replicas, by ordinal; total layers are 10.
struct Scaled {
  ControlState state;
  fleet::Policy policy;
  engines::EngineCatalog catalog;

  Scaled(const std::vector<Replica>& replicas, std::uint32_t asked) {
    DeploymentView d;
    d.id = "d";
    d.spec.request.replicas = asked;
    for (std::uint32_t n = 0; n < replicas.size(); ++n) {
      InstanceView i;
      i.id = "i" + std::to_string(n);
      i.spec.deployment = "d";
      i.spec.replica = n;
      i.spec.template_hash = template_hash(d.spec.request);
      i.spec.plan.total_layers = 10;
      i.spec.plan.offload_layers = replicas[n].offload_layers;
      i.status.state = replicas[n].state;
      state.instances.push_back(std::move(i));
    }
    state.deployments.push_back(std::move(d));
    state.snapshot = std::make_shared<const fleet::FleetSnapshot>(*fleet::FleetSnapshot::build({}, {}));
    state.policy = &policy;
    state.catalog = &catalog;
  }
};

std::vector<StopInstance> stopped(const std::vector<Replica>& replicas, std::uint32_t asked) {
  const Scaled scaled(replicas, asked);
  std::vector<StopInstance> out;
  for (const auto& action : step(scaled.state, Time{}).actions)
    if (const auto* stop = std::get_if<StopInstance>(&action)) out.push_back(*stop);
  return out;
}

std::string order_of(const std::vector<Replica>& replicas) {
  std::string out;
  for (const auto& stop : stopped(replicas, 0)) out += stop.instance;
  return out;
}

}  // namespace

TEST_CASE("of replicas that are too many, the highest ordinal goes first when all serve alike") {
  CHECK(order_of({{}, {}, {}}) == "i2i1i0");
  CHECK(stopped({{}, {}, {}}, 2).size() == 1);
  CHECK(stopped({{}, {}, {}}, 3).empty());
}

TEST_CASE("what does not serve goes before what may, and that before what does, whatever its ordinal") {
  CHECK(order_of({{InstanceState::kUnknown}, {}, {}}) == "i0i2i1");
  CHECK(order_of({{InstanceState::kStarting}, {InstanceState::kFailed}, {}, {InstanceState::kUnknown}}) == "i1i3i0i2");
  CHECK(order_of({{InstanceState::kScheduled}, {InstanceState::kFailed}, {}}) == "i1i0i2");
}

TEST_CASE("of replicas that serve, the one with most layers on the host goes first") {
  CHECK(order_of({{InstanceState::kReady, 0}, {InstanceState::kReady, 4}, {}}) == "i0i1i2");
  CHECK(order_of({{InstanceState::kReady, 0}, {InstanceState::kFailed}, {}}) == "i1i0i2");
}

}  // namespace berth::controllers
