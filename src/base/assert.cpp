#include "base/assert.h"

namespace berth {

Bug::Bug(const char* file, int line, const char* text)
    : std::logic_error(std::string(file) + ":" + std::to_string(line) + ": assertion failed: " + text) {}

void throw_bug(const char* file, int line, const char* text) { throw Bug(file, line, text); }

}  // namespace berth
