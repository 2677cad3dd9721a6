#include "metadata/detail/config_view.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::metadata::detail {

namespace {

namespace json = boost::json;

constexpr std::size_t kShownMax = 60;

/// A value as it stands in the file, cut short, for messages.
std::string shown(const json::value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  const std::string text = printable(json::serialize(value));
  return text.size() <= kShownMax ? text : text.substr(0, kShownMax) + "…";
}

Error out_of_range(std::string_view name, const json::value& value, std::uint32_t max) {
  return invalid(fmt::format("{} is {}, must be a whole number from 0 to {}", name, shown(value), max));
}

/// Floats with a whole value count: some exporters write 4096.0.
Result<std::uint32_t> whole(std::string_view name, const json::value& value, std::uint32_t max) {
  if (const auto* number = value.if_int64(); number != nullptr && *number >= 0 && *number <= std::int64_t(max)) {
    return static_cast<std::uint32_t>(*number);
  }
  if (const auto* real = value.if_double(); real != nullptr) {
    if (*real >= 0 && *real <= double(max) && *real == std::floor(*real)) return static_cast<std::uint32_t>(*real);
  }
  return out_of_range(name, value, max);
}

bool is_negative(const json::value& value) {
  const auto* number = value.if_int64();
  return number != nullptr && *number < 0;
}

}  // namespace

const json::value* ConfigView::find(Names names, std::string_view& found) const {
  for (const json::object* section : sections_) {
    for (const std::string_view name : names) {
      const json::value* value = section->if_contains(json::string_view(name.data(), name.size()));
      if (value == nullptr || value->is_null()) continue;
      found = name;
      return value;
    }
  }
  return nullptr;
}

Result<std::optional<std::uint32_t>> ConfigView::number(Names names, std::uint32_t max) const {
  std::string_view name;
  const json::value* value = find(names, name);
  if (value == nullptr) return std::optional<std::uint32_t>();
  std::uint32_t most = 0;
  if (const json::array* array = value->if_array()) {
    for (const json::value& element : *array) {
      TRY(const std::uint32_t number, whole(name, element, max));
      most = std::max(most, number);
    }
  } else {
    TRY(most, whole(name, *value, max));
  }
  return most == 0 ? std::nullopt : std::optional(most);
}

Result<std::optional<std::uint32_t>> ConfigView::positive(Names names, std::uint32_t max) const {
  std::string_view name;
  const json::value* value = find(names, name);
  if (value != nullptr && is_negative(*value)) return std::optional<std::uint32_t>();
  return number(names, max);
}

Result<std::optional<bool>> ConfigView::flag(Names names) const {
  std::string_view name;
  const json::value* value = find(names, name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_bool()) return invalid(fmt::format("{} is {}, must be true or false", name, shown(*value)));
  return std::optional(value->get_bool());
}

Result<std::optional<std::string>> ConfigView::text(Names names) const {
  std::string_view name;
  const json::value* value = find(names, name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return invalid(fmt::format("{} is {}, must be a text", name, shown(*value)));
  const auto& text = value->get_string();
  return std::optional(std::string(text.data(), text.size()));
}

Result<std::vector<std::string>> ConfigView::texts(Names names) const {
  std::string_view name;
  const json::value* value = find(names, name);
  std::vector<std::string> result;
  if (value == nullptr) return result;
  if (!value->is_array()) return invalid(fmt::format("{} is {}, must be an array of texts", name, shown(*value)));
  for (const json::value& element : value->get_array()) {
    const json::string* text = element.if_string();
    if (text == nullptr) return invalid(fmt::format("{} holds {}, must hold texts", name, shown(element)));
    result.emplace_back(text->data(), text->size());
  }
  return result;
}

Result<std::optional<std::vector<std::uint32_t>>> ConfigView::numbers(Names names, std::uint32_t max) const {
  std::string_view name;
  const json::value* value = find(names, name);
  const json::array* array = value == nullptr ? nullptr : value->if_array();
  if (array == nullptr) return std::optional<std::vector<std::uint32_t>>();
  std::vector<std::uint32_t> result;
  for (const json::value& element : *array) {
    TRY(const std::uint32_t number, whole(name, element, max));
    result.push_back(number);
  }
  return std::optional(std::move(result));
}

const json::object* ConfigView::section(Names names) const {
  std::string_view name;
  const json::value* value = find(names, name);
  return value == nullptr ? nullptr : value->if_object();
}

std::vector<const json::object*> ConfigView::sections(Names names) const {
  std::string_view name;
  const json::value* value = find(names, name);
  std::vector<const json::object*> out;
  if (value == nullptr || !value->is_array()) return out;
  for (const json::value& entry : value->get_array()) out.push_back(entry.if_object());
  return out;
}

}  // namespace berth::metadata::detail
