#include "wire/json_value.h"

#include <cmath>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::wire {
namespace {

namespace json = boost::json;

/// Length of the well-formed UTF-8 character at `at`; 0 when there is none.
std::size_t character_size(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t size = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  return at + size <= text.size() && is_utf8(text.substr(at, size)) ? size : 0;
}

void write_text(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04x}", byte);
    } else if (byte < 0x80) {
      out += c;
    } else {
      const std::size_t size = character_size(text, i);
      out += size == 0 ? "\uFFFD" : text.substr(i, size);
      i += size == 0 ? 1 : size;
      continue;
    }
    ++i;
  }
  out += '"';
}

void write_double(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";  // "1e999" reads as infinity, which JSON cannot spell
    return;
  }
  const std::string text = fmt::format("{}", number);
  out += text;
  // A double stays one when it is read again.
  if (text.find_first_of(".e") == std::string::npos) out += ".0";
}

void write_scalar(std::string& out, const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
    case json::kind::array:
    case json::kind::object:
      out += "null";
      break;
    case json::kind::bool_:
      out += v.get_bool() ? "true" : "false";
      break;
    case json::kind::int64:
      out += std::to_string(v.get_int64());
      break;
    case json::kind::uint64:
      out += std::to_string(v.get_uint64());
      break;
    case json::kind::double_:
      write_double(out, v.get_double());
      break;
    case json::kind::string:
      write_text(out, v.get_string());
      break;
  }
}

/// `pretty`: two spaces of indentation a level, from `depth` on.
void write(std::string& out, const json::value& v, bool pretty, std::size_t depth) {
  const auto* object = v.if_object();
  const auto* array = v.if_array();
  if (object == nullptr && array == nullptr) return write_scalar(out, v);
  const bool is_object = object != nullptr;
  const bool empty = is_object ? object->empty() : array->empty();
  out += is_object ? '{' : '[';
  bool first = true;
  const auto next_line = [&](std::size_t level) {
    if (pretty && !empty) out += "\n" + std::string(2 * level, ' ');
  };
  const auto begin_item = [&] {
    if (!first) out += ',';
    first = false;
    next_line(depth + 1);
  };
  if (is_object) {
    for (const auto& [key, item] : *object) {
      begin_item();
      write_text(out, key);
      out += pretty ? ": " : ":";
      write(out, item, pretty, depth + 1);
    }
  } else {
    for (const auto& item : *array) {
      begin_item();
      write(out, item, pretty, depth + 1);
    }
  }
  next_line(depth);
  out += is_object ? '}' : ']';
}

}  // namespace

std::string serialize_value(const json::value& value) {
  std::string out;
  write(out, value, false, 0);
  return out;
}

std::string pretty_value(const json::value& value) {
  std::string out;
  write(out, value, true, 0);
  return out;
}

Result<std::string> pretty(std::string_view text) {
  TRY(const auto value, parse_value(text));
  return pretty_value(value);
}

}  // namespace berth::wire
