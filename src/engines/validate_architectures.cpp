#include <algorithm>
#include <fmt/format.h>

#include "engines/detail/check.h"
#include "engines/flags.h"

namespace berth::engines {
namespace {

bool holds(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

Result<void> check_architecture_row(const Engine& engine, std::size_t i) {
  const auto& list = engine.architectures;
  const ArchitectureRow& row = list.rows[i];
  const auto path = [&](std::string_view field) { return "architectures." + fmt::format("rows[{}].{}", i, field); };
  if (!holds(list.read, row.since)) return invalid(fmt::format("{} is not among read", path("since")));
  if (!row.until.empty() && !holds(list.read, row.until))
    return invalid(fmt::format("{} is not among read", path("until")));
  if (!row.until.empty() && compare_versions(row.since, row.until) >= 0)
    return invalid(fmt::format("{} must come after since", path("until")));
  if (row.own_code && list.trust_flag.empty()) return invalid(fmt::format("{} needs a trust_flag", path("own_code")));
  if (row.names.empty()) return invalid(path("names") + " is empty");
  for (std::size_t k = 1; k < row.names.size(); ++k)
    if (row.names[k - 1] >= row.names[k])
      return invalid(
          fmt::format("{} has \"{}\" before \"{}\": sort them", path("names"), row.names[k - 1], row.names[k]));
  for (const auto& task : row.tasks)
    if (!holds(engine.tasks, task))
      return invalid(fmt::format("{} has \"{}\", which is not among tasks", path("tasks"), task));
  return {};
}

}  // namespace

Result<void> check_architectures(const Engine& engine) {
  const auto& list = engine.architectures;
  for (std::size_t i = 0; i < list.read.size(); ++i) {
    if (list.read[i].empty() || list.read[i].front() < '0' || list.read[i].front() > '9')
      return invalid(fmt::format("architectures.read[{}] is \"{}\", must begin with a number", i, list.read[i]));
    if (i > 0 && compare_versions(list.read[i - 1], list.read[i]) >= 0)
      return invalid(fmt::format("architectures.read[{}] is \"{}\": oldest first", i, list.read[i]));
  }
  if (!list.read.empty() && list.source.empty())
    return invalid("architectures.source is empty: say where they come from");
  if (!list.trust_flag.empty() && find_flag(engine, list.trust_flag) == nullptr)
    return invalid(fmt::format("architectures.trust_flag is \"{}\", which is no flag", list.trust_flag));
  for (const auto& task : list.tasks)
    if (!holds(engine.tasks, task))
      return invalid(fmt::format("architectures.tasks has \"{}\", which is not among tasks", task));
  for (std::size_t i = 0; i < list.rows.size(); ++i) TRY_VOID(check_architecture_row(engine, i));
  return {};
}

}  // namespace berth::engines
