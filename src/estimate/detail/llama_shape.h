#pragma once
// LlamaModel::Shape: everything about (facts, options) that a split asks for, as numbers and prefix sums.

#include <array>
#include <vector>

#include "estimate/coefficients.h"
#include "estimate/detail/llama_options.h"
#include "estimate/detail/sat.h"
#include "estimate/detail/terms.h"
#include "estimate/estimate.h"

namespace berth::estimate {

constexpr std::uint32_t kEstimateLayersMax = 10'000;

/// Which kinds of layers a range holds.
struct LayerKinds {
  bool full = false;      // attention over the whole context
  bool windowed = false;  // attention over a sliding window
  bool recurrent = false;
  [[nodiscard]] bool attention() const { return full || windowed; }
};

/// Running sums over layers; size layers + 1. They saturate, so read them through `over`.
struct Prefix {
  std::vector<Sat> sums = {Sat(0)};
  void push(Sat value) { sums.push_back(sums.back() + value); }
  [[nodiscard]] Sat over(std::uint32_t from, std::uint32_t to) const {
    return to <= from ? Sat(0) : sums[to].minus_or_zero(sums[from]);
  }
};

/// One device's place in a split.
struct Place {
  std::uint32_t from = 0;  // layers [from, to)
  std::uint32_t to = 0;
  bool output = false;  // holds the output layer
  bool first = false;   // first device that holds anything
  bool pipeline = false;
  std::uint32_t host_layers = 0;
  [[nodiscard]] bool used() const { return output || to > from; }
};

/// Compute bytes of a place, but for weights copied from the host: the widest phase, and what lies beside any phase.
struct PlaceBytes {
  Sat widest;
  Sat beside;
};
/// Kinds (3 bits), holds layers, output, first, pipeline.
constexpr std::size_t kPlaceShapes = 128;

struct LlamaModel::Shape {
  LlamaOptions options;
  Coefficients k;
  std::uint32_t layers = 0;
  bool causal = true;
  bool quantised_keys = false, quantised_values = false;
  std::uint32_t key_bytes_32 = 64, value_bytes_32 = 64;  // of 32 elements
  Sat d, ff, expert_ff, experts_used, heads, kv_heads, key, value, vocab;
  Sat window_key, window_value;  // of windowed layers
  Sat indexer;                   // length of one more key per token, 0: none
  Sat kv_lora, rope, mla_key;    // kv_lora > 0: multi-head latent attention
  Sat state, inner, conv;        // conv: floats of the convolution's window per sequence
  Sat channels;                  // of the convolution
  Sat cells, cells_swa, streams, tokens, sequences, outputs;
  Prefix weights_host, weights_device, kv_host, kv_device;
  Prefix full, windowed, recurrent;            // counts of layers of each kind
  Prefix heads_full, heads_windowed;           // KV heads
  std::vector<Sat> largest_tensor = {Sat(0)};  // of the first i layers
  Sat input_host, output_device, output_host;
  /// By place_shape(): layouts ask for the same few shapes of places again and again.
  std::array<PlaceBytes, kPlaceShapes> places{};

  /// Errors: kInvalid naming the missing or absurd fact.
  static Result<std::shared_ptr<const Shape>> make(const fleet::ModelFacts& facts, const LlamaOptions& options);

  [[nodiscard]] LayerKinds kinds(std::uint32_t from, std::uint32_t to) const;
  /// Compute buffer of one device, bytes. Source: estimation.md §1.5.
  [[nodiscard]] Sat device_compute(const Place& place, Terms* terms = nullptr) const;
  /// Compute buffer of the host: the pinned inputs beside devices, everything without. Source: estimation.md §1.5.
  [[nodiscard]] Sat host_compute(std::uint32_t host_layers, bool devices, bool pipeline, Terms* terms = nullptr) const;
  /// Fills `places`; the last step of make().
  void fill_places();
  /// How layers [from, to) come to their KV bytes, for readers.
  [[nodiscard]] std::string kv_text(std::uint32_t from, std::uint32_t to, bool on_device) const;

 private:
  [[nodiscard]] Sat row() const { return Sat(4) * tokens; }  // bytes of one float per token
  [[nodiscard]] Sat mask(LayerKinds has, Terms* terms) const;
  [[nodiscard]] Sat rotation(LayerKinds has, Terms* terms) const;
  [[nodiscard]] Sat row_indices(LayerKinds has) const;
  struct Widest;
  [[nodiscard]] PlaceBytes place_bytes(const Place& place, LayerKinds has) const;
  [[nodiscard]] Sat copied_cache(LayerKinds has) const;
  void offer_attention(LayerKinds has, bool on_host, Widest& best) const;
  [[nodiscard]] Sat widest(LayerKinds has, bool on_host, Sat less_floats, Terms* terms) const;
  [[nodiscard]] Sat copied_weights(const Place& place, Terms* terms) const;
  [[nodiscard]] Sat output_phase(Sat rows_of_d, LayerKinds has, Sat constant, Terms* terms) const;
  [[nodiscard]] Sat copies_ahead(const Place& place, LayerKinds has, Terms* terms) const;
};

/// Bytes of KV cache and state of one layer. Source: estimation.md §1.4.
struct LayerKv {
  Sat host;
  Sat device;  // quantised rows padded as on CUDA-like devices
};
struct LayerShape {
  std::uint32_t kv_heads = 0;
  bool windowed = false;
  bool recurrent = false;
  [[nodiscard]] bool attention() const { return kv_heads > 0; }
};
LayerKv layer_kv(const LlamaModel::Shape& shape, const LayerShape& layer);

}  // namespace berth::estimate
