// KV cache and recurrent state by layer. Source: estimation.md §1.4.
#include <fmt/format.h>

#include "estimate/detail/llama_shape.h"

namespace berth::estimate {
namespace {

constexpr std::uint64_t kDeviceAlignment = 128;
constexpr std::uint64_t kDeviceRow = 512;  // quantised rows are padded to a multiple of it

/// `elements` values per cell, `cells` cells; on a device the last row gets padding, once per tensor.
Sat tensor(Sat cells, Sat elements, std::uint32_t bytes_32, bool on_device) {
  Sat bytes = cells * elements * Sat(bytes_32) / 32;
  if (!on_device || bytes == Sat(0)) return bytes;
  const std::uint64_t over = elements.value % kDeviceRow;
  if (bytes_32 < 64 && over > 0) bytes += (kDeviceRow - over) * bytes_32 / 32;
  return round_up(bytes.value, kDeviceAlignment);
}

Sat attention_kv(const LlamaModel::Shape& s, const LayerShape& layer, bool on_device) {
  const Sat cells = (layer.windowed ? s.cells_swa : s.cells) * s.streams;
  const Sat indexer = tensor(cells, s.indexer, s.key_bytes_32, on_device);
  if (s.kv_lora > Sat(0)) return tensor(cells, s.kv_lora + s.rope, s.key_bytes_32, on_device) + indexer;
  const Sat heads = layer.kv_heads;
  return tensor(cells, heads * (layer.windowed ? s.window_key : s.key), s.key_bytes_32, on_device) +
         tensor(cells, heads * (layer.windowed ? s.window_value : s.value), s.value_bytes_32, on_device) + indexer;
}

std::string element(std::uint32_t bytes_32) {
  if (bytes_32 % 32 == 0) return fmt::format("{} B", bytes_32 / 32);
  return fmt::format("{}/32 B", bytes_32);
}

struct Group {
  Sat layers, heads, cells, key, value;
  std::string_view note;
};

void add_attention(Terms& terms, const LlamaModel::Shape& s, const Group& g) {
  if (g.layers == Sat(0)) return;
  const std::string streams = s.streams > Sat(1) ? fmt::format("{} streams × ", grouped(s.streams.value)) : "";
  const std::string tokens = fmt::format("{}{} tokens{}", streams, grouped(g.cells.value), g.note);
  const Sat cells = g.cells * s.streams;
  if (s.indexer > Sat(0)) {
    terms.add(fmt::format("{} layers × {} × indexer {} × {}",
                          grouped(g.layers.value),
                          tokens,
                          s.indexer.value,
                          element(s.key_bytes_32)),
              g.layers * cells * s.indexer * Sat(s.key_bytes_32) / 32);
  }
  if (s.kv_lora > Sat(0)) {
    terms.add(fmt::format("{} layers × {} × ({} + {}) × {}",
                          grouped(g.layers.value),
                          tokens,
                          s.kv_lora.value,
                          s.rope.value,
                          element(s.key_bytes_32)),
              g.layers * cells * (s.kv_lora + s.rope) * Sat(s.key_bytes_32) / 32);
    return;
  }
  const bool alike = g.heads == g.layers * s.kv_heads;
  const std::string heads = alike ? fmt::format("{} layers × {} × {} heads", g.layers.value, tokens, s.kv_heads.value)
                                  : fmt::format("{} × {} heads in {} layers", tokens, g.heads.value, g.layers.value);
  const Sat floats = cells * g.heads;
  if (s.key_bytes_32 == s.value_bytes_32) {
    terms.add(fmt::format("{} × ({} + {}) × {}", heads, g.key.value, g.value.value, element(s.key_bytes_32)),
              floats * (g.key + g.value) * Sat(s.key_bytes_32) / 32);
    return;
  }
  terms.add(fmt::format("{} × keys {} × {}", heads, g.key.value, element(s.key_bytes_32)),
            floats * g.key * Sat(s.key_bytes_32) / 32);
  terms.add(fmt::format("{} × values {} × {}", heads, g.value.value, element(s.value_bytes_32)),
            floats * g.value * Sat(s.value_bytes_32) / 32);
}

}  // namespace

LayerKv layer_kv(const LlamaModel::Shape& s, const LayerShape& layer) {
  LayerKv kv;
  if (layer.recurrent) kv.host = kv.device = Sat(4) * s.sequences * (s.conv + s.state * s.inner);
  if (!s.causal || !layer.attention()) return kv;
  kv.host += attention_kv(s, layer, false);
  kv.device += attention_kv(s, layer, true);
  return kv;
}

std::string LlamaModel::Shape::kv_text(std::uint32_t from, std::uint32_t to, bool on_device) const {
  if (!causal) return "an encoder keeps no cache";
  Terms terms;
  add_attention(terms, *this, {full.over(from, to), heads_full.over(from, to), cells, key, value, ""});
  add_attention(
      terms,
      *this,
      {windowed.over(from, to), heads_windowed.over(from, to), cells_swa, window_key, window_value, " in the window"});
  const Sat states = recurrent.over(from, to);
  terms.add(fmt::format("{} recurrent layers × {} sequences × 4 B × ({} + {} × {})",
                        states.value,
                        sequences.value,
                        grouped(conv.value),
                        grouped(state.value),
                        grouped(inner.value)),
            states * Sat(4) * sequences * (conv + state * inner));
  if (on_device) {
    const Sat padding = kv_device.over(from, to).minus_or_zero(kv_host.over(from, to));
    terms.add(fmt::format("{} B of row padding", grouped(padding.value)), padding);
  }
  return terms.text();
}

}  // namespace berth::estimate
