#pragma once
// Which parts of a model must divide by which sizes, as the engine's file says.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engines/catalog.h"
#include "engines/world.h"
#include "fleet/model.h"

namespace berth::engines {

/// What does not divide, with its numbers.
struct Undivided {
  Divided what = Divided::kAttentionHeads;
  std::uint32_t count = 0;  // 14 heads
  std::uint32_t by = 1;     // 4 ranks
};

/// The first rule of the engine that the model breaks in this world; nothing where the facts do not tell. `flags` are
/// canonical. Heads and KV heads divide by the ranks that share one attention layer, experts by those that share them,
/// the rest by the tensor-parallel group.
std::optional<Undivided> undivided(const Engine& engine,
                                   const fleet::ModelFacts& facts,
                                   const World& world,
                                   const std::vector<std::string>& flags);

/// "attention heads", in English or Chinese.
const char* divided_name(Divided what);
const char* divided_name_zh(Divided what);

}  // namespace berth::engines
