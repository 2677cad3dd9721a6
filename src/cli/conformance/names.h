#pragma once
// Tables from the cases' names to berth's.

#include <algorithm>
#include <fmt/format.h>
#include <string_view>

#include "base/result.h"
#include "base/text.h"

namespace berth::cli::conformance {

inline Error not_understood(std::string_view key, std::string_view value) {
  return fail(Code::kNotSupported, fmt::format("{} is \"{}\", which is not understood", key, printable(value)));
}

template <class T>
struct Named {
  std::string_view theirs;
  T ours;
};

template <class Table>
auto look_up(const Table& table, std::string_view name, std::string_view key) -> Result<decltype(table.front().ours)> {
  const auto at = std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.theirs == name; });
  if (at == table.end()) return not_understood(key, name);
  return at->ours;
}

}  // namespace berth::cli::conformance
