// What engines can do is data: a vendor and a version that no code knows are placed and refused by a catalog file
// alone, and the files that come with berth answer as people ask.
#include <algorithm>
#include <doctest/doctest.h>

#include "engines/divide.h"
#include "engines/request.h"
#include "engines/world.h"
#include "placement/decide.h"
#include "placement/testing.h"
#include "wire/catalog.h"

namespace berth::cli {
namespace {

using fleet::Outcome;
using fleet::Verdict;
using placement::testing::request_for;

// An engine, a vendor and a framework that appear nowhere in berth's code.
constexpr std::string_view kNewEngine = R"(
id: acme-serve
title: AcmeServe
memory: share_of_device
formats: [safetensors]
tasks: [generate]
layouts: [single_device, tensor_parallel, over_workers_evenly]
versions: ["3.1", "3.0"]
world: {data_parallel: inside_tensor_parallel}
architectures:
  read: ["3.0", "3.1"]
  tasks: [generate]
  trust_flag: --run-its-code
  source: made up for this test
  rows:
    - {since: "3.0", names: [Qwen3ForCausalLM]}
    - {since: "3.1", names: [NobodyHeardOfItForCausalLM]}
    - {since: "3.0", own_code: true, names: [BringsCodeForCausalLM]}
rows:
  - versions: ["3.1"]
    os: [linux]
    arch: [riscv64]
    vendor: acme
    framework: acmert
    runtime_version: "7.2"
    variants: ["acme-x*"]
    install: container
    source: made up for this test
  - versions: ["3.0"]
    os: [linux]
    arch: [riscv64]
    vendor: acme
    framework: acmert
    runtime_version: "6.0"
    install: container
    source: made up for this test
unsupported:
  - {vendor: intel, why: Acme has no compiler for it, why_zh: 没有编译器, source: made up for this test}
limits:
  - {versions: ["3.0"], layouts: [over_workers_evenly], why: it hangs, source: made up for this test}
divides:
  - {what: vision_heads, unless: [--copy-tower], source: made up for this test}
type_needs:
  - {type: fp8, vendor: acme, refused: true, source: made up for this test}
flags:
  - {name: --group, type: integer, min: 1, max: 64, setting: tensor_parallel}
  - {name: --copies, type: integer, min: 1, max: 64, setting: data_parallel}
  - {name: --copy-tower, type: bool}
  - {name: --run-its-code, type: bool}
recipe:
  programs: [acme-serve]
  health: {path: /health}
)";

engines::EngineCatalog acme() {
  auto catalog = wire::load_catalog({{"acme.yaml", std::string(kNewEngine)}});
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  return *std::move(catalog);
}

engines::EngineCatalog embedded() {
  auto catalog = wire::embedded_catalog();
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  return *std::move(catalog);
}

fleet::Device device_of(std::string vendor, std::string framework, std::string name) {
  fleet::Device d;
  d.id = "d0";
  d.vendor = std::move(vendor);
  d.framework = std::move(framework);
  d.name = std::move(name);
  d.memory_total_bytes = Bytes(64 * kGiB);
  return d;
}

fleet::Worker worker_of(std::string name, std::string arch, std::vector<fleet::Device> devices) {
  fleet::Worker w;
  w.id = "id-" + name;
  w.name = std::move(name);
  w.os = "linux";
  w.arch = std::move(arch);
  w.memory_total_bytes = Bytes(256 * kGiB);
  w.disk_free_bytes = Bytes(2000 * kGiB);
  w.engines.emplace();
  w.container_runtime = "docker 28";
  for (std::size_t i = 0; i < devices.size(); ++i) devices[i].id = "d" + std::to_string(i);
  w.devices = std::move(devices);
  return w;
}

fleet::Device acme_device(std::string variant, std::string runtime) {
  auto d = device_of("acme", "acmert", "Acme " + variant);
  d.compute_capability = std::move(variant);
  d.runtime_version = std::move(runtime);
  return d;
}

fleet::FleetSnapshot fleet_of(std::vector<fleet::Worker> workers, std::set<std::string> not_carried = {}) {
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (auto& worker : workers) entries.push_back(*fleet::make_entry(std::move(worker), {}));
  return *fleet::FleetSnapshot::build(std::move(entries), std::move(not_carried));
}

fleet::ModelFacts small_facts() {
  fleet::ModelFacts f;
  f.name = "Qwen/Qwen3-0.6B";
  f.format = "safetensors";
  f.architecture = "Qwen3ForCausalLM";
  f.architectures = {"Qwen3ForCausalLM"};
  f.dtype = "float16";
  f.weight_bytes = Bytes(1'503'300'328);
  f.layers = 28;
  f.hidden_size = 1024;
  f.feed_forward_size = 3072;
  f.vocab_size = 151936;
  f.attention_heads = 16;
  f.kv_heads = 8;
  f.head_dim = 128;
  f.max_context = 40960;
  return f;
}

fleet::Decision decided(const fleet::FleetSnapshot& fleet,
                        fleet::Request request,
                        const engines::EngineCatalog& catalog) {
  auto canonical = engines::canonical(catalog, std::move(request));
  REQUIRE_MESSAGE(canonical.has_value(), canonical.error().message);
  return placement::decide(fleet, *canonical, {}, catalog);
}

fleet::Request asking(const std::string& engine, fleet::ModelFacts facts = small_facts()) {
  auto r = request_for(std::move(facts));
  r.restriction.engine = engine;
  return r;
}

/// The result of that rule on the first line that has a device.
fleet::RuleResult result_of(const fleet::Decision& d, std::string_view rule) {
  for (const auto& line : d.report.lines)
    for (const auto& result : line.results)
      if (result.rule == rule && result.outcome != Outcome::kPass && result.outcome != Outcome::kNotEvaluated)
        return result;
  return {};
}

std::string text_of(const fleet::Decision& d, std::string_view rule) { return result_of(d, rule).text; }

}  // namespace

TEST_CASE("a vendor and an engine that no code knows are placed by a catalog file alone") {
  const auto catalog = acme();
  auto d =
      decided(fleet_of({worker_of("a", "riscv64", {acme_device("acme-x2", "7.2")})}), asking("acme-serve"), catalog);
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans[0].engine_version == "3.1");
  // An older chip and runtime: the other version.
  d = decided(fleet_of({worker_of("a", "riscv64", {acme_device("acme-w1", "6.0")})}), asking("acme-serve"), catalog);
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans[0].engine_version == "3.0");
}

