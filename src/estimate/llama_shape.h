#pragma once
// LlamaModel::Shape: everything about (facts, settings) that a split asks for, as numbers and prefix sums.

#include <vector>

#include "estimate/coefficients.h"
#include "estimate/estimate.h"

namespace berth::estimate {

/// Bytes of one element of a KV cache of this type, as numerator over 32; absent for an unknown type.
std::optional<std::uint32_t> kv_type_bytes_32(std::string_view type);

struct LlamaModel::Shape {
  std::uint32_t layers = 0;
  std::uint64_t d = 0, ff = 0, expert_ff = 0, experts_used = 0, heads = 0, kv_heads = 0;
  std::uint64_t key = 0, value = 0, vocab = 0;
  std::uint64_t kv_lora = 0, rope = 0, mla_key = 0, mla_value = 0;
  std::uint64_t state_size = 0, inner_size = 0;
  std::uint64_t cells = 0, cells_swa = 0, tokens = 0, sequences = 0, outputs = 0;
  bool flash = true, quantised_kv = false, causal = true, has_swa = false, has_full = false, has_recurrent = false;
  Coefficients k;
  // Prefix sums over layers; size layers + 1.
  std::vector<std::uint64_t> weights_host, weights_device, kv;
  std::uint64_t input_host = 0, output_device = 0, output_host = 0;
  std::uint64_t largest_tensor = 0;
  std::string kv_text;  // derivation of one layer's KV

  [[nodiscard]] std::uint64_t mask() const;  // floats per token
  [[nodiscard]] std::uint64_t row_indices() const;
  [[nodiscard]] std::uint64_t core() const;  // floats per token of the widest phase
  /// Compute buffer of one device. `slots`: how many of the L + 1 are on devices; `device_count`: with at least one.
  [[nodiscard]] std::uint64_t device_compute(bool first,
                                             bool has_output,
                                             std::uint32_t slots,
                                             std::size_t device_count) const;
  [[nodiscard]] std::uint64_t host_compute(std::uint32_t slots, std::size_t device_count) const;
};

/// One device's or the host's bytes, by part.
struct PartBytes {
  std::uint64_t weights = 0;
  std::uint64_t kv = 0;
  Interval compute;
  Interval runtime;
  [[nodiscard]] Interval total() const;
};

/// Per-process constant of a framework: context, kernels. Not in llama.cpp's own breakdown, and not measured here.
Interval runtime_constant(std::string_view framework);

}  // namespace berth::estimate
