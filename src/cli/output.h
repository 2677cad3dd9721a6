#pragma once
// -o json and -o yaml: the same document in two spellings.

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli {

/// `form`: "json" or "yaml". Ends with a line break.
Result<std::string> formatted(std::string_view json, std::string_view form);

}  // namespace berth::cli
