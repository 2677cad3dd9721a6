#include "placement/layouts/listed_layers.h"

#include <algorithm>
#include <functional>

#include "placement/layouts/by_layers.h"
#include "placement/layouts/listed.h"

namespace berth::placement {
namespace {

constexpr std::size_t kLocalChoicesMax = 100'000;

const std::vector<fleet::SplitReading>& readings(const LayoutInput& input) {
  static const std::vector<fleet::SplitReading> kNone;
  const auto& facts = input.context.request.facts;
  return facts ? facts->splits : kNone;
}

bool row_fits(const LayoutInput& input, const fleet::SplitRow& row, std::span<const std::uint16_t> positions) {
  if (row.devices.size() != positions.size()) return false;
  const bool unified = input.type.traits.unified_memory;
  std::vector<Bytes> claims;
  for (const auto& device : row.devices) claims.push_back(bytes_of(device, unified));
  return check_claims(input, positions, claims, host_of(row, unified), "").outcome.outcome == Outcome::kPass;
}

void add_row(const LayoutInput& input,
             const fleet::SplitReading& reading,
             const fleet::SplitRow& row,
             std::span<const std::uint16_t> positions,
             std::string_view layout,
             LayoutAnswer& answer) {
  Candidate c = make_candidate(input, layout);
  const bool unified = input.type.traits.unified_memory;
  c.positions.assign(positions.begin(), positions.end());
  for (const auto& device : row.devices) {
    c.claims.push_back(bytes_of(device, unified));
    c.layers.push_back(device.layers);
  }
  c.memory_claim = host_of(row, unified);
  c.offload_layers = row.offload_layers;
  c.total_layers = need_of(input.option).total_layers.value_or(row.offload_layers);
  c.split = reading.split;
  answer.candidates.push_back(std::move(c));
}

/// Every choice of devices whose rooms are the reading's proportions, in its order.
void each_local_choice(const LayoutInput& input,
                       const fleet::SplitReading& reading,
                       const std::function<void(std::span<const std::uint16_t>)>& visit) {
  std::vector<std::uint16_t> devices(input.usable.begin(), input.usable.end());
  std::sort(devices.begin(), devices.end(), [&](auto a, auto b) {
    const Bytes x = input.ledger.devices[a], y = input.ledger.devices[b];
    return x != y ? x > y : a < b;
  });
  std::vector<std::uint16_t> chosen;
  std::size_t steps = 0;
  const std::function<void(std::size_t)> descend = [&](std::size_t from) {
    if (++steps > kLocalChoicesMax || devices.size() - from + chosen.size() < reading.split.size()) return;
    if (chosen.size() == reading.split.size()) {
      visit(chosen);
      return;
    }
    for (std::size_t i = from; i < devices.size(); ++i) {
      if (input.ledger.devices[devices[i]] != reading.split[chosen.size()]) continue;
      chosen.push_back(devices[i]);
      descend(i + 1);
      chosen.pop_back();
    }
  };
  descend(0);
}

void on_one(const LayoutInput& input, const RowWish& wish, std::string_view layout, LayoutAnswer& answer) {
  for (const auto& reading : readings(input)) {
    if (!reading.split.empty()) continue;
    std::vector<std::uint16_t> order(input.usable.begin(), input.usable.end());
    std::sort(order.begin(), order.end());
    for (const auto p : order) {
      const std::span<const std::uint16_t> one(&p, 1);
      const auto* row = best_row(reading, wish, [&](const auto& r) { return row_fits(input, r, one); });
      if (row != nullptr) add_row(input, reading, *row, one, layout, answer);
    }
  }
}

void on_several(const LayoutInput& input, const RowWish& wish, std::string_view layout, LayoutAnswer& answer) {
  for (const auto& reading : readings(input)) {
    if (reading.remote > 0 || reading.split.size() < 2) continue;
    each_local_choice(input, reading, [&](std::span<const std::uint16_t> chosen) {
      const auto* row = best_row(reading, wish, [&](const auto& r) { return row_fits(input, r, chosen); });
      if (row != nullptr) add_row(input, reading, *row, chosen, layout, answer);
    });
  }
}

/// A selection by hand is used as a whole.
bool as_selected(const LayoutInput& input, const Candidate& c) {
  const auto asked = ranks_asked(input.context, input.option);
  return !asked || *asked == c.positions.size();
}

void without_readings(const LayoutInput& input, LayoutAnswer& answer) {
  layout_single_device(input, answer);
  layout_several_devices(input, answer);
  if (answer.candidates.empty()) layout_partial_offload(input, answer);
}

}  // namespace

std::optional<std::uint32_t> layers_asked(const Option& option) {
  const auto& asked = option.settings.offload_layers;
  const auto total = option.published ? need_of(option).total_layers : std::nullopt;
  if (!asked || (total && *asked >= *total)) return std::nullopt;
  return asked;
}

void layout_listed_layers(const LayoutInput& input, LayoutAnswer& answer) {
  if (readings(input).empty()) return without_readings(input, answer);
  const auto asked = layers_asked(input.option);
  const RowWish all{.full = true, .wanted = {}}, some{.full = false, .wanted = asked};
  if (!asked) {
    on_one(input, all, "single_device", answer);
    on_several(input, all, "several_devices", answer);
  }
  if (answer.candidates.empty() && input.context.request.settings.cpu_offload) {
    on_one(input, some, "partial_offload", answer);
    on_several(input, some, "partial_offload", answer);
  }
  std::erase_if(answer.candidates, [&](const Candidate& c) { return !as_selected(input, c); });
  if (!answer.candidates.empty()) return;
  for (const auto& reading : readings(input))
    for (const auto& row : reading.rows) {
      if (!reading.split.empty() || !row.full || row.devices.size() != 1) continue;
      const Bytes claim = bytes_of(row.devices.front(), input.type.traits.unified_memory);
      auto shortfall = check_claims(input,
                                    input.usable.first(1),
                                    std::span(&claim, 1),
                                    host_of(row, input.type.traits.unified_memory),
                                    "single_device");
      if (shortfall.outcome.outcome == Outcome::kReject) answer.shortfalls.push_back(std::move(shortfall));
    }
}

void layout_listed_no_layers(const LayoutInput& input, LayoutAnswer& answer) {
  if (readings(input).empty()) return layout_cpu(input, answer);
  const bool devices_asked = !input.context.selected.empty() || input.option.settings.offload_layers.value_or(0) > 0;
  if (devices_asked || !input.context.request.settings.cpu_offload) {
    answer.shortfalls.push_back({RuleId::kLayout,
                                 RuleOutcome::reject(devices_asked ? Reason::kDevicesAsked : Reason::kNoCpuOffload),
                                 Bytes(Bytes::kMax)});
    return;
  }
  const auto& devices = input.entry.worker.devices;
  const bool unified = std::any_of(devices.begin(), devices.end(), [](const auto& d) { return d.unified_memory; });
  for (const auto& reading : readings(input))
    for (const auto& row : reading.rows) {
      if (!reading.split.empty() || row.offload_layers != 0) continue;
      const Bytes claim = host_of(row, unified);
      auto shortfall = check_claims(input, {}, {}, claim, "cpu");
      if (shortfall.outcome.outcome != Outcome::kPass) {
        answer.shortfalls.push_back(std::move(shortfall));
        continue;
      }
      Candidate& c = add_candidate(input, "cpu", answer);
      c.total_layers = need_of(input.option).total_layers.value_or(0);
      c.memory_claim = claim;
    }
}

}  // namespace berth::placement
