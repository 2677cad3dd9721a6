#include "engines/divide.h"

#include <algorithm>

#include "base/assert.h"

namespace berth::engines {
namespace {

std::optional<std::uint32_t> count_of(const fleet::ModelFacts& facts, Divided what) {
  switch (what) {
    case Divided::kAttentionHeads:
      return facts.attention_heads;
    case Divided::kKvHeads:
      // Latent attention keeps one compressed row for all heads.
      return facts.kv_lora_rank ? std::nullopt : facts.kv_heads;
    case Divided::kVisionHeads:
      return facts.vision_attention_heads;
    case Divided::kExperts:
      return facts.experts;
    case Divided::kVocab:
      return facts.vocab_size;
  }
  return std::nullopt;
}

std::uint32_t ranks_of(const World& world, Divided what) {
  switch (what) {
    case Divided::kAttentionHeads:
    case Divided::kKvHeads:
      return world.attention_tp();
    case Divided::kExperts:
      return world.ep;
    case Divided::kVisionHeads:
    case Divided::kVocab:
      return world.tp;
  }
  return 1;
}

}  // namespace

std::optional<Undivided> undivided(const Engine& engine,
                                   const fleet::ModelFacts& facts,
                                   const World& world,
                                   const std::vector<std::string>& flags) {
  for (const auto& rule : engine.divides) {
    const auto count = count_of(facts, rule.what);
    const std::uint32_t by = ranks_of(world, rule.what);
    ASSERT(by > 0);
    if (!count || *count == 0 || by == 1) continue;
    const bool off = std::any_of(rule.unless.begin(), rule.unless.end(), [&](const auto& flag) {
      return std::find(flags.begin(), flags.end(), flag) != flags.end();
    });
    if (off) continue;
    const std::uint64_t padded = (std::uint64_t(*count) + rule.pad - 1) / rule.pad * rule.pad;
    if (padded % by == 0 || (rule.either_way && padded < by && by % padded == 0)) continue;
    return Undivided{rule.what, *count, by};
  }
  return std::nullopt;
}

const char* divided_name(Divided what) {
  switch (what) {
    case Divided::kAttentionHeads:
      return "attention heads";
    case Divided::kKvHeads:
      return "KV heads";
    case Divided::kVisionHeads:
      return "vision heads";
    case Divided::kExperts:
      return "experts";
    case Divided::kVocab:
      return "tokens of the vocabulary";
  }
  return "?";
}

const char* divided_name_zh(Divided what) {
  switch (what) {
    case Divided::kAttentionHeads:
      return "个注意力头";
    case Divided::kKvHeads:
      return "个 KV 头";
    case Divided::kVisionHeads:
      return "个视觉头";
    case Divided::kExperts:
      return "个专家";
    case Divided::kVocab:
      return "个词表项";
  }
  return "?";
}

}  // namespace berth::engines
