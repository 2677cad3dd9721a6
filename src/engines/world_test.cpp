#include "engines/world.h"

#include <doctest/doctest.h>

#include "engines/flags.h"
#include "engines/request.h"
#include "engines/testing.h"

namespace berth::engines {
namespace {

/// Copies multiply, a switch spreads experts, context parallelism of both kinds.
Engine wide_engine() {
  Engine e = testing::toy_engine();
  e.world.data_parallel_local = true;
  e.world.expert_parallel_by = "--experts";
  e.world.prefill_context_parallel = Combine::kMultiplies;
  e.world.decode_context_parallel = Combine::kInsideTensorParallel;
  e.world.part_by = {"--headless"};
  for (auto [name, setting] : {std::pair("--tp", "tensor_parallel"),
                               std::pair("--pp", "pipeline_parallel"),
                               std::pair("--dp", "data_parallel"),
                               std::pair("--dp-local", "data_parallel_local"),
                               std::pair("--pcp", "prefill_context_parallel"),
                               std::pair("--dcp", "decode_context_parallel")})
    e.flags.push_back(testing::flag(name, {}, FlagType::kInteger, setting));
  e.flags.push_back(testing::flag("--experts", {}, FlagType::kBool));
  return e;
}

/// Copies lie inside the tensor-parallel group when a switch says so; experts divide it.
Engine inside_engine() {
  Engine e = testing::toy_engine();
  e.world.data_parallel_inside_by = "--dp-attention";
  e.world.expert_parallel = Combine::kInsideTensorParallel;
  e.flags.push_back(testing::flag("--tp", {}, FlagType::kInteger, "tensor_parallel"));
  e.flags.push_back(testing::flag("--dp", {}, FlagType::kInteger, "data_parallel"));
  e.flags.push_back(testing::flag("--ep", {}, FlagType::kInteger, "expert_parallel"));
  e.flags.push_back(testing::flag("--dp-attention", {}, FlagType::kBool));
  return e;
}

Result<World> world(const Engine& engine, std::vector<std::string> flags) {
  fleet::Request request;
  request.restriction.engine = engine.id;
  request.settings.flags = std::move(flags);
  auto whole = canonical(EngineCatalog({engine}), std::move(request), {.name = "", .operator_right = true});
  if (!whole) return std::move(whole).error();
  return world_of(engine, whole->restriction, whole->settings.flags);
}

World sound(const Engine& engine, std::vector<std::string> flags) {
  auto w = world(engine, std::move(flags));
  REQUIRE_MESSAGE(w.has_value(), w.error().message);
  return *w;
}

std::string refusal(const Engine& engine, std::vector<std::string> flags) {
  auto w = world(engine, std::move(flags));
  return w ? "no error" : w.error().message;
}

}  // namespace

TEST_CASE("nothing said leaves the world open, and one rank is its smallest") {
  const World w = sound(wide_engine(), {});
  CHECK(w == World{});
  CHECK_FALSE(w.fixed);
  CHECK_FALSE(sound(wide_engine(), {"--experts"}).fixed);
  CHECK(sound(wide_engine(), {"--tp 1"}).fixed);
}

TEST_CASE("ranks are the product of tensor, pipeline, prefill context and copies") {
  const World w = sound(wide_engine(), {"--tp 8 --pp 3 --dp 2 --pcp 2"});
  CHECK(w.ranks == 96);
  CHECK(w.local_ranks == 96);
  CHECK(w.here() == 96);
  CHECK(w.attention_tp() == 8);
}

TEST_CASE("the same flags on one line or on many, as flags or as fields, are the same world") {
  const Engine engine = wide_engine();
  const World one = sound(engine, {"--headless --tp 8 --dp 2 --dp-local 1"});
  CHECK(one == sound(engine, {"--dp-local=1", "--tp", "8", "--dp=2", "--headless"}));
  CHECK(one == sound(engine, {"--dp_local 1", "--headless", "--dp 2 --tp=8"}));
  fleet::Request fields;
  fields.restriction.engine = engine.id;
  fields.restriction.tensor_parallel = 8;
  fields.restriction.data_parallel = 2;
  fields.restriction.data_parallel_local = 1;
  fields.settings.flags = {"--headless"};
  const auto whole = canonical(EngineCatalog({engine}), fields, {.name = "", .operator_right = true});
  REQUIRE(whole);
  CHECK(one == *world_of(engine, whole->restriction, whole->settings.flags));
}

TEST_CASE("half of a group takes the ranks of its own copies, the whole group those of all") {
  const World half = sound(wide_engine(), {"--headless --tp 8 --dp 2 --dp-local 1"});
  CHECK(half.part);
  CHECK(half.ranks == 16);
  CHECK(half.here() == 8);
  const World whole = sound(wide_engine(), {"--tp 8 --dp 2 --dp-local 1"});
  CHECK_FALSE(whole.part);
  CHECK(whole.local_ranks == 8);
  CHECK(whole.here() == 16);
}

TEST_CASE("copies inside the tensor-parallel group add no rank, and heads divide by what is left of it") {
  CHECK(sound(inside_engine(), {"--tp 8 --dp 4"}).ranks == 32);
  const World inside = sound(inside_engine(), {"--dp-attention --tp 8 --dp 4"});
  CHECK(inside.ranks == 8);
  CHECK(inside.attention_tp() == 2);
  CHECK(refusal(inside_engine(), {"--dp-attention --tp 8 --dp 3"}) ==
        "restriction.data_parallel is 3, must divide tensor_parallel, which is 8");
}

TEST_CASE("experts and decode context lie inside what there is") {
  CHECK(sound(wide_engine(), {"--tp 4 --dp 4 --experts"}).ep == 16);
  CHECK(sound(wide_engine(), {"--tp 4 --dp 4 --pp 2 --experts"}).ep == 16);
  const World dcp = sound(wide_engine(), {"--tp 8 --dcp 4"});
  CHECK(dcp.ranks == 8);
  CHECK(dcp.dcp == 4);
  CHECK(refusal(wide_engine(), {"--tp 8 --dcp 3"}) ==
        "restriction.decode_context_parallel is 3, must divide tensor_parallel, which is 8");
  CHECK(sound(inside_engine(), {"--tp 8 --ep 4"}).ep == 4);
  CHECK(refusal(inside_engine(), {"--tp 8 --ep 16"}) ==
        "restriction.expert_parallel is 16, must divide tensor_parallel, which is 8");
}

TEST_CASE("sizes that contradict each other or the engine are refused with both numbers") {
  CHECK(refusal(wide_engine(), {"--dp 3 --dp-local 2"}) ==
        "restriction.data_parallel is 3, must be a multiple of restriction.data_parallel_local, which is 2");
  CHECK(refusal(wide_engine(), {"--tp 1024 --pp 1024"}) == "the parallel sizes make 1048576 ranks, at most 65536");
  Engine strict = wide_engine();
  strict.world.powers_of_two = {"tensor_parallel"};
  strict.world.exclusive = {{"pipeline_parallel", "data_parallel"}};
  CHECK(refusal(strict, {"--tp 6"}) == "restriction.tensor_parallel is 6, must be a power of two for Toy");
  CHECK(refusal(strict, {"--pp 2 --dp 4"}) ==
        "restriction: Toy cannot have pipeline_parallel 2 and data_parallel 4 together");
  fleet::Request request;
  request.restriction.engine = "toy";
  request.restriction.decode_context_parallel = 2;
  const auto got = canonical(EngineCatalog({inside_engine()}), request);
  REQUIRE_FALSE(got);
  CHECK(got.error().message == "restriction.decode_context_parallel is 2, but Toy has no flag for it");
  request.restriction.engine.reset();
  CHECK(canonical(EngineCatalog({inside_engine()}), request).error().message ==
        "restriction.decode_context_parallel is given, but restriction.engine is not: name the engine that it is for, "
        "one of toy");
}

TEST_CASE("a size that no plan holds is both field and flag, once, whichever was given") {
  const EngineCatalog catalog({wide_engine()});
  fleet::Request by_flag;
  by_flag.restriction.engine = "toy";
  by_flag.settings.flags = {"--tp 8", "--dcp=2", "--mlock"};
  const auto a = canonical(catalog, by_flag);
  REQUIRE(a);
  CHECK(a->restriction.decode_context_parallel == 2);
  CHECK(a->settings.flags == std::vector<std::string>{"--dcp=2", "--mlock"});
  fleet::Request by_field = by_flag;
  by_field.settings.flags = {"--mlock"};
  by_field.restriction.tensor_parallel = 8;
  by_field.restriction.decode_context_parallel = 2;
  const auto b = canonical(catalog, by_field);
  REQUIRE(b);
  CHECK(b->settings.flags == a->settings.flags);
  const auto again = canonical(catalog, *b);
  REQUIRE(again);
  CHECK(again->settings.flags == a->settings.flags);
  by_field.settings.flags = {"--dcp 4"};
  CHECK(canonical(catalog, by_field).error().message ==
        "flag --dcp is 4, but restriction.decode_context_parallel is 2: give one of them");
}

TEST_CASE("mistakes in a catalog's world are named") {
  const auto complaint = [](auto&& change) {
    Engine e = wide_engine();
    change(e);
    const auto ok = validate(EngineCatalog({e}));
    return ok ? std::string() : ok.error().message;
  };
  CHECK(complaint([](Engine&) {}).empty());
  CHECK(complaint([](Engine& e) { e.world.powers_of_two = {"width"}; }).find("\"width\", which is no parallel size") !=
        std::string::npos);
  CHECK(complaint([](Engine& e) { e.world.expert_parallel_by = "--nothing"; }).find("names --nothing") !=
        std::string::npos);
  CHECK(complaint([](Engine& e) {
          e.world.expert_parallel = Combine::kInsideWorld;
        }).find("world.expert_parallel is there, but no flag has it as setting") != std::string::npos);
  CHECK(complaint([](Engine& e) {
          e.world.data_parallel_local = false;
        }).find("world.data_parallel_local is absent, but a flag has it as setting") != std::string::npos);
}

}  // namespace berth::engines
