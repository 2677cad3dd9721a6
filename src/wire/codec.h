#pragma once
// The codec template. Heavy: include it only in the .cpp files that instantiate types with BERTH_WIRE(T).

#include <boost/describe.hpp>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/text.h"
#include "base/time.h"
#include "wire/json_value.h"
#include "wire/yaml.h"

namespace berth::wire::codec {

namespace json = boost::json;

/// JavaScript keeps integers exact up to here.
constexpr std::uint64_t kExactMax = (1ULL << 53) - 1;

/// Where in the document: a linked list on the stack, rendered only for errors.
struct Path {
  const Path* parent = nullptr;
  std::string_view key;
  std::size_t position = 0;
  bool item = false;

  [[nodiscard]] std::string text() const {
    if (parent == nullptr) return "$";
    return parent->text() + (item ? fmt::format("[{}]", position) : "." + printable(key));
  }
};

inline std::string shown(const json::value& v) {
  constexpr std::size_t kShownMax = 60;
  std::string text = printable(v.is_object() ? "an object" : v.is_array() ? "a list" : json::serialize(v));
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "…";
  return text;
}

inline Error wrong(const Path& path, std::string_view what, const json::value& got) {
  return invalid(fmt::format("{} must be {}, got {}", path.text(), what, shown(got)));
}

/// "kNotReady" → "not_ready".
inline std::string snake(std::string_view name) {
  std::string out;
  if (name.size() > 1 && name.front() == 'k') name.remove_prefix(1);
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      if (!out.empty()) out += '_';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

/// Plain YAML scalars arrive as texts behind this mark, with their own spelling: what they mean is decided by the
/// member that takes them, so that `runtime_version: 12.10` stays "12.10" and `os: no` stays "no" (wire/yaml.h).
constexpr std::string_view kPlainMark = "\xEE\x80\x80";

inline std::optional<std::string> plain_text(const json::value& v) {
  if (!v.is_string()) return std::nullopt;
  const std::string_view text(v.get_string());
  if (!text.starts_with(kPlainMark)) return std::nullopt;
  return std::string(text.substr(kPlainMark.size()));
}

inline bool is_null_text(std::string_view text) {
  return text.empty() || text == "null" || text == "~" || text == "Null" || text == "NULL";
}

/// The number, boolean or text that a plain scalar is for a member that wants `number_or_bool`.
inline json::value plain_value(const std::string& text, bool number_or_bool) {
  if (!number_or_bool) return json::value(text);
  boost::system::error_code ec;
  json::value parsed = json::parse(text, ec);
  return ec || parsed.is_object() || parsed.is_array() ? json::value(text) : parsed;
}

template <class T>
constexpr bool kDescribed = boost::describe::has_describe_members<T>::value;

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

template <class T>
json::value encode(const T& value);
template <class T>
Result<void> decode(T& out, const json::value& v, const Path& path, Strictness strict);

template <class T>
json::value encode_struct(const T& value) {
  json::object out;
  boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) {
    const auto& field = value.*member.pointer;
    if constexpr (IsOptional<std::remove_cvref_t<decltype(field)>>::value) {
      if (!field) return;
      out.emplace(member.name, encode(*field));
    } else {
      out.emplace(member.name, encode(field));
    }
  });
  return out;
}

