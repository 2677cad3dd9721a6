#include "metadata/detail/json_events.h"

#include <boost/json/basic_parser_impl.hpp>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <string>

namespace berth::metadata::detail {

namespace {

namespace json = boost::json;

/// What json::basic_parser calls. Texts come in pieces; they are joined here.
struct Handler {
  // NOLINTBEGIN(readability-identifier-naming): the parser asks for these names
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = 64 * 1024;
  static constexpr std::size_t max_string_size = 1024 * 1024;
  // NOLINTEND(readability-identifier-naming)

  explicit Handler(JsonEvents& receiver) : events(receiver) {}

  JsonEvents& events;
  Result<void> failed;
  std::string pieces;

  bool pass(Result<void> result, json::error_code& ec) {
    if (result) return true;
    failed = std::move(result);
    ec = json::make_error_code(json::error::syntax);  // any error stops the parser; ours is the one reported
    return false;
  }
  std::string_view joined(json::string_view last) {
    if (pieces.empty()) return {last.data(), last.size()};
    pieces.append(last.data(), last.size());
    return pieces;
  }
  bool piece(json::string_view text) {
    pieces.append(text.data(), text.size());
    return true;
  }
  template <class Call>
  bool whole(json::string_view last, json::error_code& ec, Call call) {
    const bool ok = pass(call(joined(last)), ec);
    pieces.clear();
    return ok;
  }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code& ec) { return pass(events.begin(true), ec); }
  bool on_object_end(std::size_t, json::error_code& ec) { return pass(events.end(), ec); }
  bool on_array_begin(json::error_code& ec) { return pass(events.begin(false), ec); }
  bool on_array_end(std::size_t, json::error_code& ec) { return pass(events.end(), ec); }
  bool on_key_part(json::string_view text, std::size_t, json::error_code&) { return piece(text); }
  bool on_key(json::string_view text, std::size_t, json::error_code& ec) {
    return whole(text, ec, [this](std::string_view name) { return events.key(name); });
  }
  bool on_string_part(json::string_view text, std::size_t, json::error_code&) { return piece(text); }
  bool on_string(json::string_view text, std::size_t, json::error_code& ec) {
    return whole(text, ec, [this](std::string_view value) { return events.text(value); });
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t value, json::string_view, json::error_code& ec) {
    if (value < 0) return pass(events.other(std::to_string(value)), ec);
    return pass(events.unsigned_integer(static_cast<std::uint64_t>(value)), ec);
  }
  bool on_uint64(std::uint64_t value, json::string_view, json::error_code& ec) {
    return pass(events.unsigned_integer(value), ec);
  }
  bool on_double(double value, json::string_view, json::error_code& ec) {
    // Some writers print whole sizes as floats; below 2^53 they are exact.
    constexpr double kExactMax = 9007199254740992.0;
    if (value < 0 || value > kExactMax || value != std::floor(value))
      return pass(events.other(fmt::format("{}", value)), ec);
    return pass(events.unsigned_integer(static_cast<std::uint64_t>(value)), ec);
  }
  bool on_bool(bool value, json::error_code& ec) { return pass(events.other(value ? "true" : "false"), ec); }
  bool on_null(json::error_code& ec) { return pass(events.other("null"), ec); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

}  // namespace

Result<void> read_json(std::string_view text, std::uint64_t max_bytes, JsonEvents& events) {
  if (text.size() > max_bytes) {
    return fail(Code::kTooLarge, fmt::format("JSON of {} bytes, must be at most {}", text.size(), max_bytes));
  }
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::basic_parser<Handler> parser(options, events);
  json::error_code ec;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!parser.handler().failed) return parser.handler().failed;
  if (ec) return invalid(fmt::format("not valid JSON at byte {}: {}", read, ec.message()));
  if (read != text.size()) return invalid(fmt::format("not valid JSON at byte {}: text after its end", read));
  return {};
}

}  // namespace berth::metadata::detail
