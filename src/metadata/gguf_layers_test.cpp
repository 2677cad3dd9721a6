// Which layers keep which cache, in files of architectures that no test file holds.
#include <doctest/doctest.h>
#include <filesystem>

#include "metadata/detail/test_files.h"
#include "metadata/gguf.h"

namespace berth::metadata {
namespace {

using B = detail::GgufBuilder;
using fleet::ModelFacts;

constexpr std::uint64_t kLayers = 8;
constexpr std::uint64_t kRowBytes = 64 * 4;
constexpr std::uint64_t kMatrixBytes = 64 * kRowBytes;

ModelFacts read(const B& header) {
  const auto file = read_gguf(header.bytes(), {.metadata_only = true});
  REQUIRE_MESSAGE(file.has_value(), file.error().message);
  const auto facts = facts_from_gguf(*file);
  REQUIRE_MESSAGE(facts.has_value(), facts.error().message);
  return *facts;
}

/// Eight layers with a key projection each; `keys` are the further ones.
B start(const std::string& architecture, std::uint64_t more_tensors, std::uint64_t more_keys) {
  B b(kLayers + more_tensors, 4 + more_keys);
  b.key_text("general.architecture", architecture).key_u32(architecture + ".block_count", kLayers);
  b.key_u32(architecture + ".embedding_length", 64).key_u32(architecture + ".attention.head_count", 1);
  return b;
}
std::uint64_t add_layers(B& b) {
  for (std::uint64_t i = 0; i < kLayers; ++i)
    b.tensor("blk." + std::to_string(i) + ".attn_k.weight", {64, 64}, 0, i * kMatrixBytes);
  return kLayers * kMatrixBytes;
}

/// "ssf-": one letter a layer; - keeps no cache.
std::string cache_letters(const ModelFacts& facts) {
  std::string out;
  for (const auto& row : facts.attention_layers)
    out.append(row.count, row.kv_heads == 0 ? '-' : row.sliding_window ? 's' : 'f');
  return out.empty() ? std::string(facts.layers.value_or(0), 'f') : out;
}

}  // namespace

TEST_CASE("layers that share the cache of earlier ones keep none") {
  B b = start("gemma4", 0, 5);
  b.key_u32("gemma4.attention.shared_kv_layers", 3).key_u32("gemma4.attention.sliding_window", 512);
  b.key_u32("gemma4.attention.key_length_swa", 32).key_u32("gemma4.attention.value_length_swa", 16);
  b.key_u32("gemma4.attention.sliding_window_pattern", 2);
  add_layers(b);
  const ModelFacts f = read(b.pad());
  CHECK(cache_letters(f) == "sfsfs---");
  CHECK(f.window_head_dim == 32);
  CHECK(f.window_value_head_dim == 16);
  CHECK(f.head_dim == 64);
}

TEST_CASE("layers that predict further tokens are not loaded and keep no cache") {
  B b = start("glm4moe", 0, 1);
  b.key_u32("glm4moe.nextn_predict_layers", 1);
  add_layers(b);
  const ModelFacts f = read(b.pad());
  CHECK(cache_letters(f) == "fffffff-");
  CHECK(f.layer_weights[6].host_bytes == Bytes(kMatrixBytes));
  CHECK(f.layer_weights[7].host_bytes == Bytes(0));
  CHECK(f.weight_bytes == Bytes(kLayers * kMatrixBytes));

  B draft = start("glm4moe", 0, 1);
  draft.key_u32("glm4moe.nextn_predict_layers", kLayers);
  add_layers(draft);
  CHECK(cache_letters(read(draft.pad())) == "ffffffff");
}

TEST_CASE("windows lie where the loader puts them, whatever the file leaves out") {
  const auto pattern = [](const std::string& architecture, std::uint32_t window) {
    B b = start(architecture, 0, 1);
    b.key_u32(architecture + ".attention.sliding_window", window);
    add_layers(b);
    return read(b.pad());
  };
  CHECK(cache_letters(pattern("cohere2moe", 128)) == "fsssfsss");
  CHECK(cache_letters(pattern("olmo2", 128)) == "sssfsssf");
  CHECK(cache_letters(pattern("plamo3", 128)) == "sssssssf");
  CHECK(cache_letters(pattern("laguna", 128)) == "fsssfsss");
  CHECK(cache_letters(pattern("phi3", 128)) == "ffffffff");
  CHECK(cache_letters(pattern("exaone4", 128)) == "ffffffff");  // only with 64 layers
  CHECK(cache_letters(pattern("llama4", 0)) == "ffffffff");
  CHECK(pattern("llama4", 128).sliding_window == 8192);
  CHECK(pattern("smallthinker", 128).sliding_window == 4096);
  B gemma = start("gemma2", 0, 0);
  add_layers(gemma);
  CHECK(read(gemma.pad()).sliding_window == 4096);
}

TEST_CASE("tensors outside the layers lie where the loader puts them") {
  B b = start("gemma3n", 4, 0);
  std::uint64_t at = add_layers(b);
  for (const char* name :
       {"per_layer_token_embd.weight", "per_layer_model_proj.weight", "altup_proj.weight", "output_norm.weight"}) {
    b.tensor(name, {64}, 0, at);
    at += kRowBytes;
  }
  const ModelFacts f = read(b.pad());
  CHECK(f.input_weights_bytes == Bytes(kRowBytes));
  CHECK(f.layer_weights[0].host_bytes == Bytes(kMatrixBytes + kRowBytes));
  CHECK(f.output_weights_host_bytes == Bytes(2 * kRowBytes));
}

TEST_CASE("delta attention keeps windows of queries, keys and values and a matrix a head") {
  B b = start("kimi-linear", 0, 3);
  b.key_u32("kimi-linear.kda.head_dim", 128).key_u32("kimi-linear.ssm.conv_kernel", 4);
  b.key_u32("kimi-linear.attention.indexer.key_length", 128);
  add_layers(b);
  const ModelFacts f = read(b.pad());
  REQUIRE(f.state_space.has_value());
  const fleet::StateSpace s = f.state_space.value_or(fleet::StateSpace());
  CHECK(s.inner_size == 128);
  CHECK(s.inner_size + 2 * s.group_count * s.state_size == 3 * s.inner_size);
  CHECK(s.inner_size * s.state_size == 128 * 128);
  CHECK(f.indexer_head_dim == 128);
}

TEST_CASE("every header of the measured set gives all facts that an estimate needs") {
  const std::string folder = "../shared/data/gguf-headers";
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    CAPTURE(entry.path().string());
    const std::string bytes = detail::slurp(entry.path().string());
    const auto file = read_gguf(detail::bytes_of(bytes), {.metadata_only = true});
    REQUIRE_MESSAGE(file.has_value(), file.error().message);
    const auto f = facts_from_gguf(*file);
    REQUIRE_MESSAGE(f.has_value(), f.error().message);
    CHECK(f->layers.value_or(0) == f->layer_weights.size());
    CHECK(f->hidden_size.has_value());
    CHECK(f->vocab_size.has_value());
    CHECK(f->max_context.has_value());
    CHECK(f->weight_bytes.has_value());
    CHECK(f->quantization.has_value());
    const bool attention = f->architecture != "mamba";
    CHECK(f->kv_heads.has_value() == attention);
    CHECK(f->head_dim.has_value() == attention);
    CHECK((f->state_space.has_value() || attention));
  }
}

}  // namespace berth::metadata
