#pragma once
// What is known of figures that are not exact: the margin of a fit, and constants of a process.

#include <string>
#include <string_view>

#include "estimate/coefficients.h"
#include "estimate/detail/sat.h"
#include "estimate/estimate.h"

namespace berth::estimate {

constexpr std::uint64_t kPercent = 100;

constexpr Interval exact(Sat bytes) { return {Bytes(bytes.value), Bytes(bytes.value), Bytes(bytes.value)}; }

/// How far the compute buffer may lie above its formula, percent of it. Measured on the test vectors: see README.md.
struct ComputeMargin {
  bool fitted = false;
  bool partial = false;    // some layers on the host
  bool recurrent = false;  // states in the graph
  bool handed_on = false;  // states and nothing else, over several devices
  [[nodiscard]] std::uint64_t percent() const;
};
/// [bytes, bytes, bytes + percent]: the claim must hold, and the formula hardly ever lies above.
Interval with_margin(Sat bytes, std::uint64_t percent);

/// Context, kernels and library workspaces of one process on one device: not in llama.cpp's own breakdown, not
/// measured here (recalled, estimation.md §0).
Interval device_runtime(std::string_view framework);

/// A process beside its buffers: code, heap, tokenizer (20 MiB with a small vocabulary, 49 MiB with 262,144 tokens:
/// measured, estimation.md §1.8), and the host part of a device's driver (not measured here).
Interval host_process(Sat vocab, std::string_view framework);
std::string host_process_text(Sat vocab, std::string_view framework);

}  // namespace berth::estimate
