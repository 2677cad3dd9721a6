#include "cli/bench/fleet.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/assert.h"

namespace berth::cli::bench {
namespace {

struct Kind {
  const char* vendor;
  const char* framework;
  const char* name;
  const char* capability;
  std::uint64_t gib;
  std::array<const char*, 5> drivers;
  std::array<const char*, 5> runtimes;
};

constexpr std::array<const char*, 5> kNvidiaDrivers = {"580.95", "575.57", "570.172", "590.10", "585.20"};
constexpr std::array<const char*, 5> kCuda = {"13.0", "12.9", "12.8", "13.1", "13.0"};
constexpr std::array<const char*, 5> kAmdDrivers = {"6.16.6", "6.14.14", "6.12.12", "6.16.13", "6.10.5"};
constexpr std::array<const char*, 5> kRocm = {"7.0", "6.4", "6.3", "7.1", "6.2"};
constexpr std::array<const char*, 5> kAscendDrivers = {"25.3", "25.2", "25.0", "24.1", "25.5"};
constexpr std::array<const char*, 5> kCann = {"8.5", "8.3", "8.2", "8.1", "8.5"};

constexpr std::array<Kind, kDeviceTypes> kKinds = {{
    {"nvidia", "cuda", "NVIDIA H200", "9.0", 141, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA H100 80GB HBM3", "9.0", 80, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA A100-SXM4-80GB", "8.0", 80, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA A100-PCIE-40GB", "8.0", 40, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA L40S", "8.9", 48, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA RTX A6000", "8.6", 48, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA GeForce RTX 4090", "8.9", 24, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "NVIDIA L4", "8.9", 24, kNvidiaDrivers, kCuda},
    {"nvidia", "cuda", "Tesla T4", "7.5", 16, kNvidiaDrivers, kCuda},
    {"amd", "rocm", "AMD Instinct MI300X", "gfx942", 192, kAmdDrivers, kRocm},
    {"amd", "rocm", "AMD Instinct MI210", "gfx90a", 64, kAmdDrivers, kRocm},
    {"ascend", "cann", "Ascend 910B3", "910b3", 64, kAscendDrivers, kCann},
}};
constexpr std::array<std::uint64_t, 5> kRamGib = {256, 384, 512, 1024, 2048};

/// `part` thousandths of the bytes.
Bytes share(Bytes whole, std::uint64_t part) { return Bytes(whole.value / 1000 * part); }

fleet::Worker make_worker(std::uint32_t number, std::uint32_t cls) {
  const Kind& kind = kKinds[cls % kDeviceTypes];
  const std::uint32_t variant = cls / kDeviceTypes;  // 0 … 24
  fleet::Worker w;
  w.id = w.name = fmt::format("node-{:06}", number);
  w.os = "linux";
  w.arch = "amd64";
  w.labels = {{"node", w.name}, {"rack", fmt::format("r{}", number / 16)}};
  w.memory_total_bytes = Bytes(kRamGib[variant % 5] * kGiB);
  w.reserved_memory_bytes = Bytes(2 * kGiB);
  w.reserved_device_memory_bytes = Bytes(512 * kMiB);
  w.disk_free_bytes = Bytes((500 + number % 4096) * kGiB);
  w.container_runtime = "docker";
  w.engines.emplace();
  if (variant / 5 != 4) w.engines->push_back({"llama.cpp", "11549"});
  w.devices.reserve(kDevicesPerWorker);
  for (std::uint32_t d = 0; d < kDevicesPerWorker; ++d) {
    fleet::Device device;
    device.id = fmt::format("GPU-{:06x}-{}", number, d);
    device.index = static_cast<int>(d);
    device.name = kind.name;
    device.vendor = kind.vendor;
    device.framework = kind.framework;
    device.runtime_version = kind.runtimes[variant / 5];
    device.driver_version = kind.drivers[variant / 5];
    device.compute_capability = kind.capability;
    device.memory_total_bytes = Bytes(kind.gib * kGiB);
    device.island = d < kDevicesPerWorker / 2 ? "0" : "1";
    device.numa_node = d < kDevicesPerWorker / 2 ? 0 : 1;
    w.devices.push_back(std::move(device));
  }
  return w;
}

fleet::Occupant holder(const fleet::Worker& w, const fleet::Device& device, Bytes bytes, Rng& rng) {
  fleet::Occupant o;
  o.id = "i-" + device.id;
  o.deployment = fmt::format("d-{}", rng.below(2000));
  o.priority = static_cast<int>(rng.below(3));
  o.running = true;
  o.claim = {.worker = w.id, .devices = {{device.id, bytes}}, .memory_bytes = Bytes(kGiB / 2), .disk_bytes = {}};
  return o;
}

void load_up(Machine& machine, Load load, Rng& rng) {
  auto& w = machine.worker;
  const bool starved = rng.chance(1, 32);
  w.memory_used_bytes = starved ? Bytes(w.memory_total_bytes.value - 2 * kGiB) : Bytes(w.memory_total_bytes.value / 8);
  const bool has_idle = rng.chance(1, 8);
  const std::uint64_t idle = rng.below(kDevicesPerWorker);
  for (std::uint32_t d = 0; d < kDevicesPerWorker; ++d) {
    auto& device = w.devices[d];
    if (load == Load::kIdle || (has_idle && d == idle)) {
      device.memory_used_bytes = share(device.memory_total_bytes, rng.below(125));
      continue;
    }
    const Bytes most = device.memory_total_bytes.minus_or_zero(w.reserved_device_memory_bytes);
    const Bytes held = std::min(most, share(device.memory_total_bytes, 775 + rng.below(220)));
    machine.occupants.push_back(holder(w, device, held, rng));
    device.memory_used_bytes = held;
  }
}

fleet::ModelFacts gguf(std::uint32_t layers, Bytes layer) {
  fleet::ModelFacts f;
  f.name = "bench-gguf";
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
  f.layer_weights.assign(layers, {layer, layer, Bytes(layer.value / 8)});
  f.input_weights_bytes = Bytes(400 * kMiB);
  f.output_weights_bytes = Bytes(600 * kMiB);
  f.output_weights_host_bytes = Bytes(600 * kMiB);
  f.weight_bytes = Bytes(layers * layer.value + kGiB);
  return f;
}

fleet::ModelFacts safetensors(Bytes weights) {
  fleet::ModelFacts f = gguf(64, Bytes(weights.value / 66));
  f.name = "bench-safetensors";
  f.format = "safetensors";
  f.architecture = "Qwen3ForCausalLM";
  f.architectures = {f.architecture};
  f.dtype = "bfloat16";
  f.layer_weights.clear();
  f.input_weights_bytes.reset();
  f.output_weights_bytes.reset();
  f.output_weights_host_bytes.reset();
  f.weight_bytes = weights;
  return f;
}

fleet::Request request(Rng& rng, fleet::ModelFacts facts) {
  fleet::Request r;
  r.deployment = fmt::format("bench-{:x}", rng.next());
  r.model = facts.name;
  r.source = {.kind = "huggingface", .repo = "bench/" + r.deployment, .file = {}, .path = {}, .revision = "main"};
  r.facts = std::move(facts);
  return r;
}

/// At least `from` MiB, less than `upto`.
Bytes between(Rng& rng, std::uint64_t from, std::uint64_t upto) {
  return Bytes((from + rng.below(upto - from)) * kMiB);
}

}  // namespace

std::vector<Machine> make_machines(std::uint64_t seed, std::uint32_t gpus, Load load) {
  Rng rng(seed);
  std::vector<Machine> out;
  out.reserve(gpus / kDevicesPerWorker);
  for (std::uint32_t w = 0; w < gpus / kDevicesPerWorker; ++w) {
    Machine machine{make_worker(w, static_cast<std::uint32_t>(rng.below(kClasses))), {}};
    load_up(machine, load, rng);
    out.push_back(std::move(machine));
  }
  return out;
}

fleet::FleetSnapshot make_snapshot(std::vector<Machine> machines) {
  std::vector<fleet::FleetSnapshot::Entry> entries;
  entries.reserve(machines.size());
  for (auto& machine : machines) {
    auto entry = fleet::make_entry(std::move(machine.worker), std::move(machine.occupants));
    ASSERT(entry.has_value());
    entries.push_back(std::move(*entry));
  }
  auto snapshot = fleet::FleetSnapshot::build(std::move(entries), {"files"}, 1);
  ASSERT(snapshot.has_value());
  return *std::move(snapshot);
}

fleet::Request one_worker(Rng& rng) {
  switch (rng.below(4)) {
    case 0:
      return request(rng, safetensors(between(rng, 1000, 8000)));
    case 1: {
      auto r = request(rng, safetensors(between(rng, 4000, 12000)));
      r.restriction.tensor_parallel = 2;
      return r;
    }
    default:
      return request(rng, gguf(32, between(rng, 60, 300)));
  }
}

fleet::Request nowhere(Rng& rng) {
  if (rng.chance(1, 2)) return request(rng, safetensors(between(rng, 3'000'000, 4'000'000)));
  auto r = request(rng, gguf(96, between(rng, 40'000, 50'000)));
  r.settings.cpu_offload = false;
  return r;
}

fleet::Request devices_32(Rng& rng) {
  auto r = request(rng, safetensors(between(rng, 10'000, 20'000)));
  r.restriction.tensor_parallel = 8;
  r.restriction.pipeline_parallel = 4;
  r.restriction.across_workers = true;
  r.settings.context = 1024;
  r.settings.sequences = 1;
  return r;
}

std::vector<fleet::Request> shapes(Rng& rng, std::uint32_t count, std::uint32_t replicas) {
  std::vector<fleet::Request> out;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Bytes size = between(rng, 500, 1500);
    auto r = request(rng, i % 2 == 0 ? gguf(16 + i % 17, Bytes(size.value / 24)) : safetensors(size));
    r.settings.context = 1024;
    r.settings.sequences = 1;
    r.replicas = replicas;
    out.push_back(std::move(r));
  }
  return out;
}

}  // namespace berth::cli::bench
