#pragma once
// ASSERT is for our own bugs only, never for data from outside; it is on in every build (STYLE §4).

#include <stdexcept>
#include <string>

namespace berth {

/// Thrown by ASSERT. Caught per rule in placement, per request, per controller step and in main.
class Bug : public std::logic_error {
 public:
  Bug(const char* file, int line, const char* text);
};

[[noreturn]] void throw_bug(const char* file, int line, const char* text);

}  // namespace berth

#define ASSERT(cond) ((cond) ? void(0) : ::berth::throw_bug(__FILE__, __LINE__, #cond))