template <class T>
json::value encode(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return json::value(value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return json::value(std::min(value.value, kExactMax));
  } else if constexpr (std::is_same_v<T, Time>) {
    return json::value(to_rfc3339(value));
  } else if constexpr (std::is_same_v<T, RawJson>) {
    auto parsed = parse_value(value.text);
    return parsed ? *parsed : json::value(nullptr);
  } else if constexpr (std::is_enum_v<T>) {
    return json::value(snake(boost::describe::enum_to_string(value, "k")));
  } else if constexpr (std::is_same_v<T, std::string>) {
    return json::value(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return json::value(value);
  } else if constexpr (IsVector<T>::value || std::is_same_v<T, std::set<std::string>>) {
    json::array out;
    for (const auto& item : value) out.push_back(encode(item));
    return out;
  } else if constexpr (IsMap<T>::value) {
    json::object out;
    for (const auto& [key, item] : value) out.emplace(key, encode(item));
    return out;
  } else {
    static_assert(kDescribed<T>, "the type needs DESCRIBE");
    return encode_struct(value);
  }
}

template <class T>
Result<void> decode_integer(T& out, const json::value& v, const Path& path) {
  constexpr bool kSigned = std::is_signed_v<T>;
  constexpr std::uint64_t kMost = std::min<std::uint64_t>(std::numeric_limits<T>::max(), kExactMax);
  constexpr std::int64_t kLeast = kSigned
                                      ? std::max<std::int64_t>(static_cast<std::int64_t>(std::numeric_limits<T>::min()),
                                                               -static_cast<std::int64_t>(kExactMax))
                                      : 0;
  const std::string what = fmt::format("an integer from {} to {}", kLeast, kMost);
  if (const auto* i = v.if_int64()) {
    const bool low = *i < kLeast;
    if (low || (*i > 0 && static_cast<std::uint64_t>(*i) > kMost)) return wrong(path, what, v);
    out = static_cast<T>(*i);
    return {};
  }
  if (const auto* u = v.if_uint64()) {
    if (*u > kMost) return wrong(path, what, v);
    out = static_cast<T>(*u);
    return {};
  }
  return wrong(path, what, v);
}

inline Result<void> decode_bytes(Bytes& out, const json::value& v, const Path& path, Strictness strict) {
  if (strict == Strictness::kStrict && v.is_string()) {
    auto parsed = parse_bytes(std::string_view(v.get_string()));
    if (!parsed) return invalid(path.text() + ": " + parsed.error().message);
    out = *parsed;
    return {};
  }
  std::uint64_t value = 0;
  TRY_VOID(decode_integer(value, v, path));
  out = value;
  return {};
}

template <class E>
Result<void> decode_enum(E& out, const json::value& v, const Path& path) {
  std::vector<std::string> names;
  bool found = false;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto e) {
    names.push_back(snake(e.name));
    if (found || !v.is_string() || names.back() != std::string_view(v.get_string())) return;
    out = e.value;
    found = true;
  });
  if (found) return {};
  return wrong(path, "one of " + join(names, ", "), v);
}

template <class T>
Result<void> decode_struct(T& out, const json::value& v, const Path& path, Strictness strict) {
  const auto* object = v.if_object();
  if (object == nullptr) return wrong(path, "an object", v);
  std::optional<Error> error;
  std::size_t known = 0;
  boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) {
    const auto at = object->find(member.name);
    if (at == object->end()) return;
    ++known;
    if (error) return;
    const Path below{.parent = &path, .key = member.name, .position = 0, .item = false};
    if (auto done = decode(out.*member.pointer, at->value(), below, strict); !done) error = std::move(done).error();
  });
  if (error) return std::move(*error);
  if (strict == Strictness::kLenient || known == object->size()) return {};
  std::vector<std::string> names;
  boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) { names.emplace_back(member.name); });
  for (const auto& [key, item] : *object) {
    if (std::find(names.begin(), names.end(), std::string(key)) != names.end()) continue;
    const auto near = nearest(std::string_view(key), names);
    return invalid(
        fmt::format("{}.{} is not known{}",
                    path.text(),
                    printable(std::string_view(key)),
                    near ? fmt::format("; did you mean \"{}\"?", *near) : "; allowed: " + join(names, ", ")));
  }
  return {};
}

template <class T>
Result<void> decode_list(std::vector<T>& out, const json::value& v, const Path& path, Strictness strict) {
  const auto* array = v.if_array();
  if (array == nullptr) return wrong(path, "a list", v);
  out.clear();
  for (std::size_t i = 0; i < array->size(); ++i) {
    T item{};
    const Path below{.parent = &path, .key = {}, .position = i, .item = true};
    TRY_VOID(decode(item, (*array)[i], below, strict));
    out.push_back(std::move(item));
  }
  return {};
}

template <class T>
Result<void> decode_plain(T& out, const std::string& text, const Path& path, Strictness strict) {
  if constexpr (IsOptional<T>::value) {
    if (is_null_text(text)) {
      out.reset();
      return {};
    }
    typename T::value_type item{};
    TRY_VOID(decode_plain(item, text, path, strict));
    out = std::move(item);
    return {};
  } else {
    constexpr bool kNumber = std::is_arithmetic_v<T> || std::is_same_v<T, Bytes> || std::is_same_v<T, RawJson>;
    return decode(out, plain_value(text, kNumber), path, strict);
  }
}

