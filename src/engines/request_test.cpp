#include "engines/request.h"

#include <doctest/doctest.h>

#include "engines/testing.h"

namespace berth::engines {
namespace {

EngineCatalog toy_catalog() { return EngineCatalog({testing::toy_engine()}); }

fleet::Request asked(std::vector<std::string> flags, std::map<std::string, std::string> env = {}) {
  fleet::Request r;
  r.restriction.engine = "toy";
  r.settings.flags = std::move(flags);
  r.settings.env = std::move(env);
  return r;
}

std::string refusal(const fleet::Request& request) {
  const auto got = canonical(toy_catalog(), request);
  return got ? "no error" : got.error().message;
}

}  // namespace

TEST_CASE("flags that mean settings become settings, the others are typed and sorted, and twice is as once") {
  const auto once = canonical(toy_catalog(), asked({"-t 4 --mlock", "-c 1024"}));
  REQUIRE_MESSAGE(once.has_value(), once.error().message);
  CHECK(once->settings.context == 1024);
  CHECK(once->settings.flags == std::vector<std::string>{"--mlock", "--threads=4"});
  const auto twice = canonical(toy_catalog(), *once);
  REQUIRE(twice);
  CHECK(twice->settings.flags == once->settings.flags);
}

TEST_CASE("the task that is asked for is the task that the estimate counts") {
  auto request = asked({});
  request.task = "embed";
  request.facts.emplace().task = "generate";
  auto got = canonical(toy_catalog(), request);
  REQUIRE(got);
  CHECK(got->facts->task == "embed");
  request.task = "generate";
  got = canonical(toy_catalog(), request);
  CHECK(got->facts->task == "generate");
}

TEST_CASE("a flag or variable that may not be given is refused by name before anything is decided") {
  CHECK(refusal(asked({"--host=0.0.0.0"})) == "flag --host may not be given: engines listen on 127.0.0.1 only");
  CHECK(refusal(asked({"--threads=many"})) == "flag --threads is \"many\", must be an integer");
  CHECK(refusal(asked({"-c 0"})) == "flag --ctx-size is 0, must be from 1 to 16777216");
  CHECK(refusal(asked({}, {{"LD_PRELOAD", "/x.so"}})) ==
        "variable LD_PRELOAD may never be set: it changes what the engine runs or trusts");
  CHECK(refusal(asked({}, {{"OTHER", "1"}})) ==
        "variable OTHER is not allowed for Toy: allowed are TOY_*, OMP_NUM_THREADS");
  auto both = asked({"-c 1024"});
  both.settings.context = 2048;
  CHECK(refusal(both) == "flag --ctx-size is 1024, but settings.context is 2048: give one of them");
}

TEST_CASE("a flag that the catalog does not know is for operators, and is told by name") {
  const auto request = asked({"--mlok --novel=7"});
  CHECK(canonical(toy_catalog(), request).error() ==
        Error{Code::kForbidden,
              "settings.flags: --mlok is no flag of Toy that berth knows: did you mean --mlock?; one that it does not "
              "know needs a key with the scope operator"});
  const auto refused = canonical(toy_catalog(), asked({"--novel"}), {.name = "ci", .operator_right = false});
  CHECK(refused.error().message ==
        "settings.flags: --novel is no flag of Toy that berth knows; one that it does not know needs a key with the "
        "scope operator, which \"ci\" lacks");
  const auto taken = canonical(toy_catalog(), request, {.name = "ops", .operator_right = true});
  REQUIRE(taken.has_value());
  CHECK(taken->settings.flags == std::vector<std::string>{"--mlok", "--novel=7"});
  CHECK(unknown_flags(toy_catalog(), *taken) == std::vector<std::string>{"--mlok", "--novel"});
  CHECK(unknown_flags(toy_catalog(), asked({"--mlock"})).empty());
  for (const char* text : {"--novel=../x", "--novel=~/x", "--novel=file:/models/a"})
    CHECK(canonical(toy_catalog(), asked({text}), {.name = "ops", .operator_right = true}).error().code ==
          Code::kInvalid);
}

TEST_CASE("flags and variables without their engine are refused with the engines that there are") {
  auto request = asked({"-c 1024"});
  request.restriction.engine.reset();
  CHECK(refusal(request) ==
        "settings.flags is given, but restriction.engine is not: name the engine that it is for, one of toy");
  request = asked({}, {{"TOY_A", "1"}});
  request.restriction.engine = "abacus";
  CHECK(refusal(request) ==
        "settings.env is given for restriction.engine \"abacus\", which the catalog does not have: it has toy");
}

TEST_CASE("a KV type that no engine has is refused, one that some engine has is a question") {
  auto request = asked({});
  request.settings.kv_type = "banana";
  CHECK(refusal(request) == "settings.kv_type is \"banana\", must be one of auto, f16, q8_0");
  request.settings.kv_type = "q8_0";
  CHECK(refusal(request) == "no error");
}

TEST_CASE("a command, an image or declared needs are for engines that take them, and commands are an operator's") {
  const Caller kOperator{.name = "", .operator_right = true};
  auto request = asked({});
  request.settings.command = {"/opt/serve"};
  CHECK(refusal(request) == "settings.command is given, but Toy has a command of its own");
  request = asked({});
  request.settings.image = "example/serve:1";
  CHECK(refusal(request) == "settings.image is given, but Toy has a command of its own");
  request = asked({});
  request.settings.needs.emplace().devices = 2;
  CHECK(refusal(request) == "settings.needs is given, but what Toy needs is computed");
  request.restriction.engine.reset();
  CHECK(refusal(request) ==
        "settings.needs is given, but restriction.engine is not: name the engine that it is for, one of toy");

  Engine own = testing::toy_engine();
  own.recipe.command_from_request = true;
  own.memory = MemoryModel::kDeclared;
  const auto said = [&](const fleet::Request& r) {
    return canonical(EngineCatalog({own}), r, kOperator).error().message;
  };
  request.restriction.engine = "toy";
  request.settings.command = {"/opt/serve", "a b"};
  CHECK(canonical(EngineCatalog({own}), request, {.name = "ci", .operator_right = false}).error().message ==
        "settings.command runs a program of the deployment's own on a worker: it needs a key with the scope operator, "
        "which \"ci\" lacks");
  const auto got = canonical(EngineCatalog({own}), request, kOperator);
  REQUIRE_MESSAGE(got.has_value(), got.error().message);
  CHECK(got->settings.command == request.settings.command);
  CHECK(operators_only(EngineCatalog({own}), *got) == List{"settings.command"});
  request.settings.needs->device_bytes = Bytes(0);
  CHECK(said(request) == "settings.needs.device_bytes is 0, must be above 0: leave it out, or ask for 0 devices");
  request.settings.needs = fleet::DeclaredNeeds{Bytes(1), 0, {}};
  CHECK(said(request) == "settings.needs: device_bytes is given, but devices is 0");
  request.settings.needs.reset();
  request.settings.command = {"/opt/serve", "a\nb"};
  CHECK(said(request) == "settings.command: \"a\\x0ab\" has a line break, another control character or bad UTF-8");
  request.settings.command = {""};
  CHECK(said(request) == "settings.command[0] is empty: name a program");
  request.settings.command.assign(300, "x");
  CHECK(said(request) == "settings.command has 300 words, at most 256");
  request.settings.command.clear();
  request.settings.image = "--privileged";
  CHECK(said(request) == "settings.image is \"--privileged\", must be an image's name");
}

TEST_CASE("what fleet::canonical refuses is refused here too") {
  auto request = asked({});
  request.replicas = 0;
  CHECK(refusal(request) == "replicas is 0, must be from 1 to 1000");
}

}  // namespace berth::engines
