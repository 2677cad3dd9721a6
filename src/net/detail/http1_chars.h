#pragma once
// Character classes of RFC 9110 §5.6.

#include <array>
#include <string_view>

namespace berth::net::http1 {

struct CharTable {
  std::array<bool, 256> in{};
  constexpr bool operator()(char c) const { return in[static_cast<unsigned char>(c)]; }
  [[nodiscard]] constexpr bool all(std::string_view text) const {
    for (const char c : text) {
      if (!(*this)(c)) return false;
    }
    return true;
  }
};

constexpr CharTable make_token_table() {
  CharTable table;
  for (unsigned c = '0'; c <= '9'; ++c) table.in[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) table.in[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table.in[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table.in[static_cast<unsigned char>(c)] = true;
  return table;
}

constexpr CharTable make_value_table() {
  CharTable table;
  for (unsigned c = 0x20; c <= 0xff; ++c) table.in[c] = c != 0x7f;
  table.in['\t'] = true;
  return table;
}

constexpr CharTable make_target_table() {
  CharTable table;
  for (unsigned c = 0x21; c < 0x7f; ++c) table.in[c] = c != '#';
  return table;
}

constexpr CharTable kTokenChars = make_token_table();
constexpr CharTable kValueChars = make_value_table();
constexpr CharTable kTargetChars = make_target_table();

}  // namespace berth::net::http1
