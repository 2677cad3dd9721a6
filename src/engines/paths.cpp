#include "engines/paths.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/detail/words.h"

namespace berth::engines {
namespace {

// Engines that read lists of files give meaning to these, each in its own way.
constexpr std::string_view kNeverInList = "\"'\\";
constexpr std::string_view kBetween = ",;:=@|&\"'`[](){}<> \t";

bool has_any(std::string_view text, std::string_view characters) {
  return text.find_first_of(characters) != std::string_view::npos;
}

std::string_view form_words(PathForm form) {
  switch (form) {
    case PathForm::kList:
      return "an absolute path without . or .. (several with commas)";
    case PathForm::kScaledList:
      return "PATH:SCALE with an absolute path without . or .. (several with commas)";
    case PathForm::kNamedList:
      return "NAME=PATH with an absolute path without ., .. or another = (several with commas)";
  }
  return "";
}

Error bad_form(const ParsedFlag& flag) {
  return invalid(fmt::format("flag {} is \"{}\", must be {}", flag.name, printable(flag.value), form_words(flag.form)));
}

/// One entry of a list by its form: what stands before the path, the path, what stands after it.
Result<std::vector<Piece>> entry_pieces(const ParsedFlag& flag, const std::string& entry) {
  std::size_t begin = 0, end = entry.size();
  if (flag.form == PathForm::kScaledList) {
    end = entry.find(':');
    if (end == std::string::npos || !detail::is_number(entry.substr(end + 1))) return bad_form(flag);
  } else if (flag.form == PathForm::kNamedList) {
    begin = entry.find('=') + 1;
    if (begin < 2) return bad_form(flag);  // 0: there is none, 1: no name before it
  }
  const std::string path = entry.substr(begin, end - begin);
  if (!is_under(path, {"/"}) || has_any(path, kNeverInList)) return bad_form(flag);
  if (flag.form == PathForm::kNamedList && has_any(path, "=")) return bad_form(flag);
  return std::vector<Piece>{{entry.substr(0, begin)}, {path, true}, {entry.substr(end)}};
}

Result<std::vector<Piece>> listed_pieces(const ParsedFlag& flag) {
  std::vector<Piece> out;
  for (const auto& entry : split(flag.value, ',')) {
    if (!out.empty()) out.push_back({","});
    TRY(auto parts, entry_pieces(flag, entry));
    std::move(parts.begin(), parts.end(), std::back_inserter(out));
  }
  return out;
}

bool looks_like_path(std::string_view text) {
  if (text.empty()) return false;
  if (text[0] == '/' || text[0] == '~') return true;
  const auto parts = split(text, '/');
  return std::find(parts.begin(), parts.end(), "..") != parts.end();
}

/// Length of an http address at the beginning of `text`; 0 when there is none.
std::size_t address_length(std::string_view text) {
  constexpr std::string_view kAfterAddress = ",;|\"'`()<> \t";
  const std::string begin = to_lower(text.substr(0, std::string_view("https://").size()));
  if (!begin.starts_with("http://") && begin != "https://") return 0;
  return std::min(text.find_first_of(kAfterAddress), text.size());
}

Result<std::vector<Piece>> guessed_pieces(const ParsedFlag& flag) {
  const auto bad = [&flag](std::string_view why) {
    return invalid(fmt::format("flag {} is \"{}\": {}", flag.name, printable(flag.value), why));
  };
  if (to_lower(flag.value).find("file:") != std::string::npos)
    return bad("a flag that berth does not know may not name a file by its address");
  std::vector<Piece> out;
  std::string_view rest = flag.value;
  while (!rest.empty()) {
    std::size_t length = address_length(rest);
    if (length == 0) {
      length = std::min(rest.find_first_of(kBetween), rest.size());
      const std::string_view word = rest.substr(0, length);
      const bool path = looks_like_path(word);
      if (path && (!is_under(word, {"/"}) || has_any(word, kNeverInList)))
        return bad("it looks like a path, which must be absolute and without ~, . or ..");
      out.push_back({std::string(word), path});
    } else {
      out.push_back({std::string(rest.substr(0, length))});
    }
    rest.remove_prefix(length);
    if (rest.empty()) break;
    out.push_back({std::string(rest.substr(0, 1))});
    rest.remove_prefix(1);
  }
  return out;
}

}  // namespace

Result<std::vector<Piece>> pieces(const ParsedFlag& flag) {
  if (flag.known && flag.kind == FlagClass::kPath) return listed_pieces(flag);
  if (!flag.known) return guessed_pieces(flag);
  return std::vector<Piece>{{flag.value}};
}

Result<std::vector<FlagPath>> flag_paths(const Engine& engine, const std::vector<std::string>& flags) {
  std::vector<FlagPath> out;
  TRY(const auto parsed, parse_flags(engine, flags));
  for (const auto& flag : parsed) {
    TRY(const auto parts, pieces(flag));
    for (const auto& piece : parts)
      if (piece.path) out.push_back({flag.name, piece.text});
  }
  return out;
}

Result<std::string> with_real_paths(const ParsedFlag& flag, const std::map<std::string, std::string>& real) {
  TRY(const auto parts, pieces(flag));
  const bool list = flag.known && flag.form == PathForm::kList;
  std::string out;
  for (const auto& piece : parts) {
    if (!piece.path) {
      out += piece.text;
      continue;
    }
    const auto at = real.find(piece.text);
    if (at == real.end())
      return fail(Code::kForbidden, fmt::format("flag {}: {} was not opened", flag.name, printable(piece.text)));
    const bool named = flag.known && flag.form == PathForm::kNamedList && has_any(at->second, "=");
    if (named || has_any(at->second, list ? ",\"'\\" : ",:\"'\\"))
      return fail(Code::kForbidden,
                  fmt::format("flag {}: {} is {}, whose name the engine would read as several",
                              flag.name,
                              printable(piece.text),
                              printable(at->second)));
    out += at->second;
  }
  return out;
}

bool is_under(std::string_view path, const std::vector<std::string>& roots) {
  const auto clean = [](std::string_view p) {
    if (p.empty() || p[0] != '/') return false;
    for (const auto& part : split(p.substr(1), '/'))
      if (part == "." || part == "..") return false;
    return true;
  };
  if (!clean(path)) return false;
  for (std::string_view root : roots) {
    if (!clean(root)) continue;
    while (!root.empty() && root.back() == '/') root.remove_suffix(1);
    if (path.substr(0, root.size()) != root) continue;
    if (path.size() == root.size() || path[root.size()] == '/') return true;
  }
  return false;
}

}  // namespace berth::engines
