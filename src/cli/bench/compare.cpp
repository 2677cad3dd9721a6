#include "cli/bench/compare.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>

#include "placement/decide.h"
#include "wire/codec.h"
#include "wire/files.h"

namespace berth::cli::bench {
namespace {

wire::ScenarioFile scenario_of(const fleet::FleetSnapshot& fleet,
                               const fleet::Request& request,
                               const fleet::Decision& decision) {
  wire::ScenarioFile file;
  file.title = "a request of berth bench decide, with the answer that it got";
  fleet.for_each([&](const fleet::WorkerEntry& e) {
    file.fleet.workers.push_back(e.worker);
    if (!e.occupants.empty()) file.fleet.occupants[e.worker.name] = e.occupants;
  });
  file.fleet.not_carried = fleet.not_carried();
  auto& r = file.request;
  r.name = request.deployment;
  r.model = request.model;
  r.task = request.task;
  r.source = request.source;
  r.facts = request.facts;
  r.replicas = request.replicas;
  r.settings = request.settings;
  r.restriction = request.restriction;
  file.policy = fleet::Policy();
  file.expect.verdict = decision.verdict;
  file.expect.fit_count = decision.fit_count;
  return file;
}

std::string plans_text(const fleet::Decision& d) {
  std::string text;
  for (const auto& plan : d.plans) text += wire::to_json(plan) + "\n";
  return text;
}

std::string holders_text(const fleet::Decision& d) {
  std::string text;
  for (const auto& holder : d.holders) text += holder.instance + "\n";
  return text;
}

}  // namespace

Comparison::Comparison(const fleet::FleetSnapshot& fleet,
                       const engines::EngineCatalog& catalog,
                       std::string dump,
                       std::string name)
    : fleet_(fleet), catalog_(catalog), dump_(std::move(dump)), name_(std::move(name)) {}

void Comparison::add(const fleet::Request& request, DecideReport& report) {
  const fleet::Policy policy;
  const auto ask = [&](placement::Effort effort) {
    return placement::decide(fleet_, request, policy, catalog_, effort);
  };
  const auto differ = [&](const char* what, const std::string& a, const std::string& b) {
    ++report.compared;
    if (a != b)
      report.differences.push_back(fmt::format(
          "{}, request {}: {} differs between the indexed and the plain search", name_, request.deployment, what));
  };
  const auto plain = ask({.report = true, .index = false});
  const auto indexed = ask({});
  differ("the answer", wire::to_json(plain), wire::to_json(indexed));
  const auto plans = ask({.report = false});
  differ("the verdict without report", wire::enum_name(plain.verdict), wire::enum_name(plans.verdict));
  differ("a plan without report", plans_text(plain), plans_text(plans));
  differ("what would have to go", holders_text(plain), holders_text(plans));
  if (dump_.empty()) return;
  if (const auto done = write(request, plain); !done) report.differences.push_back(done.error().message);
}

Result<void> Comparison::write(const fleet::Request& request, const fleet::Decision& decision) {
  const auto path = std::filesystem::path(dump_) / fmt::format("{}-{:03}.json", name_, ++count_);
  std::error_code error;
  std::filesystem::create_directories(dump_, error);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << wire::to_json(scenario_of(fleet_, request, decision)) << "\n";
  file.close();
  if (!file) return fail(Code::kInternal, fmt::format("cannot write {}", path.string()));
  return {};
}

}  // namespace berth::cli::bench
