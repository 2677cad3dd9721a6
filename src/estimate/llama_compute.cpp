// The compute buffer: the graph allocator reuses memory, so it is the widest phase, not a sum.
// Source: estimation.md §1.5. What goes beyond it was fitted on the same plans (tests/data/estimate): the rotation of a
// quantised cache, no f16 copies of it on the CPU, the experts of layers on the host, recurrent layers on the host and
// across devices.
#include <algorithm>
#include <fmt/format.h>

#include "estimate/detail/llama_shape.h"

namespace berth::estimate {
namespace {

constexpr std::uint64_t kCopiesAhead = 3;     // pipeline: inputs of the next batches beside those in use
constexpr std::uint64_t kInputRows = 7;       // small inputs per token: ids, positions, output rows
constexpr std::uint64_t kRotationValue = 64;  // side of the matrix that rotates values
constexpr std::uint64_t kRotationKeyMax = 4096;

std::string num(Sat count) { return grouped(count.value); }
std::string product(Sat a, Sat b) { return fmt::format("{} × {}", num(a), num(b)); }
/// " + scores 1,234", or nothing for 0.
std::string plus(Sat count, std::string_view name) {
  return count == Sat(0) ? "" : fmt::format(" + {} {}", name, num(count));
}
std::string times(Sat tokens, std::string_view floats) { return fmt::format("4 B × {} × ({})", num(tokens), floats); }

std::size_t place_shape(const Place& place, LayerKinds has) {
  const bool bits[] = {
      has.full, has.windowed, has.recurrent, place.to > place.from, place.output, place.first, place.pipeline};
  std::size_t shape = 0;
  for (std::size_t i = 0; i < std::size(bits); ++i) shape |= std::size_t(bits[i]) << i;
  return shape;
}

/// Largest power of two that divides `x`.
std::uint64_t power_of_two_in(std::uint64_t x) { return x == 0 ? 0 : std::min(x & (~x + 1), kRotationKeyMax); }

}  // namespace

/// The widest phase of the graph so far: floats per token, and bytes that do not depend on the batch.
struct LlamaModel::Shape::Widest {
  Sat row;
  bool wants_text = false;
  Sat floats = 0;
  Sat bytes = 0;
  std::string text = "";

