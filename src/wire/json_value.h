#pragma once
// Boost.JSON values: for .cpp files only.

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "wire/json.h"

namespace berth::wire {

/// Strict parse: no duplicate keys, depth ≤ kJsonDepthMax, valid UTF-8, integers exact. Errors: kInvalid with an
/// offset; kTooLarge.
Result<boost::json::value> parse_value(std::string_view text);
/// Shortest spelling that reads back as the same number; bytes that are not UTF-8 become U+FFFD, so that one odd name
/// never makes a whole message unreadable.
std::string serialize_value(const boost::json::value& value);
std::string pretty_value(const boost::json::value& value);

/// Codec of the types instantiated with BERTH_WIRE, for callers that hold a part of a document. `path` is the root in
/// error texts. Errors: as from_json.
template <class T>
boost::json::value to_value(const T& value);
template <class T>
Result<T> from_value(const boost::json::value& value, Strictness strictness, std::string_view path = "$");

/// `spelled`: it was YAML, and each text begins with codec::kPlain or codec::kQuoted.
struct Document {
  boost::json::value value;
  bool spelled = false;
};
/// YAML, or JSON when the text begins with '{' or '['. Errors: kInvalid with a line; kTooLarge.
Result<Document> parse_document(std::string_view text);
/// Puts "line N: " before an error whose message begins with a path into this YAML text.
Error at_line(std::string_view yaml, Error error);

}  // namespace berth::wire