TEST_CASE("what a catalog file says of a vendor is what the report says") {
  const auto catalog = acme();
  const auto on = [&](fleet::Worker worker, fleet::Request request) {
    return decided(fleet_of({std::move(worker)}), std::move(request), catalog);
  };
  const auto sound = worker_of("a", "riscv64", {acme_device("acme-x2", "7.2")});
  CHECK(text_of(on(worker_of("a", "riscv64", {device_of("intel", "xpu", "Arc")}), asking("acme-serve")),
                "engine_vendor") ==
        "AcmeServe has no build for intel on Linux; it has acme: Acme has no compiler for it");
  CHECK(text_of(on(worker_of("a", "amd64", {acme_device("acme-x2", "7.2")}), asking("acme-serve")), "engine_arch") ==
        "AcmeServe on acme needs riscv64; this worker is amd64");
  CHECK(text_of(on(worker_of("a", "riscv64", {acme_device("acme-x2", "5.0")}), asking("acme-serve")), "engine_runtime")
            .find("built for acmert") != std::string::npos);
  auto newest = asking("acme-serve");
  newest.restriction.engine_version = "3.1";
  auto other_chip = worker_of("a", "riscv64", {acme_device("acme-w1", "7.2")});
  CHECK(result_of(on(other_chip, newest), "capability").reason == "variant_unsupported");
  CHECK(text_of(on(other_chip, newest), "capability") ==
        "AcmeServe has builds for the chips acme-x*; Acme acme-w1 is acme-w1");
  other_chip.devices[0].compute_capability.reset();
  CHECK(result_of(on(other_chip, newest), "capability").outcome == Outcome::kUnknown);
  auto fp8 = small_facts();
  fp8.quantization = "fp8";
  CHECK(text_of(on(sound, asking("acme-serve", fp8)), "capability") == "AcmeServe does not run fp8 on Acme acme-x2");
  auto seeing = small_facts();
  seeing.vision_attention_heads = 15;
  auto wide = asking("acme-serve", seeing);
  wide.settings.flags = {"--group 2"};
  const auto two = worker_of("a", "riscv64", {acme_device("acme-x2", "7.2"), acme_device("acme-x2", "7.2")});
  CHECK(text_of(on(two, wide), "layout") == "15 vision heads do not divide by tensor parallel 2");
  wide.settings.flags = {"--group 2 --copy-tower"};
  CHECK(on(two, wide).verdict == Verdict::kFits);
}

