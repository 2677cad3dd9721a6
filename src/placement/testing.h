#pragma once
// Small fleets, models and a catalog by hand, for tests of this module and of those above it: the real catalog is data
// and belongs to the decoder's tests.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engines/catalog.h"
#include "fleet/model.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"

namespace berth::placement::testing {

struct LlamaSize {
  std::uint32_t layers = 8;
  std::uint64_t layer_bytes = 256 * kMiB;
};

/// GGUF facts with every figure that the estimator wants.
inline fleet::ModelFacts llama_facts(LlamaSize size) {
  fleet::ModelFacts f;
  f.name = "toy-gguf";
  f.format = "gguf";
  f.architecture = "llama";
  f.layers = size.layers;
  f.hidden_size = 2048;
  f.feed_forward_size = 8192;
  f.vocab_size = 32'000;
  f.attention_heads = 16;
  f.kv_heads = 8;
  f.head_dim = 128;
  f.max_context = 32'768;
  f.causal = true;
  const Bytes layer(size.layer_bytes);
  f.layer_weights.assign(size.layers, {layer, layer, Bytes(size.layer_bytes / 4)});
  f.input_weights_bytes = Bytes(64 * kMiB);
  f.output_weights_bytes = Bytes(64 * kMiB);
  f.output_weights_host_bytes = Bytes(64 * kMiB);
  f.weight_bytes = layer * size.layers + Bytes(128 * kMiB);
  return f;
}

inline fleet::ModelFacts vllm_facts(std::uint64_t weight_bytes) {
  fleet::ModelFacts f;
  f.name = "toy-safetensors";
  f.format = "safetensors";
  f.architecture = "LlamaForCausalLM";
  f.architectures = {"LlamaForCausalLM"};
  f.dtype = "bfloat16";
  f.weight_bytes = Bytes(weight_bytes);
  f.layers = 16;
  f.hidden_size = 2048;
  f.feed_forward_size = 8192;
  f.vocab_size = 32'000;
  f.attention_heads = 16;
  f.kv_heads = 8;
  f.head_dim = 128;
  f.max_context = 32'768;
  return f;
}

inline engines::SupportRow row_for(std::string vendor, std::string framework) {
  engines::SupportRow row;
  row.os = {"linux"};
  row.vendor = std::move(vendor);
  row.framework = std::move(framework);
  row.install = "package";
  row.source = "made up";
  return row;
}

inline engines::Engine llama_engine() {
  engines::Engine e;
  e.id = "llama.cpp";
  e.title = "llama.cpp";
  e.order = 10;
  e.formats = {"gguf"};
  e.tasks = {"generate", "embed"};
  e.layouts = {"cpu", "single_device", "several_devices", "partial_offload"};
  e.versions = {"100"};
  e.architectures.any = true;
  e.rows = {row_for("cpu", "cpu"), row_for("nvidia", "cuda"), row_for("amd", "rocm")};
  e.recipe.programs = {"llama-server"};
  return e;
}

inline engines::Engine vllm_engine() {
  engines::Engine e;
  e.id = "vllm";
  e.title = "vLLM";
  e.order = 20;
  e.memory = engines::MemoryModel::kShareOfDevice;
  e.formats = {"safetensors"};
  e.tasks = {"generate"};
  e.layouts = {"single_device", "tensor_parallel", "pipeline_parallel", "data_parallel", "over_workers"};
  e.versions = {"0.9"};
  e.architectures.any = true;
  e.rows = {row_for("nvidia", "cuda")};
  e.rows.front().capability_min = "7.0";
  e.divides = {{.what = engines::Divided::kAttentionHeads, .unless = {}, .source = "made up"}};
  e.recipe.programs = {"vllm"};
  return e;
}

inline engines::EngineCatalog catalog() { return engines::in_catalog_order({vllm_engine(), llama_engine()}); }

inline fleet::Device cuda_device(std::string id, Bytes total) {
  fleet::Device d;
  d.id = std::move(id);
  d.name = "Toy CUDA " + std::to_string(total.value / kGiB) + "G";
  d.vendor = "nvidia";
  d.framework = "cuda";
  d.runtime_version = "12.8";
  d.driver_version = "570.10";
  d.compute_capability = "8.0";
  d.memory_total_bytes = total;
  return d;
}

inline fleet::Device rocm_device(std::string id, Bytes total) {
  fleet::Device d;
  d.id = std::move(id);
  d.name = "Toy ROCm " + std::to_string(total.value / kGiB) + "G";
  d.vendor = "amd";
  d.framework = "rocm";
  d.runtime_version = "6.2";
  d.driver_version = "6.8";
  d.compute_capability = "gfx942";
  d.memory_total_bytes = total;
  return d;
}

inline fleet::Worker linux_worker(std::string name, Bytes memory) {
  fleet::Worker w;
  w.id = "id-" + name;
  w.name = std::move(name);
  w.os = "linux";
  w.arch = "amd64";
  w.memory_total_bytes = memory;
  w.disk_free_bytes = Bytes(2'000 * kGiB);
  w.engines = std::vector<fleet::EngineInstall>{{"llama.cpp", "100"}, {"vllm", "0.9"}};
  return w;
}

inline fleet::Request request_for(fleet::ModelFacts facts) {
  fleet::Request r;
  r.deployment = "toy";
  r.model = facts.name;
  r.source.kind = "local";
  r.source.path = "/models/toy";
  r.settings.context = 2048;
  r.facts = std::move(facts);
  return r;
}

}  // namespace berth::placement::testing
