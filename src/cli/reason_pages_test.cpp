// docs/reasons: a page for each reason, whose example is one of its sentences; and no page for what is no reason.
#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "cli/inputs.h"
#include "placement/rules/rule.h"

namespace berth::cli {
namespace {

/// The words of a template between its placeholders, in order.
std::vector<std::string> words_between(std::string_view text) {
  std::vector<std::string> out(1);
  bool inside = false;
  for (const char c : text) {
    if (c == '{') {
      inside = true;
      out.emplace_back();
    } else if (c == '}') {
      inside = false;
    } else if (!inside) {
      out.back() += c;
    }
  }
  return out;
}

bool is_sentence_of(std::string_view line, std::string_view pattern) {
  std::size_t at = 0;
  for (const auto& words : words_between(pattern)) {
    at = line.find(words, at);
    if (at == std::string_view::npos) return false;
    at += words.size();
  }
  return true;
}

/// The indented line of the page.
std::string example_of(const std::string& page) {
  for (const auto& line : split(page, '\n'))
    if (line.starts_with("    ")) return std::string(line.substr(4));
  return "";
}

}  // namespace

TEST_CASE("every reason has a page with an example of its sentence, and every page a reason") {
  const auto names = placement::reason_names();
  const auto index = read_text_file("docs/reasons/README.md");
  REQUIRE(index.has_value());
  for (const auto& name : names) {
    CAPTURE(name);
    const auto page = read_text_file("docs/reasons/" + name + ".md");
    REQUIRE(page.has_value());
    CHECK(page->starts_with("# " + name + "\n"));
    CHECK(page->find("**What to do.**") != std::string::npos);
    CHECK_MESSAGE(is_sentence_of(example_of(*page), placement::reason_template(name)), example_of(*page));
    CHECK((page->find("`accept: [" + name + "]` turns it into a warning") != std::string::npos ||
           page->find("turns it into a warning") == std::string::npos));
    CHECK(index->find("[" + name + "](" + name + ".md)") != std::string::npos);
  }
  const std::set<std::string> known(names.begin(), names.end());
  for (const auto& entry : std::filesystem::directory_iterator("docs/reasons")) {
    const auto name = entry.path().stem().string();
    CHECK_MESSAGE((name == "README" || known.contains(name)), name);
  }
  for (const auto& name : placement::acceptable_reasons()) {
    const auto page = read_text_file("docs/reasons/" + name + ".md");
    REQUIRE(page.has_value());
    CHECK_MESSAGE(page->find("turns it into a warning") != std::string::npos, name);
  }
}

}  // namespace berth::cli
