#include "placement/ranking.h"

#include <algorithm>
#include <fmt/format.h>

#include "placement/scores.h"

namespace berth::placement {
namespace {

/// One part of a candidate with the figures it was found on.
using Rated = KeyOrder::Rated;
using Value = std::uint64_t (*)(const Context&, const Candidate&, std::span<const Rated>);

template <class F>
std::uint64_t sum_of(std::span<const Rated> parts, F&& value) {
  std::uint64_t sum = 0;
  for (const auto& part : parts) sum = sat_add(sum, value(*part.part, *part.ledger));
  return sum;
}

std::uint64_t simulated(const Context&, const Candidate&, std::span<const Rated> parts) {
  return std::any_of(parts.begin(), parts.end(), [](const Rated& r) { return r.part->entry->worker.simulated; }) ? 1
                                                                                                                 : 0;
}

std::uint64_t engine_order(const Context&, const Candidate& c, std::span<const Rated>) { return c.option->order; }

std::uint64_t layers_on_host(const Context&, const Candidate& c, std::span<const Rated>) {
  return c.total_layers - c.offload_layers;
}

std::uint64_t worker_count(const Context&, const Candidate&, std::span<const Rated> parts) { return parts.size(); }

std::uint64_t groups_across(const Context&, const Candidate& c, std::span<const Rated>) { return c.groups_across; }

std::uint64_t device_count(const Context&, const Candidate&, std::span<const Rated> parts) {
  return sum_of(parts, [](const Part& part, const Ledger&) { return std::uint64_t(part.positions.size()); });
}

std::uint64_t stages(const Context&, const Candidate& c, std::span<const Rated>) { return c.shape.pipeline; }

// 0: one device, or all in one island. 1: islands are not told. 2: over islands. Of several workers, the worst.
std::uint64_t interconnect(const Context& context, const Candidate&, std::span<const Rated> parts) {
  if (!context.carries_interconnect) return 0;
  std::uint64_t worst = 0;
  for (const auto& [part, ledger] : parts) {
    if (part->positions.size() < 2) continue;
    const auto& devices = part->entry->worker.devices;
    const auto& first = devices[part->positions.front()].island;
    const bool same = std::all_of(
        part->positions.begin(), part->positions.end(), [&](std::uint16_t p) { return devices[p].island == first; });
    worst = std::max<std::uint64_t>(worst, !first ? 1 : same ? 0 : 2);
  }
  return worst;
}

std::uint64_t to_fetch(const Context& context, const Candidate&, std::span<const Rated> parts) {
  return sum_of(parts, [&](const Part& part, const Ledger&) {
    return KeyOrder::bytes_to_fetch(context, *part.entry, *part.chain);
  });
}

constexpr std::uint64_t kStrategyStep = 1U << 20;

// Spread: fewest replicas of this deployment on the worker, then fewest instances there, then on the chosen devices.
// Binpack: least unclaimed memory on the worker's devices, so that full workers fill up first.
std::uint64_t strategy(const Context& context, const Candidate&, std::span<const Rated> parts) {
  return sum_of(parts, [&](const Part& part, const Ledger& ledger) {
    if (context.strategy == fleet::Strategy::kBinpack) {
      Bytes free = part.positions.empty() ? ledger.memory : Bytes();
      if (!part.positions.empty())
        for (const auto& device : ledger.devices) free += device;
      return free.value;
    }
    std::uint64_t busiest = 0;
    for (const auto p : part.positions) busiest = std::max<std::uint64_t>(busiest, ledger.instances[p]);
    const std::uint64_t own = ledger.own + ledger.replicas;
    return (own * kStrategyStep + own + ledger.others) * kStrategyStep + busiest;
  });
}

std::uint64_t bytes_left(const Context&, const Candidate&, std::span<const Rated> parts) {
  return sum_of(parts, [](const Part& part, const Ledger& ledger) {
    if (part.positions.empty()) return ledger.memory.minus_or_zero(part.memory_claim).value;
    Bytes left;
    for (std::size_t i = 0; i < part.positions.size(); ++i)
      left += ledger.devices[part.positions[i]].minus_or_zero(part.claims[i]);
    return left.value;
  });
}

using DeviceValue = std::uint64_t (*)(const Context&, const Ledger&, std::uint16_t position);

std::uint64_t device_strategy(const Context& context, const Ledger& ledger, std::uint16_t position) {
  return context.strategy == fleet::Strategy::kBinpack ? 0 : ledger.instances[position];
}

std::uint64_t device_bytes(const Context&, const Ledger& ledger, std::uint16_t position) {
  return ledger.devices[position].value;
}

std::uint64_t less(std::uint64_t points) { return kPointsMax - std::min(points, kPointsMax); }

std::uint64_t placement_score(const Context& context, const Candidate& c, std::span<const Rated> parts) {
  return less(placement_points(context, c, parts));
}

std::uint64_t file_score(const Context& context, const Candidate&, std::span<const Rated> parts) {
  return less(file_points(context, parts));
}

std::uint64_t score(const Context& context, const Candidate& c, std::span<const Rated> parts) {
  return less(placement_points(context, c, parts) + file_points(context, parts));
}

std::uint64_t stage_of(const Context&, const Candidate& c, std::span<const Rated>) { return list_stage(c); }

std::string ids_text(const Candidate& c) {
  std::string text;
  each_part(c, [&](const Part& part) {
    text += (text.empty() ? "" : ", ") + part.entry->worker.id;
    for (const auto p : part.positions) text += "/" + part.entry->worker.devices[p].id;
  });
  return text;
}

int compare_ids(const Part& a, const Part& b) {
  if (const int w = a.entry->worker.id.compare(b.entry->worker.id); w != 0) return w;
  for (std::size_t i = 0; i < a.positions.size() && i < b.positions.size(); ++i) {
    const auto& x = a.entry->worker.devices[a.positions[i]].id;
    const auto& y = b.entry->worker.devices[b.positions[i]].id;
    if (const int d = x.compare(y); d != 0) return d;
  }
  return a.positions.size() < b.positions.size() ? -1 : a.positions.size() > b.positions.size() ? 1 : 0;
}

int compare_ids(const Candidate& a, const Candidate& b) {
  if (const int first = compare_ids(static_cast<const Part&>(a), static_cast<const Part&>(b)); first != 0) return first;
  for (std::size_t i = 0; i < a.more.size() && i < b.more.size(); ++i)
    if (const int order = compare_ids(a.more[i], b.more[i]); order != 0) return order;
  return a.more.size() < b.more.size() ? -1 : a.more.size() > b.more.size() ? 1 : 0;
}

}  // namespace

struct KeyOrder::KeyPart {
  std::string_view name;
  Value value;
  bool ids;
  std::string_view text;
  DeviceValue by_device = nullptr;         // what remains of it between two devices of one worker; null: nothing
  std::uint64_t Least::* least = nullptr;  // its bound; null: 0 is one
  bool points = false;                     // told as what it was made of: kPointsMax less the value
};

KeyOrder::KeyOrder(const Policy& policy) {
  // The one place that knows the parts by name; a policy picks from these.
  static constexpr std::array<KeyPart, kKeyParts + 4> kParts = {{
      {"simulated", simulated, false, "0 a real worker, 1 one that only plays a machine", nullptr, &Least::simulated},
      {"engine_order",
       engine_order,
       false,
       "position of the engine in the request's or the catalog's order",
       nullptr,
       &Least::engine_order},
      {"layers_on_devices", layers_on_host, false, "layers that stay on the host", nullptr, &Least::host_layers},
      {"workers", worker_count, false, "workers used", nullptr, &Least::one},
      {"tensor_groups_across_workers", groups_across, false, "tensor-parallel groups that cross workers"},
      {"devices", device_count, false, "devices used", nullptr, &Least::devices},
      {"stages", stages, false, "pipeline stages", nullptr, &Least::one},
      {"interconnect", interconnect, false, "0 one island, 1 not known, 2 across islands"},
      {"files_present", to_fetch, false, "bytes to fetch or install first", nullptr, &Least::bytes_to_fetch},
      {"strategy",
       strategy,
       false,
       "spread: fewest of ours first; binpack: least free first",
       device_strategy,
       &Least::strategy},
      {"bytes_left", bytes_left, false, "bytes left over on the chosen devices", device_bytes, &Least::bytes_left},
      {"ids", nullptr, true, "worker id, device ids"},
      {"stage", stage_of, false, "step of the list that it was found in"},
      {"score", score, false, "score, in 1e-9: the more, the better", nullptr, nullptr, true},
      {"placement_score", placement_score, false, "score of where it lies, in 1e-9", nullptr, nullptr, true},
      {"file_score", file_score, false, "score of the files that are there, in 1e-9", nullptr, nullptr, true},
  }};
  for (const auto& name : policy.plan_key) {
    const auto at = std::find_if(kParts.begin(), kParts.end(), [&](const KeyPart& p) { return p.name == name; });
    if (at == kParts.end() || parts_.size() == kKeyParts)
      unknown_.push_back(name);
    else
      parts_.push_back(&*at);
  }
  for (const KeyPart* part : parts_)
    if (part->ids || part->by_device != nullptr) device_parts_.push_back(part);
  one_device_wins_ = devices_decide();
}

/// Before the number of devices, only parts that are equal on one worker or favour layers on devices.
bool KeyOrder::devices_decide() const {
  bool layers_seen = false;
  for (const KeyPart* part : parts_) {
    if (part->name == "devices") return layers_seen;
    layers_seen = layers_seen || part->name == "layers_on_devices";
    const bool same_on_a_worker = part->value == simulated || part->value == engine_order ||
                                  part->value == layers_on_host || part->value == worker_count ||
                                  part->value == groups_across;
    if (!same_on_a_worker) return false;
  }
  return false;
}

void KeyOrder::fill(const Context& context, const Ledger& ledger, Candidate& candidate) const {
  const Rated whole{&candidate, &ledger};
  fill(context, std::span(&whole, 1), candidate);
}

void KeyOrder::fill(const Context& context, std::span<const Rated> parts, Candidate& candidate) const {
  for (std::size_t i = 0; i < parts_.size(); ++i)
    candidate.key[i] = parts_[i]->ids ? 0 : parts_[i]->value(context, candidate, parts);
}

void KeyOrder::fill(const Least& least, Key& key) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) key[i] = parts_[i]->least != nullptr ? least.*parts_[i]->least : 0;
}

