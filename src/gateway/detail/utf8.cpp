#include "gateway/detail/utf8.h"

#include <simdjson.h>

namespace berth::gateway {

bool is_utf8_fast(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace berth::gateway