template <class T>
Result<void> decode(T& out, const json::value& v, const Path& path, Strictness strict) {
  if (const auto text = plain_text(v)) return decode_plain(out, *text, path, strict);
  if constexpr (IsOptional<T>::value) {
    if (v.is_null()) {
      out.reset();
      return {};
    }
    typename T::value_type item{};
    TRY_VOID(decode(item, v, path, strict));
    out = std::move(item);
    return {};
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!v.is_bool()) return wrong(path, "true or false", v);
    out = v.get_bool();
    return {};
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return decode_bytes(out, v, path, strict);
  } else if constexpr (std::is_same_v<T, Time>) {
    const auto time = v.is_string() ? parse_rfc3339(std::string_view(v.get_string())) : std::nullopt;
    if (!time) return wrong(path, "a time like 2026-01-31T12:00:00Z", v);
    out = *time;
    return {};
  } else if constexpr (std::is_same_v<T, RawJson>) {
    out.text = json::serialize(v);
    return {};
  } else if constexpr (std::is_enum_v<T>) {
    return decode_enum(out, v, path);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!v.is_string()) return wrong(path, "a text", v);
    out = std::string(v.get_string());
    return {};
  } else if constexpr (std::is_integral_v<T>) {
    return decode_integer(out, v, path);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!v.is_number()) return wrong(path, "a number", v);
    out = v.to_number<double>();
    if (!std::isfinite(out)) return wrong(path, "a finite number", v);
    return {};
  } else if constexpr (IsVector<T>::value) {
    return decode_list(out, v, path, strict);
  } else if constexpr (std::is_same_v<T, std::set<std::string>>) {
    std::vector<std::string> items;
    TRY_VOID(decode_list(items, v, path, strict));
    out = T(items.begin(), items.end());
    return {};
  } else if constexpr (IsMap<T>::value) {
    const auto* object = v.if_object();
    if (object == nullptr) return wrong(path, "an object", v);
    out.clear();
    for (const auto& [key, item] : *object) {
      const std::string name(key);
      const Path below{.parent = &path, .key = name, .position = 0, .item = false};
      TRY_VOID(decode(out[name], item, below, strict));
    }
    return {};
  } else {
    static_assert(kDescribed<T>, "the type needs DESCRIBE");
    return decode_struct(out, v, path, strict);
  }
}

}  // namespace berth::wire::codec

namespace berth::wire {

template <class T>
std::string to_json(const T& value) {
  return serialize_value(codec::encode(value));
}

template <class T>
std::string to_json_pretty(const T& value) {
  return pretty_value(codec::encode(value));
}

template <class T>
Result<T> from_json(std::string_view text, Strictness strictness) {
  TRY(const auto value, parse_value(text));
  T out{};
  const codec::Path root;
  TRY_VOID(codec::decode(out, value, root, strictness));
  return out;
}

template <class E>
std::string enum_name(E value) {
  return codec::snake(boost::describe::enum_to_string(value, "k"));
}

}  // namespace berth::wire

/// Instantiates the codec of one described struct. At namespace scope of a .cpp.
#define BERTH_WIRE(T)                                            \
  template std::string berth::wire::to_json<T>(const T&);        \
  template std::string berth::wire::to_json_pretty<T>(const T&); \
  template berth::Result<T> berth::wire::from_json<T>(std::string_view, berth::wire::Strictness)
/// As BERTH_WIRE, for documents that people write in YAML too.
#define BERTH_WIRE_YAML(T)                                                                                \
  BERTH_WIRE(T);                                                                                          \
  template <>                                                                                             \
  berth::Result<T> berth::wire::from_yaml<T>(std::string_view text, berth::wire::Strictness strictness) { \
    TRY(const auto value, berth::wire::parse_document(text));                                             \
    T out{};                                                                                              \
    const berth::wire::codec::Path root;                                                                  \
    TRY_VOID(berth::wire::codec::decode(out, value, root, strictness));                                   \
    return out;                                                                                           \
  }
#define BERTH_WIRE_ENUM(E) template std::string berth::wire::enum_name<E>(E)
