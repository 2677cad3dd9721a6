#include "engines/catalog.h"

#include <doctest/doctest.h>

#include "engines/testing.h"

namespace berth::engines {
namespace {

using testing::toy_engine;

std::string complaint(const Engine& engine) {
  auto ok = validate(EngineCatalog({engine}));
  return ok.has_value() ? "" : ok.error().message;
}

template <class Change>
std::string complaint_after(Change&& change) {
  Engine engine = toy_engine();
  change(engine);
  return complaint(engine);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("versions compare number by number, whatever their length") {
  CHECK(compare_versions("12.10", "12.8") > 0);
  CHECK(compare_versions("12.8", "12.8.0") == 0);
  CHECK(compare_versions("550.54", "550.54.14") < 0);
  CHECK(compare_versions("0.5.15.post1", "0.5.15") == 0);
  CHECK(compare_versions("b11434", "11434") == 0);
  CHECK(compare_versions("v2", "1.9") > 0);
  CHECK(compare_versions("", "0") == 0);
  CHECK(compare_versions("99999999999999999999999", "1") > 0);
  CHECK(major_of("12.8") == 12);
  CHECK(major_of("none") == 0);
  CHECK(major_of("") == 0);
}

TEST_CASE("engines from files come in catalog order, by number, then id") {
  Engine a = toy_engine();
  Engine b = toy_engine();
  Engine c = toy_engine();
  a.id = "z";
  a.order = 10;
  b.id = "b";
  b.order = 20;
  c.id = "a";
  c.order = 20;
  const auto catalog = in_catalog_order({b, c, a});
  REQUIRE(catalog.engines().size() == 3);
  CHECK(catalog.engines()[0].id == "z");
  CHECK(catalog.engines()[1].id == "a");
  REQUIRE(catalog.find("b") != nullptr);
  CHECK(catalog.find("b")->order == 20);
  CHECK(catalog.find("none") == nullptr);
}

TEST_CASE("a sound catalog is valid, and two engines of one id are not") {
  CHECK(complaint(toy_engine()).empty());
  const auto ok = validate(EngineCatalog({toy_engine(), toy_engine()}));
  REQUIRE(!ok.has_value());
  CHECK(ok.error().code == Code::kInvalid);
  CHECK(has(ok.error().message, "engines[1].id \"toy\" is there twice"));
}

TEST_CASE("mistakes in a catalog are named with their path") {
  CHECK(has(complaint_after([](Engine& e) { e.id.clear(); }), "id is empty"));
  CHECK(has(complaint_after([](Engine& e) { e.layouts = {"sideways"}; }), "layouts[0] is \"sideways\""));
  CHECK(has(complaint_after([](Engine& e) { e.rows[0].source.clear(); }), "rows[0].source is empty"));
  CHECK(has(complaint_after([](Engine& e) { e.rows[0].install = "ftp"; }), "rows[0].install is \"ftp\""));
  CHECK(has(complaint_after([](Engine& e) { e.rows[0].versions = {"9.9"}; }), "rows[0].versions has \"9.9\""));
  CHECK(has(complaint_after([](Engine& e) { e.rows[0].runtime_version_min = "13.0"; }), "must be at most"));
  CHECK(has(complaint_after([](Engine& e) { e.rows[0].capability_min = "new"; }), "must begin with a number"));
  CHECK(has(complaint_after([](Engine& e) { e.flags[0].aliases = {"-np"}; }), "\"-np\" is there twice"));
  CHECK(has(complaint_after([](Engine& e) { e.flags[0].name = "ctx"; }), "must be like --ctx-size or -c"));
  CHECK(has(complaint_after([](Engine& e) { e.flags[0].setting = "flavour"; }), "must be one of context, sequences"));
  CHECK(has(complaint_after([](Engine& e) { e.flags[0].min = 1e9; }), "flags[0].min"));
  CHECK(has(complaint_after([](Engine& e) { e.flags.back().doc.clear(); }), "an owned flag says why"));
  CHECK(has(complaint_after([](Engine& e) { e.recipe.programs = {"/bin/sh"}; }), "a name without a folder"));
  CHECK(has(complaint_after([](Engine& e) { e.recipe.health.path = "health"; }), "recipe.health.path"));
  CHECK(has(complaint_after([](Engine& e) { e.recipe.arguments[0].args = {"{modle}"}; }), "{modle} is no placeholder"));
  CHECK(has(complaint_after([](Engine& e) { e.recipe.arguments[0].when = "sunday"; }), "no condition or task"));
}

TEST_CASE("rows of a vendor that are not best first, and facts without a source, are named") {
  CHECK(has(complaint_after([](Engine& e) {
              e.rows.push_back(e.rows[0]);
              e.rows[0].versions = {"2.9"};
              e.rows[1].versions = {"2.10"};
            }),
            "rows[1].versions come before those of rows[0]"));
  CHECK(has(complaint_after([](Engine& e) { e.unsupported = {{"nvidia", "no", "", "s"}}; }), "which has a row"));
  CHECK(has(complaint_after([](Engine& e) { e.unsupported = {{"intel", "", "", "s"}}; }), "why or source is empty"));
  CHECK(
      has(complaint_after([](Engine& e) { e.limits = {{{"9"}, {"cpu"}, "why", "s"}}; }), "\"9\", which is not among"));
  CHECK(has(complaint_after([](Engine& e) { e.limits = {{{"2.9"}, {"over_workers"}, "why", "s"}}; }), "among layouts"));
  CHECK(has(complaint_after([](Engine& e) { e.limits = {{{"2.9"}, {"cpu"}, "why", ""}}; }), "limits[0].source"));
  CHECK(has(complaint_after([](Engine& e) { e.divides = {{.pad = 0, .unless = {}, .source = "s"}}; }), "pad is 0"));
  const auto need = [](std::string least, std::vector<std::string> variants, bool refused) {
    return complaint_after([&](Engine& e) {
      TypeNeed n;
      n.type = "fp8";
      n.vendor = "nvidia";
      n.capability_min = least;
      n.variants = variants;
      n.refused = refused;
      e.type_needs = {n};
    });
  };
  CHECK(need("8.9", {}, false).empty());
  CHECK(need("", {"gfx9*"}, false).empty());
  CHECK(need("", {}, true).empty());
  CHECK(has(need("", {}, false), "give it, or variants, or refused"));
  CHECK(has(need("8.9", {}, true), "give it, or variants, or refused"));
  CHECK(has(need("new", {}, false), "must begin with a number"));
}

TEST_CASE("a version's limits take layouts from it and from no other") {
  Engine e = toy_engine();
  e.limits = {{{"2.9"}, {"single_device"}, "it crashes", "s"}};
  CHECK(layouts_of(e, "2.9") == std::vector<std::string>{"cpu"});
  CHECK(layouts_of(e, "2.10") == e.layouts);
  CHECK(layouts_of(e, "") == e.layouts);
  REQUIRE(limit_of(e, "2.9", "single_device") != nullptr);
  CHECK(limit_of(e, "2.9", "single_device")->why == "it crashes");
  CHECK(limit_of(e, "2.9", "cpu") == nullptr);
}

TEST_CASE("chip variants are told by globs, whatever their case") {
  CHECK(matches_variant({}, "anything"));
  CHECK(matches_variant({"*910b?*"}, "Ascend 910B3"));
  CHECK(matches_variant({"*910b?*"}, "910b4-1"));
  CHECK_FALSE(matches_variant({"*910b?*"}, "Ascend910B"));
  CHECK(matches_variant({"gfx90a*", "gfx94*"}, "gfx90a:sramecc+:xnack-"));
  CHECK_FALSE(matches_variant({"gfx94*"}, ""));
}

TEST_CASE("a recipe that shows a secret in the process list or opens loader variables is refused") {
  CHECK(has(complaint_after([](Engine& e) { e.recipe.arguments[3].args = {"--api-key", "{secret}"}; }),
            "readable in the process list"));
  for (const char* pattern : {"*", "LD_*", "LD_PRELOAD", "PYTHON*", "PATH", "LLAMA_*"})
    CHECK_MESSAGE(has(complaint_after([&](Engine& e) { e.recipe.user_environment = {pattern}; }), "never allowed"),
                  pattern);
}

}  // namespace
}  // namespace berth::engines
