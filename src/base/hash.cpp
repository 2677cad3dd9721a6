#include "base/hash.h"

#include <bit>
#include <fmt/format.h>

namespace berth {
namespace {

// Finaliser of the murmur family: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xFF51AFD7ED558CCDULL;
  x ^= x >> 33;
  x *= 0xC4CEB9FE1A85EC53ULL;
  x ^= x >> 33;
  return x;
}

std::uint64_t load_le(std::string_view text, std::size_t at) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < 8 && at + i < text.size(); ++i)
    word |= std::uint64_t(static_cast<unsigned char>(text[at + i])) << (8 * i);
  return word;
}

}  // namespace

Hash& Hash::operator+=(const Hash& other) {
  lo += other.lo;
  hi += other.hi + (lo < other.lo ? 1 : 0);
  return *this;
}

Hash& Hash::operator-=(const Hash& other) {
  hi -= other.hi + (lo < other.lo ? 1 : 0);
  lo -= other.lo;
  return *this;
}

std::string Hash::text() const { return fmt::format("{:016x}{:016x}", hi, lo); }

Hasher& Hasher::add(std::uint64_t value) {
  a_ = mix(a_ ^ value) + 0x165667B19E3779F9ULL;
  b_ = std::rotl(b_, 29) * 0x9FB21C651E98DF25ULL ^ mix(value + 0x27D4EB2F165667C5ULL);
  return *this;
}

Hasher& Hasher::add(std::string_view text) {
  add(static_cast<std::uint64_t>(text.size()) | (1ULL << 63));
  for (std::size_t at = 0; at < text.size(); at += 8) add(load_le(text, at));
  return *this;
}

Hash Hasher::finish() const { return Hash{mix(a_ + b_), mix(a_ ^ std::rotl(b_, 32))}; }

}  // namespace berth
