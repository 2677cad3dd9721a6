#pragma once
// Fills any described struct, for tests of this module: with readable fixed values, or at random.

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/time.h"
#include "wire/codec.h"

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

/// Fills a value by the table of its type, so that it costs no code per type.
inline void fill(const codec::Type& type, void* out, Source& source, std::string_view member) {
  using codec::Kind;
  // Years 1970 to 9999, which RFC 3339 can write.
  constexpr std::int64_t kTimeMax = 253'402'300'799'999;
  const auto list = [&](auto&& one) {
    for (std::size_t i = source.count(); i > 0; --i) one();
  };
  switch (type.kind) {
    case Kind::kBool:
      *static_cast<bool*>(out) = source.flip();
      return;
    case Kind::kText:
      *static_cast<std::string*>(out) = source.text(member);
      return;
    case Kind::kBytes:
      static_cast<Bytes*>(out)->value = static_cast<std::uint64_t>(source.integer(0, codec::kExactMax));
      return;
    case Kind::kTime:
      *static_cast<Time*>(out) = Time(Duration(source.integer(0, kTimeMax)));
      return;
    case Kind::kRaw:
      static_cast<RawJson*>(out)->text = "null";
      return;
    case Kind::kEnum:
      type.integer.store(out, type.names[source.pick(type.names.size())].value);
      return;
    case Kind::kSigned:
    case Kind::kUnsigned:
      type.integer.store(out, source.integer(type.integer.least, static_cast<std::int64_t>(type.integer.most)));
      return;
    case Kind::kReal:
      if (type.single_precision) {
        *static_cast<float*>(out) = static_cast<float>(source.real());
      } else {
        *static_cast<double*>(out) = source.real();
      }
      return;
    case Kind::kOptional:
      type.optional.reset(out);
      if (source.flip()) fill(*type.item, type.optional.emplace(out), source, member);
      return;
    case Kind::kList:
      type.list.clear(out);
      list([&] { fill(*type.item, type.list.append(out), source, member); });
      return;
    case Kind::kSet:
      list([&] { static_cast<std::set<std::string>*>(out)->insert(source.text(member)); });
      return;
    case Kind::kMap:
      type.map.clear(out);
      list([&] { fill(*type.item, type.map.slot(out, source.text("key")), source, member); });
      return;
    case Kind::kStruct:
      for (const codec::Field& field : type.fields) fill(*field.type, field.in(out), source, field.name);
      return;
  }
}

template <class T>
T filled(Source& source) {
  T out{};
  fill(codec::kTypeOf<T>, &out, source, "value");
  return out;
}

}  // namespace berth::wire::testing
