#include "engines/world.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/flags.h"

namespace berth::engines {
namespace {

using Given = std::optional<std::uint32_t>;

struct Size {
  std::string_view name;
  Given fleet::Restriction::* field = nullptr;
  Combine WorldRules::* how = nullptr;
};

constexpr std::array kSizes = {
    Size{"tensor_parallel", &fleet::Restriction::tensor_parallel, &WorldRules::tensor_parallel},
    Size{"pipeline_parallel", &fleet::Restriction::pipeline_parallel, &WorldRules::pipeline_parallel},
    Size{"data_parallel", &fleet::Restriction::data_parallel, &WorldRules::data_parallel},
    Size{"expert_parallel", &fleet::Restriction::expert_parallel, &WorldRules::expert_parallel},
    Size{"prefill_context_parallel",
         &fleet::Restriction::prefill_context_parallel,
         &WorldRules::prefill_context_parallel},
    Size{"decode_context_parallel", &fleet::Restriction::decode_context_parallel, &WorldRules::decode_context_parallel},
};

std::uint32_t value_of(const fleet::Restriction& r, std::string_view name) {
  for (const auto& size : kSizes)
    if (size.name == name) return (r.*size.field).value_or(1);
  return 1;
}

/// Whether the switch or flag was given and is not turned off.
bool given(const std::vector<ParsedFlag>& flags, std::string_view name) {
  return std::any_of(flags.begin(), flags.end(), [&](const ParsedFlag& f) { return f.name == name && !f.off; });
}

Result<void> check_sizes(const Engine& engine, const fleet::Restriction& r) {
  for (const auto& size : kSizes)
    if (const auto asked = (r.*size.field).value_or(1); asked > 1 && engine.world.*size.how == Combine::kAbsent)
      return invalid(fmt::format("restriction.{} is {}, but {} has no such size", size.name, asked, engine.title));
  if (r.data_parallel_local && !engine.world.data_parallel_local)
    return invalid(fmt::format(
        "restriction.data_parallel_local is {}, but {} has no such size", *r.data_parallel_local, engine.title));
  for (const auto& name : engine.world.powers_of_two)
    if (const std::uint32_t n = value_of(r, name); (n & (n - 1)) != 0)
      return invalid(fmt::format("restriction.{} is {}, must be a power of two for {}", name, n, engine.title));
  for (const auto& group : engine.world.exclusive) {
    std::vector<std::string> above;
    for (const auto& name : group)
      if (const std::uint32_t n = value_of(r, name); n > 1) above.push_back(fmt::format("{} {}", name, n));
    if (above.size() > 1)
      return invalid(fmt::format("restriction: {} cannot have {} together", engine.title, join(above, " and ")));
  }
  return {};
}

/// `part` must divide `whole`.
Result<void> check_divides(std::string_view part, std::uint32_t n, std::string_view whole, std::uint32_t of) {
  if (n > 0 && of % n == 0) return {};
  return invalid(fmt::format("restriction.{} is {}, must divide {}, which is {}", part, n, whole, of));
}

Result<void> check_inside(const Engine& engine, const World& w) {
  const std::array<std::pair<const Size*, std::uint32_t>, 4> inside = {
      {{&kSizes[2], w.dp}, {&kSizes[3], w.ep}, {&kSizes[4], w.pcp}, {&kSizes[5], w.dcp}}};
  for (const auto& [size, n] : inside) {
    Combine how = engine.world.*size->how;
    if (size->name == "data_parallel" && w.data_inside) how = Combine::kInsideTensorParallel;
    if (how == Combine::kInsideTensorParallel) TRY_VOID(check_divides(size->name, n, "tensor_parallel", w.tp));
    if (how == Combine::kInsideWorld) TRY_VOID(check_divides(size->name, n, "the world size", w.ranks));
  }
  return {};
}

/// Ranks with `dp` copies; 64 bits hold every product of sizes up to 1024.
std::uint64_t ranks_of(const Engine& engine, const World& w, std::uint64_t dp) {
  std::uint64_t n = 1;
  if (engine.world.tensor_parallel == Combine::kMultiplies) n *= w.tp;
  if (engine.world.pipeline_parallel == Combine::kMultiplies) n *= w.pp;
  if (engine.world.prefill_context_parallel == Combine::kMultiplies) n *= w.pcp;
  if (engine.world.decode_context_parallel == Combine::kMultiplies) n *= w.dcp;
  if (engine.world.data_parallel == Combine::kMultiplies && !w.data_inside) n *= dp;
  return n;
}

}  // namespace

bool is_parallel_size(std::string_view name) {
  return std::any_of(kSizes.begin(), kSizes.end(), [&](const Size& size) { return size.name == name; });
}

Result<World> world_of(const Engine& engine, const fleet::Restriction& r, const std::vector<std::string>& flags) {
  TRY_VOID(check_sizes(engine, r));
  TRY(const auto parsed, parse_flags(engine, flags));
  World w;
  w.tp = r.tensor_parallel.value_or(1);
  w.pp = r.pipeline_parallel.value_or(1);
  w.dp = r.data_parallel.value_or(1);
  w.pcp = r.prefill_context_parallel.value_or(1);
  w.dcp = r.decode_context_parallel.value_or(1);
  w.ep = r.expert_parallel.value_or(1);
  for (const auto& size : kSizes)
    w.fixed = w.fixed || ((r.*size.field).has_value() && engine.world.*size.how == Combine::kMultiplies);
  w.data_inside = engine.world.data_parallel == Combine::kInsideTensorParallel ||
                  given(parsed, engine.world.data_parallel_inside_by);
  const auto& by = engine.world.part_by;
  w.part = r.data_parallel_local && std::any_of(by.begin(), by.end(), [&](const auto& f) { return given(parsed, f); });
  w.dp_local = r.data_parallel_local.value_or(w.dp);
  if (w.dp % w.dp_local != 0)
    return invalid(fmt::format(
        "restriction.data_parallel is {}, must be a multiple of restriction.data_parallel_local, which is {}",
        w.dp,
        w.dp_local));
  const std::uint64_t ranks = ranks_of(engine, w, w.dp);
  if (ranks > kWorldRanksMax)
    return invalid(fmt::format("the parallel sizes make {} ranks, at most {}", ranks, kWorldRanksMax));
  w.ranks = static_cast<std::uint32_t>(ranks);
  w.local_ranks = static_cast<std::uint32_t>(ranks_of(engine, w, w.dp_local));
  TRY_VOID(check_inside(engine, w));
  // A switch without a number: the experts lie over all ranks of one pipeline stage.
  if (!r.expert_parallel && given(parsed, engine.world.expert_parallel_by)) w.ep = w.ranks / w.pp;
  return w;
}

}  // namespace berth::engines
