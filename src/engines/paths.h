#pragma once
// Paths inside of flags' values: which parts of a value name files, and what the engine is given for them. Pure: the
// worker opens the files.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "engines/flags.h"

namespace berth::engines {

/// Pieces of a value, joined, are the value: paths, and what stands between them.
struct Piece {
  std::string text;
  bool path = false;
};

/// The pieces of a flag's value. Of a path flag: by its form. Of a flag that the catalog does not know: whatever looks
/// like a path, that is, begins with '/' or '~' or has a component "..", alone or after , ; : = @ | & quotes, brackets
/// or a space; an http address is none. Of other flags the whole value is text. Every path is absolute and free of "."
/// and "..". Errors: kInvalid naming flag, value and what is allowed.
Result<std::vector<Piece>> pieces(const ParsedFlag& flag);

struct FlagPath {
  std::string flag;
  std::string path;
};
/// Every path of these flags, in order; the worker resolves them before it starts the engine. Errors: as parse_flags.
Result<std::vector<FlagPath>> flag_paths(const Engine& engine, const std::vector<std::string>& flags);

/// The value with each path replaced by its entry of `real`. Errors: kForbidden for a path that has none, or whose real
/// name holds a character that the engine would read as the end of it.
Result<std::string> with_real_paths(const ParsedFlag& flag, const std::map<std::string, std::string>& real);

/// True when `path` is absolute, without "." or ".." components, and equal to or below one of `roots`. Lexical: links
/// are the worker's to follow.
bool is_under(std::string_view path, const std::vector<std::string>& roots);

}  // namespace berth::engines
