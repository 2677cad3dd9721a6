#include <algorithm>
#include <array>
#include <doctest/doctest.h>

#include "estimate/estimate.h"

namespace berth::estimate {
namespace {

using fleet::ModelFacts;
using fleet::Settings;

/// Qwen3 32B in bf16: figures of its config.json and safetensors index.
ModelFacts qwen3_32b() {
  ModelFacts f;
  f.format = "safetensors";
  f.architecture = "Qwen3ForCausalLM";
  f.weight_bytes = Bytes(65'524'246'528);
  f.layers = 64;
  f.hidden_size = 5'120;
  f.feed_forward_size = 25'600;
  f.vocab_size = 151'936;
  f.attention_heads = 64;
  f.kv_heads = 8;
  f.head_dim = 128;
  f.max_context = 40'960;
  return f;
}

Settings usual() {
  Settings s;
  s.context = 8'192;
  s.sequences = 4;
  return s;
}

RankEstimate rank(const ModelFacts& facts, const Settings& settings = usual(), const RankLayout& layout = {}) {
  auto r = rank_memory(facts, settings, layout, {.framework = "cuda"});
  REQUIRE_MESSAGE(r.has_value(), r.error().message);
  return std::move(*r);
}

std::string rank_refusal(const ModelFacts& facts, const Settings& settings = usual(), const RankLayout& layout = {}) {
  const auto r = rank_memory(facts, settings, layout, {.framework = "cuda"});
  REQUIRE(!r.has_value());
  CHECK(r.error().code == Code::kInvalid);
  return r.error().message;
}

const fleet::MemoryPart* find(const RankEstimate& r, const std::string& name) {
  const auto at = std::ranges::find(r.parts, name, &fleet::MemoryPart::name);
  return at == r.parts.end() ? nullptr : &*at;
}

const fleet::MemoryPart& part(const RankEstimate& r, const std::string& name) {
  const auto* found = find(r, name);
  REQUIRE_MESSAGE(found != nullptr, name);
  return *found;
}

}  // namespace

TEST_CASE("Qwen3 32B on one device: weights and KV cache to the byte") {
  const RankEstimate r = rank(qwen3_32b());
  CHECK(part(r, "weights").expected == Bytes(65'524'246'528));
  CHECK(part(r, "kv_cache").high == Bytes(8'589'934'592));
  CHECK(part(r, "kv_cache").derivation ==
        "4 sequences × 8,192 tokens × 64 layers × 4,096 B = 8,589,934,592 B (8 of 8 KV heads a rank × (128 + 128) × 2 "
        "B)");
  CHECK(r.kv_bytes_per_token == Bytes(262'144));
  CHECK(find(r, "collectives") == nullptr);
}

TEST_CASE("parts of a rank sum to its device and host, in order, and without KV to besides_kv") {
  for (const std::uint32_t tp : {1U, 2U, 4U, 16U}) {
    for (const std::uint32_t pp : {1U, 3U}) {
      CAPTURE(tp);
      CAPTURE(pp);
      const RankEstimate r = rank(qwen3_32b(), usual(), {.tensor_parallel = tp, .pipeline_parallel = pp});
      Interval device, host;
      Bytes besides;
      for (const auto& p : r.parts) {
        CHECK(p.low <= p.expected);
        CHECK(p.expected <= p.high);
        (p.device.empty() ? device : host) += {p.low, p.expected, p.high};
        if (p.device.empty() && p.name != "kv_cache") besides += p.high;
      }
      CHECK(device == r.device);
      CHECK(host == r.host);
      CHECK(besides == r.besides_kv);
    }
  }
}

TEST_CASE("more ranks take less each, and together never less than the model") {
  Bytes before(Bytes::kMax);
  for (const std::uint32_t tp : {1U, 2U, 4U, 8U, 16U}) {
    CAPTURE(tp);
    const RankEstimate r = rank(qwen3_32b(), usual(), {.tensor_parallel = tp});
    CHECK(r.device.high < before);
    CHECK(part(r, "weights").expected * tp >= Bytes(65'524'246'528));
    before = r.device.high;
  }
}

TEST_CASE("KV heads are replicated when there are fewer than ranks") {
  const RankEstimate eight = rank(qwen3_32b(), usual(), {.tensor_parallel = 8});
  const RankEstimate sixteen = rank(qwen3_32b(), usual(), {.tensor_parallel = 16});
  CHECK(eight.kv_bytes_per_token == Bytes(262'144 / 8));
  CHECK(sixteen.kv_bytes_per_token == eight.kv_bytes_per_token);
  CHECK(part(sixteen, "weights").expected * 16 > part(eight, "weights").expected * 8 + Bytes(600'000'000));
}

TEST_CASE("a latent cache is the same on every rank") {
  ModelFacts f = qwen3_32b();
  f.kv_lora_rank = 512;
  CHECK(rank_refusal(f) == "facts.rope_head_dim is not known");
  f.rope_head_dim = 64;
  const Bytes each(64 * (512 + 64) * 2);
  CHECK(rank(f).kv_bytes_per_token == each);
  CHECK(rank(f, usual(), {.tensor_parallel = 8}).kv_bytes_per_token == each);
}

TEST_CASE("an fp8 cache takes half, and a type that vLLM lacks is refused") {
  Settings s = usual();
  s.kv_type = "fp8";
  CHECK(part(rank(qwen3_32b(), s), "kv_cache").high == Bytes(8'589'934'592 / 2));
  s.kv_type = "q8_0";
  CHECK(rank_refusal(qwen3_32b(), s) == "settings.kv_type is \"q8_0\", must be auto, bf16, f16 or fp8");
}

TEST_CASE("windowed and recurrent layers do not grow with the context") {
  ModelFacts f = qwen3_32b();
  f.sliding_window = 1'024;
  f.attention_layers = {{.count = 48, .kv_heads = 8, .sliding_window = true}, {.count = 16, .kv_heads = 8}};
  Settings s = usual();
  s.context = 32'768;
  // 1,024 of the window and 8,192 of the step, rounded up to blocks of 16.
  CHECK(part(rank(f, s), "kv_cache").high == Bytes(4ULL * 4'096 * (16 * 32'768 + 48 * 9'216)));
  f.state_space = fleet::StateSpace{.conv_kernel = 4, .inner_size = 4'096, .state_size = 128, .group_count = 16};
  f.attention_layers = {{.count = 48, .recurrent = true}, {.count = 16, .kv_heads = 8}};
  const std::uint64_t state = 4ULL * (3 * (4'096 + 2 * 16 * 128) + 128 * 4'096);
  CHECK(part(rank(f, s), "kv_cache").high == Bytes(4ULL * (16 * 4'096 * 32'768ULL + 48 * state)));
  CHECK(rank(f, s).kv_bytes_per_token == Bytes(16 * 4'096));
}

TEST_CASE("pipeline stages split layers, and one of them holds a table of the vocabulary") {
  const RankEstimate r = rank(qwen3_32b(), usual(), {.pipeline_parallel = 2});
  const std::uint64_t table = 151'936ULL * 5'120 * 2;
  CHECK(part(r, "weights").expected.value >= (65'524'246'528 - 2 * table) / 2 + table);
  CHECK(part(r, "weights").expected.value <= 65'524'246'528 / 2 + 2'000'000);
  CHECK(part(r, "kv_cache").high == Bytes(8'589'934'592 / 2));
  CHECK(rank_refusal(qwen3_32b(), usual(), {.pipeline_parallel = 65}) ==
        "pipeline_parallel is 65, must be at most the 64 layers");
}

TEST_CASE("flags that change memory are counted") {
  Settings s = usual();
  s.flags = {"--enforce-eager", "--max-num-batched-tokens=2048"};
  const RankEstimate r = rank(qwen3_32b(), s);
  CHECK(find(r, "graphs") == nullptr);
  CHECK(part(r, "activations").expected == part(rank(qwen3_32b()), "activations").low);
}

TEST_CASE("what a rank needs to know is named when it is missing") {
  const auto without = [](auto member) {
    ModelFacts f = qwen3_32b();
    (f.*member).reset();
    return rank_refusal(f);
  };
  CHECK(without(&ModelFacts::weight_bytes) == "facts.weight_bytes is not known");
  CHECK(without(&ModelFacts::layers) == "facts.layers is not known");
  CHECK(without(&ModelFacts::kv_heads) == "facts.kv_heads is not known");
  CHECK(without(&ModelFacts::hidden_size) == "facts.hidden_size is not known");
  CHECK(without(&ModelFacts::vocab_size) == "facts.vocab_size is not known");
  ModelFacts f = qwen3_32b();
  f.head_dim.reset();
  f.attention_heads.reset();
  CHECK(rank_refusal(f) == "facts.head_dim is not known");
}

TEST_CASE("absurd facts of a safetensors model saturate and never wrap") {
  ModelFacts f = qwen3_32b();
  for (auto* field :
       {&f.hidden_size, &f.feed_forward_size, &f.vocab_size, &f.attention_heads, &f.kv_heads, &f.head_dim})
    *field = UINT32_MAX;
  f.weight_bytes = Bytes(Bytes::kMax);
  Settings s;
  s.context = UINT32_MAX;
  s.sequences = UINT32_MAX;
  for (const std::uint32_t tp : {1U, 8U}) {
    const RankEstimate r = rank(f, s, {.tensor_parallel = tp, .pipeline_parallel = 2});
    CHECK(r.device.high.saturated());
    CHECK(r.device.low.value > Bytes::kMax / 32);
    CHECK(part(r, "kv_cache").high.saturated());
  }
}

}  // namespace berth::estimate
