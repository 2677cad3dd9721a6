// from_yaml must not crash, and what it accepts must survive being written as YAML.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "fleet/request.h"
#include "wire/files.h"
#include "wire/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT: raw bytes
  static_cast<void>(wire::yaml_to_json(text));
  static_cast<void>(wire::read_fleet_file(text));
  const auto request = wire::from_yaml<fleet::Request>(text, wire::Strictness::kStrict);
  if (!request) return 0;
  const auto again = wire::from_yaml<fleet::Request>(wire::to_yaml(*request), wire::Strictness::kStrict);
  ASSERT(again.has_value());
  ASSERT(wire::to_json(*again) == wire::to_json(*request));
  return 0;
}
