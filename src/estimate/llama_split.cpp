#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <numeric>

#include "estimate/llama_shape.h"

namespace berth::estimate {
namespace {

constexpr std::uint64_t kPercent = 100;

struct RuntimeRow {
  std::string_view framework;
  std::uint64_t low_mib, expected_mib, high_mib;
};
// Context and kernels of one process on one device. Recalled figures, not measured on this project's machines.
constexpr std::array kRuntime = {RuntimeRow{"metal", 32, 96, 192}, RuntimeRow{"cuda", 200, 400, 600}};
constexpr RuntimeRow kRuntimeOther{"", 200, 400, 800};
// Beside its buffers the process keeps code, tokenizer and heap: 20–50 MiB measured (estimation.md §1.8).
constexpr Interval kHostProcess = {Bytes(20 * kMiB), Bytes(48 * kMiB), Bytes(96 * kMiB)};

Interval exact(std::uint64_t bytes) { return {bytes, bytes, bytes}; }

/// The compute buffer is a fit: its margin follows the errors of the table in estimation.md §2.
Interval with_margin(std::uint64_t bytes, std::uint64_t percent) {
  return {bytes, bytes, sat_add(bytes, mul_div_ceil(bytes, percent, kPercent))};
}

std::uint64_t margin_of(const Coefficients& k, bool partial) {
  const std::uint64_t fitted = partial ? 20 : 5;
  return k.fitted ? fitted : 30;
}

struct Span {
  std::uint32_t from = 0;  // first slot on the device
  std::uint32_t count = 0;
};

}  // namespace

Interval runtime_constant(std::string_view framework) {
  RuntimeRow row = kRuntimeOther;
  for (const auto& r : kRuntime)
    if (r.framework == framework) row = r;
  return {Bytes(row.low_mib * kMiB), Bytes(row.expected_mib * kMiB), Bytes(row.high_mib * kMiB)};
}

Interval PartBytes::total() const {
  Interval sum = exact(sat_add(weights, kv));
  sum += compute;
  sum += runtime;
  return sum;
}

namespace {

template <class Shape>
PartBytes device_parts(
    const Shape& s, Span span, std::uint32_t slots, std::size_t used, bool first, const DeviceTraits& traits) {
  PartBytes p;
  if (span.count == 0) return p;
  const std::uint32_t last_layer = std::min(span.from + span.count, s.layers);
  const bool has_output = span.from + span.count == s.layers + 1;
  p.weights = s.weights_device[last_layer] - s.weights_device[std::min(span.from, s.layers)];
  if (has_output) p.weights = sat_add(p.weights, s.output_device);
  p.kv = s.kv[last_layer] - s.kv[std::min(span.from, s.layers)];
  p.compute = with_margin(s.device_compute(first, has_output, slots, used), margin_of(s.k, slots < s.layers + 1));
  p.runtime = runtime_constant(traits.framework);
  return p;
}

template <class Shape>
PartBytes host_parts(const Shape& s, std::uint32_t slots, std::size_t used) {
  PartBytes p;
  const std::uint32_t host_layers = s.layers + 1 - std::max(slots, 1U);
  const std::uint32_t n = std::min(slots == 0 ? s.layers : host_layers, s.layers);
  p.weights = sat_add(s.input_host, s.weights_host[n]);
  if (slots == 0) p.weights = sat_add(p.weights, s.output_host);
  p.kv = s.kv[n];
  p.compute = with_margin(s.host_compute(slots, used), margin_of(s.k, slots > 0 && slots < s.layers + 1));
  p.runtime = kHostProcess;
  p.runtime += exact(sat_mul(4, sat_mul(s.vocab, s.sequences)));  // logits that go out
  return p;
}

std::uint32_t total_of(std::span<const std::uint32_t> layers) {
  std::uint64_t sum = 0;
  for (const auto n : layers) sum += n;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, 0xFFFFFFFFU));
}

std::size_t used_devices(std::span<const std::uint32_t> layers) {
  return static_cast<std::size_t>(std::count_if(layers.begin(), layers.end(), [](std::uint32_t n) { return n > 0; }));
}

}  // namespace

std::uint32_t LlamaModel::total_layers() const { return shape_->layers + 1; }

LlamaModel::Split LlamaModel::split(std::span<const std::uint32_t> layers, const DeviceTraits& traits) const {
  const Shape& s = *shape_;
  const std::uint32_t slots = std::min(total_of(layers), s.layers + 1);
  const std::size_t used = used_devices(layers);
  Split out;
  out.devices.reserve(layers.size());
  std::uint32_t at = s.layers + 1 - slots;
  bool first = true;
  for (const auto n : layers) {
    const std::uint32_t count = std::min(n, s.layers + 1 - at);
    out.devices.push_back(device_parts(s, {at, count}, slots, used, first, traits).total());
    at += count;
    first = first && count == 0;
  }
  out.host = host_parts(s, slots, used).total();
  return out;
}

std::vector<MemoryPart> LlamaModel::explain(std::span<const std::uint32_t> layers,
                                            const DeviceTraits& traits,
                                            std::span<const std::string> device_ids) const {
  const Shape& s = *shape_;
  const std::uint32_t slots = std::min(total_of(layers), s.layers + 1);
  const std::size_t used = used_devices(layers);
  std::vector<MemoryPart> out;
  const auto add = [&](const char* name, const std::string& device, const Interval& i, std::string derivation) {
    if (i.high.value > 0) out.push_back({name, device, i.low, i.expected, i.high, std::move(derivation)});
  };
  const std::string rows = fmt::format("4 B × {} tokens × widest row {} + mask {}", s.tokens, s.core(), s.mask());
  std::uint32_t at = s.layers + 1 - slots;
  bool first = true;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const std::uint32_t count = std::min(layers[k], s.layers + 1 - at);
    const auto p = device_parts(s, {at, count}, slots, used, first, traits);
    const std::string id = k < device_ids.size() ? device_ids[k] : std::string();
    const std::uint32_t repeating = std::min(at + count, s.layers) - std::min(at, s.layers);
    add("weights",
        id,
        exact(p.weights),
        fmt::format("{} of {} layers{}, as stored and padded",
                    repeating,
                    s.layers,
                    at + count == s.layers + 1 && count > 0 ? " and the output layer" : ""));
    add("kv_cache", id, exact(p.kv), fmt::format("{} layers × {}", repeating, s.kv_text));
    add("compute", id, p.compute, rows);
    add("runtime", id, p.runtime, fmt::format("{} context and kernels of one process", traits.framework));
    at += count;
    first = first && count == 0;
  }
  const auto h = host_parts(s, slots, used);
  const std::uint32_t on_host = slots == 0 ? s.layers : std::min(s.layers + 1 - slots, s.layers);
  add("weights", "host", exact(h.weights), fmt::format("token embedding and {} of {} layers", on_host, s.layers));
  add("kv_cache", "host", exact(h.kv), fmt::format("{} layers × {}", on_host, s.kv_text));
  add("compute", "host", h.compute, rows);
  add("runtime", "host", h.runtime, fmt::format("process and logits 4 B × {} × {}", s.vocab, s.sequences));
  return out;
}

}  // namespace berth::estimate
