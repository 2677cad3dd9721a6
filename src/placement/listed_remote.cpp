#include "placement/listed_remote.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "placement/layouts/listed.h"
#include "placement/layouts/listed_layers.h"

namespace berth::placement {
namespace {

constexpr std::size_t kRemoteChoicesMax = 100'000;

/// A worker with its devices that may be used, in the order of the ledger.
struct LayerHost {
  std::size_t worker = 0;
  const DeviceType* type = nullptr;
  const StaticChain* chain = nullptr;
  std::vector<std::uint16_t> devices;  // roomiest first, then by place
  Bytes room;
};

struct RemoteDevice {
  const LayerHost* host = nullptr;
  std::uint16_t position = 0;
  Bytes room;
};

class RemoteLayers {
 public:
  RemoteLayers(const Search& search, Context& context, const std::vector<Ledger>& ledgers, std::size_t option)
      : search_(search), context_(context), ledgers_(ledgers), option_(context.options[option]) {
    gather(option);
  }

  std::vector<Candidate> run() {
    const auto asked = layers_asked(option_);
    const bool partly = context_.request.settings.cpu_offload;
    for (const auto& main : hosts_) {
      std::vector<Candidate> found;
      if (!asked) found = fewest(main, {.full = true, .wanted = {}});
      if (found.empty() && partly) found = fewest(main, {.full = false, .wanted = asked});
      if (!found.empty()) return found;
    }
    return {};
  }

 private:
  void gather(std::size_t option) {
    const auto& workers = search_.workers();
    for (std::size_t w = 0; w < workers.size(); ++w) {
      if (!workers[w]->open) continue;
      LayerHost host{w, nullptr, nullptr, {}, {}};
      for (std::size_t t = 0; t < workers[w]->cls->types.size(); ++t) {
        const auto& type = workers[w]->cls->types[t];
        const auto& chain = *workers[w]->cls->chains[option][t];
        if (type.cpu || !search_.admits(*workers[w], chain)) continue;
        for (const auto p : usable_devices(context_, *workers[w]->entry, ledgers_[w], type)) {
          host.devices.push_back(p);
          host.room += ledgers_[w].devices[p];
        }
        host.type = &type;
        host.chain = &chain;
      }
      if (host.devices.empty()) continue;
      std::sort(host.devices.begin(), host.devices.end(), [&](auto a, auto b) {
        const Bytes x = ledgers_[w].devices[a], y = ledgers_[w].devices[b];
        return x != y ? x > y : a < b;
      });
      hosts_.push_back(std::move(host));
    }
    std::sort(hosts_.begin(), hosts_.end(), [](const LayerHost& a, const LayerHost& b) {
      return a.room != b.room ? a.room > b.room : a.worker < b.worker;
    });
  }

  [[nodiscard]] bool is_main(const LayerHost& main, const fleet::SplitReading& reading) const {
    if (reading.remote == 0 || reading.split.size() != reading.remote + main.devices.size()) return false;
    for (std::size_t i = 0; i < main.devices.size(); ++i)
      if (reading.split[reading.remote + i] != ledgers_[main.worker].devices[main.devices[i]]) return false;
    return true;
  }

  /// All candidates with most layers; of those, with fewest devices of other workers.
  std::vector<Candidate> fewest(const LayerHost& main, const RowWish& wish) const {
    std::vector<Candidate> best;
    std::uint32_t layers = 0, remote = UINT32_MAX;
    ASSERT(context_.request.facts);
    for (const auto& reading : context_.request.facts->splits) {
      if (!is_main(main, reading)) continue;
      each_choice(main, reading, [&](const std::vector<RemoteDevice>& chosen) {
        const auto* row = best_row(reading, wish, [&](const auto& r) { return fits(main, r, chosen); });
        if (row == nullptr) return;
        const bool better = row->offload_layers > layers || (row->offload_layers == layers && reading.remote < remote);
        if (better) best.clear();
        if (!better && (row->offload_layers < layers || reading.remote > remote)) return;
        layers = row->offload_layers;
        remote = reading.remote;
        best.push_back(candidate(main, reading, *row, chosen));
      });
    }
    return best;
  }

