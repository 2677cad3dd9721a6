#pragma once
// How estimates read facts: what is missing is an error that names it, never a guess.

#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "estimate/detail/sat.h"

namespace berth::estimate {

inline Error missing(std::string_view fact) { return invalid(fmt::format("facts.{} is not known", fact)); }

inline Sat known(const std::optional<std::uint32_t>& value) { return value.value_or(0); }

}  // namespace berth::estimate
