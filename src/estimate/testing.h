#pragma once
// llama.cpp's own plans of memory for tests: tests/data/estimate/vectors.tsv, whose format make_vectors.py states.

#include <cstdio>
#include <doctest/doctest.h>
#include <map>
#include <string>
#include <vector>

#include "base/text.h"
#include "estimate/detail/llama_options.h"
#include "fleet/model.h"

namespace berth::estimate::testing {

struct PlannedBytes {
  std::uint64_t weights = 0;
  std::uint64_t kv = 0;
  std::uint64_t compute = 0;
  [[nodiscard]] std::uint64_t total() const { return weights + kv + compute; }
};

/// One setting and what llama.cpp planned for it.
struct Vector {
  std::string model;
  LlamaOptions options;
  std::vector<std::uint32_t> slots;  // empty: CPU only
  PlannedBytes host;
  std::vector<PlannedBytes> devices;
};

struct Vectors {
  std::map<std::string, fleet::ModelFacts> models;
  std::vector<Vector> rows;
};

inline std::uint64_t number(const std::string& text) {
  const auto value = parse_u64(text);
  REQUIRE_MESSAGE(value.has_value(), text);
  return *value;
}
inline std::uint32_t small(const std::string& text) { return static_cast<std::uint32_t>(number(text)); }
inline std::optional<std::uint32_t> unless_zero(const std::string& text) {
  const std::uint32_t value = small(text);
  return value == 0 ? std::nullopt : std::optional(value);
}

inline std::vector<fleet::AttentionLayers> layers_of(const std::string& kinds, std::uint32_t kv_heads) {
  std::vector<fleet::AttentionLayers> rows;
  char last = 0;
  for (const char kind : kinds) {
    if (kind != last) {
      rows.push_back({.kv_heads = kind == 'r' ? 0 : kv_heads,
                      .sliding_window = kind == 's',
                      .recurrent = kind == 'r' || kind == 'b'});
    }
    last = kind;
    ++rows.back().count;
  }
  return rows;
}

inline fleet::ModelFacts model_of(const std::vector<std::string>& f) {
  fleet::ModelFacts m;
  REQUIRE(f.size() == 24);
  m.name = f[1];
  m.format = "gguf";
  m.architecture = f[2];
  m.layers = small(f[3]);
  m.hidden_size = small(f[4]);
  m.feed_forward_size = unless_zero(f[5]);
  m.experts_used = unless_zero(f[6]);
  m.expert_feed_forward_size = unless_zero(f[7]);
  m.attention_heads = unless_zero(f[8]);
  m.kv_heads = unless_zero(f[9]);
  m.head_dim = unless_zero(f[10]);
  m.value_head_dim = unless_zero(f[11]);
  m.kv_lora_rank = unless_zero(f[12]);
  m.mla_key_head_dim = unless_zero(f[13]);
  m.mla_value_head_dim = unless_zero(f[14]);
  m.rope_head_dim = unless_zero(f[15]);
  m.vocab_size = small(f[16]);
  m.sliding_window = unless_zero(f[17]);
  const auto state = split(f[18], ',');
  REQUIRE(state.size() == 4);
  if (small(state[1]) > 0) {
    m.state_space = fleet::StateSpace{.conv_kernel = small(state[0]),
                                      .inner_size = small(state[1]),
                                      .state_size = small(state[2]),
                                      .group_count = small(state[3])};
  }
  m.attention_layers = layers_of(f[19], m.kv_heads.value_or(0));
  m.causal = m.architecture != "bert";
  m.max_context = 32'768;
  m.input_weights_bytes = Bytes(number(f[20]));
  m.output_weights_bytes = Bytes(number(f[21]));
  m.output_weights_host_bytes = Bytes(number(f[22]));
  for (const std::string& run : split(f[23], ',')) {
    const auto part = split(run, ':');
    REQUIRE(part.size() == 4);
    const fleet::LayerWeights layer = {
        .host_bytes = number(part[1]), .device_bytes = number(part[2]), .largest_tensor_bytes = number(part[3])};
    m.layer_weights.insert(m.layer_weights.end(), number(part[0]), layer);
  }
  REQUIRE(m.layer_weights.size() == *m.layers);
  return m;
}

inline PlannedBytes planned(const std::string& text) {
  const auto part = split(text, ':');
  REQUIRE(part.size() == 3);
  return {number(part[0]), number(part[1]), number(part[2])};
}

inline Vector row_of(const std::vector<std::string>& f) {
  Vector v;
  REQUIRE(f.size() == 16);
  v.model = f[1];
  v.options.context = small(f[2]);
  v.options.sequences = small(f[3]);
  v.options.unified = f[4] == "1";
  v.options.batch = small(f[5]);
  v.options.ubatch = small(f[6]);
  v.options.flash_attention = f[7] == "1";
  v.options.kv_type = f[8];
  v.options.swa_full = f[9] == "1";
  v.options.pipeline = f[10] == "1";
  if (f[11] != "all") v.options.outputs = small(f[11]);
  if (f[12] != "-")
    for (const std::string& slots : split(f[12], ',')) v.slots.push_back(small(slots));
  v.host = planned(f[13]);
  if (f[14] != "-")
    for (const std::string& device : split(f[14], ',')) v.devices.push_back(planned(device));
  v.options.kv_offload = f[15] == "1";
  REQUIRE(v.devices.size() == v.slots.size());
  return v;
}

inline std::string read_file(const char* path) {
  std::string content;
  std::FILE* file = std::fopen(path, "rb");
  REQUIRE_MESSAGE(file != nullptr, path);
  char block[4096];
  for (std::size_t read = sizeof block; read == sizeof block;) {
    read = std::fread(block, 1, sizeof block, file);
    content.append(block, read);
  }
  std::fclose(file);
  return content;
}

inline Vectors read_vectors() {
  Vectors out;
  for (const std::string& line : split(read_file("tests/data/estimate/vectors.tsv"), '\n')) {
    const auto fields = split(line, '\t');
    if (fields[0] == "model") out.models[fields[1]] = model_of(fields);
    if (fields[0] == "row") out.rows.push_back(row_of(fields));
  }
  REQUIRE(out.models.size() == 25);
  REQUIRE(out.rows.size() == 587);
  return out;
}

inline const Vectors& vectors() {
  static const Vectors read = read_vectors();
  return read;
}

}  // namespace berth::estimate::testing
