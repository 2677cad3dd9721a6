#include "engines/flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "base/text.h"
#include "engines/detail/settings.h"
#include "engines/detail/words.h"
#include "engines/paths.h"

namespace berth::engines {
namespace {

using detail::Word;

// Both llama-server and vLLM read '_' as '-' in long names.
std::string normal_name(std::string_view name) {
  std::string out(name);
  if (out.size() > 2 && out[0] == '-' && out[1] == '-') std::replace(out.begin() + 2, out.end(), '_', '-');
  return out;
}

std::vector<std::string> spellings_of(const Flag& flag) {
  std::vector<std::string> out = flag.aliases;
  out.push_back(flag.name);
  if (!flag.negation.empty()) out.push_back(flag.negation);
  return out;
}

bool is_value(const Word& word) {
  return word.whole || word.quoted || word.text.empty() || word.text[0] != '-' || detail::is_number(word.text);
}

Error owned(const Flag& flag, std::string_view given) {
  return fail(Code::kForbidden, fmt::format("flag {} may not be given: {}", given, flag.doc));
}

// Engines that parse with Python's argparse take "--hos" for "--host"; vLLM takes "--config.key" for a part of
// "--config".
const Flag* owned_in_disguise(const Engine& engine, std::string_view name) {
  constexpr std::size_t kShortest = 3;  // "--" and one letter, or a dash and two
  name = name.substr(0, name.find('.'));
  if (name.size() < kShortest) return nullptr;
  const bool is_short = name[1] != '-';
  for (const auto& flag : engine.flags) {
    if (flag.kind != FlagClass::kOwned) continue;
    for (const std::string_view spelling : spellings_of(flag)) {
      if (spelling.substr(0, name.size()) == name) return &flag;
      // They take "-mx" for "-m x" too.
      if (is_short && spelling.size() == 2 && name.starts_with(spelling)) return &flag;
    }
  }
  return nullptr;
}

// What is glued to a name could be a path: "-L/etc".
bool is_flag_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  return name.size() > 1 && std::all_of(name.begin(), name.end(), fits) && name.find("..") == std::string_view::npos;
}

Result<void> check_range(const Flag& flag, std::string_view value, double number) {
  if ((!flag.min || number >= *flag.min) && (!flag.max || number <= *flag.max)) return {};
  std::string allowed;
  if (flag.min && flag.max)
    allowed = fmt::format("from {} to {}", *flag.min, *flag.max);
  else
    allowed = flag.min ? fmt::format("at least {}", *flag.min) : fmt::format("at most {}", *flag.max);
  return invalid(fmt::format("flag {} is {}, must be {}", flag.name, value, allowed));
}

Result<void> check_number(const Flag& flag, const std::string& value) {
  if (std::find(flag.choices.begin(), flag.choices.end(), value) != flag.choices.end()) return {};
  const std::string words = flag.choices.empty() ? "" : " or " + join(flag.choices, ", ");
  const bool integer = flag.type == FlagType::kInteger;
  const char* end = value.data() + value.size();
  double number = 0;
  std::int64_t whole = 0;
  const auto read = integer ? std::from_chars(value.data(), end, whole) : std::from_chars(value.data(), end, number);
  if (integer) number = static_cast<double>(whole);
  if (read.ec != std::errc() || read.ptr != end || !std::isfinite(number))
    return invalid(
        fmt::format("flag {} is \"{}\", must be {}{}", flag.name, value, integer ? "an integer" : "a number", words));
  return check_range(flag, value, number);
}

Result<void> check_value(const Flag& flag, const std::string& value) {
  switch (flag.type) {
    case FlagType::kBool:
      return {};
    case FlagType::kInteger:
    case FlagType::kNumber:
      return check_number(flag, value);
    case FlagType::kChoice:
      if (std::find(flag.choices.begin(), flag.choices.end(), value) != flag.choices.end()) return {};
      return invalid(fmt::format("flag {} is \"{}\", must be one of {}", flag.name, value, join(flag.choices, ", ")));
    case FlagType::kText:
      return {};
  }
  return {};
}

std::optional<bool> switch_value(std::string_view text) {
  const std::string lower = to_lower(text);
  if (lower == "true" || lower == "on" || lower == "1" || lower == "yes") return true;
  if (lower == "false" || lower == "off" || lower == "0" || lower == "no") return false;
  return std::nullopt;
}

// Reads the words of one engine's flags, one flag at a time.
class Reader {
 public:
  Reader(const Engine& engine, const std::vector<Word>& words) : engine_(engine), words_(words) {}

  [[nodiscard]] bool done() const { return at_ == words_.size(); }

  Result<ParsedFlag> next() {
    const Word& word = words_[at_++];
    if (is_value(word) || word.text == "-" || word.text == "--")
      return invalid(fmt::format(
          "flags: \"{}\" belongs to no flag; a value with spaces needs quotes or an entry of its own", word.text));
    const auto equals = word.text.find('=');
    const std::string given = normal_name(word.text.substr(0, equals));
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.text.substr(equals + 1);
    const Flag* flag = find_flag(engine_, given);
    if (flag == nullptr) return unknown(given, std::move(value));
    if (flag->kind == FlagClass::kOwned) return owned(*flag, given);
    ParsedFlag out{.name = flag->name, .kind = flag->kind, .form = flag->form, .setting = flag->setting};
    if (flag->type == FlagType::kBool) return read_switch(std::move(out), *flag, given, value);
    if (!value && !done() && is_value(words_[at_])) value = words_[at_++].text;
    if (!value) {
      const std::string allowed = flag->choices.empty() ? "" : ": " + join(flag->choices, ", ");
      return invalid(fmt::format("flag {} needs a value{}", flag->name, allowed));
    }
    TRY_VOID(check_value(*flag, *value));
    out.value = std::move(*value);
    out.has_value = true;
    TRY_VOID(pieces(out).map([](const auto&) {}));
    return out;
  }

