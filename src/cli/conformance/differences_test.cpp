// The list of cases whose recorded answer is wrong, and what keeps it short and true.
#include "cli/conformance/differences.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/inputs.h"

namespace berth::cli::conformance {
namespace {

std::string complaint_of(std::string_view json) {
  const auto read = read_differences(json);
  return read ? "" : read.error().message;
}

CaseLine ran(std::string id, bool passed, std::string difference = "") {
  CaseLine line;
  line.id = std::move(id);
  line.passed = passed;
  if (!difference.empty()) line.differences = {std::move(difference)};
  return line;
}

Differences one(std::string id) { return {{{std::move(id), {"feasible: expected false"}, "3 of 4 GiB", "T22"}}}; }

Summary with_others(CaseLine line) {
  Summary s;
  s.cases.push_back(std::move(line));
  for (int i = 0; i < 9; ++i) s.cases.push_back(ran(fmt::format("z{}", i), true));
  return s;
}

}  // namespace

TEST_CASE("a case that differs as the list says passes as listed") {
  auto s = with_others(ran("a", false, "feasible: expected false, got fits"));
  apply(one("a"), true, s);
  CHECK(s.passed == 10);
  CHECK(s.failed == 0);
  CHECK(s.listed == 1);
  CHECK(s.cases.front().listed == "3 of 4 GiB (T22)");
  CHECK(to_text(s).find("PASS  a: differs (listed): 3 of 4 GiB (T22): feasible: expected false, got fits") == 0);
}

TEST_CASE("an entry that no longer differs, or differs otherwise, fails its case") {
  auto s = with_others(ran("a", true));
  apply(one("a"), true, s);
  CHECK(s.failed == 1);
  CHECK(s.listed == 0);
  CHECK(join(s.cases.front().differences, "|").find("differs no longer") != std::string::npos);
  s = with_others(ran("a", false, "feasible: expected true, got unknown"));
  apply(one("a"), true, s);
  CHECK(s.failed == 1);
  CHECK(s.cases.front().differences.back().find("which is another") != std::string::npos);
  auto two = ran("a", false, "feasible: expected false, got fits");
  two.differences.emplace_back("and another");
  s = with_others(std::move(two));
  apply(one("a"), true, s);
  CHECK(s.failed == 1);
}

TEST_CASE("what is not listed and what did not run is left alone") {
  auto s = with_others(ran("b", false, "feasible: expected false, got fits"));
  apply(one("a"), true, s);
  CHECK(s.failed == 1);
  CHECK(s.listed == 0);
}

TEST_CASE("more than a tenth of the cases cannot be listed, and issues do not count") {
  Differences list;
  Summary s;
  for (const char* id : {"a", "b"}) {
    list.cases.push_back({id, {"feasible"}, "numbers", ""});
    s.cases.push_back(ran(id, false, "feasible: expected false, got fits"));
  }
  for (int i = 0; i < 17; ++i) s.cases.push_back(ran(fmt::format("z{}", i), true));
  s.cases.push_back(ran("issue-1", true));
  auto part = s;
  apply(list, true, s);  // 2 of 19
  CHECK(s.failed == 2);
  CHECK(s.listed == 0);
  apply(list, false, part);  // a part of the cases was asked for
  CHECK(part.failed == 0);
  part.cases.clear();
  s.cases.clear();
  for (const char* id : {"a", "b"}) s.cases.push_back(ran(id, false, "feasible: expected false, got fits"));
  for (int i = 0; i < 18; ++i) s.cases.push_back(ran(fmt::format("z{}", i), true));
  apply(list, true, s);  // 2 of 20
  CHECK(s.failed == 0);
  CHECK(s.listed == 2);
}

TEST_CASE("an entry without proof, of an issue, twice or out of order is refused") {
  const auto with = [](std::string_view id, std::string_view rest) {
    return fmt::format(R"({{"cases": [{{"id": "{}", "says": ["feasible"], {}}}]}})", id, rest);
  };
  CHECK(complaint_of(with("a", R"("numbers": "1 > 0", "field_case": "")")).empty());
  CHECK(complaint_of(with("a", R"("numbers": "", "field_case": "T01")")).empty());
  CHECK(complaint_of(with("a", R"("numbers": "", "field_case": "")")).find("who is wrong") != std::string::npos);
  CHECK(complaint_of(with("issue-1", R"("numbers": "1", "field_case": "")")).find("every one of these holds") !=
        std::string::npos);
  const std::string entry = R"({"id": "a", "says": ["x"], "numbers": "1", "field_case": ""})";
  CHECK(complaint_of(R"({"cases": [)" + entry + "," + entry + "]}").find("there twice") != std::string::npos);
}

TEST_CASE("the list that is compiled in is the file, and can be read") {
  const auto file = read_text_file("tests/conformance/differences.json");
  REQUIRE(file.has_value());
  CHECK(*file == embedded_differences());
  const auto read = differences_for("", "tests/conformance/cases");
  REQUIRE_MESSAGE(read.has_value(), read.error().message);
  CHECK(read->cases.size() <= 16);
  CHECK(differences_for("none", "anywhere")->cases.empty());
  CHECK_FALSE(differences_for("/no/such/file", "anywhere").has_value());
}

}  // namespace berth::cli::conformance
