// from_json must not crash, and what it accepts must be stable: written, read and written again it is the same text.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "fleet/request.h"
#include "wire/json.h"
#include "wire/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT: raw bytes
  for (const auto strictness : {wire::Strictness::kStrict, wire::Strictness::kLenient}) {
    const auto request = wire::from_json<fleet::Request>(text, strictness);
    if (!request) continue;
    const std::string once = wire::to_json(*request);
    const auto again = wire::from_json<fleet::Request>(once, strictness);
    ASSERT(again.has_value());
    ASSERT(wire::to_json(*again) == once);
  }
  static_cast<void>(wire::from_json<wire::Heartbeat>(text, wire::Strictness::kLenient));
  return 0;
}
