#include "estimate/published.h"

#include <doctest/doctest.h>

namespace berth::estimate {
namespace {

fleet::ModelFacts facts_of(std::uint64_t weights) {
  fleet::ModelFacts facts;
  facts.format = "safetensors";
  facts.architecture = "Qwen3ForCausalLM";
  facts.weight_bytes = weights;
  return facts;
}

engines::Engine engine_of(const char* id) {
  engines::Engine engine;
  engine.id = engine.title = id;
  return engine;
}

TEST_CASE("vLLM: weights and a fifth, 2 GiB for a language model, 0.9 of each device") {
  const auto need = published_need(engine_of("vllm"), facts_of(1503300328), {}, {});
  REQUIRE(need);
  CHECK(need->device_bytes == Bytes(3951444041));
  CHECK(need->host_bytes == Bytes(0));
  CHECK(need->share == 0.9);
  CHECK(share_bytes(Bytes(26015170560), *need->share) == Bytes(23413653504));
}

TEST_CASE("an encoder takes no more than it needs; a decoder that embeds takes its share") {
  fleet::Request request;
  request.task = "embed";
  auto facts = facts_of(875952869);
  facts.architecture = "BertModel";
  const auto encoder = published_need(engine_of("vllm"), facts, request, {});
  REQUIRE(encoder);
  CHECK(encoder->device_bytes == Bytes(1588014354));
  CHECK(encoder->share == 0.0);
  CHECK(published_need(engine_of("vllm"), facts_of(1), request, {})->share == 0.9);
}

TEST_CASE("MindIE: weights, 3 GiB, and keys and values of the longest sequence and of a batch") {
  auto facts = facts_of(16381516592);
  facts.layers = 36;
  facts.kv_heads = 8;
  facts.head_dim = 128;
  facts.dtype = "bfloat16";
  fleet::Settings settings;
  settings.context = 8192;
  const auto need = published_need(engine_of("mindie"), facts, {}, settings);
  REQUIRE(need);
  CHECK(need->device_bytes == Bytes(24585575216));
  CHECK(need->host_bytes == Bytes(512 * kMiB));
  CHECK(need->share == 0.8);
}

TEST_CASE("SGLang's share goes by the smallest device, the ranks and the vision tower") {
  const auto facts = facts_of(1);
  CHECK(published_share(facts, {}, {.device_bytes = 24810 * kMiB}) == 0.848);
  CHECK(published_share(facts, {}, {.device_bytes = 16376 * kMiB, .ranks = 2, .tensor = 2}) == 0.765);
  auto vision = facts;
  vision.vision_attention_heads = 16;
  vision.hidden_size = 3584;
  CHECK(published_share(vision, {}, {.device_bytes = 16376 * kMiB, .ranks = 4, .tensor = 4}) == 0.569);
}

TEST_CASE("a custom engine: a tenth of it on the host as well, 2 GiB at least") {
  const auto need = published_need(engine_of("mine"), facts_of(22362861288), {}, {});
  REQUIRE(need);
  CHECK(need->device_bytes == Bytes(28982917193));
  CHECK(need->host_bytes == Bytes(2898291719));
  CHECK(published_need(engine_of("mine"), facts_of(1), {}, {})->host_bytes == Bytes(2 * kGiB));
  CHECK_FALSE(published_need(engine_of("mine"), fleet::ModelFacts(), {}, {}));
}

}  // namespace
}  // namespace berth::estimate
