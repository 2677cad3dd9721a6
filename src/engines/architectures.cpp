#include "engines/architectures.h"

#include <algorithm>

namespace berth::engines {
namespace {

bool is_number(std::string_view version) {
  if (version.size() > 1 && (version[0] == 'v' || version[0] == 'b')) version.remove_prefix(1);
  return !version.empty() && version[0] >= '0' && version[0] <= '9';
}

const ArchitectureRow* row_at(const ArchitectureMatch& match, std::string_view version) {
  for (const auto* row : match.rows) {
    const bool begun = compare_versions(version, row->since) >= 0;
    if (begun && (row->until.empty() || compare_versions(version, row->until) < 0)) return row;
  }
  return nullptr;
}

bool names(const ArchitectureRow& row, const std::string& name) {
  return std::binary_search(row.names.begin(), row.names.end(), name);
}

}  // namespace

ArchitectureMatch match_architecture(const Engine& engine, const fleet::ModelFacts& facts) {
  ArchitectureMatch match;
  match.list = &engine.architectures;
  match.told = !facts.architecture.empty() || !facts.architectures.empty();
  if (!match.told || match.list->any) return match;
  for (const auto& row : match.list->rows) {
    const bool named = names(row, facts.architecture) ||
                       std::any_of(facts.architectures.begin(), facts.architectures.end(), [&](const auto& name) {
                         return names(row, name);
                       });
    if (named) match.rows.push_back(&row);
  }
  return match;
}

Runs runs(const ArchitectureMatch& match, std::string_view version) {
  const auto& list = *match.list;
  if (list.any) return Runs::kYes;
  if (!match.told || list.read.empty()) return Runs::kUnknown;
  if (version.empty()) version = list.read.back();
  if (!is_number(version)) return Runs::kUnknown;
  const auto at =
      std::lower_bound(list.read.begin(), list.read.end(), version, [](const std::string& a, std::string_view b) {
        return compare_versions(a, b) < 0;
      });
  const auto has = [&](const std::string& read) { return row_at(match, read) != nullptr; };
  const auto answer = [](bool yes) { return yes ? Runs::kYes : Runs::kNo; };
  if (at == list.read.end()) return has(list.read.back()) ? Runs::kYes : Runs::kUnknown;
  if (compare_versions(*at, version) == 0) return answer(has(*at));
  if (at == list.read.begin()) return has(*at) ? Runs::kUnknown : Runs::kNo;
  return has(*at) == has(*(at - 1)) ? answer(has(*at)) : Runs::kUnknown;
}

const ArchitectureRow* row_for(const ArchitectureMatch& match, std::string_view version) {
  if (version.empty() && !match.list->read.empty()) version = match.list->read.back();
  return row_at(match, version);
}

const std::vector<std::string>& tasks_of(const ArchitectureMatch& match, const ArchitectureRow& row) {
  return row.tasks.empty() ? match.list->tasks : row.tasks;
}

std::vector<RunsWith> engines_for(const EngineCatalog& catalog, const fleet::ModelFacts& facts) {
  std::vector<RunsWith> out;
  for (const auto& engine : catalog.engines()) {
    const bool reads = std::find(engine.formats.begin(), engine.formats.end(), facts.format) != engine.formats.end();
    if (!reads || !engine.supported) continue;
    const auto match = match_architecture(engine, facts);
    if (match.rows.empty()) continue;
    RunsWith with{engine.title, match.rows.front()->since, match.rows.back()->until};
    if (compare_versions(with.since, match.list->read.front()) == 0) with.since.clear();
    out.push_back(std::move(with));
  }
  return out;
}

}  // namespace berth::engines
