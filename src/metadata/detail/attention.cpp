#include "metadata/detail/attention.h"

namespace berth::metadata::detail {

std::vector<fleet::AttentionLayers> attention_rows(std::span<const Layer> layers, std::uint32_t usual_kv_heads) {
  std::vector<fleet::AttentionLayers> rows;
  for (const Layer& layer : layers) {
    const bool same = !rows.empty() && rows.back().kv_heads == layer.kv_heads &&
                      rows.back().sliding_window == layer.sliding_window && rows.back().recurrent == layer.recurrent;
    if (same) {
      ++rows.back().count;
    } else {
      rows.push_back({.count = 1,
                      .kv_heads = layer.kv_heads,
                      .sliding_window = layer.sliding_window,
                      .recurrent = layer.recurrent});
    }
  }
  const bool plain =
      rows.size() == 1 && rows[0].kv_heads == usual_kv_heads && !rows[0].sliding_window && !rows[0].recurrent;
  if (plain) rows.clear();
  return rows;
}

}  // namespace berth::metadata::detail
