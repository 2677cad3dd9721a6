#include "wire/texts.h"

#include <fmt/format.h>
#include <set>
#include <string>

#include "base/text.h"
#include "wire/codec_support.h"
#include "wire/schema.h"

namespace berth::wire::codec {
namespace {

Result<void> check_text(const std::string& text, const Path& path, std::string_view what) {
  const std::string shown = printable(text);
  if (shown == text) return {};
  return invalid(fmt::format("{} {} \"{}\", which has a control character", path.text(), what, shown));
}

Result<void> check_map(const Type& type, const void* value, const Path& path) {
  struct Walk {
    const Type& type;
    const Path& path;
    Result<void> done;
  } walk{type, path, {}};
  type.map.each(value, &walk, [](void* context, const std::string& key, const void* item) {
    auto& w = *static_cast<Walk*>(context);
    if (w.done) w.done = check_text(key, w.path, "has the key");
    if (w.done) w.done = check_texts(*w.type.item, item, w.path.below(std::string_view(key)));
  });
  return walk.done;
}

}  // namespace

Result<void> check_texts(const Type& type, const void* value, const Path& path) {
  switch (type.kind) {
    case Kind::kText:
      return check_text(*static_cast<const std::string*>(value), path, "is");
    case Kind::kSet:
      for (const auto& item : *static_cast<const std::set<std::string>*>(value))
        TRY_VOID(check_text(item, path, "holds"));
      return {};
    case Kind::kOptional: {
      const void* item = type.optional.get(value);
      return item == nullptr ? Result<void>() : check_texts(*type.item, item, path);
    }
    case Kind::kList:
      for (std::size_t i = 0; i < type.list.size(value); ++i)
        TRY_VOID(check_texts(*type.item, type.list.at(value, i), path.below(i)));
      return {};
    case Kind::kMap:
      return check_map(type, value, path);
    case Kind::kStruct:
      for (const Field& field : type.fields)
        TRY_VOID(check_texts(*field.type, field.in(const_cast<void*>(value)), path.below(field.name)));  // NOLINT: read
      return {};
    case Kind::kBool:
    case Kind::kBytes:
    case Kind::kTime:
    case Kind::kRaw:
    case Kind::kEnum:
    case Kind::kSigned:
    case Kind::kUnsigned:
    case Kind::kReal:
      return {};
  }
  return {};
}

void make_printable(const Type& type, void* value) {
  if (type.kind == Kind::kText) {
    auto& text = *static_cast<std::string*>(value);
    text = printable(text);
  } else if (type.kind == Kind::kOptional) {
    if (const void* item = type.optional.get(value)) make_printable(*type.item, const_cast<void*>(item));  // NOLINT
  } else if (type.kind == Kind::kList) {
    for (std::size_t i = 0; i < type.list.size(value); ++i)
      make_printable(*type.item, const_cast<void*>(type.list.at(value, i)));  // NOLINT: `value` is ours to change
  } else if (type.kind == Kind::kMap) {
    type.map.each(value, const_cast<Type*>(type.item), [](void* item_type, const std::string&, const void* item) {
      make_printable(*static_cast<const Type*>(item_type), const_cast<void*>(item));  // NOLINT: as above
    });
  } else if (type.kind == Kind::kStruct) {
    for (const Field& field : type.fields) make_printable(*field.type, field.in(value));
  }
}

}  // namespace berth::wire::codec