std::uint64_t KeyOrder::bytes_to_fetch(const Context& context, const WorkerEntry& entry, const StaticChain& chain) {
  Bytes bytes = chain.install_bytes;
  if (!context.carries_files || !context.request.facts) return bytes.value;
  const auto& files = entry.worker.model_files;
  if (!std::binary_search(files.begin(), files.end(), context.model_file))
    bytes += context.request.facts->weight_bytes.value_or(Bytes());
  return bytes.value;
}

std::uint64_t KeyOrder::least_strategy(const Context& context, std::uint32_t ours, std::uint32_t busy, Bytes room) {
  return context.strategy == fleet::Strategy::kBinpack ? room.value : std::uint64_t(ours) * kStrategyStep + busy;
}

int KeyOrder::compare(const Key& a, std::string_view worker_a, const Key& b, std::string_view worker_b) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i]->ids) {
      if (const int order = worker_a.compare(worker_b); order != 0) return order;
      continue;
    }
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

bool KeyOrder::before(const Candidate& a, const Candidate& b) const {
  if (a.uncertain != b.uncertain) return b.uncertain;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i]->ids) {
      if (const int order = compare_ids(a, b); order != 0) return order < 0;
      continue;
    }
    if (a.key[i] != b.key[i]) return a.key[i] < b.key[i];
  }
  return false;
}

