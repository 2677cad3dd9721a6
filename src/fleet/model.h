#pragma once
// What is known about a model without loading it. Unknown is absent, never 0.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"

namespace berth::fleet {

/// Weights of one repeating layer of a GGUF file. `host_bytes`: as in the file; `device_bytes`: padded the way
/// llama.cpp pads on CUDA-like devices (estimation.md §1.3). `largest_tensor_bytes`: for partial offload.
struct LayerWeights {
  Bytes host_bytes;
  Bytes device_bytes;
  Bytes largest_tensor_bytes;
};
DESCRIBE(LayerWeights, host_bytes, device_bytes, largest_tensor_bytes);

/// Per-layer attention shape where layers differ; `count` consecutive equal layers share one row.
struct AttentionLayers {
  std::uint32_t count = 0;
  std::uint32_t kv_heads = 0;   // 0: no attention in these layers
  bool sliding_window = false;  // KV of these layers is bounded by ModelFacts::sliding_window
  bool recurrent = false;       // state instead of, or beside, KV
};
DESCRIBE(AttentionLayers, count, kv_heads, sliding_window, recurrent);

/// State-space dimensions (Mamba and hybrids), GGUF `<arch>.ssm.*`.
struct StateSpace {
  std::uint32_t conv_kernel = 0;
  std::uint32_t inner_size = 0;
  std::uint32_t state_size = 0;
  std::uint32_t group_count = 0;
  std::uint32_t time_step_rank = 0;
};
DESCRIBE(StateSpace, conv_kernel, inner_size, state_size, group_count, time_step_rank);

/// One row of a SplitReading: so many layers on devices. `_unified`: the same on memory that device and host share.
struct SplitDevice {
  Bytes bytes;
  Bytes bytes_unified;
  std::uint32_t layers = 0;
};
DESCRIBE(SplitDevice, bytes, bytes_unified, layers);
struct SplitRow {
  std::uint32_t offload_layers = 0;
  bool full = false;
  Bytes host_bytes;
  Bytes host_bytes_unified;
  std::vector<SplitDevice> devices;  // those of other workers first
};
DESCRIBE(SplitRow, offload_layers, full, host_bytes, host_bytes_unified, devices);
/// What another estimator gave for one way to split a GGUF file, for each number of layers on devices.
struct SplitReading {
  std::vector<Bytes> split;  // room of each device, in proportion to which layers are dealt; empty: one device
  std::uint32_t remote = 0;  // how many of them, from the front, are on other workers
  std::vector<SplitRow> rows;
};
DESCRIBE(SplitReading, split, remote, rows);

struct ModelFacts {
  std::string name;                         // display: "Qwen/Qwen3-32B"
  std::string format;                       // "gguf", "safetensors"; empty: unknown
  std::string architecture;                 // GGUF general.architecture ("qwen3"), or the first of `architectures`
  std::vector<std::string> architectures;   // config.json ("Qwen3ForCausalLM")
  std::string task = "generate";            // "generate", "embed", "rerank", "speech", "transcribe", "image"
  std::optional<std::string> quantization;  // "Q4_K_M", "fp8", "awq"
  std::optional<std::string> dtype;         // "bfloat16"
  std::optional<Bytes> weight_bytes;        // all tensors as stored
  std::optional<std::uint64_t> parameters;
  std::optional<std::uint32_t> layers;
  std::optional<std::uint32_t> hidden_size;
  std::optional<std::uint32_t> feed_forward_size;
  std::optional<std::uint32_t> vocab_size;
  std::optional<std::uint32_t> attention_heads;
  std::optional<std::uint32_t> kv_heads;               // of the usual layer; see attention_layers where they differ
  std::optional<std::uint32_t> head_dim;               // key length
  std::optional<std::uint32_t> value_head_dim;         // value length; head_dim when absent
  std::optional<std::uint32_t> window_head_dim;        // of layers with a sliding window, where it differs
  std::optional<std::uint32_t> window_value_head_dim;  // likewise
  std::optional<std::uint32_t> indexer_head_dim;       // sparse attention: one more key of this length per token
  std::optional<std::uint32_t> max_context;
  std::optional<std::uint32_t> sliding_window;
  std::vector<AttentionLayers> attention_layers;  // empty: all `layers` are alike
  std::optional<std::uint32_t> experts;
  std::optional<std::uint32_t> experts_used;
  std::optional<std::uint32_t> expert_feed_forward_size;
  std::optional<std::uint32_t> kv_lora_rank;  // multi-head latent attention
  std::optional<std::uint32_t> q_lora_rank;
  std::optional<std::uint32_t> rope_head_dim;
  std::optional<std::uint32_t> mla_key_head_dim;
  std::optional<std::uint32_t> mla_value_head_dim;
  std::optional<StateSpace> state_space;
  std::optional<std::uint32_t> vision_attention_heads;
  std::optional<bool> custom_code;  // the repository needs its own Python code
  std::optional<bool> causal;       // false: encoder
  bool tied_output = false;         // no separate output tensor
  // GGUF only, from the tensor index:
  std::vector<LayerWeights> layer_weights;         // size = layers
  std::optional<Bytes> input_weights_bytes;        // token embedding and what stays on the host
  std::optional<Bytes> output_weights_bytes;       // output and output norm as they lie on a device
  std::optional<Bytes> output_weights_host_bytes;  // the same on the host; 0 extra when tied there
  // Measured readings for these very facts: "<engine>/<version>/<device name>/<context>/<sequences>" → bytes (DESIGN
  // §1).
  std::map<std::string, Bytes> measured;
  std::vector<SplitReading> splits;  // GPUStack's estimates, where they were recorded
};
DESCRIBE(ModelFacts,
         name,
         format,
         architecture,
         architectures,
         task,
         quantization,
         dtype,
         weight_bytes,
         parameters,
         layers,
         hidden_size,
         feed_forward_size,
         vocab_size,
         attention_heads,
         kv_heads,
         head_dim,
         value_head_dim,
         window_head_dim,
         window_value_head_dim,
         indexer_head_dim,
         max_context,
         sliding_window,
         attention_layers,
         experts,
         experts_used,
         expert_feed_forward_size,
         kv_lora_rank,
         q_lora_rank,
         rope_head_dim,
         mla_key_head_dim,
         mla_value_head_dim,
         state_space,
         vision_attention_heads,
         custom_code,
         causal,
         tied_output,
         layer_weights,
         input_weights_bytes,
         output_weights_bytes,
         output_weights_host_bytes,
         measured,
         splits);

/// Where a model comes from. Exactly one of the forms, decided by `kind`.
struct ModelSource {
  std::string kind;  // "local", "huggingface", "modelscope", "ollama", "catalog"
  std::string repo;  // "Qwen/Qwen3-32B"
  std::string file;  // file or glob inside the repository
  std::string path;  // absolute path on the worker, kind "local"
  std::string revision;
};
DESCRIBE(ModelSource, kind, repo, file, path, revision);

}  // namespace berth::fleet