 private:
  Result<ParsedFlag> unknown(const std::string& name, std::optional<std::string> value) {
    if (const Flag* hidden = owned_in_disguise(engine_, name)) return owned(*hidden, name);
    if (!is_flag_name(name))
      return invalid(
          fmt::format("\"{}\" is no flag: letters, digits, '-' and '.' after one or two dashes; a value "
                      "stands after '=' or a space",
                      printable(name)));
    if (!value && !done() && is_value(words_[at_])) value = words_[at_++].text;
    ParsedFlag out{.name = name, .has_value = value.has_value(), .known = false};
    out.value = value.value_or("");
    TRY_VOID(pieces(out).map([](const auto&) {}));
    return out;
  }

  Result<ParsedFlag> read_switch(ParsedFlag out,
                                 const Flag& flag,
                                 const std::string& given,
                                 const std::optional<std::string>& value) {
    const bool negated = given == flag.negation;
    std::optional<bool> on = true;
    if (value)
      on = switch_value(*value);
    else if (!done() && is_value(words_[at_]) && switch_value(words_[at_].text))
      on = switch_value(words_[at_++].text);
    if (!on) return invalid(fmt::format("flag {} is \"{}\", must be true or false", flag.name, value.value_or("")));
    out.off = *on == negated;
    return out;
  }

  const Engine& engine_;
  const std::vector<Word>& words_;
  std::size_t at_ = 0;
};

}  // namespace

const Flag* find_flag(const Engine& engine, std::string_view spelling) {
  const std::string name = normal_name(spelling);
  for (const auto& flag : engine.flags)
    for (const auto& known : spellings_of(flag))
      if (known == name) return &flag;
  return nullptr;
}

Result<std::vector<ParsedFlag>> parse_flags(const Engine& engine, const std::vector<std::string>& flags) {
  TRY(const auto words, detail::words_of(flags));
  std::map<std::string, ParsedFlag> by_name;
  Reader reader(engine, words);
  while (!reader.done()) {
    TRY(auto flag, reader.next());
    std::string name = flag.name;
    by_name.insert_or_assign(std::move(name), std::move(flag));
  }
  std::vector<ParsedFlag> out;
  out.reserve(by_name.size());
  for (auto& [name, flag] : by_name) out.push_back(std::move(flag));
  return out;
}

std::vector<std::string> unknown_flags(const Engine& engine, const std::vector<std::string>& flags) {
  std::vector<std::string> out;
  if (flags.empty()) return out;
  const auto parsed = parse_flags(engine, flags);
  if (!parsed) return out;
  for (const auto& flag : *parsed)
    if (!flag.known) out.push_back(flag.name);
  return out;
}

std::string flag_text(const Engine& engine, const ParsedFlag& flag) {
  if (flag.has_value) return flag.name + "=" + detail::quoted(flag.value);
  if (!flag.off) return flag.name;
  const Flag* known = find_flag(engine, flag.name);
  return known == nullptr ? "" : known->negation;
}

namespace {

/// The flag of a size that was given as a field only; fields and flags then say the same, whichever was given.
Result<void> add_kept(const Engine& engine, fleet::Request& request) {
  for (const auto* setting : detail::kept_settings()) {
    const auto& value = request.restriction.*setting->kept;
    if (!value) continue;
    const auto at = std::find_if(
        engine.flags.begin(), engine.flags.end(), [&](const Flag& f) { return f.setting == setting->name; });
    if (at == engine.flags.end())
      return invalid(fmt::format("{} is {}, but {} has no flag for it", setting->path, *value, engine.title));
    request.settings.flags.push_back(fmt::format("{}={}", at->name, *value));
  }
  std::sort(request.settings.flags.begin(), request.settings.flags.end());
  return {};
}

}  // namespace

Result<fleet::Request> absorb_flags(const Engine& engine, fleet::Request request) {
  TRY(const auto parsed, parse_flags(engine, request.settings.flags));
  request.settings.flags.clear();
  for (const auto& flag : parsed) {
    if (const auto* setting = detail::find_setting(flag.setting); setting != nullptr) {
      TRY_VOID(setting->apply(*setting, flag, request));
      continue;
    }
    std::string text = flag_text(engine, flag);
    if (text.empty()) continue;
    TRY(const auto again, parse_flags(engine, {text}));
    if (again.size() != 1 || again[0].value != flag.value)
      return invalid(fmt::format("flag {}: its value mixes both kinds of quotes with spaces, use one kind", flag.name));
    request.settings.flags.push_back(std::move(text));
  }
  TRY_VOID(add_kept(engine, request));
  return request;
}

}  // namespace berth::engines
