#pragma once
// Per-layer attention shapes, shared by GGUF files and config.json.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "fleet/model.h"

namespace berth::metadata::detail {

/// One layer, before equal neighbours are put together.
struct Layer {
  std::uint32_t kv_heads = 0;
  bool sliding_window = false;
  bool recurrent = false;
};

/// Equal neighbours as one row. Empty when every layer is plain attention with `usual_kv_heads`.
std::vector<fleet::AttentionLayers> attention_rows(std::span<const Layer> layers, std::uint32_t usual_kv_heads);

/// Where the layers with a sliding window lie: all but one of `period` layers, the full one last (or first).
/// 0: none known; 1: no layer.
struct SlidingPattern {
  std::uint32_t period = 0;
  bool full_first = false;

  [[nodiscard]] bool slides(std::uint32_t layer) const {
    if (period == 0) return false;
    return full_first ? layer % period != 0 : layer % period < period - 1;
  }
};

}  // namespace berth::metadata::detail
