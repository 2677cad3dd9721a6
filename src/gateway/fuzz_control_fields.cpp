// The scanner of request bodies must agree with itself: what it accepts stays acceptable after the one change that the
// gateway makes, and then asks for usage.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/text.h"
#include "gateway/detail/control_fields.h"
#include "gateway/detail/usage.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string body(reinterpret_cast<const char*>(data), size);
  (void)berth::gateway::read_answer(body);
  const auto fields = berth::gateway::read_control_fields(body);
  if (!fields) return 0;
  ASSERT(berth::is_utf8(body));
  ASSERT(!fields->model.empty());
  berth::gateway::switch_usage_on(body, fields->usage);
  const auto again = berth::gateway::read_control_fields(body);
  ASSERT(again.has_value());
  ASSERT(again->wants_usage());
  ASSERT(again->model == fields->model);
  ASSERT(again->stream == fields->stream);
  return 0;
}
