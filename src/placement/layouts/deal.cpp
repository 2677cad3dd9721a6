#include "placement/layouts/deal.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace berth::placement {
namespace {

Bytes run_bytes(const DealInput& in, std::uint32_t before, std::uint32_t run) {
  Estimates::Run* known = in.runs == nullptr ? nullptr : &in.runs->at(before, run);
  if (known != nullptr && known->asked) return in.uncertain ? known->expected : known->high;
  const std::array<std::uint32_t, 3> row = {before, run, in.count - before - run};
  const Interval bytes = in.model.device(row, 1, in.traits);
  if (known != nullptr) *known = {bytes.expected, bytes.high, true};
  return in.uncertain ? bytes.expected : bytes.high;
}

/// The longest run of at most `most` layers behind `before` that `room` holds.
std::uint32_t longest_run(const DealInput& in, std::uint32_t before, std::uint32_t most, Bytes room) {
  // The run that ends the row also holds the output: it is not a longer one of the others.
  if (before + most == in.count && run_bytes(in, before, most) <= room) return most;
  std::uint32_t low = 0, high = before + most == in.count ? most - 1 : most;
  while (low < high) {
    const std::uint32_t middle = low + (high - low + 1) / 2;
    if (run_bytes(in, before, middle) <= room)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/// Devices with equal rooms, most first.
struct Size {
  Bytes room;
  std::vector<std::uint16_t> places;
};

std::vector<Size> sizes_of(std::span<const Bytes> rooms) {
  std::vector<std::uint16_t> places(rooms.size());
  std::iota(places.begin(), places.end(), std::uint16_t(0));
  std::sort(
      places.begin(), places.end(), [&](auto a, auto b) { return rooms[a] != rooms[b] ? rooms[a] > rooms[b] : a < b; });
  std::vector<Size> sizes;
  for (const auto p : places) {
    if (sizes.empty() || sizes.back().room != rooms[p]) sizes.push_back({rooms[p], {}});
    sizes.back().places.push_back(p);
  }
  return sizes;
}

/// The state in which `used[s]` devices of size s have been given a run; states are numbered with mixed radix.
class States {
 public:
  explicit States(const std::vector<Size>& sizes) {
    for (const auto& size : sizes) {
      strides_.push_back(count_);
      radix_.push_back(size.places.size() + 1);
      count_ *= size.places.size() + 1;
    }
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t used(std::size_t state, std::size_t size) const {
    return state / strides_[size] % radix_[size];
  }
  [[nodiscard]] std::size_t stride(std::size_t size) const { return strides_[size]; }
  [[nodiscard]] std::size_t devices(std::size_t state) const {
    std::size_t n = 0;
    for (std::size_t s = 0; s < radix_.size(); ++s) n += used(state, s);
    return n;
  }

 private:
  std::vector<std::size_t> strides_, radix_;
  std::size_t count_ = 1;
};

constexpr std::uint32_t kUnreached = UINT32_MAX;

/// longest_run() by (before, size), each computed once where nothing is kept for devices behind.
class Runs {
 public:
  Runs(const DealInput& in, const std::vector<Size>& sizes)
      : in_(in), sizes_(sizes), known_((in.count + 1) * sizes.size(), kUnreached) {}

  std::uint32_t longest(std::uint32_t before, std::uint32_t most, std::size_t size) {
    if (in_.all) return longest_run(in_, before, most, sizes_[size].room);
    auto& run = known_[before * sizes_.size() + size];
    if (run == kUnreached) run = longest_run(in_, before, most, sizes_[size].room);
    return run;
  }

 private:
  const DealInput& in_;
  const std::vector<Size>& sizes_;
  std::vector<std::uint32_t> known_;
};

struct Reach {
  std::uint32_t layers = kUnreached;  // dealt so far
  std::uint32_t size = 0;             // of the device that was last
};

/// Walks back from the final state.
Deal collect(const std::vector<Size>& sizes, const States& states, const std::vector<Reach>& reach, std::size_t state) {
  Deal deal;
  while (state != 0) {
    const std::size_t size = reach[state].size, before = state - states.stride(size);
    deal.order.push_back(sizes[size].places[states.used(before, size)]);
    deal.layers.push_back(reach[state].layers - reach[before].layers);
    state = before;
  }
  std::reverse(deal.order.begin(), deal.order.end());
  std::reverse(deal.layers.begin(), deal.layers.end());
  return deal;
}

}  // namespace

Few<std::uint32_t> deal_in_proportion(std::span<const Bytes> rooms, std::uint32_t count) {
  Few<std::uint32_t> layers(rooms.size());
  std::uint64_t room = 0, seen = 0;
  for (const auto r : rooms) room = sat_add(room, r.value);
  const bool evenly = room == 0;
  if (evenly) room = rooms.size();
  std::uint32_t dealt = 0;
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    seen = sat_add(seen, evenly ? 1 : rooms[i].value);
    const auto upto = std::max(dealt, std::min(count, static_cast<std::uint32_t>(mul_div_ceil(count, seen, room))));
    layers[i] = upto - dealt;
    dealt = upto;
  }
  return layers;
}

Few<std::uint32_t> deal_in_order(const DealInput& in) {
  Few<std::uint32_t> layers(in.rooms.size());
  std::uint32_t dealt = 0;
  for (std::size_t i = 0; i + 1 < in.rooms.size() && dealt < in.count; ++i) {
    const std::uint32_t left = in.count - dealt;
    const auto kept = in.all ? static_cast<std::uint32_t>(in.rooms.size() - i - 1) : 0;
    layers[i] = longest_run(in, dealt, left - std::min(left, kept), in.rooms[i]);
    dealt += layers[i];
  }
  layers.back() += in.count - dealt;
  return layers;
}

std::uint32_t layers_over(const DealInput& in, std::span<const std::uint32_t> in_order) {
  const std::uint32_t last = in_order.back();
  return last - longest_run(in, in.count - last, last, in.rooms.back());
}

std::optional<Deal> deal_exactly(const DealInput& in) {
  if (in.rooms.empty() || in.rooms.size() > kExactDealMax || in.count == 0) return std::nullopt;
  const auto sizes = sizes_of(in.rooms);
  const States states(sizes);
  std::vector<Reach> reach(states.count());
  reach[0].layers = 0;
  Runs runs(in, sizes);
  for (std::size_t state = 0; state < states.count(); ++state) {
    if (reach[state].layers == kUnreached) continue;
    const std::uint32_t before = reach[state].layers, left = in.count - before;
    const std::size_t behind = in.rooms.size() - states.devices(state);  // devices that are still to be given a run
    const std::uint32_t kept = in.all && behind > 0 ? static_cast<std::uint32_t>(behind - 1) : 0;
    if (left <= kept) continue;
    for (std::uint32_t s = 0; s < sizes.size(); ++s) {
      if (states.used(state, s) == sizes[s].places.size()) continue;
      const std::uint32_t run = runs.longest(before, left - kept, s);
      if (run == 0) continue;
      const std::size_t next = state + states.stride(s);
      if (before + run == in.count) {
        reach[next] = {in.count, s};
        return collect(sizes, states, reach, next);
      }
      if (reach[next].layers == kUnreached || reach[next].layers < before + run) reach[next] = {before + run, s};
    }
  }
  return std::nullopt;
}

}  // namespace berth::placement
