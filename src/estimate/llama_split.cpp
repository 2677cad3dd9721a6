// Bytes of one split, by part; the texts are built only for explain().
#include <algorithm>
#include <fmt/format.h>

#include "estimate/detail/intervals.h"
#include "estimate/detail/llama_shape.h"

namespace berth::estimate {
namespace {

/// The parts of one device or of the host; they sum to what split() answers.
struct Parts {
  Interval weights;
  Interval kv;
  Interval compute;
  Interval logits;
  Interval runtime;
  [[nodiscard]] Interval total() const {
    Interval sum = weights;
    for (const Interval* part : {&kv, &compute, &logits, &runtime}) sum += *part;
    return sum;
  }
};

/// What all devices of a split share.
struct Frame {
  std::uint32_t slots = 0;  // of L + 1, on devices
  std::uint32_t host_layers = 0;
  std::uint64_t margin = 0;
  bool pipeline = false;
};

using Shape = LlamaModel::Shape;

Frame frame_of(const Shape& s, std::span<const std::uint32_t> layers) {
  std::uint64_t sum = 0;
  std::size_t used = 0;
  for (const auto n : layers) {
    sum += n;
    used += n > 0 ? 1 : 0;
  }
  Frame f;
  f.slots = static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, s.layers + 1));
  f.host_layers = std::min(s.layers + 1 - f.slots, s.layers);
  // Copies of a cache on the host are as rough a figure as copies of layers.
  const bool partial = (f.slots > 0 && f.slots <= s.layers) || !s.options.kv_offload;
  f.pipeline = f.slots > s.layers && used > 1 && s.options.pipeline;
  const LayerKinds all = s.kinds(0, s.layers);
  f.margin = ComputeMargin{.fitted = s.k.fitted,
                           .partial = partial,
                           .recurrent = all.recurrent,
                           .handed_on = f.pipeline && !all.attention()}
                 .percent();
  return f;
}

/// Calls `visit(k, place)` for each device in order.
template <class Visit>
void for_each_place(const Shape& s, const Frame& f, std::span<const std::uint32_t> layers, Visit&& visit) {
  std::uint32_t at = s.layers + 1 - f.slots;
  bool first = true;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const std::uint32_t count = std::min(layers[k], s.layers + 1 - at);
    const Place place = {.from = std::min(at, s.layers),
                         .to = std::min(at + count, s.layers),
                         .output = count > 0 && at + count == s.layers + 1,
                         .first = first,
                         .pipeline = f.pipeline,
                         .host_layers = f.host_layers};
    visit(k, place);
    at += count;
    first = first && count == 0;
  }
}

Parts device_parts(const Shape& s, const Frame& f, const Place& place, const DeviceTraits& traits, Terms* compute) {
  Parts p;
  if (!place.used()) return p;
  const Sat output = place.output ? s.output_device : Sat(0);
  p.weights = exact(s.weights_device.over(place.from, place.to) + output);
  if (s.options.kv_offload) p.kv = exact(s.kv_device.over(place.from, place.to));
  p.compute = with_margin(s.device_compute(place, compute), f.margin);
  p.runtime = device_runtime(traits.framework);
  return p;
}

Parts host_parts(const Shape& s, const Frame& f, const DeviceTraits& traits, Terms* compute) {
  const bool devices = f.slots > 0;
  Parts p;
  p.weights = exact(s.input_host + s.weights_host.over(0, f.host_layers) + (devices ? Sat(0) : s.output_host));
  p.kv = exact(s.kv_host.over(0, s.options.kv_offload ? f.host_layers : s.layers));
  p.compute = with_margin(s.host_compute(f.host_layers, devices, f.pipeline, compute), f.margin);
  p.logits = exact(s.causal ? Sat(4) * s.vocab * s.outputs : Sat(0));
  p.runtime = host_process(s.vocab, devices ? std::string_view(traits.framework) : std::string_view());
  return p;
}

