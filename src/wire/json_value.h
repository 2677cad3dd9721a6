#pragma once
// Boost.JSON values: for .cpp files only.

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "wire/json.h"

namespace berth::wire {

/// Strict parse: no duplicate keys, depth ≤ kJsonDepthMax, valid UTF-8, integers exact. Errors: kInvalid with an
/// offset.
Result<boost::json::value> parse_value(std::string_view text);
/// YAML, or JSON when the text begins with '{' or '['. Plain YAML scalars carry codec::kPlainMark.
/// Errors: kInvalid with a line number.
Result<boost::json::value> parse_document(std::string_view text);
std::string serialize_value(const boost::json::value& value);
std::string pretty_value(const boost::json::value& value);

}  // namespace berth::wire