  void each_choice(const LayerHost& main,
                   const fleet::SplitReading& reading,
                   const std::function<void(const std::vector<RemoteDevice>&)>& visit) const {
    std::vector<RemoteDevice> devices;
    for (const auto& host : hosts_) {
      if (&host == &main) continue;
      for (const auto p : host.devices) devices.push_back({&host, p, ledgers_[host.worker].devices[p]});
    }
    std::sort(devices.begin(), devices.end(), [](const RemoteDevice& a, const RemoteDevice& b) {
      if (a.room != b.room) return a.room > b.room;
      return std::tie(a.host->worker, a.position) < std::tie(b.host->worker, b.position);
    });
    std::vector<RemoteDevice> chosen;
    std::size_t steps = 0;
    const std::function<void(std::size_t)> descend = [&](std::size_t from) {
      if (++steps > kRemoteChoicesMax || devices.size() - from + chosen.size() < reading.remote) return;
      if (chosen.size() == reading.remote) {
        visit(chosen);
        return;
      }
      for (std::size_t i = from; i < devices.size(); ++i) {
        if (devices[i].room != reading.split[chosen.size()]) continue;
        chosen.push_back(devices[i]);
        descend(i + 1);
        chosen.pop_back();
      }
    };
    descend(0);
  }

  [[nodiscard]] bool unified(const LayerHost& host) const { return host.type->traits.unified_memory; }

  [[nodiscard]] bool fits(const LayerHost& main,
                          const fleet::SplitRow& row,
                          const std::vector<RemoteDevice>& chosen) const {
    if (row.devices.size() != chosen.size() + main.devices.size()) return false;
    std::map<std::size_t, Bytes> hosts;  // by worker
    hosts[main.worker] = host_of(row, unified(main));
    const auto holds = [&](const LayerHost& host, const fleet::SplitDevice& device, Bytes room) {
      const Bytes claim = bytes_of(device, unified(host));
      if (unified(host)) hosts[host.worker] += claim;
      return claim <= room;
    };
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (!holds(*chosen[i].host, row.devices[i], chosen[i].room)) return false;
    for (std::size_t i = 0; i < main.devices.size(); ++i)
      if (!holds(main, row.devices[chosen.size() + i], ledgers_[main.worker].devices[main.devices[i]])) return false;
    for (const auto& [worker, bytes] : hosts)
      if (bytes > ledgers_[worker].memory) return false;
    return true;
  }

  [[nodiscard]] Part part_on(const LayerHost& host) const {
    Part part;
    part.entry = search_.workers()[host.worker]->entry;
    part.type = host.type;
    part.chain = host.chain;
    return part;
  }

  [[nodiscard]] Candidate candidate(const LayerHost& main,
                                    const fleet::SplitReading& reading,
                                    const fleet::SplitRow& row,
                                    const std::vector<RemoteDevice>& chosen) const {
    Candidate c;
    static_cast<Part&>(c) = part_on(main);
    c.option = &option_;
    c.layout = "over_workers";
    c.offload_layers = row.offload_layers;
    c.total_layers = need_of(option_).total_layers.value_or(row.offload_layers);
    c.memory_claim = host_of(row, unified(main));
    c.split = reading.split;
    for (std::size_t i = 0; i < main.devices.size(); ++i) {
      const auto& device = row.devices[chosen.size() + i];
      c.positions.push_back(main.devices[i]);
      c.claims.push_back(bytes_of(device, unified(main)));
      c.layers.push_back(device.layers);
    }
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto& remote = chosen[i];
      const auto* entry = search_.workers()[remote.host->worker]->entry;
      auto at = std::find_if(c.more.begin(), c.more.end(), [&](const Part& part) { return part.entry == entry; });
      if (at == c.more.end()) at = c.more.insert(c.more.end(), part_on(*remote.host));
      at->positions.push_back(remote.position);
      at->claims.push_back(bytes_of(row.devices[i], unified(*remote.host)));
      at->layers.push_back(row.devices[i].layers);
    }
    return c;
  }

  const Search& search_;
  Context& context_;
  const std::vector<Ledger>& ledgers_;
  const Option& option_;
  std::vector<LayerHost> hosts_;
};

}  // namespace

std::vector<Candidate> listed_remote(const Search& search,
                                     Context& context,
                                     const std::vector<Ledger>& ledgers,
                                     std::size_t option) {
  if (!context.request.facts || context.request.facts->splits.empty()) return {};
  return RemoteLayers(search, context, ledgers, option).run();
}

}  // namespace berth::placement
