#include "wire/yaml.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "engines/catalog.h"
#include "fleet/request.h"
#include "wire/files.h"

namespace berth::wire {
namespace {

std::string json_of(std::string_view yaml) {
  const auto json = yaml_to_json(yaml);
  return json ? *json : json.error().message;
}

template <class T>
std::string yaml_error_of(std::string_view yaml) {
  const auto value = from_yaml<T>(yaml, Strictness::kStrict);
  return value ? "no error" : value.error().message;
}

TEST_CASE("a text member takes a plain scalar as it is spelt") {
  const auto w = from_yaml<fleet::Worker>(
      "name: no\nos: linux\narch: 010\nmemory_total_bytes: 64GiB\nlabels: {zone: 1, on: off, v: 1.10, t: 2026-01-01}\n"
      "devices:\n  - vendor: nvidia\n    memory_total_bytes: 1024\n    runtime_version: 12.10\n    driver_version: "
      "'550'\n"
      "    numa_node: ~\n    island: \"null\"\n",
      Strictness::kStrict);
  REQUIRE_MESSAGE(w.has_value(), w.error().message);
  CHECK(w->name == "no");
  CHECK(w->arch == "010");
  CHECK(w->memory_total_bytes == Bytes(64 * kGiB));
  CHECK(w->labels ==
        std::map<std::string, std::string>{{"on", "off"}, {"t", "2026-01-01"}, {"v", "1.10"}, {"zone", "1"}});
  CHECK(w->devices.at(0).runtime_version == "12.10");
  CHECK(w->devices.at(0).driver_version == "550");
  CHECK_FALSE(w->devices.at(0).numa_node.has_value());
  CHECK(w->devices.at(0).island == "null");
}

TEST_CASE("numbers and truth values are taken in one spelling only") {
  CHECK(yaml_error_of<fleet::Request>("partial: yes") == "line 1: $.partial must be true or false, got \"yes\"");
  CHECK(yaml_error_of<fleet::Request>("partial: 'true'") == "line 1: $.partial must be true or false, got \"true\"");
  CHECK(yaml_error_of<fleet::Request>("replicas: 010") ==
        "line 1: $.replicas must be an integer from 0 to 4294967295, got \"010\"");
  CHECK(yaml_error_of<fleet::Request>("replicas: 0x10") ==
        "line 1: $.replicas must be an integer from 0 to 4294967295, got \"0x10\"");
  CHECK(yaml_error_of<fleet::Request>("replicas: 1_000") ==
        "line 1: $.replicas must be an integer from 0 to 4294967295, got \"1_000\"");
  CHECK(yaml_error_of<fleet::Request>("replicas: '2'") ==
        "line 1: $.replicas must be an integer from 0 to 4294967295, got \"2\"");
  CHECK(yaml_error_of<fleet::Request>("settings: {utilization: .nan}") ==
        "line 1: $.settings.utilization must be a number, got \".nan\"");
  CHECK(yaml_error_of<fleet::Request>("replicas: 2\npartial: false\npriority: -3") == "no error");
}

TEST_CASE("an error carries the line of the place that it names") {
  CHECK(yaml_error_of<fleet::Request>("model: a\nsettings:\n  flags:\n    - a\n    - b: c\n") ==
        "line 5: $.settings.flags[1] must be a text, got an object");
  CHECK(yaml_error_of<fleet::Request>("model: a\n\nsettings:\n  contxt: 1\n") ==
        "line 4: $.settings.contxt is not known; did you mean \"context\"?");
  CHECK(yaml_error_of<FleetFile>(
            "workers:\n  - name: a\n    os: linux\n\n  - name: b\n    os: linux\n    arch: amd64\n") ==
        "line 2: $.workers[0].arch is missing");
  CHECK(yaml_error_of<FleetFile>("occupants: {}") == "line 1: $.workers is missing");
  CHECK(yaml_error_of<FleetFile>("") == "$ must be an object, got null");
  CHECK(yaml_error_of<FleetFile>("# only a remark\n") == "$ must be an object, got null");
}

TEST_CASE("JSON is read as JSON, by the same function") {
  CHECK(yaml_error_of<fleet::Request>(" {\"replicas\": \"x\"}") ==
        "$.replicas must be an integer from 0 to 4294967295, got \"x\"");
  CHECK(yaml_error_of<fleet::Request>("{\"model\": \"a\", \"replicas\": 2}") == "no error");
}

TEST_CASE("without a type, plain scalars follow the core schema spelt as in JSON") {
  CHECK(
      json_of("a: 1\nb: -2.5\nc: true\nd: no\ne: 0o17\nf: 017\ng: ~\nh:\ni: null\nj: '1'\nk: 12.10\nl: .inf\nm: 1e3") ==
      R"({"a":1,"b":-2.5,"c":true,"d":"no","e":"0o17","f":"017","g":null,"h":null,"i":null,"j":"1","k":12.1,)"
      R"("l":".inf","m":1000.0})");
  CHECK(json_of("- !!str 12\n- !!int 12\n- |\n  two\n  lines\n- >-\n  one\n  line\n") ==
        R"(["12",12,"two\nlines\n","one line"])");
  CHECK(json_of("a: &x {b: [1, 2]}\nc: *x") == R"({"a":{"b":[1,2]},"c":{"b":[1,2]}})");
}

TEST_CASE("duplicate keys and keys that are no texts are refused with their line") {
  CHECK(json_of("a: 1\nb: 2\na: 3\n") == "line 3: the key \"a\" stands twice");
  CHECK(json_of("x:\n  - {a: 1, 'a': 2}\n") == "line 2: the key \"a\" stands twice");
  CHECK(json_of("[1, 2]: 3\n") != "");
  CHECK(json_of("a: 1\n? [1]\n: 2\n") == "line 2: a key must be a text");
  CHECK(json_of("~: 2\n") == "line 1: a key must be a text");
  CHECK(json_of("a: &x k\n*x : 2\n") == "line 2: a key must be a text");
}

TEST_CASE("a document that expands is refused before it is large") {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    const char before = static_cast<char>(c - 1);
    bomb += fmt::format("{0}: &{0} [*{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}]\n", c, before);
  }
  CHECK(json_of(bomb) == "line 6: more than 1000000 values");
  std::string wide = "a: &a '" + std::string(1024 * 1024, 'x') + "'\nb: [";
  for (int i = 0; i < 100; ++i) wide += "*a, ";
  CHECK(json_of(wide + "]\n") == "line 2: texts of more than 67108864 bytes in all");
  CHECK(json_of("a: &a [*a]\n") == "line 1: an alias inside its own anchor");
  CHECK(json_of("a: *nobody\n").starts_with("line 1: YAML: "));
}

TEST_CASE("depth and size have limits") {
  const auto nested = [](std::size_t depth) { return "a: " + std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(yaml_to_json(nested(kJsonDepthMax - 1)).has_value());
  CHECK(json_of(nested(kJsonDepthMax)) == "line 1: nested deeper than 64");
  CHECK_FALSE(yaml_to_json(nested(100'000)).has_value());
  std::string chain = "a0: &a0 [[[[[[[[[[1]]]]]]]]]]\n";
  for (int i = 1; i <= 7; ++i) chain += fmt::format("a{}: &a{} [[[[[[[[[*a{}]]]]]]]]]\n", i, i, i - 1);
  CHECK(json_of(chain) == "line 7: nested deeper than 64");
  const auto large = yaml_to_json(std::string(kYamlBytesMax + 1, ' '));
  REQUIRE_FALSE(large.has_value());
  CHECK(large.error().code == Code::kTooLarge);
}

TEST_CASE("nothing of a file is left out in silence") {
  CHECK(json_of("a: 1\n---\nb: 2\n") == "line 2: a second document begins; one file holds one");
  CHECK(json_of(std::string("a: 1\n\x04\nb: 2\n")) == "line 2: the control character 0x04 is not allowed");
  CHECK(json_of("a: \xff\n") == "the document is not valid UTF-8");
  CHECK(json_of("a: !!binary aGk=\n") == "line 1: the tag \"tag:yaml.org,2002:binary\" is not supported");
  CHECK(json_of("a: !mine {}\n") == "line 1: the tag \"!mine\" is not supported");
  CHECK(json_of("a: [1\nb: 2\n").starts_with("line "));
  CHECK(json_of("a: 1\n]\n").starts_with("line 2: "));
  CHECK(json_of("---\na: 1\n...\n") == R"({"a":1})");
}

TEST_CASE("a tab in the indentation is named, and other mistakes are not blamed on one") {
  CHECK(json_of("a:\n\tb: 1\n").ends_with("; tabs are not allowed for indentation"));
  CHECK(json_of("a:\n  b: 1\n\tc: 2\n").ends_with("; tabs are not allowed for indentation"));
  CHECK(json_of("a: [1\n").find("tabs") == std::string::npos);
  CHECK(json_of("a:\tb\nc: [1\n").find("tabs") == std::string::npos);
}

TEST_CASE("YAML is written in block style, doubtful texts in quotes") {
  CHECK(
      json_to_yaml(R"({"a":"x","b":[],"c":{},"d":[1,{"e":"no","f":[["1.10"]]}],"g":null,"h":{"i j":true}})").value() ==
      "a: x\nb: []\nc: {}\nd:\n  - 1\n  - e: \"no\"\n    f:\n      - - \"1.10\"\ng: null\nh:\n  i j: true\n");
  CHECK(json_to_yaml("[]").value() == "[]\n");
}

}  // namespace
}  // namespace berth::wire
