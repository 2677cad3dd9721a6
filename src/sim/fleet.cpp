#include "sim/fleet.h"

#include <utility>

namespace berth::sim {
namespace {

engines::SupportRow row_for(std::string vendor, std::string framework) {
  engines::SupportRow row;
  row.os = {"linux"};
  row.vendor = std::move(vendor);
  row.framework = std::move(framework);
  row.source = "simulated";
  return row;
}

constexpr std::uint32_t kLayersLeast = 8;
constexpr std::uint64_t kLayerStep = 32 * kMiB;

}  // namespace

engines::EngineCatalog sim_catalog() {
  engines::Engine e;
  e.id = "llama.cpp";
  e.title = "llama.cpp";
  e.formats = {"gguf"};
  e.architectures.any = true;
  e.tasks = {"generate", "embed"};
  e.layouts = {"cpu", "single_device", "several_devices", "partial_offload"};
  e.versions = {"1"};
  e.rows = {row_for("cpu", "cpu"), row_for("nvidia", "cuda")};
  e.recipe.programs = {"llama-server"};
  return engines::in_catalog_order({std::move(e)});
}

fleet::Worker sim_worker(Rng& rng, std::size_t number) {
  fleet::Worker w;
  w.name = "w" + std::to_string(number);
  w.os = "linux";
  w.arch = "amd64";
  w.memory_total_bytes = Bytes((8 + rng.below(25)) * kGiB);
  w.reserved_memory_bytes = Bytes(kGiB);
  w.reserved_device_memory_bytes = Bytes(rng.below(2) * 256 * kMiB);
  w.disk_free_bytes = Bytes(500 * kGiB);
  w.engines = std::vector<fleet::EngineInstall>{{"llama.cpp", "1"}};
  w.simulated = rng.chance(1, 6);
  const bool large = rng.chance(1, 2);
  const std::uint64_t devices = rng.below(4);
  for (std::uint64_t i = 0; i < devices; ++i) {
    fleet::Device d;
    d.id = "gpu-" + std::to_string(i);
    d.index = static_cast<int>(i);
    d.name = large ? "Simulated 24G" : "Simulated 8G";
    d.vendor = "nvidia";
    d.framework = "cuda";
    d.runtime_version = "12.8";
    d.driver_version = "570.10";
    d.compute_capability = "8.0";
    d.memory_total_bytes = Bytes((large ? 24 : 8) * kGiB);
    w.devices.push_back(std::move(d));
  }
  return w;
}

fleet::DeploymentSpec sim_deployment(Rng& rng, std::uint64_t number) {
  fleet::ModelFacts f;
  f.name = "simulated";
  f.format = "gguf";
  f.architecture = "llama";
  f.layers = kLayersLeast + static_cast<std::uint32_t>(rng.below(9));
  f.hidden_size = 2048;
  f.feed_forward_size = 8192;
  f.vocab_size = 32'000;
  f.attention_heads = 16;
  f.kv_heads = 8;
  f.head_dim = 128;
  f.max_context = 8192;
  f.causal = true;
  const Bytes layer((4 + rng.below(rng.chance(1, 3) ? 40 : 10)) * kLayerStep);
  f.layer_weights.assign(*f.layers, {layer, layer, Bytes(layer.value / 4)});
  f.input_weights_bytes = Bytes(64 * kMiB);
  f.output_weights_bytes = Bytes(64 * kMiB);
  f.output_weights_host_bytes = Bytes(64 * kMiB);
  f.weight_bytes = layer * *f.layers + Bytes(128 * kMiB);
  fleet::DeploymentSpec spec;
  auto& r = spec.request;
  r.model = f.name;
  r.source.kind = "local";
  r.source.path = "/models/simulated-" + std::to_string(number) + ".gguf";
  r.facts = std::move(f);
  r.replicas = 1 + static_cast<std::uint32_t>(rng.below(3));
  r.settings.context = 2048;
  r.settings.cpu_offload = rng.chance(1, 2);
  r.priority = static_cast<int>(rng.below(3));
  r.partial = rng.chance(3, 4);
  r.strategy = rng.chance(1, 2) ? fleet::Strategy::kSpread : fleet::Strategy::kBinpack;
  return spec;
}

}  // namespace berth::sim
