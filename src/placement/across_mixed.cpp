// Pipeline stages on another kind of device on each worker: engines run all ranks with one utilization, so each device
// gives the same share of itself, as large as the neediest kind among those used asks for.
#include <algorithm>
#include <map>
#include <tuple>

#include "placement/detail/across_parts.h"

namespace berth::placement {

std::vector<std::vector<const Across::Kind*>> Across::mixable(const std::vector<Kind>& kinds) {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<const Kind*>> groups;
  for (const auto& kind : kinds) groups[{kind.version, kind.device->vendor, kind.device->framework}].push_back(&kind);
  std::vector<std::vector<const Kind*>> out;
  for (auto& [key, group] : groups)
    if (group.size() > 1) out.push_back(std::move(group));
  return out;
}

std::vector<std::pair<Across::Kind, Across::Need>> Across::mixed_needs(const Option& option,
                                                                       const std::vector<const Kind*>& kinds,
                                                                       const Shape& shape,
                                                                       const Ledgers& ledgers,
                                                                       bool uncertain) {
  std::vector<std::pair<const Kind*, Need>> able;
  for (const auto* kind : kinds)
    if (auto need = need_of(option, *kind, shape, uncertain)) able.emplace_back(kind, *need);
  std::sort(able.begin(), able.end(), [](const auto& a, const auto& b) {
    return a.second.share.utilization < b.second.share.utilization;
  });
  std::vector<std::pair<Kind, Need>> out;
  for (std::size_t last = 1; last < able.size(); ++last) {
    if (last + 1 < able.size() && able[last + 1].second.share.utilization == able[last].second.share.utilization)
      continue;
    Need need = able[last].second;
    need.mixed = true;
    std::map<std::size_t, Offer> best;  // by worker: the kind of which it holds most groups
    for (std::size_t k = 0; k <= last; ++k)
      for (const auto& offer : able[k].first->offers) {
        Offer fresh = offer;
        fresh.groups = groups_on(fresh, need, ledgers[fresh.worker]);
        const auto [at, first] = best.try_emplace(fresh.worker, fresh);
        if (!first && fresh.groups > at->second.groups) at->second = std::move(fresh);
      }
    Kind kind{able[last].first->device, able[last].first->version, {}, 0};
    for (auto& [worker, offer] : best) {
      kind.devices += offer.usable.size();
      kind.offers.push_back(std::move(offer));
    }
    out.emplace_back(std::move(kind), need);
  }
  return out;
}

}  // namespace berth::placement
