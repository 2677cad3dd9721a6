// The strict reader: Boost.JSON's event parser with a handler of ours, since its own keeps the last of duplicate keys
// in silence and rounds one double in seven to a neighbour (Boost 1.81).

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <fmt/format.h>
#include <set>
#include <vector>

#include "base/text.h"
#include "wire/json_value.h"

namespace berth::wire {
namespace {

namespace json = boost::json;
using boost::system::error_code;

class Handler {
 public:
  // The parser reads these names; the sizes are bounded by that of the text.
  static constexpr std::size_t max_object_size = kJsonBytesMax;  // NOLINT
  static constexpr std::size_t max_array_size = kJsonBytesMax;   // NOLINT
  static constexpr std::size_t max_key_size = kJsonBytesMax;     // NOLINT
  static constexpr std::size_t max_string_size = kJsonBytesMax;  // NOLINT

  [[nodiscard]] const std::optional<std::string>& twice() const { return twice_; }
  [[nodiscard]] json::value release() { return stack_.release(); }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t count, error_code&) {
    keys_.pop_back();
    stack_.push_object(count);
    return true;
  }
  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(std::size_t count, error_code&) {
    stack_.push_array(count);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    key_ += std::string_view(part.data(), part.size());
    stack_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, error_code& error) {
    key_ += std::string_view(part.data(), part.size());
    stack_.push_key(part);
    if (keys_.back().insert(key_).second) {
      key_.clear();
      return true;
    }
    twice_ = std::move(key_);
    error = json::error::syntax;
    return false;
  }
  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, error_code&) {
    stack_.push_string(part);
    return true;
  }
  bool on_number_part(json::string_view part, error_code&) {
    number_ += std::string_view(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t value, json::string_view, error_code&) {
    number_.clear();
    stack_.push_int64(value);
    return true;
  }
  bool on_uint64(std::uint64_t value, json::string_view, error_code&) {
    number_.clear();
    stack_.push_uint64(value);
    return true;
  }
  bool on_double(double value, json::string_view part, error_code&) {
    number_ += std::string_view(part.data(), part.size());
    double exact = 0;
    const auto read = std::from_chars(number_.data(), number_.data() + number_.size(), exact);
    // Out of range: the parser's own 0 or infinity, which members refuse.
    stack_.push_double(read.ec == std::errc() ? exact : value);
    number_.clear();
    return true;
  }
  bool on_bool(bool value, error_code&) {
    stack_.push_bool(value);
    return true;
  }
  bool on_null(error_code&) {
    stack_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

 private:
  json::value_stack stack_;
  std::vector<std::set<std::string, std::less<>>> keys_;  // of the open objects
  std::string key_;
  std::string number_;
  std::optional<std::string> twice_;
};

}  // namespace

Result<json::value> parse_value(std::string_view text) {
  if (text.size() > kJsonBytesMax)
    return fail(Code::kTooLarge, fmt::format("JSON has {} bytes, at most {}", text.size(), kJsonBytesMax));
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::basic_parser<Handler> parser(options);
  error_code error;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (const auto& twice = parser.handler().twice()) {
    constexpr std::size_t kShownMax = 200;
    return invalid(fmt::format("JSON: the key \"{}\" stands twice in one object, at byte {}",
                               printable(twice->size() > kShownMax ? "…" : *twice),
                               used));
  }
  if (!error && used < text.size()) error = json::error::extra_data;
  if (error) return invalid(fmt::format("JSON: {} at byte {}", error.message(), used));
  return parser.handler().release();
}

}  // namespace berth::wire
