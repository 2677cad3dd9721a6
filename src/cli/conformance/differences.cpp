#include "cli/conformance/differences.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/inputs.h"
#include "wire/codec.h"

namespace berth::cli::conformance {
namespace {

bool is_issue(std::string_view id) { return id.starts_with("issue-"); }

std::string proof_of(const ListedDifference& listed) {
  if (listed.field_case.empty()) return listed.numbers;
  return listed.numbers.empty() ? listed.field_case : fmt::format("{} ({})", listed.numbers, listed.field_case);
}

void hold(const ListedDifference& listed, CaseLine& line) {
  if (line.passed) {
    line.passed = false;
    line.differences = {"is listed among the differences, and differs no longer: take it off the list"};
    return;
  }
  const auto said = [&](const std::string& difference) {
    return std::any_of(
        listed.says.begin(), listed.says.end(), [&](const auto& start) { return difference.starts_with(start); });
  };
  if (!std::all_of(line.differences.begin(), line.differences.end(), said)) {
    line.differences.push_back(fmt::format("is listed among the differences for \"{}\", which is another",
                                           printable(join(listed.says, "; "))));
    return;
  }
  line.passed = true;
  line.listed = proof_of(listed);
}

void count(Summary& summary) {
  summary.passed = summary.failed = summary.listed = 0;
  for (const auto& line : summary.cases) {
    ++(line.passed ? summary.passed : summary.failed);
    if (!line.listed.empty()) ++summary.listed;
  }
}

}  // namespace

Result<Differences> read_differences(std::string_view json) {
  TRY(auto out, wire::from_json<Differences>(json, wire::Strictness::kStrict));
  for (std::size_t i = 0; i < out.cases.size(); ++i) {
    const auto& c = out.cases[i];
    const auto wrong = [&](std::string_view what) {
      return invalid(fmt::format("cases[{}] ({}) {}", i, printable(c.id), what));
    };
    if (c.id.empty() || c.says.empty()) return wrong("needs an id and what its difference says");
    if (c.numbers.empty() && c.field_case.empty()) return wrong("needs numbers or a field_case that show who is wrong");
    if (is_issue(c.id)) return wrong("is of the field's own issues: every one of these holds");
    if (i > 0 && out.cases[i - 1].id >= c.id) return wrong("is there twice, or out of order: sort by id");
  }
  return out;
}

Result<Differences> differences_for(const std::string& file, const std::string& folder) {
  if (file == "none") return Differences{};
  std::string path = file;
  if (path.empty()) {
    std::error_code error;
    const auto beside = std::filesystem::weakly_canonical(folder, error).parent_path() / "differences.json";
    if (!error && std::filesystem::exists(beside, error)) path = beside.string();
  }
  if (path.empty()) return read_differences(embedded_differences());
  TRY(const auto text, read_text_file(path));
  auto read = read_differences(text);
  if (!read) return in(path, std::move(read).error());
  return read;
}

void apply(const Differences& differences, bool whole, Summary& summary) {
  for (const auto& listed : differences.cases)
    for (auto& line : summary.cases)
      if (line.id == listed.id) hold(listed, line);
  count(summary);
  const auto judged = static_cast<std::uint64_t>(
      std::count_if(summary.cases.begin(), summary.cases.end(), [](const auto& line) { return !is_issue(line.id); }));
  if (!whole || summary.listed * kListedShare <= std::max(judged, kListedShare)) return;
  const std::string why = fmt::format(
      "{} of {} cases are listed as different, at most one in {} may be", summary.listed, judged, kListedShare);
  for (auto& line : summary.cases) {
    if (line.listed.empty()) continue;
    line.passed = false;
    line.listed.clear();
    line.differences.push_back(why);
  }
  count(summary);
}

}  // namespace berth::cli::conformance

BERTH_WIRE(berth::cli::conformance::Differences);
