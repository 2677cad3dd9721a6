// Memory per rank of vLLM. Source: estimation.md §3.1–3.3. Nothing here was measured on a device.
#include <algorithm>
#include <fmt/format.h>

#include "estimate/detail/intervals.h"
#include "estimate/detail/rank_dims.h"

namespace berth::estimate {
namespace {

constexpr std::uint64_t kKvBlock = 16;     // tokens; sequences are rounded up to it
constexpr std::uint64_t kWideElement = 2;  // bytes: activations, and tensors that quantisation leaves at 16 bits
constexpr std::uint64_t kVocabStep = 64;   // vLLM pads the vocabulary to it

struct Figure {
  Interval bytes;
  std::string text;
};

/// W/(tp·pp) plus what every rank repeats. Replicated: norms (2 rows of d a layer), and KV projections beyond one head
/// a rank when there are fewer KV heads than ranks. Pipeline: the stage with the larger of embedding and head.
Figure weights(const RankDims& x) {
  const Sat layers = x.layers.size();
  const Sat table = Sat(round_up(x.vocab.value, kVocabStep)) * x.d * Sat(kWideElement);
  const Sat tables = x.tied ? table : table * Sat(2);
  const Sat norms = std::min(layers * Sat(2) * x.d * Sat(kWideElement), x.weights);
  Sat kv_projections;
  if (x.kv_lora == Sat(0) && x.kv_heads < x.tp) {
    const Sat one = layers * x.d * x.kv_heads * (x.head_dim + x.value_dim) * Sat(kWideElement);
    kv_projections = std::min(one, x.weights.minus_or_zero(norms));
  }
  const Sat shared = x.weights.minus_or_zero(norms + kv_projections);
  Sat rank = div_ceil(shared.value, x.tp.value);
  if (x.pp > Sat(1)) {
    const Sat ends = std::min(tables, shared);
    const Sat stage_layers = div_ceil(layers.value, x.pp.value);
    const Sat repeating = Sat(div_ceil(shared.minus_or_zero(ends).value, layers.value)) * stage_layers;
    rank = Sat(div_ceil(repeating.value, x.tp.value)) + Sat(div_ceil(std::min(table, ends).value, x.tp.value));
  }
  // With g KV heads on tp > g ranks each rank holds one head: 1/g of the projections instead of 1/tp.
  const Sat held = x.kv_heads == Sat(0) ? kv_projections : Sat(div_ceil(kv_projections.value, x.kv_heads.value));
  const Sat total = x.tp > Sat(1) || x.pp > Sat(1) ? rank + norms + held : x.weights;
  std::string text = fmt::format("{} B", grouped(x.weights.value));
  if (x.tp > Sat(1) || x.pp > Sat(1)) {
    text = fmt::format("{} B over {} × {} ranks, with {} B of norms and KV projections on each = {} B",
                       grouped(x.weights.value),
                       x.tp.value,
                       x.pp.value,
                       grouped((norms + held).value),
                       grouped(total.value));
  }
  return {exact(total), std::move(text)};
}

/// Bytes that one token takes in one layer of a rank. Source: estimation.md §3.2.
Sat token_bytes(const RankDims& x, const RankLayer& layer) {
  if (x.kv_lora > Sat(0)) return (x.kv_lora + x.rope) * x.kv_element;
  const Sat heads =
      layer.kv_heads == 0 ? Sat(0) : Sat(std::max<std::uint64_t>(1, div_ceil(layer.kv_heads, x.tp.value)));
  return heads * (x.head_dim + x.value_dim) * x.kv_element;
}

struct StageKv {
  Sat growing;   // bytes per token of layers that keep all tokens
  Sat windowed;  // bytes per token of layers that keep a window
  Sat states;    // bytes per sequence
  Sat layers_growing, layers_windowed, layers_recurrent;
  [[nodiscard]] Sat bytes(const RankDims& x, Sat window_tokens) const {
    const Sat tokens = round_up(x.context.value, kKvBlock);
    return x.sequences * (growing * tokens + windowed * window_tokens + states);
  }
};

/// Layers are dealt to the stages in equal contiguous runs, the longer ones first.
StageKv stage_kv(const RankDims& x, std::size_t from, std::size_t to) {
  constexpr std::uint64_t kStateElement = 4;
  StageKv s;
  for (std::size_t i = from; i < to; ++i) {
    const RankLayer& layer = x.layers[i];
    if (layer.recurrent) {
      s.states += Sat(div_ceil((Sat(kStateElement) * (x.conv + x.state)).value, x.tp.value));
      s.layers_recurrent += 1;
      if (layer.kv_heads == 0) continue;
    }
    (layer.windowed ? s.windowed : s.growing) += token_bytes(x, layer);
    (layer.windowed ? s.layers_windowed : s.layers_growing) += 1;
  }
  return s;
}

struct Kv {
  Figure figure;
  Sat per_token;
};

Kv kv_cache(const RankDims& x) {
  const Sat window_tokens =
      std::min(Sat(round_up(x.context.value, kKvBlock)), Sat(round_up((x.window + Sat(x.batched)).value, kKvBlock)));
  StageKv most;
  Sat bytes;
  const std::size_t stages = x.pp.value, count = x.layers.size();
  for (std::size_t i = 0, from = 0; i < stages; ++i) {
    const std::size_t to = from + count / stages + (i < count % stages ? 1 : 0);
    const StageKv stage = stage_kv(x, from, to);
    const Sat b = stage.bytes(x, window_tokens);
    if (b > bytes || i == 0) {
      bytes = b;
      most = stage;
    }
    from = to;
  }
  const std::uint64_t tokens = round_up(x.context.value, kKvBlock);
  Terms terms;
  const auto add = [&](Sat layers, Sat per_token, std::uint64_t kept, std::string_view note) {
    if (layers == Sat(0)) return;
    terms.add(fmt::format("{} sequences × {} tokens{} × {} layers × {} B",
                          x.sequences.value,
                          grouped(kept),
                          note,
                          layers.value,
                          grouped((per_token / layers).value)),
              x.sequences * Sat(kept) * per_token);
  };
  add(most.layers_growing, most.growing, tokens, "");
  add(most.layers_windowed, most.windowed, window_tokens.value, " in the window");
  terms.add(fmt::format("{} sequences × {} B of states", x.sequences.value, grouped(most.states.value)),
            x.sequences * most.states);
  std::string text = terms.text();
  if (x.kv_lora > Sat(0)) {
    text += fmt::format(" (latent {} + {}, × {} B)", x.kv_lora.value, x.rope.value, x.kv_element.value);
  } else {
    text += fmt::format(" ({} of {} KV heads a rank × ({} + {}) × {} B)",
                        std::max<std::uint64_t>(1, div_ceil(x.kv_heads.value, x.tp.value)),
                        x.kv_heads.value,
                        x.head_dim.value,
                        x.value_dim.value,
                        x.kv_element.value);
  }
  return {{exact(bytes), std::move(text)}, most.growing + most.windowed};
}

/// One layer at the largest batch: input, residual, normed and output rows, attention rows, feed-forward rows; and the
/// logits of every sequence twice. Low at the small default batch; high is twice, for workspaces and fragments.
Figure activations(const RankDims& x) {
  const Sat attention = Sat(div_ceil(((x.heads + Sat(2) * x.kv_heads) * x.head_dim).value, x.tp.value));
  const Sat dense = Sat(div_ceil((Sat(3) * x.ff).value, x.tp.value));
  const Sat experts = x.experts_used * (x.d + Sat(div_ceil((Sat(3) * x.expert_ff).value, x.tp.value)));
  const Sat feed = x.experts_used > Sat(0) ? experts : dense;
  const Sat row = Sat(kWideElement) * (Sat(4) * x.d + attention + feed);
  const Sat logits = x.generates ? Sat(2 * 4) * x.sequences * Sat(div_ceil(x.vocab.value, x.tp.value)) : Sat(0);
  const Sat low = row * Sat(x.batched_low) + logits, usual = row * Sat(x.batched) + logits;
  return {{Bytes(std::min(low, usual).value), Bytes(usual.value), Bytes((usual * Sat(2)).value)},
          fmt::format("2 B × {} tokens × (4 × {} + attention {} + feed-forward {}) + logits {} B; low at {} tokens",
                      grouped(x.batched),
                      x.d.value,
                      attention.value,
                      feed.value,
                      grouped(logits.value),
                      grouped(x.batched_low))};
}

/// Source: estimation.md §3.3: 0.5 to 3 GiB by number of capture sizes and layers. The engines capture 1, 2, 4 and
/// every multiple of 8 up to twice the sequences that they may compute together, and up to 512: 67 sizes with their
/// defaults. What one graph needs whatever its size is the lower figure.
Figure graphs(const RankDims& x) {
  constexpr std::uint64_t kSmall = 3, kStep = 8, kLargest = 512, kAll = kSmall + kLargest / kStep;
  if (x.eager) return {{}, "none: eager"};
  const std::uint64_t sizes = kSmall + std::min<std::uint64_t>((Sat(2) * x.sequences).value, kLargest) / kStep;
  const auto scaled = [&](std::uint64_t fixed, std::uint64_t by_size) { return Bytes(fixed + by_size / kAll * sizes); };
  return {{scaled(0, kGiB / 2), scaled(kGiB / 4, kGiB * 3 / 4), scaled(kGiB / 2, kGiB * 5 / 2)},
          fmt::format("graphs of {} of {} batch sizes: up to 0.5 GiB + 2.5 GiB × {}/{} (assumed, not measured)",
                      sizes,
                      kAll,
                      sizes,
                      kAll)};
}

/// Source: estimation.md §3.3: 0, 342, 392, 392 MiB at 1, 2, 4, 8 devices.
Figure collectives(const RankDims& x) {
  constexpr std::uint64_t kTwoMib = 342, kMoreMib = 392;
  if (x.tp <= Sat(1)) return {};
  const std::uint64_t mib = x.tp == Sat(2) ? kTwoMib : kMoreMib;
  return {exact(Sat(mib * kMiB)), fmt::format("buffers of {} ranks: {} MiB", x.tp.value, mib)};
}

/// Interpreter, tokenizer and scheduler once, then one process a rank with its libraries and pinned staging buffers.
constexpr Interval kHostBase = {Bytes(kGiB), Bytes(2 * kGiB), Bytes(4 * kGiB)};
constexpr Interval kHostPerRank = {Bytes(kGiB), Bytes(2 * kGiB), Bytes(2 * kGiB)};

}  // namespace

Interval RankEstimate::host_for(std::uint32_t ranks) const {
  const auto at = [ranks](Bytes base, Bytes each) { return base + each * ranks; };
  return {at(host_base.low, host_per_rank.low),
          at(host_base.expected, host_per_rank.expected),
          at(host_base.high, host_per_rank.high)};
}

MemoryPart RankEstimate::host_part(std::uint32_t ranks) const {
  const Interval all = host_for(ranks);
  MemoryPart part;
  part.name = "process";
  part.device = "host";
  part.low = all.low;
  part.expected = all.expected;
  part.high = all.high;
  part.derivation = fmt::format("2 GiB + 2 GiB × {} ranks, up to 2 GiB more (assumed, not measured)", ranks);
  return part;
}

Result<RankEstimate> rank_memory(const fleet::ModelFacts& facts,
                                 const fleet::Settings& settings,
                                 const RankLayout& layout,
                                 const DeviceTraits& traits) {
  TRY(const RankDims x, rank_dims(facts, settings, layout));
  RankEstimate r;
  const auto add = [&](std::string_view name, std::string_view device, Figure f) {
    if (f.bytes.high == Bytes(0)) return;
    r.parts.push_back(
        {std::string(name), std::string(device), f.bytes.low, f.bytes.expected, f.bytes.high, std::move(f.text), {}});
    (device.empty() ? r.device : r.host) += f.bytes;
  };
  add("weights", "", weights(x));
  add("activations", "", activations(x));
  add("graphs", "", graphs(x));
  add("collectives", "", collectives(x));
  add("runtime",
      "",
      {device_runtime(traits.framework),
       fmt::format("{} context and kernels of one process (assumed, not measured)", traits.framework)});
  r.besides_kv = r.device.high;
  Kv kv = kv_cache(x);
  r.kv_bytes_per_token = kv.per_token.value;
  add("kv_cache", "", std::move(kv.figure));
  r.host_base = kHostBase;
  r.host_per_rank = kHostPerRank;
  const std::uint32_t ranks = layout.tensor_parallel * layout.pipeline_parallel * layout.data_parallel;
  r.parts.push_back(r.host_part(ranks));
  r.host = r.host_for(ranks);
  return r;
}

}  // namespace berth::estimate
