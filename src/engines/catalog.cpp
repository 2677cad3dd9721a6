#include "engines/catalog.h"

#include <algorithm>

#include "base/text.h"
#include "fleet/detail/hash_fields.h"

namespace berth::engines {
namespace {

// Digits at the front of `part`; numbers beyond 64 bits stop at the largest.
std::uint64_t leading_number(std::string_view part) {
  Bytes n;
  for (const char c : part) {
    if (c < '0' || c > '9') break;
    n = n * 10 + Bytes(static_cast<std::uint64_t>(c - '0'));
  }
  return n.value;
}

// Takes the first dotted part off `version`. A leading "v" or "b" ("v0.9", "b11434") is no part of the number.
std::uint64_t take_part(std::string_view& version) {
  const auto dot = version.find('.');
  const std::string_view part = version.substr(0, dot);
  version = dot == std::string_view::npos ? std::string_view() : version.substr(dot + 1);
  return leading_number(part);
}

std::string_view without_prefix(std::string_view version) {
  if (version.size() > 1 && (version[0] == 'v' || version[0] == 'b')) version.remove_prefix(1);
  return version;
}

}  // namespace

const VersionLimit* limit_of(const Engine& engine, std::string_view version, std::string_view layout) {
  const auto holds = [](const std::vector<std::string>& list, std::string_view text) {
    return std::find(list.begin(), list.end(), text) != list.end();
  };
  for (const auto& limit : engine.limits)
    if (holds(limit.versions, version) && holds(limit.layouts, layout)) return &limit;
  return nullptr;
}

std::vector<std::string> layouts_of(const Engine& engine, std::string_view version) {
  std::vector<std::string> out = engine.layouts;
  std::erase_if(out, [&](const auto& layout) { return limit_of(engine, version, layout) != nullptr; });
  return out;
}

bool matches_variant(const std::vector<std::string>& globs, std::string_view text) {
  if (globs.empty()) return true;
  const std::string lower = to_lower(text);
  return std::any_of(globs.begin(), globs.end(), [&](const auto& glob) { return glob_match(glob, lower); });
}

EngineCatalog::EngineCatalog(std::vector<Engine> engines) : engines_(std::move(engines)) {
  Hasher h;
  fleet::detail::hash_value(h, engines_);
  hash_ = h.finish();
}

const Engine* EngineCatalog::find(std::string_view id) const {
  for (const auto& engine : engines_)
    if (engine.id == id) return &engine;
  return nullptr;
}

EngineCatalog in_catalog_order(std::vector<Engine> engines) {
  std::sort(engines.begin(), engines.end(), [](const Engine& a, const Engine& b) {
    return a.order != b.order ? a.order < b.order : a.id < b.id;
  });
  return EngineCatalog(std::move(engines));
}

std::strong_ordering compare_versions(std::string_view a, std::string_view b) {
  a = without_prefix(a);
  b = without_prefix(b);
  while (!a.empty() || !b.empty()) {
    const std::uint64_t x = take_part(a);
    const std::uint64_t y = take_part(b);
    if (x != y) return x <=> y;
  }
  return std::strong_ordering::equal;
}

std::uint32_t major_of(std::string_view version) {
  version = without_prefix(version);
  const std::uint64_t first = take_part(version);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(first, UINT32_MAX));
}

}  // namespace berth::engines
