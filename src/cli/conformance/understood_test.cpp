// Facts of a case that have no field of their own in berth, and what becomes of them.
#include <doctest/doctest.h>

#include "base/text.h"
#include "cli/conformance/judge.h"
#include "cli/inputs.h"

namespace berth::cli::conformance {

TEST_CASE("what a case tells of a device nobody knows, host memory for KV and workers of one name is understood") {
  const auto judge = *Judge::embedded();
  auto c = *read_case(*read_text_file("tests/conformance/cases/issue-1933-auto.json"));
  const auto differs = [&](const Case& turned, std::string_view part) {
    return join(judge.run(turned).differences, "|").find(part) != std::string::npos;
  };
  c.fleet.workers.front().state = "not_ready";
  auto& linux = c.fleet.workers.back();
  linux.state = "ready";
  c.expected = {};
  c.expected.feasible = true;
  CHECK(judge.run(c).passed);
  auto turned = c;
  for (auto& gpu : turned.fleet.workers.back().gpus) gpu.runtime = "unknown";
  CHECK(differs(turned, "feasible: expected true, got does_not_fit"));
  turned = c;
  turned.model->extended_kv_cache = CaseKvCache{true, 8, {}};
  CHECK(judge.run(turned).passed);
  turned.model->extended_kv_cache->ram_size_gib = 1e6;
  CHECK(differs(turned, "feasible: expected true, got does_not_fit"));
  turned.model->extended_kv_cache->enabled = false;
  CHECK(judge.run(turned).passed);
  turned.model->extended_kv_cache = CaseKvCache{true, {}, {}};
  CHECK(differs(turned, "not understood: model.extended_kv_cache"));
  turned = c;
  turned.fleet.workers.push_back(turned.fleet.workers.back());
  turned.fleet.workers.back().id = 77;
  CHECK(judge.run(turned).passed);
  turned.model->gpu_selector = CaseGpuSelector{{linux.name + ":cuda:0"}, 1};
  CHECK(differs(turned, "have the name"));
}

}  // namespace berth::cli::conformance
