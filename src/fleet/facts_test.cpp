#include "fleet/facts.h"

#include <doctest/doctest.h>

#include "fleet/request.h"

namespace berth::fleet {
namespace {

ModelFacts eight_billion() {
  ModelFacts f;
  f.weight_bytes = Bytes(16'381'470'720);
  f.layers = 36;
  f.hidden_size = 4096;
  f.vocab_size = 151'936;
  f.attention_heads = 32;
  f.kv_heads = 8;
  f.head_dim = 128;
  return f;
}

std::string refusal(const ModelFacts& facts) {
  Request request;
  request.facts = facts;
  const auto got = canonical(std::move(request));
  return got ? "no error" : got.error().message;
}

template <class T>
std::string with(T ModelFacts::* field, typename T::value_type value) {
  auto f = eight_billion();
  f.*field = value;
  return refusal(f);
}

}  // namespace

TEST_CASE("a figure that is 0 is refused by name: what is not known is left out") {
  CHECK(refusal(eight_billion()) == "no error");
  CHECK(with(&ModelFacts::weight_bytes, Bytes(0)) ==
        "facts.weight_bytes is 0, must be from 1 to 1125899906842624; leave it out when it is not known");
  CHECK(with(&ModelFacts::kv_heads, 0U) ==
        "facts.kv_heads is 0, must be from 1 to 65536; leave it out when it is not known");
  for (const auto field : {&ModelFacts::layers,
                           &ModelFacts::hidden_size,
                           &ModelFacts::feed_forward_size,
                           &ModelFacts::vocab_size,
                           &ModelFacts::attention_heads,
                           &ModelFacts::head_dim,
                           &ModelFacts::value_head_dim,
                           &ModelFacts::max_context,
                           &ModelFacts::sliding_window,
                           &ModelFacts::experts,
                           &ModelFacts::experts_used,
                           &ModelFacts::kv_lora_rank,
                           &ModelFacts::vision_attention_heads})
    CHECK(with(field, 0U).find(" is 0, must be from 1 to ") != std::string::npos);
}

TEST_CASE("figures beyond anything published are refused with the limit") {
  CHECK(with(&ModelFacts::layers, 1025U) == "facts.layers is 1025, must be from 1 to 1024");
  CHECK(with(&ModelFacts::head_dim, 4'000'000'000U) == "facts.head_dim is 4000000000, must be from 1 to 65536");
  CHECK(with(&ModelFacts::parameters, std::uint64_t{1} << 51U).starts_with("facts.parameters is 2251799813685248"));
}

TEST_CASE("figures that contradict each other are refused") {
  CHECK(with(&ModelFacts::kv_heads, 33U) == "facts.kv_heads is 33, must be at most attention_heads, 32");
  auto f = eight_billion();
  f.attention_layers = {{.count = 35, .kv_heads = 8, .sliding_window = false, .recurrent = false}};
  CHECK(refusal(f) == "facts.attention_layers counts 35 layers, must be 36, as layers");
  f = eight_billion();
  f.layer_weights.resize(2);
  CHECK(refusal(f) == "facts.layer_weights has 2 entries, must have 36, as layers");
}

TEST_CASE("weights are refused only when less than a bit is left for a parameter") {
  CHECK(with(&ModelFacts::weight_bytes, Bytes(1)) ==
        "facts.weight_bytes is 1, must be at least 153288704: hidden_size 4096, layers 36 and vocab_size 151936 at one "
        "bit a parameter");
  // 8.19 billion parameters at 1.56 bits, the smallest that llama.cpp has.
  CHECK(with(&ModelFacts::weight_bytes, Bytes(1'597'000'000)) == "no error");
  // albert-xxlarge shares one layer among twelve: 223 million parameters at 16 bits.
  ModelFacts albert;
  albert.weight_bytes = Bytes(446'000'000);
  albert.layers = 12;
  albert.hidden_size = 4096;
  albert.vocab_size = 30'000;
  CHECK(refusal(albert) == "no error");
}

TEST_CASE("a source is of a kind that there is") {
  Request request;
  request.source.kind = "carrier-pigeon";
  auto got = canonical(request);
  REQUIRE_FALSE(got.has_value());
  CHECK(got.error().message ==
        "source.kind is \"carrier-pigeon\", must be one of local, huggingface, modelscope, ollama, catalog");
  for (const auto* kind : {"", "local", "huggingface", "modelscope", "ollama", "catalog"}) {
    request.source.kind = kind;
    CHECK(canonical(request).has_value());
  }
}

TEST_CASE("facts of a variant are checked too, and a bad selection is printable") {
  Request request;
  request.variants.push_back({.name = "q4", .source = {}, .facts = eight_billion()});
  request.variants[0].facts->layers = 0;
  auto got = canonical(request);
  REQUIRE_FALSE(got.has_value());
  CHECK(got.error().message ==
        "variants.q4.facts.layers is 0, must be from 1 to 1024; leave it out when it is not known");
  request.variants.clear();
  request.restriction.devices = {"a\x1b[31m"};
  got = canonical(request);
  REQUIRE_FALSE(got.has_value());
  CHECK(got.error().message == "restriction.devices: \"a\\x1b[31m\" must have the form worker/device-id");
}

}  // namespace berth::fleet
