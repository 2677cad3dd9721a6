#pragma once
// Fast check of large bodies.

#include <string_view>

namespace berth::gateway {

/// As berth::is_utf8, at several GB/s: bodies hold base64 images and long prompts.
bool is_utf8_fast(std::string_view text);

}  // namespace berth::gateway
