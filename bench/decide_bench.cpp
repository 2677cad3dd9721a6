// decide() on 1,000 workers × 8 devices: 300 classes, random free bytes, 7/8 of the devices occupied.
// Prints minimum and median over the runs of each case, twice each (A/A), so that noise shows beside the figure.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "placement/decide.h"
#include "wire/catalog.h"

namespace {

using namespace berth;

constexpr int kWorkers = 1000, kDevices = 8, kClasses = 300;
int g_runs = 60;     // a side
std::string g_only;  // cases whose name holds this

fleet::ModelFacts gguf(std::uint32_t layers, std::uint64_t layer_bytes) {
  fleet::ModelFacts f;
  f.name = "bench";
  f.format = "gguf";
  f.architecture = "qwen3";
  f.layers = layers;
  f.hidden_size = 5120;
  f.feed_forward_size = 25600;
  f.attention_heads = 64;
  f.kv_heads = 8;
  f.head_dim = 128;
  f.vocab_size = 151936;
  f.max_context = 40960;
  f.layer_weights.assign(layers, {Bytes(layer_bytes), Bytes(layer_bytes), Bytes(layer_bytes / 8)});
  f.input_weights_bytes = Bytes(400 * kMiB);
  f.output_weights_bytes = Bytes(600 * kMiB);
  f.weight_bytes = Bytes(layers * layer_bytes + kGiB);
  return f;
}

fleet::ModelFacts safetensors() {
  fleet::ModelFacts f = gguf(64, 1000 * kMiB);
  f.format = "safetensors";
  f.architecture = "Qwen3ForCausalLM";
  f.layer_weights.clear();
  f.weight_bytes = Bytes(65'524'246'528);
  return f;
}

fleet::FleetSnapshot make_fleet(std::uint64_t seed) {
  Rng rng(seed);
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (int w = 0; w < kWorkers; ++w) {
    const auto kind = static_cast<std::uint64_t>(w % kClasses);
    fleet::Worker worker;
    worker.id = worker.name = fmt::format("w{:04}", w);
    worker.os = "linux";
    worker.arch = "amd64";
    worker.memory_total_bytes = (64 + kind) * kGiB;
    std::vector<fleet::Occupant> occupants;
    for (int d = 0; d < kDevices; ++d) {
      fleet::Device device;
      device.id = fmt::format("gpu-{}", d);
      device.index = d;
      device.name = fmt::format("NVIDIA class {}", kind % 5);
      device.vendor = "nvidia";
      device.framework = "cuda";
      device.runtime_version = "13.2";
      device.driver_version = "590.10";
      device.compute_capability = "8.9";
      device.memory_total_bytes = (24 + 8 * (kind % 5)) * kGiB;
      worker.devices.push_back(device);
      if (!rng.chance(7, 8)) continue;
      fleet::Occupant o;
      o.id = fmt::format("i-{}-{}", w, d);
      o.deployment = fmt::format("d{}", rng.below(200));
      const auto bytes = device.memory_total_bytes.value / 100 * (20 + rng.below(75));
      o.claim = {
          .worker = worker.id, .devices = {{device.id, Bytes(bytes)}}, .memory_bytes = Bytes(kGiB), .disk_bytes = {}};
      occupants.push_back(std::move(o));
    }
    entries.push_back(*fleet::make_entry(std::move(worker), std::move(occupants)));
  }
  return *fleet::FleetSnapshot::build(std::move(entries), {"engines", "disk", "files", "interconnect"}, 1);
}

void measure(const char* name,
             const fleet::FleetSnapshot& fleet,
             const fleet::Request& request,
             const engines::EngineCatalog& catalog) {
  const fleet::Policy policy;
  if (std::string_view(name).find(g_only) == std::string_view::npos) return;
  for (const char* side : {"A", "A'"}) {
    std::vector<double> ms;
    fleet::Decision d;
    for (int i = 0; i < g_runs; ++i) {
      const auto from = std::chrono::steady_clock::now();
      d = placement::decide(fleet, request, policy, catalog);
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - from).count());
    }
    std::sort(ms.begin(), ms.end());
    fmt::print("{:34} {:2}  min {:7.3f} ms  median {:7.3f} ms   fit {}/{} verdict {}\n",
               name,
               side,
               ms.front(),
               ms[ms.size() / 2],
               d.fit_count,
               d.asked,
               static_cast<int>(d.verdict));
  }
}

}  // namespace

// decide_bench [CASE [RUNS]]
int main(int argc, char** argv) {
  if (argc > 1) g_only = argv[1];
  if (argc > 2) g_runs = std::max(1, std::atoi(argv[2]));
  const auto catalog = wire::embedded_catalog();
  if (!catalog) {
    fmt::print(stderr, "{}\n", catalog.error().message);
    return 1;
  }
  const auto fleet = make_fleet(7);
  fleet::Request r;
  r.deployment = "bench";
  r.facts = gguf(40, 200 * kMiB);
  measure("llama.cpp, one device fits", fleet, r, *catalog);
  r.replicas = 50;
  measure("llama.cpp, 50 replicas", fleet, r, *catalog);
  r.replicas = 1;
  r.settings.cpu_offload = false;
  r.facts = gguf(64, 20 * kGiB);
  measure("llama.cpp, fits nowhere", fleet, r, *catalog);
  r.facts = gguf(64, 900 * kMiB);
  measure("llama.cpp, several devices", fleet, r, *catalog);
  r.restriction.devices_per_replica = 8;
  r.facts = gguf(64, 5 * kGiB);
  measure("llama.cpp, 8 after releases", fleet, r, *catalog);
  r.restriction.devices_per_replica.reset();
  r.facts = safetensors();
  measure("vLLM, tensor parallel", fleet, r, *catalog);
  r.restriction.tensor_parallel = 8;
  r.settings.utilization = 0.95;
  measure("vLLM, 8 after releases", fleet, r, *catalog);
  return 0;
}
