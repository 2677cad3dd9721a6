// The encoder: walks a type's table beside the value.
#include <cmath>
#include <set>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/time.h"
#include "wire/codec_support.h"
#include "wire/schema.h"

namespace berth::wire::codec {
namespace {

template <class T>
const T& as(const void* value) {
  return *static_cast<const T*>(value);
}

json::value encode_integer(const Type& type, const void* value) {
  const std::int64_t bits = type.integer.load(value);
  if (type.integer.wide_unsigned) {
    const auto wide = static_cast<std::uint64_t>(bits);
    ASSERT(wide <= kExactMax);
    return json::value(wide);
  }
  ASSERT(bits <= static_cast<std::int64_t>(kExactMax));
  ASSERT(bits >= -static_cast<std::int64_t>(kExactMax));
  return json::value(bits);
}

json::value encode_real(const Type& type, const void* value) {
  const double real = type.single_precision ? static_cast<double>(as<float>(value)) : as<double>(value);
  ASSERT(std::isfinite(real));
  return json::value(real);
}

json::value encode_list(const Type& type, const void* value) {
  json::array out;
  const std::size_t size = type.list.size(value);
  out.reserve(size);
  for (std::size_t i = 0; i < size; ++i) out.push_back(encode(*type.item, type.list.at(value, i)));
  return out;
}

json::value encode_set(const void* value) {
  json::array out;
  for (const auto& item : as<std::set<std::string>>(value)) out.push_back(json::value(item));
  return out;
}

json::value encode_map(const Type& type, const void* value) {
  struct Context {
    const Type& item;
    json::object out{};
  } context{*type.item};
  type.map.each(value, &context, [](void* at, const std::string& key, const void* item) {
    auto& c = *static_cast<Context*>(at);
    c.out.emplace(key, encode(c.item, item));
  });
  return std::move(context.out);
}

json::value encode_struct(const Type& type, const void* value) {
  json::object out;
  out.reserve(type.fields.size());
  for (const Field& field : type.fields) {
    const Type* of = field.type;
    const void* member = field.in(const_cast<void*>(value));  // NOLINT: an address is taken, nothing written
    if (of->kind == Kind::kOptional) {
      member = of->optional.get(member);
      if (member == nullptr) continue;
      of = of->item;
    }
    out.emplace(field.name, encode(*of, member));
  }
  return out;
}

json::value encode_raw(const RawJson& raw) {
  auto parsed = parse_value(raw.text);
  return parsed ? *std::move(parsed) : json::value(nullptr);
}

json::value encode_optional(const Type& type, const void* value) {
  const void* item = type.optional.get(value);
  return item == nullptr ? json::value(nullptr) : encode(*type.item, item);
}

}  // namespace

boost::json::value encode(const Type& type, const void* value) {
  switch (type.kind) {
    case Kind::kBool:
      return json::value(as<bool>(value));
    case Kind::kText:
      return json::value(as<std::string>(value));
    // Saturated sizes stay "more than anybody has".
    case Kind::kBytes:
      return json::value(std::min(as<Bytes>(value).value, kExactMax));
    case Kind::kTime:
      return json::value(to_rfc3339(as<Time>(value)));
    case Kind::kRaw:
      return encode_raw(as<RawJson>(value));
    case Kind::kEnum:
      return json::value(enumerator_name(type, type.integer.load(value)));
    case Kind::kSigned:
    case Kind::kUnsigned:
      return encode_integer(type, value);
    case Kind::kReal:
      return encode_real(type, value);
    case Kind::kOptional:
      return encode_optional(type, value);
    case Kind::kList:
      return encode_list(type, value);
    case Kind::kSet:
      return encode_set(value);
    case Kind::kMap:
      return encode_map(type, value);
    case Kind::kStruct:
      return encode_struct(type, value);
  }
  ASSERT(false);
  return {};
}

std::string encode_text(const Type& type, const void* value) { return serialize_value(encode(type, value)); }
std::string encode_pretty(const Type& type, const void* value) { return pretty_value(encode(type, value)); }

std::string enumerator_name(const Type& type, std::int64_t value) {
  for (const Enumerator& e : type.names)
    if (e.value == value) return snake(e.name);
  return {};
}

}  // namespace berth::wire::codec
