#include "engines/divide.h"

#include <doctest/doctest.h>

#include "engines/testing.h"

namespace berth::engines {
namespace {

struct DivideCase {
  Engine engine = testing::toy_engine();
  fleet::ModelFacts facts;
  World world;
  std::vector<std::string> flags;

  explicit DivideCase(Divided what) {
    DivideRule rule;
    rule.what = what;
    engine.divides = {rule};
  }
  [[nodiscard]] std::optional<Undivided> run() const { return undivided(engine, facts, world, flags); }
};

}  // namespace

TEST_CASE("heads divide by the ranks that share one attention layer, not by stages or copies") {
  DivideCase c(Divided::kAttentionHeads);
  c.facts.attention_heads = 14;
  c.world.tp = 4;
  REQUIRE(c.run().has_value());
  CHECK(c.run()->count == 14);
  CHECK(c.run()->by == 4);
  c.world.tp = 2;
  c.world.pp = 3;
  CHECK_FALSE(c.run().has_value());
  // Eight ranks, four copies of attention inside: two ranks a copy.
  c.world.tp = 8;
  c.world.dp = 4;
  c.world.data_inside = true;
  CHECK_FALSE(c.run().has_value());
}

TEST_CASE("KV heads are split or repeated, and do not count where attention is latent") {
  DivideCase c(Divided::kKvHeads);
  c.engine.divides[0].either_way = true;
  c.facts.kv_heads = 2;
  c.world.tp = 8;
  CHECK_FALSE(c.run().has_value());
  c.facts.kv_heads = 3;
  CHECK(c.run().has_value());
  c.facts.kv_lora_rank = 512;
  CHECK_FALSE(c.run().has_value());
}

TEST_CASE("vision heads must divide unless a flag copies or drops the tower") {
  DivideCase c(Divided::kVisionHeads);
  c.engine.divides[0].unless = {"--tower=data"};
  c.facts.vision_attention_heads = 16;
  c.world.tp = 6;
  CHECK(c.run().has_value());
  c.flags = {"--other", "--tower=data"};
  CHECK_FALSE(c.run().has_value());
}

TEST_CASE("experts divide by the ranks that share them, a vocabulary after padding") {
  DivideCase experts(Divided::kExperts);
  experts.facts.experts = 10;
  experts.world.tp = 4;
  CHECK_FALSE(experts.run().has_value());
  experts.world.ep = 4;
  CHECK(experts.run().has_value());

  DivideCase vocab(Divided::kVocab);
  vocab.facts.vocab_size = 32001;
  vocab.world.tp = 2;
  CHECK(vocab.run().has_value());
  vocab.engine.divides[0].pad = 64;
  CHECK_FALSE(vocab.run().has_value());
  vocab.facts.vocab_size = 151552;
  vocab.world.tp = 6;
  CHECK(vocab.run().has_value());
}

TEST_CASE("what the facts do not tell is not held against the model") {
  DivideCase c(Divided::kAttentionHeads);
  c.world.tp = 3;
  CHECK_FALSE(c.run().has_value());
}

}  // namespace berth::engines
