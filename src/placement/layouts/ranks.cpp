#include "placement/layouts/ranks.h"

#include <cmath>
#include <fmt/format.h>

#include "engines/divide.h"

namespace berth::placement {
namespace {

constexpr std::uint64_t kShareSteps = 100;     // utilization is given in hundredths when berth chooses it
constexpr std::uint64_t kShareScale = 10'000;  // and read in ten-thousandths when the user does

bool power_of_two(std::uint32_t n) { return (n & (n - 1)) == 0; }

std::optional<RuleOutcome> undivided(const Context& context, const Option& option, const Shape& shape) {
  const auto& facts = context.request.facts;
  if (!facts) return std::nullopt;
  engines::World world;
  world.tp = shape.tensor;
  world.dp = shape.data;
  world.ep = context.request.restriction.expert_parallel.value_or(1);
  if (const auto why = engines::undivided(*option.engine, *facts, world, option.settings.flags)) {
    const bool experts = why->what == engines::Divided::kExperts;
    return RuleOutcome::reject(Reason::kHeadsNotDivisible,
                               {{"heads", std::to_string(why->count)},
                                {"what", engines::divided_name(why->what)},
                                {"what_zh", engines::divided_name_zh(why->what)},
                                {"by", experts ? "expert parallel" : "tensor parallel"},
                                {"by_zh", experts ? "专家并行" : "张量并行"},
                                {"tp", std::to_string(why->by)}});
  }
  if (facts->layers && shape.pipeline > *facts->layers)
    return RuleOutcome::reject(Reason::kTooFewLayers,
                               {{"layers", std::to_string(*facts->layers)}, {"pp", std::to_string(shape.pipeline)}});
  return std::nullopt;
}

}  // namespace

std::vector<Shape> shapes_of(const Sizes& sizes, const Option& option, std::uint32_t ranks) {
  std::vector<Shape> out;
  const std::uint32_t data = sizes.data.value_or(1);
  if (const auto world = sizes.world(); world && *world != ranks) return out;
  if (ranks % data != 0) return out;
  const std::uint32_t each = ranks / data;
  for (std::uint32_t stages = 1; stages <= each; ++stages) {
    const std::uint32_t tensor = each / stages;
    if (each % stages != 0) continue;
    if (sizes.pipeline ? *sizes.pipeline != stages : stages > 1 && !option.pipeline) continue;
    if (sizes.tensor && *sizes.tensor != tensor) continue;
    // Unasked, only what the heads of every model divide by.
    if (!sizes.tensor && !sizes.ranks && !power_of_two(tensor)) continue;
    out.push_back({tensor, stages, data});
  }
  return out;
}

Share share_of(Bytes total, Bytes need, std::optional<double> asked) {
  if (asked) {
    const auto scaled = static_cast<std::uint64_t>(std::llround(*asked * static_cast<double>(kShareScale)));
    const Bytes claim = mul_div_ceil(total.value, scaled, kShareScale);
    return {claim, *asked, need > claim};
  }
  const std::uint64_t steps = mul_div_ceil(need.value, kShareSteps, total.value);
  return {mul_div_ceil(total.value, steps, kShareSteps),
          static_cast<double>(steps) / static_cast<double>(kShareSteps),
          false};
}

std::optional<double> enough_share(Bytes total, Bytes need) {
  const std::uint64_t steps = mul_div_ceil(need.value, kShareSteps, total.value);
  if (steps > kShareSteps) return std::nullopt;
  return static_cast<double>(steps) / static_cast<double>(kShareSteps);
}

std::vector<Estimates::Cut>& cuts_of(const Context& context,
                                     const Sizes& sizes,
                                     const Option& option,
                                     std::uint32_t ranks) {
  auto& all = option.estimates->cuts;
  if (all.size() <= ranks) all.resize(ranks + 1);
  auto& cuts = all[ranks];
  if (cuts) return *cuts;
  cuts.emplace();
  for (const Shape& shape : shapes_of(sizes, option, ranks))
    cuts->push_back({shape, undivided(context, option, shape), {}});
  return *cuts;
}

}  // namespace berth::placement
