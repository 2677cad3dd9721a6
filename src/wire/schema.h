#pragma once
// What the codec knows of a type, as data: one table per described struct, read by one encoder and one decoder. Only
// the tables and a few one-line accessors are compiled per type, so that a new struct costs next to nothing.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/json_value.h"
#include "wire/rules.h"

namespace berth::wire::codec {

struct Type;
struct Path;

enum class Kind {
  kBool,
  kText,
  kBytes,
  kTime,
  kRaw,
  kEnum,
  kSigned,
  kUnsigned,
  kReal,
  kOptional,
  kList,
  kSet,
  kMap,
  kStruct
};

struct Field {
  std::string_view name;
  const Type* type = nullptr;
  void* (*in)(void* owner) = nullptr;  // address of the member
};

/// `name` as written in code: "kNotReady".
struct Enumerator {
  std::string_view name;
  std::int64_t value = 0;
};

/// Integers and enumerations: any width, sign-extended.
struct IntegerOps {
  std::int64_t (*load)(const void*) = nullptr;
  void (*store)(void*, std::int64_t) = nullptr;
  std::int64_t least = 0;      // of the type, within ±kExactMax
  std::uint64_t most = 0;      // likewise
  bool wide_unsigned = false;  // load gives the bits of a uint64_t
};

struct OptionalOps {
  const void* (*get)(const void*) = nullptr;  // null when empty
  void* (*emplace)(void*) = nullptr;
  void (*reset)(void*) = nullptr;
};

struct ListOps {
  std::size_t (*size)(const void*) = nullptr;
  const void* (*at)(const void*, std::size_t) = nullptr;
  void* (*append)(void*) = nullptr;
  void (*clear)(void*) = nullptr;
};

using Visit = void (*)(void* context, const std::string& key, const void* item);

struct MapOps {
  void (*each)(const void*, void* context, Visit visit) = nullptr;  // in the order of the keys
  void* (*slot)(void*, const std::string& key) = nullptr;
  void (*clear)(void*) = nullptr;
};

struct Type {
  Kind kind = Kind::kStruct;
  IntegerOps integer{};
  bool single_precision = false;        // kReal: float rather than double
  std::span<const Enumerator> names{};  // kEnum
  OptionalOps optional{};
  ListOps list{};
  MapOps map{};
  const Type* item = nullptr;       // of an optional, a list, a map
  std::span<const Field> fields{};  // kStruct, in wire order
  FieldRules rules{};
};

boost::json::value encode(const Type& type, const void* value);
/// Errors: kInvalid, with the path.
Result<void> decode(const Type& type, void* out, const boost::json::value& v, const Path& path, Strictness strict);

/// Errors: kInvalid for the first text or key that holds a control character.
Result<void> check_texts(const Type& type, const void* value, const Path& path);
/// Control characters of every text as \xNN.
void make_printable(const Type& type, void* value);

/// Whole documents; what wire/json.h and wire/yaml.h declare, without the type.
std::string encode_text(const Type& type, const void* value);
std::string encode_pretty(const Type& type, const void* value);
Result<void> decode_value(
    const Type& type, void* out, const boost::json::value& v, Strictness strict, std::string_view root);
Result<void> decode_json(const Type& type, void* out, std::string_view text, Strictness strict);
Result<void> decode_yaml(const Type& type, void* out, std::string_view text, Strictness strict);
/// snake_case name of the enumerator; "" when the value has none.
std::string enumerator_name(const Type& type, std::int64_t value);

}  // namespace berth::wire::codec