bool KeyOrder::device_before(
    const Context& context, const WorkerEntry& entry, const Ledger& ledger, std::uint16_t a, std::uint16_t b) const {
  for (const KeyPart* part : device_parts_) {
    if (part->ids) {
      const int order = entry.worker.devices[a].id.compare(entry.worker.devices[b].id);
      if (order != 0) return order < 0;
      continue;
    }
    const std::uint64_t x = part->by_device(context, ledger, a), y = part->by_device(context, ledger, b);
    if (x != y) return x < y;
  }
  return false;
}

bool KeyOrder::same_step(const Candidate& a, const Candidate& b) const {
  for (std::size_t i = 0; i < parts_.size() && !parts_[i]->points; ++i)
    if (a.key[i] != b.key[i]) return false;
  return true;
}

std::vector<fleet::KeyPart> KeyOrder::explain(const Candidate& c) const {
  std::vector<fleet::KeyPart> out;
  for (std::size_t i = 0; i < parts_.size(); ++i)
    out.push_back({std::string(parts_[i]->name),
                   parts_[i]->ids      ? ids_text(c)
                   : parts_[i]->points ? std::to_string(kPointsMax - c.key[i])
                                       : std::to_string(c.key[i]),
                   std::string(parts_[i]->text)});
  return out;
}

}  // namespace berth::placement