std::string weights_text(const Shape& s, const Place& place) {
  std::string text;
  if (place.to > place.from) {
    text = fmt::format("layers {} to {} of {}: {} B as padded on the device",
                       place.from + 1,
                       place.to,
                       s.layers,
                       grouped(s.weights_device.over(place.from, place.to).value));
  }
  if (!place.output) return text;
  return text + fmt::format("{}output layer {} B", text.empty() ? "" : " + ", grouped(s.output_device.value));
}

std::string host_weights_text(const Shape& s, const Frame& f) {
  std::string text = fmt::format("input {} B", grouped(s.input_host.value));
  if (f.host_layers > 0) {
    text += fmt::format(
        " + layers 1 to {} of {}: {} B", f.host_layers, s.layers, grouped(s.weights_host.over(0, f.host_layers).value));
  }
  if (f.slots == 0) text += fmt::format(" + output layer {} B", grouped(s.output_host.value));
  return text + ", loaded without mmap";
}

std::string compute_text(const Terms& terms, std::uint64_t margin) {
  return fmt::format("{}; at most {} % more", terms.text(), margin);
}

class PartList {
 public:
  void add(std::string_view name, const std::string& device, const Interval& i, std::string derivation) {
    if (i.high > Bytes(0))
      parts_.push_back({std::string(name), device, i.low, i.expected, i.high, std::move(derivation), {}});
  }
  std::vector<MemoryPart> take() { return std::move(parts_); }

 private:
  std::vector<MemoryPart> parts_;
};

}  // namespace

LlamaModel::Split LlamaModel::split(std::span<const std::uint32_t> layers, const DeviceTraits& traits) const {
  const Shape& s = *shape_;
  const Frame f = frame_of(s, layers);
  Split out;
  out.devices.reserve(layers.size());
  for_each_place(s, f, layers, [&](std::size_t, const Place& place) {
    out.devices.push_back(device_parts(s, f, place, traits, nullptr).total());
  });
  out.host = host_parts(s, f, traits, nullptr).total();
  return out;
}

Interval LlamaModel::device(std::span<const std::uint32_t> layers,
                            std::size_t position,
                            const DeviceTraits& traits) const {
  const Shape& s = *shape_;
  const Frame f = frame_of(s, layers);
  Interval out;
  for_each_place(s, f, layers.first(position + 1), [&](std::size_t k, const Place& place) {
    if (k == position) out = device_parts(s, f, place, traits, nullptr).total();
  });
  return out;
}

std::vector<MemoryPart> LlamaModel::explain(std::span<const std::uint32_t> layers,
                                            const DeviceTraits& traits,
                                            std::span<const std::string> device_ids) const {
  const Shape& s = *shape_;
  const Frame f = frame_of(s, layers);
  PartList out;
  for_each_place(s, f, layers, [&](std::size_t k, const Place& place) {
    Terms compute;
    const Parts p = device_parts(s, f, place, traits, &compute);
    const std::string id = k < device_ids.size() ? device_ids[k] : fmt::format("device {}", k);
    out.add("weights", id, p.weights, weights_text(s, place));
    out.add("kv_cache", id, p.kv, s.kv_text(place.from, place.to, true));
    out.add("compute", id, p.compute, compute_text(compute, f.margin));
    out.add("runtime",
            id,
            p.runtime,
            fmt::format("{} context and kernels of one process (assumed, not measured)", traits.framework));
  });
  Terms compute;
  const Parts h = host_parts(s, f, traits, &compute);
  const std::string host = "host";
  out.add("weights", host, h.weights, host_weights_text(s, f));
  out.add("kv_cache", host, h.kv, s.kv_text(0, s.options.kv_offload ? f.host_layers : s.layers, false));
  out.add("compute", host, h.compute, compute_text(compute, f.margin));
  out.add("logits",
          host,
          h.logits,
          fmt::format("4 B × {} tokens of vocabulary × {} rows", grouped(s.vocab.value), s.outputs.value));
  out.add("runtime", host, h.runtime, host_process_text(s.vocab, f.slots > 0 ? traits.framework : ""));
  return out.take();
}

}  // namespace berth::estimate
