#pragma once
// For tests: one worker with one device, driven by hand.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "placement/testing.h"
#include "reconcile/reconciler.h"
#include "store/faulty.h"
#include "store/memory/memory_store.h"

namespace berth::reconcile::testing {

using namespace placement::testing;
using fleet::InstanceState;
using fleet::Verdict;
using fleet::WorkerState;

constexpr Duration kSecond{1'000};

struct Cluster {
  std::unique_ptr<store::Faulty> store = std::make_unique<store::Faulty>(store::make_memory_store());
  std::uint64_t ids = 0;
  std::unique_ptr<Reconciler> server;
  Time now{Duration{1'700'000'000'000}};
  std::string worker;
  Bytes used;  // of the first device, by a stranger
  int devices = 1;
  Bytes device_total = 8 * kGiB;
  Bytes memory_total = 16 * kGiB;

  explicit Cluster(bool joined = true) {
    start();
    if (joined) join();
  }
  void start() {
    Options options;
    options.catalog = catalog();
    options.new_id = [this] { return fmt::format("id-{}", ++ids); };
    server = std::make_unique<Reconciler>(*store, std::move(options));
    REQUIRE(server->load(now).has_value());
  }
  [[nodiscard]] wire::Inventory inventory() const {
    wire::Inventory out{.worker = linux_worker("w1", memory_total), .instances = {}};
    auto device = cuda_device("gpu-0", device_total);
    device.memory_used_bytes = used;
    out.worker.devices = {std::move(device)};
    for (int i = 1; i < devices; ++i) out.worker.devices.push_back(cuda_device(fmt::format("gpu-{}", i), device_total));
    return out;
  }
  void join(std::vector<wire::InstanceReport> running = {}) {
    wire::Hello hello;
    hello.worker_id = worker;
    hello.name = "w1";
    const auto id = server->join(hello, "", now);
    REQUIRE(id.has_value());
    worker = *id;
    auto report = inventory();
    report.instances = std::move(running);
    server->inventory(worker, std::move(report), now);
    server->tick(now);
  }
  void pass(Duration time) {
    now += time;
    server->tick(now);
  }
  /// As pass(), with a heartbeat each second.
  void live(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      now += kSecond;
      beat();
    }
  }
  void beat() {
    wire::Heartbeat h;
    h.devices_used = {{"gpu-0", used}};
    server->heartbeat(worker, std::move(h), now);
    server->tick(now);
  }
  void say(const std::string& instance, InstanceState state, bool gone = false) {
    wire::InstanceReport r{.instance = instance, .attempt = 1, .status = {}, .secret = "", .gone = gone};
    r.status.state = state;
    server->report(worker, r, now);
    server->tick(now);
  }
  /// A model of about `gib` GiB that must lie on the device whole.
  void create(const std::string& name, std::uint64_t gib, std::uint32_t replicas = 1) {
    REQUIRE(server->create_deployment(name, spec(gib, replicas), now).has_value());
    server->tick(now);
  }
  static fleet::DeploymentSpec spec(std::uint64_t gib, std::uint32_t replicas) {
    fleet::DeploymentSpec s;
    s.request = placement::testing::request_for(llama_facts({.layers = 8, .layer_bytes = gib * kGiB / 8}));
    s.request.settings.cpu_offload = false;
    s.request.restriction.devices = {"w1/gpu-0"};
    s.request.replicas = replicas;
    return s;
  }
  [[nodiscard]] std::vector<InstanceObject> instances() const { return server->view()->instances; }
  [[nodiscard]] DeploymentObject deployment(const std::string& name) const {
    for (const auto& d : server->view()->deployments)
      if (d.meta.name == name) return d;
    FAIL("no deployment " << name);
    return {};
  }
  [[nodiscard]] std::size_t claims() const {
    const auto rows = store->list_claims({});
    REQUIRE(rows.has_value());
    return rows->size();
  }
  [[nodiscard]] fleet::DeviceCapacity device() const {
    const auto* entry = server->view()->snapshot->find(worker);
    REQUIRE(entry != nullptr);
    return entry->capacity.front();
  }
};

}  // namespace berth::reconcile::testing
