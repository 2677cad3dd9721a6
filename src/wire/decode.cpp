// The decoder: walks a type's table beside the document.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/bytes.h"
#include "base/text.h"
#include "base/time.h"
#include "wire/codec_support.h"
#include "wire/schema.h"

namespace berth::wire::codec {
namespace {

template <class T>
T& as(void* value) {
  return *static_cast<T*>(value);
}

Result<void> decode_integer(const Type& type, void* out, const json::value& v, const Path& path) {
  if (type.kind == Kind::kSigned) {
    std::int64_t value = 0;
    TRY_VOID(decode_signed(value, v, path, type.integer.least, static_cast<std::int64_t>(type.integer.most)));
    type.integer.store(out, value);
    return {};
  }
  std::uint64_t value = 0;
  TRY_VOID(decode_unsigned(value, v, path, type.integer.most));
  type.integer.store(out, static_cast<std::int64_t>(value));
  return {};
}

Result<void> decode_enum(const Type& type, void* out, const json::value& v, const Path& path) {
  std::vector<std::string> names;
  for (const Enumerator& e : type.names) {
    names.push_back(snake(e.name));
    if (!v.is_string() || names.back() != std::string_view(v.get_string())) continue;
    type.integer.store(out, e.value);
    return {};
  }
  return wrong(path, "one of " + join(names, ", "), v);
}

Result<void> decode_real(const Type& type, void* out, const json::value& v, const Path& path) {
  if (!v.is_number()) return wrong(path, "a number", v);
  const auto real = v.to_number<double>();
  if (!std::isfinite(real)) return wrong(path, "a finite number", v);
  if (!type.single_precision) {
    as<double>(out) = real;
    return {};
  }
  if (std::abs(real) > static_cast<double>(std::numeric_limits<float>::max())) {
    return wrong(path, "a finite number", v);
  }
  as<float>(out) = static_cast<float>(real);
  return {};
}

Result<void> decode_time(void* out, const json::value& v, const Path& path) {
  const auto time = v.is_string() ? parse_rfc3339(std::string_view(v.get_string())) : std::nullopt;
  if (!time) return wrong(path, "a time like 2026-01-31T12:00:00Z", v);
  as<Time>(out) = *time;
  return {};
}

Result<void> decode_list(const Type& type, void* out, const json::value& v, const Path& path, Strictness strict) {
  const auto* array = v.if_array();
  if (array == nullptr) return wrong(path, "a list", v);
  type.list.clear(out);
  for (std::size_t i = 0; i < array->size(); ++i)
    TRY_VOID(decode(*type.item, type.list.append(out), (*array)[i], path.below(i), strict));
  return {};
}

Result<void> decode_set(void* out, const json::value& v, const Path& path, Strictness strict) {
  static constexpr Type kItem{.kind = Kind::kText};
  const auto* array = v.if_array();
  if (array == nullptr) return wrong(path, "a list", v);
  auto& set = as<std::set<std::string>>(out);
  set.clear();
  for (std::size_t i = 0; i < array->size(); ++i) {
    std::string item;
    TRY_VOID(decode(kItem, &item, (*array)[i], path.below(i), strict));
    set.insert(std::move(item));
  }
  return {};
}

Result<void> decode_map(const Type& type, void* out, const json::value& v, const Path& path, Strictness strict) {
  const auto* object = v.if_object();
  if (object == nullptr) return wrong(path, "an object", v);
  type.map.clear(out);
  for (const auto& [key, item] : *object) {
    const std::string name(key);
    TRY_VOID(decode(*type.item, type.map.slot(out, name), item, path.below(std::string_view(name)), strict));
  }
  return {};
}

Result<void> decode_struct(const Type& type, void* out, const json::value& v, const Path& path, Strictness strict) {
  const auto* object = v.if_object();
  if (object == nullptr) return wrong(path, "an object", v);
  std::size_t known = 0;
  for (const Field& field : type.fields) {
    const auto at = object->find(field.name);
    if (at == object->end()) continue;
    ++known;
    TRY_VOID(decode(*field.type, field.in(out), at->value(), path.below(field.name), strict));
  }
  if (strict == Strictness::kLenient) return {};
  if (known < object->size()) {
    std::vector<std::string> names;
    for (const Field& field : type.fields) names.emplace_back(field.name);
    for (const auto& [key, item] : *object)
      if (std::find(names.begin(), names.end(), std::string_view(key)) == names.end())
        return unknown_key(path, key, names);
  }
  return check_required(*object, type.rules, path);
}

Result<void> decode_optional(const Type& type, void* out, const json::value& v, const Path& path, Strictness strict) {
  if (v.is_null()) {
    type.optional.reset(out);
    return {};
  }
  return decode(*type.item, type.optional.emplace(out), v, path, strict);
}

bool takes_plain(Kind kind) {
  return kind == Kind::kBool || kind == Kind::kSigned || kind == Kind::kUnsigned || kind == Kind::kReal ||
         kind == Kind::kBytes || kind == Kind::kRaw;
}

/// A text of a spelled document; `path` no longer says so.
Result<void> decode_spelled(
    const Type& type, void* out, std::string_view spelled, const Path& path, Strictness strict) {
  const std::string text(spelled.substr(1));
  const bool plain = spelled.front() == kPlain;
  if (type.kind != Kind::kOptional) {
    return decode(
        type, out, takes_plain(type.kind) && plain ? plain_number_or_bool(text) : json::value(text), path, strict);
  }
  if (plain && is_null_text(text)) {
    type.optional.reset(out);
    return {};
  }
  return decode_spelled(*type.item, type.optional.emplace(out), spelled, path, strict);
}

}  // namespace

Result<void> decode(const Type& type, void* out, const boost::json::value& v, const Path& path, Strictness strict) {
  if (path.spelled && v.is_string()) return decode_spelled(type, out, v.get_string(), path.unwrapped(), strict);
  switch (type.kind) {
    case Kind::kBool:
      if (!v.is_bool()) return wrong(path, "true or false", v);
      as<bool>(out) = v.get_bool();
      return {};
    case Kind::kText:
      if (!v.is_string()) return wrong(path, "a text", v);
      as<std::string>(out) = std::string(v.get_string());
      return {};
    case Kind::kBytes:
      return decode_bytes(as<Bytes>(out), v, path, strict);
    case Kind::kTime:
      return decode_time(out, v, path);
    case Kind::kRaw:
      as<RawJson>(out).text = serialize_value(path.spelled ? resolved(v) : v);
      return {};
    case Kind::kEnum:
      return decode_enum(type, out, v, path);
    case Kind::kSigned:
    case Kind::kUnsigned:
      return decode_integer(type, out, v, path);
    case Kind::kReal:
      return decode_real(type, out, v, path);
    case Kind::kOptional:
      return decode_optional(type, out, v, path, strict);
    case Kind::kList:
      return decode_list(type, out, v, path, strict);
    case Kind::kSet:
      return decode_set(out, v, path, strict);
    case Kind::kMap:
      return decode_map(type, out, v, path, strict);
    case Kind::kStruct:
      return decode_struct(type, out, v, path, strict);
  }
  return fail(Code::kInternal, "a type of no kind");
}

Result<void> decode_value(
    const Type& type, void* out, const boost::json::value& v, Strictness strict, std::string_view root) {
  return decode(type, out, v, Path{.key = root}, strict);
}

Result<void> decode_json(const Type& type, void* out, std::string_view text, Strictness strict) {
  TRY(const auto value, parse_value(text));
  return decode(type, out, value, Path{}, strict);
}

Result<void> decode_yaml(const Type& type, void* out, std::string_view text, Strictness strict) {
  TRY(const auto document, parse_document(text));
  const Path root{.spelled = document.spelled};
  auto done = decode(type, out, document.value, root, strict);
  if (!done && document.spelled) return at_line(text, std::move(done).error());
  return done;
}

}  // namespace berth::wire::codec