  template <class Text>
  void offer(Sat more_floats, Sat more_bytes, Text&& make_text) {
    if (row * more_floats + more_bytes <= row * floats + bytes) return;
    floats = more_floats;
    bytes = more_bytes;
    if (wants_text) text = make_text();
  }
};

Sat LlamaModel::Shape::mask(LayerKinds has, Terms* terms) const {
  Sat wide;
  if (!causal && has.attention()) wide = tokens;
  if (causal && has.full) wide += cells;
  if (causal && has.windowed) wide += cells_swa;
  const Sat bytes = Sat(options.flash_attention ? 2 : 4) * tokens * wide;
  if (terms) {
    terms->add(fmt::format("mask {} B × {} × {}", options.flash_attention ? 2 : 4, num(tokens), num(wide)), bytes);
  }
  return bytes;
}

/// A quantised cache is rotated before it is written: one matrix for keys and one for values, per kind of cache.
Sat LlamaModel::Shape::rotation(LayerKinds has, Terms* terms) const {
  if (!(quantised_keys || quantised_values) || !causal || kv_lora > Sat(0) || !has.attention()) return 0;
  const std::uint64_t caches = has.full && has.windowed ? 2 : 1;
  const std::uint64_t key_side = quantised_keys ? power_of_two_in(key.value) : 0;
  const std::uint64_t value_side = quantised_values ? kRotationValue : 0;
  const Sat bytes = Sat(4 * caches) * (Sat(key_side) * key_side + value_side * value_side);
  if (terms) terms->add(fmt::format("cache rotation 4 B × {} × ({}² + {}²)", caches, key_side, value_side), bytes);
  return bytes;
}

/// Indices of the rows of the transposed V cache, floats per token.
Sat LlamaModel::Shape::row_indices(LayerKinds has) const {
  if (options.flash_attention || !causal || kv_lora > Sat(0) || !has.attention()) return 0;
  return Sat(2) * kv_heads * value * Sat(has.full && has.windowed ? 2 : 1);
}

/// One layer's keys and values, copied over when the cache stays on the host.
Sat LlamaModel::Shape::copied_cache(LayerKinds has) const {
  const Sat span = streams * (has.full ? cells : cells_swa);
  if (kv_lora > Sat(0)) return span * (kv_lora + rope) * Sat(key_bytes_32) / 32;
  return span * kv_heads * (key * Sat(key_bytes_32) + value * Sat(value_bytes_32)) / 32;
}

void LlamaModel::Shape::offer_attention(LayerKinds has, bool on_host, Widest& best) const {
  const Sat span = !causal ? tokens : has.full ? cells : cells_swa;
  const Sat scores = options.flash_attention ? Sat(0) : heads * span;
  if (kv_lora > Sat(0)) {
    const Sat latent = mla_key + Sat(2) * (kv_lora + rope);
    best.offer(Sat(4) * d + heads * latent + scores, 0, [&] {
      return fmt::format("attention 4 × {} + {}{}", num(d), product(heads, latent), plus(scores, "scores"));
    });
    return;
  }
  const Sat indices = row_indices(has);
  if (!options.kv_offload && !on_host) {
    const Sat bytes = copied_cache(has);
    best.offer(Sat(2) * d + Sat(3) * heads * key + scores + indices, bytes, [&] {
      return fmt::format("attention 2 × {} + 3 × {}{}", num(d), product(heads, key), plus(scores, "scores"));
    });
  }
  best.offer(Sat(k.ad) * d + Sat(k.aq) * heads * key + scores + indices, 0, [&] {
    return fmt::format("attention {} × {} + {} × {}{}{}",
                       k.ad,
                       num(d),
                       k.aq,
                       product(heads, key),
                       plus(scores, "scores"),
                       plus(indices, "row indices"));
  });
  if (!options.flash_attention || !(quantised_keys || quantised_values) || on_host) return;
  const Sat wide = (quantised_keys ? key : Sat(0)) + (quantised_values ? value : Sat(0));
  const Sat copies = Sat(2) * span * streams * kv_heads * wide;
  best.offer(Sat(4) * d + Sat(k.fa) * heads * key, copies, [&] {
    return fmt::format("attention 4 × {} + {} × {}", num(d), k.fa, product(heads, key));
  });
}

Sat LlamaModel::Shape::widest(LayerKinds has, bool on_host, Sat less_floats, Terms* terms) const {
  Widest best{row(), terms != nullptr};
  const Sat indices = row_indices(has);
  if (has.attention()) offer_attention(has, on_host, best);
  if (ff > Sat(0)) {
    best.offer(Sat(k.fd) * d + Sat(k.fk) * ff + indices, 0, [&] {
      return fmt::format("feed-forward {} × {} + {} × {}{}", k.fd, num(d), k.fk, num(ff), plus(indices, "row indices"));
    });
  }
  if (experts_used > Sat(0)) {
    best.offer(Sat(k.fd) * d + experts_used * (Sat(k.mk) * expert_ff + Sat(k.me) * d) + indices, 0, [&] {
      return fmt::format("experts {} × {} + {} × ({} × {} + {} × {}){}",
                         k.fd,
                         num(d),
                         experts_used.value,
                         k.mk,
                         num(expert_ff),
                         k.me,
                         num(d),
                         plus(indices, "row indices"));
    });
  }
  if (has.recurrent) {
    best.offer(Sat(k.rd) * d + Sat(k.ri) * inner, Sat(4) * Sat(k.rs) * sequences * state * inner, [&] {
      return fmt::format("recurrent {} × {} + {} × {}", k.rd, num(d), k.ri, num(inner));
    });
  }
  const Sat bytes = row() * best.floats.minus_or_zero(less_floats);
  if (terms) {
    const std::string less = less_floats > Sat(0) ? fmt::format(" − {}", num(less_floats)) : "";
    terms->add(times(tokens, best.text + less), bytes);
    terms->add(fmt::format("copies of the cache or state {} B", num(best.bytes)), best.bytes);
  }
  return bytes + best.bytes;
}

/// Layers on the host are computed on the first device too when a batch is large: their weights are copied over, one
/// tensor of experts or two dense ones at a time. Approximate: which tensors meet depends on their types.
Sat LlamaModel::Shape::copied_weights(const Place& place, Terms* terms) const {
  const Sat tensor_bytes = largest_tensor[place.host_layers];
  const bool experts = experts_used > Sat(0);
  const Sat copies = experts ? 1 : 2;
  const Sat floats = experts ? experts_used * (Sat(k.me) * d + Sat(2) * expert_ff) : Sat(2) * ff + d;
  if (terms) {
    terms->add(fmt::format("copied weights {} × {} B", copies.value, num(tensor_bytes)), copies * tensor_bytes);
    terms->add(times(tokens, fmt::format("their rows {}", num(floats))), row() * floats);
  }
  return copies * tensor_bytes + row() * floats;
}

Sat LlamaModel::Shape::output_phase(Sat rows_of_d, LayerKinds has, Sat constant, Terms* terms) const {
  const Sat floats = rows_of_d * d + row_indices(has) + constant;
  const Sat logits = Sat(4) * vocab * outputs;
  if (terms) {
    terms->add(times(tokens, fmt::format("output {} × {} + {}", rows_of_d.value, num(d), constant.value)),
               row() * floats);
    terms->add(fmt::format("logits 4 B × {} × {}", num(vocab), num(outputs)), logits);
  }
  return row() * floats + logits;
}

/// Pipeline: each device keeps the inputs of the next batches. Purely recurrent models hand more over (fitted on
/// Mamba).
Sat LlamaModel::Shape::copies_ahead(const Place& place, LayerKinds has, Terms* terms) const {
  if (!place.pipeline) return 0;
  const Sat floats = row_indices(has) + Sat(place.first ? 4 : 3) * d + kInputRows;
  Sat bytes = Sat(kCopiesAhead) * (row() * floats + mask(has, nullptr) + rotation(has, nullptr));
  if (!kinds(0, layers).attention())
    bytes += row() * (d + (place.first ? Sat(0) : Sat(8) * inner) + (place.output ? Sat(0) : Sat(4) * inner));
  if (terms) terms->add(fmt::format("inputs of {} more batches {} B", kCopiesAhead, num(bytes)), bytes);
  return bytes;
}

PlaceBytes LlamaModel::Shape::place_bytes(const Place& place, LayerKinds has) const {
  PlaceBytes out;
  if (place.to > place.from)
    out.widest = widest(has, false, place.first ? Sat(0) : Sat(2) * d, nullptr) + row() * kInputRows;
  if (place.output && causal)
    out.widest = std::max(out.widest, output_phase(place.first ? 4 : 2, has, kInputRows + 1, nullptr));
  out.beside = mask(has, nullptr) + rotation(has, nullptr) + copies_ahead(place, has, nullptr);
  return out;
}

void LlamaModel::Shape::fill_places() {
  const LayerKinds all = kinds(0, layers);
  for (std::size_t i = 0; i < kPlaceShapes; ++i) {
    const LayerKinds has = {(i & 1) != 0, (i & 2) != 0, (i & 4) != 0};
    if ((has.full && !all.full) || (has.windowed && !all.windowed) || (has.recurrent && !all.recurrent)) continue;
    const Place place = {.from = 0,
                         .to = (i & 8) != 0 ? 1U : 0U,
                         .output = (i & 16) != 0,
                         .first = (i & 32) != 0,
                         .pipeline = (i & 64) != 0,
                         .host_layers = 0};
    places[i] = place_bytes(place, has);
  }
}

Sat LlamaModel::Shape::device_compute(const Place& place, Terms* terms) const {
  if (!place.used()) return 0;
  const LayerKinds has = kinds(place.from, place.to);
  if (terms == nullptr) {
    const PlaceBytes& known = places[place_shape(place, has)];
    const bool copies = place.to > place.from && place.host_layers > 0;
    return (copies ? std::max(known.widest, copied_weights(place, nullptr)) : known.widest) + known.beside;
  }
  const Sat later = place.first ? Sat(0) : Sat(2) * d;
  const Sat shared = mask(has, nullptr) + rotation(has, nullptr);
  enum class Peak { kNone, kCore, kCopied, kOutput } peak = Peak::kNone;
  Sat most;
  const auto offer = [&](Peak which, Sat bytes) {
    if (bytes <= most) return;
    most = bytes;
    peak = which;
  };
  if (place.to > place.from) {
    offer(Peak::kCore, widest(has, false, later, nullptr) + row() * kInputRows);
    if (place.host_layers > 0) offer(Peak::kCopied, copied_weights(place, nullptr));
  }
  const Sat output_rows = place.first ? 4 : 2;
  if (place.output && causal) offer(Peak::kOutput, output_phase(output_rows, has, kInputRows + 1, nullptr));
  const Sat ahead = copies_ahead(place, has, nullptr);
  if (peak == Peak::kCore) {
    (void)widest(has, false, later, terms);
    terms->add(times(tokens, fmt::format("inputs {}", kInputRows)), row() * kInputRows);
  }
  if (peak == Peak::kCopied) (void)copied_weights(place, terms);
  if (peak == Peak::kOutput) (void)output_phase(output_rows, has, kInputRows + 1, terms);
  (void)mask(has, terms);
  (void)rotation(has, terms);
  (void)copies_ahead(place, has, terms);
  return most + shared + ahead;
}

Sat LlamaModel::Shape::host_compute(std::uint32_t host_layers, bool devices, bool pipeline, Terms* terms) const {
  const LayerKinds all = kinds(0, layers);
  const Sat shared = mask(all, terms) + rotation(all, terms);
  if (!devices) {
    const Sat inputs = Sat(all.attention() && causal ? 1 : 3) * d + Sat(options.flash_attention ? 9 : 7);
    const Sat core = widest(all, true, 0, nullptr) + row() * inputs;
    const Sat output = causal ? output_phase(5, all, 9, nullptr) : Sat(0);
    if (terms && core >= output) {
      (void)widest(all, true, 0, terms);
      terms->add(times(tokens, fmt::format("inputs {}", num(inputs))), row() * inputs);
    }
    if (terms && core < output) (void)output_phase(5, all, 9, terms);
    return std::max(core, output) + shared;
  }
  const Sat inputs = Sat(causal ? 4 : 5) * d + row_indices(all) + 9;
  Sat bytes = row() * inputs;
  if (terms) terms->add(times(tokens, fmt::format("inputs {}", num(inputs))), bytes);
  if (!options.kv_offload && all.recurrent) {
    // States on the host are put before their new rows there.
    const Sat beside = all.attention() ? Sat(2) * d + Sat(8) : Sat(5) * d + Sat(3);
    const Sat states = (row() * (beside + channels) + Sat(4) * conv).minus_or_zero(bytes);
    if (terms) terms->add(fmt::format("windows of states {} B", num(states)), states);
    bytes += states;
  }
  if (kinds(0, host_layers).recurrent) {
    // Layers that are both compute their scores on the host too (fitted on Falcon-H1).
    const bool both = recurrent.over(0, layers) == Sat(layers) && full.over(0, layers) == Sat(layers);
    const Sat scores = both && !options.flash_attention ? heads * cells : Sat(0);
    const Sat extra = row() * (Sat(3) * inner + scores) + Sat(4) * sequences * state * inner;
    if (terms) terms->add(fmt::format("recurrent layers {} B", num(extra)), extra);
    bytes += extra;
  }
  if (pipeline) {
    const Sat floats = row_indices(all) + Sat(2) * d + 9;
    const Sat ahead = Sat(kCopiesAhead) * (row() * floats + mask(all, nullptr) + rotation(all, nullptr));
    if (terms) terms->add(fmt::format("inputs of {} more batches {} B", kCopiesAhead, num(ahead)), ahead);
    bytes += ahead;
  }
  return bytes + shared;
}

}  // namespace berth::estimate
