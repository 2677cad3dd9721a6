#pragma once
// The parts of the codec that do not depend on the type: paths, error texts, plain YAML scalars, sizes. For codec.h and
// the .cpp files of this module.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "wire/json_value.h"
#include "wire/rules.h"

namespace berth::wire::codec {

namespace json = boost::json;

/// JavaScript keeps integers exact up to here.
constexpr std::uint64_t kExactMax = (1ULL << 53) - 1;

/// Plain YAML scalars keep their spelling until the member that takes them says what they are, so that
/// `runtime_version: 12.10` stays "12.10" and `os: no` stays "no". In a spelled document every text therefore begins
/// with one of these, and nothing that a user writes can be taken for the other.
constexpr char kPlain = 'p';
constexpr char kQuoted = 'q';

/// Where in the document: a linked list on the stack, rendered only for errors.
struct Path {
  const Path* parent = nullptr;
  std::string_view key = "$";
  std::size_t position = 0;
  bool item = false;
  bool spelled = false;  // texts begin with kPlain or kQuoted

  [[nodiscard]] Path below(std::string_view member) const { return {this, member, 0, false, spelled}; }
  [[nodiscard]] Path below(std::size_t index) const { return {this, {}, index, true, spelled}; }
  /// The same place, its text unwrapped.
  [[nodiscard]] Path unwrapped() const { return {parent, key, position, item, false}; }
  [[nodiscard]] std::string text() const;
};

/// How one step of a path is written: ".name" or "[3]".
std::string step_text(std::string_view member);
std::string step_text(std::size_t index);

/// "$.a.b must be X, got Y"; Y is shortened and printable.
Error wrong(const Path& path, std::string_view what, const json::value& got);
Error unknown_key(const Path& path, std::string_view key, const std::vector<std::string>& allowed);
Error missing_key(const Path& path, std::string_view key);
/// Names every required member that the object lacks, the first of them.
Result<void> check_required(const json::object& object, const FieldRules& rules, const Path& path);

/// "kNotReady" → "not_ready".
std::string snake(std::string_view name);

bool is_null_text(std::string_view text);
/// The number or boolean that a plain scalar is, spelt as in JSON; else its text.
json::value plain_number_or_bool(const std::string& text);
/// A spelled value as YAML's core schema reads it: null, true, false, numbers spelt as in JSON, else texts.
json::value resolved(const json::value& spelled);

Result<void> decode_signed(
    std::int64_t& out, const json::value& v, const Path& path, std::int64_t least, std::int64_t most);
Result<void> decode_unsigned(std::uint64_t& out, const json::value& v, const Path& path, std::uint64_t most);
/// Also "24GiB" under kStrict.
Result<void> decode_bytes(Bytes& out, const json::value& v, const Path& path, Strictness strict);

}  // namespace berth::wire::codec
