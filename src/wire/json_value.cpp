#include "wire/json_value.h"

#include <fmt/format.h>
#include <set>

#include "base/text.h"

namespace berth::wire {
namespace {

namespace json = boost::json;

/// Boost.JSON keeps the last of duplicate keys in silence; a scan of the text finds them before.
class DuplicateFinder {
 public:
  explicit DuplicateFinder(std::string_view text) : text_(text) {}

  /// The text is known to be valid JSON of bounded depth.
  std::optional<std::string> find() {
    std::vector<std::set<std::string, std::less<>>> keys;
    std::vector<bool> object;
    bool expect_key = false;
    for (at_ = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '{' || c == '[') {
        object.push_back(c == '{');
        keys.emplace_back();
        expect_key = c == '{';
      } else if (c == '}' || c == ']') {
        object.pop_back();
        keys.pop_back();
        expect_key = false;
      } else if (c == ',') {
        expect_key = !object.empty() && object.back();
      } else if (c == '"') {
        const std::string raw = quoted();
        if (!expect_key) continue;
        expect_key = false;
        if (!keys.back().insert(raw).second) return raw;
      }
    }
    return std::nullopt;
  }

 private:
  /// Decoded so that "\u0061" and "a" are one key.
  std::string quoted() {
    const std::size_t from = at_;
    for (++at_; text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    const auto raw = text_.substr(from, at_ - from + 1);
    if (raw.find('\\') == std::string_view::npos) return std::string(raw.substr(1, raw.size() - 2));
    boost::system::error_code ec;
    const json::value v = json::parse(json::string_view(raw.data(), raw.size()), ec);
    return ec ? std::string(raw) : std::string(v.as_string());
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void write_pretty(std::string& out, const json::value& v, std::size_t depth) {
  const std::string pad(2 * (depth + 1), ' '), end(2 * depth, ' ');
  if (const auto* o = v.if_object(); o != nullptr && !o->empty()) {
    out += "{\n";
    bool first = true;
    for (const auto& [key, item] : *o) {
      if (!first) out += ",\n";
      first = false;
      out += pad + json::serialize(json::value(key)) + ": ";
      write_pretty(out, item, depth + 1);
    }
    out += "\n" + end + "}";
  } else if (const auto* a = v.if_array(); a != nullptr && !a->empty()) {
    out += "[\n";
    for (std::size_t i = 0; i < a->size(); ++i) {
      if (i > 0) out += ",\n";
      out += pad;
      write_pretty(out, (*a)[i], depth + 1);
    }
    out += "\n" + end + "]";
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

Result<json::value> parse_value(std::string_view text) {
  if (text.size() > kJsonBytesMax)
    return fail(Code::kTooLarge, fmt::format("JSON has {} bytes, at most {}", text.size(), kJsonBytesMax));
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::parser parser({}, options);
  boost::system::error_code ec;
  const std::size_t used = parser.write(text.data(), text.size(), ec);
  if (ec) return invalid(fmt::format("JSON: {} at byte {}", ec.message(), used));
  if (const auto twice = DuplicateFinder(text).find())
    return invalid(fmt::format("JSON: the key \"{}\" stands twice in one object", printable(*twice)));
  return parser.release();
}

std::string serialize_value(const json::value& value) { return json::serialize(value); }

std::string pretty_value(const json::value& value) {
  std::string out;
  write_pretty(out, value, 0);
  return out;
}

Result<std::string> pretty(std::string_view text) {
  TRY(const auto value, parse_value(text));
  return pretty_value(value);
}

}  // namespace berth::wire
