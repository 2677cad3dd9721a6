#include "base/describe.h"

#include <doctest/doctest.h>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

namespace berth {

struct Inner {
  int a = 0;
  std::optional<std::string> b;
};
DESCRIBE(Inner, a, b);

struct Outer {
  Inner inner;
  std::optional<Inner> maybe;
  std::vector<Inner> many;
  std::map<std::string, std::string> labels;
  Bytes bytes;
  std::optional<Bytes> maybe_bytes;
  Time time{};
  std::optional<double> ratio;
  bool flag = false;
};
DESCRIBE(Outer, inner, maybe, many, labels, bytes, maybe_bytes, time, ratio, flag);

TEST_CASE("the field count of an aggregate is exact for optionals, maps, times and nested structs") {
  CHECK(detail::field_count<Inner>() == 2);
  CHECK(detail::field_count<Outer>() == 9);
}

}  // namespace berth
