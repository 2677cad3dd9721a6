#include "engines/architectures.h"

#include <doctest/doctest.h>

#include "engines/testing.h"

namespace berth::engines {
namespace {

Engine reader(std::vector<ArchitectureRow> rows) {
  Engine e = testing::toy_engine();
  e.architectures.any = false;
  e.architectures.read = {"1.0", "1.2", "2.0"};
  e.architectures.tasks = {"generate"};
  e.architectures.source = "made up";
  e.architectures.rows = std::move(rows);
  return e;
}

ArchitectureRow listed_row(std::string since, std::string until, std::vector<std::string> names) {
  ArchitectureRow r;
  r.since = std::move(since);
  r.until = std::move(until);
  r.names = std::move(names);
  return r;
}

fleet::ModelFacts model_of(std::string architecture) {
  fleet::ModelFacts f;
  f.format = "gguf";
  f.architecture = std::move(architecture);
  return f;
}

Runs asked(const Engine& engine, const std::string& architecture, std::string_view version) {
  return runs(match_architecture(engine, model_of(architecture)), version);
}

std::string list_complaint(Engine engine) {
  const auto ok = validate(EngineCatalog({std::move(engine)}));
  return ok.has_value() ? "" : ok.error().message;
}

}  // namespace

TEST_CASE("a version that was read answers for itself, one between two only where they agree") {
  const Engine e =
      reader({listed_row("1.0", "", {"old"}), listed_row("1.2", "", {"middle"}), listed_row("1.0", "2.0", {"gone"})});
  CHECK(asked(e, "old", "1.0") == Runs::kYes);
  CHECK(asked(e, "old", "1.1") == Runs::kYes);
  CHECK(asked(e, "middle", "1.0") == Runs::kNo);
  CHECK(asked(e, "middle", "1.1") == Runs::kUnknown);
  CHECK(asked(e, "middle", "1.2") == Runs::kYes);
  CHECK(asked(e, "gone", "1.2") == Runs::kYes);
  CHECK(asked(e, "gone", "1.5") == Runs::kUnknown);
  CHECK(asked(e, "gone", "2.0") == Runs::kNo);
  CHECK(asked(e, "never", "1.1") == Runs::kNo);
}

TEST_CASE("beyond what was read, a newer version keeps and an older one lacks; the rest is unknown") {
  const Engine e = reader({listed_row("1.0", "", {"old"}), listed_row("2.0", "", {"new"})});
  CHECK(asked(e, "new", "2.1") == Runs::kYes);
  CHECK(asked(e, "never", "2.1") == Runs::kUnknown);
  CHECK(asked(e, "old", "0.9") == Runs::kUnknown);
  CHECK(asked(e, "new", "0.9") == Runs::kNo);
  CHECK(asked(e, "new", "") == Runs::kYes);
  CHECK(asked(e, "old", "our-own-build") == Runs::kUnknown);
  CHECK(asked(e, "old", "b1.0") == Runs::kYes);
}

TEST_CASE("nothing read or nothing told is unknown, and an engine that runs anything runs this") {
  Engine e = reader({listed_row("1.0", "", {"old"})});
  CHECK(asked(e, "", "1.0") == Runs::kUnknown);
  e.architectures.rows.clear();
  e.architectures.read.clear();
  CHECK(asked(e, "old", "1.0") == Runs::kUnknown);
  e.architectures.any = true;
  CHECK(asked(e, "old", "1.0") == Runs::kYes);
}

TEST_CASE("any of the architectures of a model will do") {
  const Engine e = reader({listed_row("1.0", "", {"known"})});
  auto facts = model_of("unheard-of");
  CHECK(runs(match_architecture(e, facts), "1.0") == Runs::kNo);
  facts.architectures = {"unheard-of", "known"};
  CHECK(runs(match_architecture(e, facts), "1.0") == Runs::kYes);
}

TEST_CASE("the engines that run a model are named with the versions that do") {
  Engine a = reader({listed_row("1.0", "", {"m"})});
  Engine b = reader({listed_row("1.2", "2.0", {"m"})});
  Engine other = reader({listed_row("1.0", "", {"x"})});
  Engine any = reader({});
  a.title = "A";
  b.title = "B";
  any.architectures.any = true;
  const EngineCatalog catalog({a, b, other, any});
  const auto with = engines_for(catalog, model_of("m"));
  REQUIRE(with.size() == 2);
  CHECK(with[0].title == "A");
  CHECK(with[0].since.empty());
  CHECK(with[1].since == "1.2");
  CHECK(with[1].until == "2.0");
}

TEST_CASE("mistakes in a list of architectures are named with their path") {
  CHECK(list_complaint(reader({listed_row("1.0", "", {"a", "b"})})).empty());
  CHECK(list_complaint(reader({listed_row("1.1", "", {"a"})})).find("architectures.rows[0].since is not among read") !=
        std::string::npos);
  CHECK(list_complaint(reader({listed_row("1.2", "1.0", {"a"})})).find("must come after since") != std::string::npos);
  CHECK(list_complaint(reader({listed_row("1.0", "", {"b", "a"})})).find("\"b\" before \"a\"") != std::string::npos);
  CHECK(list_complaint(reader({listed_row("1.0", "", {})})).find("names is empty") != std::string::npos);
  auto own = reader({listed_row("1.0", "", {"a"})});
  own.architectures.rows[0].own_code = true;
  CHECK(list_complaint(own).find("needs a trust_flag") != std::string::npos);
  own.architectures.trust_flag = "--no-such";
  CHECK(list_complaint(own).find("which is no flag") != std::string::npos);
  auto tasks = reader({listed_row("1.0", "", {"a"})});
  tasks.architectures.rows[0].tasks = {"paint"};
  CHECK(list_complaint(tasks).find("not among tasks") != std::string::npos);
  auto order = reader({});
  order.architectures.read = {"2.0", "1.0"};
  CHECK(list_complaint(order).find("oldest first") != std::string::npos);
}

}  // namespace berth::engines
