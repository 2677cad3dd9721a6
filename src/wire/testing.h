#pragma once
// Fills any described struct, for tests of this module: with readable fixed values, or at random.

#include <boost/describe.hpp>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/rng.h"
#include "base/time.h"
#include "wire/json.h"

namespace berth::wire::testing {

/// Where the values come from.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::string text(std::string_view member) = 0;
  /// In [least, most].
  virtual std::int64_t integer(std::int64_t least, std::int64_t most) = 0;
  virtual double real() = 0;
  virtual bool flip() = 0;
  virtual std::size_t count() = 0;
  virtual std::size_t pick(std::size_t choices) = 0;
};

/// Every optional present, every list with one item, texts that name their member: for golden files.
class FixedSource final : public Source {
 public:
  std::string text(std::string_view member) override { return std::string(member); }
  std::int64_t integer(std::int64_t least, std::int64_t most) override { return std::clamp(++next_, least, most); }
  double real() override { return 0.25; }
  bool flip() override { return true; }
  std::size_t count() override { return 1; }
  std::size_t pick(std::size_t choices) override { return choices - 1; }

 private:
  std::int64_t next_ = 0;
};

class RandomSource final : public Source {
 public:
  explicit RandomSource(std::uint64_t seed) : rng_(seed) {}

  std::string text(std::string_view) override {
    // Everything that a reader of JSON or YAML has ever taken for something else.
    static const std::vector<std::string> kOdd = {"",
                                                  "no",
                                                  "12.10",
                                                  "0o17",
                                                  "null",
                                                  "~",
                                                  "true",
                                                  "- a",
                                                  "a: b",
                                                  "#x",
                                                  " a ",
                                                  "{a}",
                                                  "\"q\"",
                                                  "it's",
                                                  "line\nend",
                                                  "\ttab",
                                                  "\x01\x7f",
                                                  "ümlaut",
                                                  "\xEE\x80\x80p",
                                                  "\xC2\x85",
                                                  "\\back",
                                                  "&a",
                                                  "*a",
                                                  "!t",
                                                  "1e3",
                                                  "0x1F",
                                                  "-",
                                                  "?",
                                                  "...",
                                                  "<<",
                                                  "日本",
                                                  "p",
                                                  "q",
                                                  "🙂",
                                                  "a\r\nb",
                                                  "%dir",
                                                  "@at",
                                                  "`",
                                                  "=",
                                                  "2026-01-01"};
    if (rng_.chance(1, 2)) return kOdd[rng_.below(kOdd.size())];
    std::string out;
    for (std::size_t i = rng_.below(8) + 1; i > 0; --i) out += static_cast<char>(' ' + rng_.below(95));
    return out;
  }
  std::int64_t integer(std::int64_t least, std::int64_t most) override {
    const std::uint64_t edge = rng_.below(6);
    if (edge == 0) return least;
    if (edge == 1) return most;
    return static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(most) + 1));
  }
  double real() override {
    return static_cast<double>(rng_.below(1'000'000)) / static_cast<double>(rng_.below(999) + 1);
  }
  bool flip() override { return rng_.chance(1, 2); }
  std::size_t count() override { return rng_.below(3); }
  std::size_t pick(std::size_t choices) override { return rng_.below(choices); }

 private:
  Rng rng_;
};

template <class T>
void fill(T& out, Source& source, std::string_view member);

template <class T>
void fill(std::optional<T>& out, Source& source, std::string_view member) {
  if (!source.flip()) return out.reset();
  fill(out.emplace(), source, member);
}

template <class T>
void fill(std::vector<T>& out, Source& source, std::string_view member) {
  out.resize(source.count());
  for (auto& item : out) fill(item, source, member);
}

template <class T>
void fill(std::map<std::string, T>& out, Source& source, std::string_view member) {
  out.clear();
  for (std::size_t i = source.count(); i > 0; --i) fill(out[source.text("key")], source, member);
}

inline void fill(std::set<std::string>& out, Source& source, std::string_view member) {
  out.clear();
  for (std::size_t i = source.count(); i > 0; --i) out.insert(source.text(member));
}

template <class T>
void fill_number(T& out, Source& source) {
  constexpr auto kExact = (std::int64_t{1} << 53) - 1;
  constexpr bool kWide = sizeof(T) == sizeof(std::int64_t);
  const auto least =
      kWide ? (std::is_signed_v<T> ? -kExact : 0) : static_cast<std::int64_t>(std::numeric_limits<T>::min());
  const auto most = kWide ? kExact : static_cast<std::int64_t>(std::numeric_limits<T>::max());
  out = static_cast<T>(source.integer(least, most));
}

template <class T>
void fill(T& out, Source& source, std::string_view member) {
  if constexpr (std::is_same_v<T, bool>) {
    out = source.flip();
  } else if constexpr (std::is_same_v<T, std::string>) {
    out = source.text(member);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    fill_number(out.value, source);
  } else if constexpr (std::is_same_v<T, Time>) {
    // Years 1970 to 9999, which RFC 3339 can write.
    out = Time(Duration(source.integer(0, 253'402'300'799'999)));
  } else if constexpr (std::is_enum_v<T>) {
    using All = boost::describe::describe_enumerators<T>;
    std::size_t at = source.pick(boost::mp11::mp_size<All>::value);
    boost::mp11::mp_for_each<All>([&](auto e) {
      if (at-- == 0) out = e.value;
    });
  } else if constexpr (std::is_floating_point_v<T>) {
    out = source.real();
  } else if constexpr (std::is_integral_v<T>) {
    fill_number(out, source);
  } else {
    boost::mp11::mp_for_each<::berth::detail::Members<T>>(
        [&](auto m) { fill(out.*m.pointer, source, std::string_view(m.name)); });
  }
}

template <class T>
T filled(Source& source) {
  T out{};
  fill(out, source, "value");
  return out;
}

}  // namespace berth::wire::testing