TEST_CASE("an architecture that no code knows is run, refused by a version, and trusted, by a catalog file alone") {
  const auto catalog = acme();
  const auto of = [](std::string architecture) {
    auto facts = small_facts();
    facts.architecture = std::move(architecture);
    facts.architectures = {facts.architecture};
    return facts;
  };
  const auto on = [&](const std::string& runtime, fleet::Request request) {
    return decided(
        fleet_of({worker_of("a", "riscv64", {acme_device("acme-x2", runtime)})}), std::move(request), catalog);
  };
  const auto fresh = asking("acme-serve", of("NobodyHeardOfItForCausalLM"));
  auto d = on("7.2", fresh);
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans[0].engine_version == "3.1");
  // The driver takes the older version only, which lacks it: the version that runs it is named, with its own cause.
  d = on("6.0", fresh);
  CHECK(d.verdict == Verdict::kDoesNotFit);
  CHECK(text_of(d, "engine_runtime").find("AcmeServe 3.1 is built for acmert 7.2") != std::string::npos);
  auto pinned = fresh;
  pinned.restriction.engine_version = "3.0";
  CHECK(on("7.2", pinned).report.request.front().text ==
        "AcmeServe 3.0 does not run the architecture NobodyHeardOfItForCausalLM; AcmeServe from 3.1 on does");
  pinned.restriction.engine_version = "4.0";  // not read, and newer than what was
  pinned.facts = of("MadeUpForCausalLM");
  CHECK(on("7.2", asking("acme-serve", of("MadeUpForCausalLM"))).report.request.front().reason ==
        "unsupported_architecture");
  auto code = of("BringsCodeForCausalLM");
  CHECK(on("7.2", asking("acme-serve", code)).verdict == Verdict::kFits);
  code.custom_code = true;
  auto trusting = asking("acme-serve", code);
  const auto refused = on("7.2", trusting);
  CHECK(refused.report.request.front().text ==
        "AcmeServe 3.1 runs BringsCodeForCausalLM by code of the model's own, and only where --run-its-code lets it");
  trusting.settings.flags = {"--run-its-code"};
  CHECK(on("7.2", trusting).verdict == Verdict::kFits);
}

TEST_CASE("a version that cannot lie on several workers is refused there with the reason, the other is placed") {
  const auto catalog = acme();
  const auto across = [&](const std::string& version) {
    auto r = asking("acme-serve");
    r.restriction.across_workers = true;
    r.restriction.tensor_parallel = 2;
    r.restriction.engine_version = version;
    return decided(fleet_of({worker_of("a", "riscv64", {acme_device("acme-x2", "7.2")}),
                             worker_of("b", "riscv64", {acme_device("acme-x2", "7.2")})}),
                   std::move(r),
                   catalog);
  };
  CHECK(across("3.1").verdict == Verdict::kFits);
  const auto refused = across("3.0");
  CHECK(refused.verdict == Verdict::kDoesNotFit);
  CHECK(std::any_of(refused.report.request.begin(), refused.report.request.end(), [](const auto& r) {
    return r.text == "AcmeServe 3.0 cannot run this model as one replica over several workers (it hangs) here";
  }));
}

TEST_CASE("what a quantization or a type needs of a device is told by the engine's file, for each engine") {
  const auto catalog = embedded();
  const auto reason =
      [&](const std::string& engine, const std::string& type, fleet::Device device, std::string flag = "") {
        auto facts = small_facts();
        (type.starts_with("bf") ? facts.dtype : facts.quantization) = type;
        auto r = asking(engine, std::move(facts));
        if (!flag.empty()) r.settings.flags = {flag};
        const auto d = decided(fleet_of({worker_of("a", "amd64", {std::move(device)})}), std::move(r), catalog);
        return result_of(d, "capability").reason;
      };
  const auto cuda = [](std::string capability) {
    auto d = device_of("nvidia", "cuda", "NVIDIA " + capability);
    d.runtime_version = "12.9";
    d.driver_version = "575.86";
    d.compute_capability = std::move(capability);
    return d;
  };
  const auto npu = [](std::string chip) {
    auto d = device_of("ascend", "cann", "Ascend " + chip);
    d.runtime_version = "9.0";
    d.compute_capability = chip;
    return d;
  };
  CHECK(reason("vllm", "bfloat16", cuda("7.5")) == "type_needs_capability");
  CHECK(reason("vllm", "bfloat16", cuda("7.5"), "--dtype half") == "");
  CHECK(reason("vllm", "bfloat16", cuda("8.0")) == "");
  CHECK(reason("vllm", "fp8", cuda("8.0")) == "type_needs_capability");
  CHECK(reason("vllm", "fp8", cuda("8.9")) == "");
  CHECK(reason("vllm", "awq", cuda("7.0")) == "type_needs_capability");
  CHECK(reason("vllm", "awq", cuda("7.5")) == "");
  CHECK(reason("vllm", "gptq", cuda("7.0")) == "");
  CHECK(reason("vllm", "gptq_marlin", cuda("7.0")) == "type_needs_capability");
  CHECK(reason("vllm", "nvfp4", cuda("9.0")) == "");
  CHECK(reason("sglang", "nvfp4", cuda("9.0")) == "type_needs_capability");
  for (const std::string engine : {"vllm", "sglang", "mindie"})
    for (const std::string type : {"fp8", "nvfp4", "mxfp4"}) {
      CAPTURE(engine);
      CAPTURE(type);
      CHECK(reason(engine, type, npu("910B3")) == "type_unsupported");
    }
  CHECK(reason("mindie", "gptq", npu("910B3")) == "type_unsupported");
  CHECK(reason("mindie", "w8a8", npu("910B3")) == "");
  CHECK(reason("mindie", "bfloat16", npu("310P3")) == "type_unsupported");
}

