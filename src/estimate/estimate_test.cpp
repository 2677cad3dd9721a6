// What must hold for any model: sums, order, saturation, and refusals that name what is missing.
#include "estimate/estimate.h"

#include <algorithm>
#include <array>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <functional>
#include <numeric>

#include "base/rng.h"
#include "estimate/detail/terms.h"
#include "estimate/testing.h"

namespace berth::estimate {
namespace {

using fleet::MemoryPart;
using fleet::ModelFacts;
using fleet::Settings;

const std::array<std::string, 4> kIds = {"gpu-0", "gpu-1", "gpu-2", "gpu-3"};
const std::array<const char*, 3> kFrameworks = {"cuda", "metal", "vulkan"};

LlamaModel prepared(const ModelFacts& facts, const Settings& settings) {
  auto model = LlamaModel::prepare(facts, settings);
  REQUIRE_MESSAGE(model.has_value(), model.error().message);
  return std::move(*model);
}

ModelFacts known(const std::string& name) { return testing::vectors().models.at(name); }

std::string refusal(const ModelFacts& facts, const Settings& settings = {}) {
  const auto model = LlamaModel::prepare(facts, settings);
  REQUIRE(!model.has_value());
  CHECK(model.error().code == Code::kInvalid);
  return model.error().message;
}

/// 0 to 4 devices with some slots each, at most all of them.
std::vector<std::uint32_t> some_split(Rng& rng, std::uint32_t total) {
  std::vector<std::uint32_t> layers(rng.below(5));
  std::uint32_t left = rng.below(2) == 0 ? total : static_cast<std::uint32_t>(rng.below(total + 1));
  for (auto& n : layers) {
    n = static_cast<std::uint32_t>(rng.below(left + 1));
    left -= n;
  }
  if (!layers.empty() && rng.below(2) == 0) layers.back() += left;
  return layers;
}

Settings some_settings(Rng& rng) {
  Settings s;
  const std::array<const char*, 5> types = {"f16", "f32", "q8_0", "q4_0", "q5_1"};
  s.context = static_cast<std::uint32_t>(1 + rng.below(200'000));
  s.sequences = static_cast<std::uint32_t>(1 + rng.below(16));
  s.kv_type = types[rng.below(types.size())];
  s.ubatch = static_cast<std::uint32_t>(1 + rng.below(4'096));
  if (rng.below(4) == 0) {
    s.flash_attention = false;
    s.kv_type = "f16";
  }
  return s;
}

Interval sum_of(const std::vector<MemoryPart>& parts, const std::string& device) {
  Interval sum;
  for (const MemoryPart& p : parts)
    if (p.device == device) sum += {p.low, p.expected, p.high};
  return sum;
}

bool ordered(const Interval& i) { return i.low <= i.expected && i.expected <= i.high; }

const MemoryPart& part(const std::vector<MemoryPart>& parts, const std::string& name, const std::string& device) {
  const auto at =
      std::ranges::find_if(parts, [&](const MemoryPart& p) { return p.name == name && p.device == device; });
  REQUIRE_MESSAGE(at != parts.end(), name << " on " << device);
  return *at;
}

/// Every figure at its largest.
ModelFacts absurd() {
  ModelFacts f = known("falcon-h1-7b");
  for (auto* field : {&f.hidden_size,
                      &f.feed_forward_size,
                      &f.vocab_size,
                      &f.attention_heads,
                      &f.kv_heads,
                      &f.head_dim,
                      &f.value_head_dim,
                      &f.experts_used,
                      &f.expert_feed_forward_size,
                      &f.sliding_window})
    *field = UINT32_MAX;
  f.state_space = fleet::StateSpace{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  for (auto& row : f.attention_layers) row.kv_heads = UINT32_MAX;
  for (auto& layer : f.layer_weights)
    layer = {.host_bytes = Bytes::kMax, .device_bytes = Bytes::kMax, .largest_tensor_bytes = Bytes::kMax};
  f.input_weights_bytes = f.output_weights_bytes = f.output_weights_host_bytes = Bytes(Bytes::kMax);
  return f;
}

}  // namespace

TEST_CASE("parts of explain sum to split, are in order, and redo their own sums") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    for (const auto& [name, facts] : testing::vectors().models) {
      CAPTURE(seed);
      CAPTURE(name);
      const LlamaModel model = prepared(facts, some_settings(rng));
      const auto layers = some_split(rng, model.total_layers());
      const DeviceTraits traits = {.framework = kFrameworks[rng.below(kFrameworks.size())]};
      const auto split = model.split(layers, traits);
      const auto parts = model.explain(layers, traits, kIds);
      REQUIRE(split.devices.size() == layers.size());
      for (std::size_t k = 0; k < layers.size(); ++k) {
        CHECK(split.devices[k] == sum_of(parts, kIds[k]));
        CHECK(ordered(split.devices[k]));
        CHECK((split.devices[k].high == Bytes(0)) == (layers[k] == 0));
      }
      CHECK(split.host == sum_of(parts, "host"));
      CHECK(ordered(split.host));
      for (const MemoryPart& p : parts) {
        CAPTURE(p.derivation);
        if (p.name != "compute" && p.name != "kv_cache") continue;
        CHECK(p.derivation.find(fmt::format("= {} B", grouped(p.expected.value))) != std::string::npos);
      }
    }
  }
}

TEST_CASE("more context never takes less") {
  for (const auto& [name, facts] : testing::vectors().models) {
    for (const char* type : {"f16", "q8_0"}) {
      Rng rng(7);
      Settings settings;
      settings.kv_type = type;
      const std::uint32_t total = *facts.layers + 1;
      for (int i = 0; i < 8; ++i) {
        const auto layers = some_split(rng, total);
        LlamaModel::Split before;
        before.devices.resize(layers.size());
        for (const std::uint32_t context : {256U, 1'000U, 4'096U, 8'192U, 40'000U, 262'144U, 4'000'000U}) {
          CAPTURE(name);
          CAPTURE(context);
          settings.context = context;
          auto now = prepared(facts, settings).split(layers, {.framework = "cuda"});
          for (std::size_t k = 0; k < layers.size(); ++k) {
            CHECK(now.devices[k].expected >= before.devices[k].expected);
            CHECK(now.devices[k].high >= before.devices[k].high);
          }
          CHECK(now.host.expected >= before.host.expected);
          CHECK(now.host.high >= before.host.high);
          before = std::move(now);
        }
      }
    }
  }
}

TEST_CASE("what leaves the host arrives on the devices: weights and cache are conserved but for padding") {
  Settings settings;
  settings.context = 8'192;
  const ModelFacts facts = known("qwen3-8b");
  const LlamaModel model = prepared(facts, settings);
  const auto cpu = model.explain({}, {}, {});
  const std::uint64_t kv = part(cpu, "kv_cache", "host").expected.value;
  for (std::uint32_t n = 1; n <= model.total_layers(); ++n) {
    const std::array<std::uint32_t, 1> layers = {n};
    const auto parts = model.explain(layers, {.framework = "cuda"}, kIds);
    std::uint64_t sum = 0;
    for (const MemoryPart& p : parts)
      if (p.name == "kv_cache") sum += p.expected.value;
    CHECK(sum == kv);
  }
}

TEST_CASE("no devices, or devices without layers, means the CPU holds everything") {
  const LlamaModel model = prepared(known("llama-3.1-8b"), {});
  const std::array<std::uint32_t, 2> none = {0, 0};
  const auto split = model.split(none, {.framework = "cuda"});
  CHECK(split.devices == std::vector<Interval>(2));
  CHECK(split.host == model.split({}, {}).host);
  CHECK(split.host.expected > known("llama-3.1-8b").layer_weights[0].host_bytes * 32);
}

TEST_CASE("absurd facts saturate and never wrap") {
  Settings settings;
  settings.context = UINT32_MAX;
  settings.sequences = UINT32_MAX;
  settings.ubatch = UINT32_MAX;
  settings.flags = {"--batch-size=4294967295"};
  for (const bool flash : {true, false}) {
    settings.flash_attention = flash;
    const LlamaModel model = prepared(absurd(), settings);
    for (const auto& layers : {std::vector<std::uint32_t>{}, {45}, {20, 25}, {1, 1, 1}, {0, 10}}) {
      const DeviceTraits traits = {.framework = "cuda"};
      const auto split = model.split(layers, traits);
      CHECK(split.host.high.saturated());
      CHECK(ordered(split.host));
      for (std::size_t k = 0; k < layers.size(); ++k) CHECK(split.devices[k].low.saturated() == (layers[k] > 0));
      CHECK(model.explain(layers, traits, kIds).size() >= 4);
    }
  }
}

TEST_CASE("two layers of huge weights on one device do not cancel out") {
  ModelFacts f = known("llama-3.1-8b");
  for (auto& layer : f.layer_weights) layer.device_bytes = Bytes::kMax / 2 + 1;
  const LlamaModel model = prepared(f, {});
  const std::array<std::uint32_t, 2> layers = {30, 3};
  const auto split = model.split(layers, {.framework = "cuda"});
  CHECK(split.devices[0].low.saturated());
  CHECK(split.devices[1].low.saturated());
}

TEST_CASE("the KV cache of Qwen3 8B at 8,192 tokens is derived as a reader would") {
  Settings settings;
  settings.context = 8'192;
  const std::array<std::uint32_t, 1> all = {37};
  const auto parts = prepared(known("qwen3-8b"), settings).explain(all, {.framework = "cuda"}, kIds);
  CHECK(part(parts, "kv_cache", "gpu-0").derivation ==
        "36 layers × 8,192 tokens × 8 heads × (128 + 128) × 2 B = 1,207,959,552 B");
  CHECK(part(parts, "kv_cache", "gpu-0").high == Bytes(1'207'959'552));
  CHECK(part(parts, "compute", "gpu-0").derivation ==
        "4 B × 512 × (feed-forward 4 × 4,096 + 3 × 12,288) + 4 B × 512 × (inputs 7) + mask 2 B × 512 × 8,192 = "
        "117,454,848 B; at most 5 % more");
  CHECK(part(parts, "logits", "host").derivation == "4 B × 151,936 tokens of vocabulary × 4 rows");
}

TEST_CASE("the KV cache of Gemma 3 counts windowed layers by their window") {
  Settings settings;
  settings.context = 32'768;
  settings.sequences = 1;
  settings.kv_type = "q8_0";
  const auto parts = prepared(known("gemma3-12b"), settings).explain({}, {}, {});
  CHECK(
      part(parts, "kv_cache", "host").derivation ==
      "8 layers × 32,768 tokens × 8 heads × (256 + 256) × 34/32 B + 40 layers × 1,536 tokens in the window × 8 heads × "
      "(256 + 256) × 34/32 B = 1,408,237,568 B");
}

TEST_CASE("settings that are absent mean four slots on one cache of the model's maximum, f16, flash attention") {
  ModelFacts facts = known("qwen3-8b");
  facts.max_context = 4'096;
  Settings settings;
  settings.context = 4'096;
  settings.sequences = 4;
  settings.kv_type = "f16";
  settings.flash_attention = true;
  settings.ubatch = 512;
  const std::array<std::uint32_t, 1> all = {37};
  const DeviceTraits traits = {.framework = "cuda"};
  CHECK(prepared(facts, {}).split(all, traits).devices == prepared(facts, settings).split(all, traits).devices);
}

TEST_CASE("embeddings compute every row of logits, chat one per slot") {
  ModelFacts facts = known("qwen3-embedding-0.6b");
  Settings settings;
  settings.context = 8'192;
  const std::array<std::uint32_t, 1> all = {29};
  const DeviceTraits traits = {.framework = "cuda"};
  const Bytes chat = prepared(facts, settings).split(all, traits).devices[0].expected;
  facts.task = "embed";
  const Bytes embed = prepared(facts, settings).split(all, traits).devices[0].expected;
  CHECK(embed > chat + Bytes(200 * kMiB));
}

TEST_CASE("what is missing is named") {
  const ModelFacts good = known("qwen3-8b");
  const auto without = [&](const std::function<void(ModelFacts&)>& change) {
    ModelFacts f = good;
    change(f);
    return refusal(f);
  };
  CHECK(without([](auto& f) { f.layers = 0; }) == "facts.layers is not known");
  CHECK(without([](auto& f) { f.layers.reset(); }) == "facts.layers is not known");
  CHECK(without([](auto& f) { f.layers = 20'000; }) == "facts.layers is 20000, must be at most 10000");
  CHECK(without([](auto& f) { f.hidden_size.reset(); }) == "facts.hidden_size is not known");
  CHECK(without([](auto& f) { f.vocab_size.reset(); }) == "facts.vocab_size is not known");
  CHECK(without([](auto& f) { f.kv_heads.reset(); }) == "facts.kv_heads is not known");
  CHECK(without([](auto& f) { f.attention_heads.reset(); }) == "facts.attention_heads is not known");
  CHECK(without([](auto& f) { f.feed_forward_size.reset(); }) == "facts.feed_forward_size is not known");
  CHECK(without([](auto& f) { f.layer_weights.pop_back(); }) == "facts.layer_weights is not known");
  CHECK(without([](auto& f) { f.input_weights_bytes.reset(); }) == "facts.input_weights_bytes is not known");
  CHECK(without([](auto& f) { f.max_context.reset(); }) ==
        "facts.max_context is not known, and settings.context is not given");
  ModelFacts mamba = known("mamba-2.8b");
  mamba.state_space.reset();
  CHECK(refusal(mamba) == "facts.state_space is not known");
}

TEST_CASE("settings that llama.cpp would refuse are refused with what is allowed") {
  const ModelFacts facts = known("qwen3-8b");
  Settings s;
  s.kv_type = "q9";
  CHECK(refusal(facts, s) ==
        "settings.kv_type is \"q9\", must be one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl");
  s.kv_type = "q8_0";
  s.flash_attention = false;
  CHECK(refusal(facts, s) == "settings.flash_attention is off, but kv_type q8_0 needs it");
  s = {};
  s.context = 0;
  CHECK(refusal(facts, s) == "settings.context is 0, must be at least 1");
  s = {};
  s.sequences = 0;
  CHECK(refusal(facts, s) == "settings.sequences is 0, must be at least 1");
  s = {};
  s.flags = {"--batch-size=many"};
  CHECK(refusal(facts, s) == "flag --batch-size is \"many\", must be an integer from 1 to 4294967295");
}

TEST_CASE("the batch flag bounds the micro-batch") {
  const ModelFacts facts = known("llama-3.1-8b");
  Settings small;
  small.flags = {"--batch-size=128"};
  Settings same;
  same.ubatch = 128;
  const std::array<std::uint32_t, 1> all = {33};
  CHECK(prepared(facts, small).split(all, {}).devices == prepared(facts, same).split(all, {}).devices);
}

TEST_CASE("numbers are grouped by threes") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1'000) == "1,000");
  CHECK(grouped(65'524'246'528) == "65,524,246,528");
}

}  // namespace berth::estimate