TEST_CASE("what must divide is told by the engine's file, for each engine") {
  const auto catalog = embedded();
  const auto divides = [&](const std::string& engine, auto&& change) {
    auto facts = small_facts();
    change(facts);
    engines::World world;
    world.tp = world.ranks = world.ep = 4;
    const auto what = engines::undivided(*catalog.find(engine), facts, world, {});
    return what ? std::string(engines::divided_name(what->what)) : "";
  };
  const auto heads = [](fleet::ModelFacts& f) { f.attention_heads = 14; };
  const auto kv = [](fleet::ModelFacts& f) { f.kv_heads = 6; };
  const auto few_kv = [](fleet::ModelFacts& f) { f.kv_heads = 2; };
  const auto vision = [](fleet::ModelFacts& f) { f.vision_attention_heads = 18; };
  const auto experts = [](fleet::ModelFacts& f) { f.experts = 30; };
  const auto vocab = [](fleet::ModelFacts& f) { f.vocab_size = 151'937; };
  for (const std::string engine : {"vllm", "sglang", "mindie"}) {
    CAPTURE(engine);
    CHECK(divides(engine, heads) == "attention heads");
    CHECK(divides(engine, few_kv) == "");  // repeated
  }
  for (const std::string engine : {"vllm", "sglang"}) {
    CAPTURE(engine);
    CHECK(divides(engine, kv) == "KV heads");
    CHECK(divides(engine, vision) == "vision heads");
    CHECK(divides(engine, vocab) == "");  // padded to 64
  }
  CHECK(divides("mindie", vocab) == "tokens of the vocabulary");
  CHECK(divides("sglang", experts) == "experts");
  CHECK(divides("mindie", experts) == "experts");
  CHECK(divides("vllm", experts) == "");  // its ranks may hold one more or less
}

TEST_CASE("vLLM's flags on one line or many mean one world, as a whole and as half of a group") {
  const auto catalog = embedded();
  const auto world = [&](const std::string& engine, std::vector<std::string> flags) {
    auto r = asking(engine);
    r.settings.flags = std::move(flags);
    auto c = engines::canonical(catalog, std::move(r));
    REQUIRE_MESSAGE(c.has_value(), c.error().message);
    auto w = engines::world_of(*catalog.find(engine), c->restriction, c->settings.flags);
    REQUIRE_MESSAGE(w.has_value(), w.error().message);
    return *w;
  };
  const auto line =
      world("vllm", {"--headless --tensor-parallel-size 8 --data-parallel-size 2 --data-parallel-size-local 1"});
  CHECK(line == world("vllm", {"-dp=2", "-tp", "8", "--headless", "--data_parallel_size_local=1"}));
  CHECK(line.ranks == 16);
  CHECK(line.here() == 8);
  CHECK(world("vllm", {"-tp 4 -pp 2 -dcp 2 -pcp 2"}).ranks == 16);
  CHECK(world("vllm", {"-tp 8 -dp 2 --enable-expert-parallel"}).ep == 16);
  CHECK(world("sglang", {"--tp 8 --dp-size 2"}).ranks == 16);
  CHECK(world("sglang", {"--tp-size=8", "--enable-dp-attention", "--dp 2", "--ep 8"}).ranks == 8);
  CHECK(world("sglang", {"--pp-size 3"}).ranks == 3);
  CHECK(world("mindie", {"--tensor-parallel-size=8", "--data-parallel-size=4"}).ranks == 32);
  CHECK(world("mindie", {"-tp 4 -cp 2 -moe-ep 8"}).ranks == 8);
  auto r = asking("mindie");
  r.settings.flags = {"-pp 2 -dp 2"};
  CHECK(engines::canonical(catalog, r).error().message ==
        "restriction: MindIE cannot have pipeline_parallel 2 and data_parallel 2 together");
}

}  // namespace berth::cli
