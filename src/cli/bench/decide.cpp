#include "cli/bench/decide.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <functional>
#include <malloc.h>

#include "cli/arguments.h"
#include "cli/bench/compare.h"
#include "cli/bench/fleet.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "placement/decide.h"
#include "wire/catalog.h"
#include "wire/codec.h"

namespace berth::cli {
namespace bench {
namespace {

using engines::EngineCatalog;
using fleet::FleetSnapshot;
using fleet::Request;
using placement::decide;

constexpr std::size_t kBuildRuns = 3;
constexpr std::size_t kShortRuns = 200;  // of what takes microseconds
constexpr std::size_t kLongRuns = 12;    // of what takes milliseconds
constexpr std::uint32_t kShapes = 50;
constexpr std::uint32_t kReplicasPerShape = 200;
constexpr double kBatchSecondsMax = 20;
constexpr std::uint32_t kFixesWanted = 3;

const fleet::Policy kPolicy;
const placement::Effort kPlansOnly{.report = false};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

Figure figure_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2]};
}

/// Seconds of each of `runs` calls, times `scale`; `prepare` is not timed and gives what `work` takes.
template <class Prepare, class Work>
Figure timed(std::size_t runs, double scale, Prepare&& prepare, Work&& work) {
  std::vector<double> values;
  for (std::size_t i = 0; i < runs; ++i) {
    const auto input = prepare();
    const auto from = Clock::now();
    work(input);
    values.push_back(seconds_since(from) * scale);
  }
  return figure_of(std::move(values));
}

constexpr double kMicro = 1e6, kMilli = 1e3;

std::size_t bytes_in_use() { return mallinfo2().uordblks; }

/// One more instance of ours on a device of the worker, or the one that was there taken away.
FleetSnapshot::Entry toggled(const fleet::WorkerEntry& entry, std::size_t device) {
  auto occupants = entry.occupants;
  const std::string id = "bench-claim";
  const auto at = std::find_if(occupants.begin(), occupants.end(), [&](const auto& o) { return o.id == id; });
  if (at != occupants.end()) {
    occupants.erase(at);
  } else {
    fleet::Occupant o;
    o.id = id;
    o.deployment = "bench";
    o.claim = {.worker = entry.worker.id,
               .devices = {{entry.worker.devices[device].id, Bytes(64 * kMiB)}},
               .memory_bytes = Bytes(kMiB),
               .disk_bytes = {}};
    occupants.push_back(std::move(o));
  }
  return *fleet::with_occupants(entry, std::move(occupants));
}

/// What a plan claims is an occupant from now on.
FleetSnapshot placed(const FleetSnapshot& before, const fleet::Plan& plan, std::uint64_t number) {
  FleetSnapshot after = before;
  for (const auto& part : plan.workers) {
    const auto* entry = before.find(part.worker);
    auto occupants = entry->occupants;
    fleet::Occupant o;
    o.id = fmt::format("b-{:08}", number);
    o.deployment = "bench";
    o.claim = part.claim;
    occupants.push_back(std::move(o));
    after = after.with(*fleet::with_occupants(*entry, std::move(occupants)));
  }
  return after;
}

std::vector<std::string> over_capacity(const FleetSnapshot& snapshot) {
  std::vector<std::string> out;
  snapshot.for_each([&](const fleet::WorkerEntry& e) {
    for (std::size_t d = 0; d < e.capacity.size(); ++d)
      if (e.capacity[d].overcommitted)
        out.push_back(fmt::format("{} of {} is over capacity", e.worker.devices[d].id, e.worker.name));
    if (e.memory.overcommitted) out.push_back(fmt::format("the RAM of {} is over capacity", e.worker.name));
  });
  return out;
}

class Bench {
 public:
  Bench(const DecideOptions& options, const EngineCatalog& catalog) : options_(options), catalog_(catalog) {}

  Figures run(Load load, DecideReport& report) {
    Figures f;
    const FleetSnapshot fleet = build(load, f);
    Rng rng(options_.seed + 17);
    decisions(fleet, rng, f);
    update(fleet, rng, f);
    f.fixes_ms = fixes(fleet, rng, f);
    f.placements_s = batch(fleet, rng, f, report);
    if (options_.check) check(fleet, load, rng, report);
    return f;
  }

 private:
  FleetSnapshot build(Load load, Figures& f) {
    FleetSnapshot fleet;
    std::size_t before = 0, machines_bytes = 0;
    f.build_ms = timed(
        kBuildRuns,
        kMilli,
        [&] {
          fleet = {};
          before = bytes_in_use();
          auto machines = std::make_shared<std::vector<Machine>>(make_machines(options_.seed, options_.gpus, load));
          machines_bytes = bytes_in_use() - before - machines->capacity() * sizeof(Machine);
          return machines;
        },
        [&](const auto& machines) { fleet = make_snapshot(std::move(*machines)); });
    const double all = static_cast<double>(bytes_in_use() - before);
    const double domain =
        static_cast<double>(machines_bytes) + static_cast<double>(fleet.size()) * static_cast<double>(sizeof(Machine));
    f.bytes_per_device = fleet.size() == 0 ? 0 : (all - domain) / static_cast<double>(fleet.size() * kDevicesPerWorker);
    return fleet;
  }

  void decisions(const FleetSnapshot& fleet, Rng& rng, Figures& f) {
    const auto plans = [&](std::uint64_t& fits) {
      return [&](const Request& r) {
        fits += decide(fleet, r, kPolicy, catalog_, kPlansOnly).verdict == fleet::Verdict::kFits ? 1 : 0;
      };
    };
    f.requests = kShortRuns;
    f.fit_us = timed(kShortRuns, kMicro, [&] { return one_worker(rng); }, plans(f.fit_fits));
    f.plan32_us = timed(kLongRuns, kMicro, [&] { return devices_32(rng); }, plans(f.plan32_fits));
    const auto whole = [&](const Request& r) { (void)decide(fleet, r, kPolicy, catalog_); };
    f.report_us = timed(kLongRuns, kMicro, [&] { return one_worker(rng); }, whole);
    f.nofit_us = timed(kLongRuns, kMicro, [&] { return nowhere(rng); }, whole);
  }

  void update(FleetSnapshot fleet, Rng& rng, Figures& f) {
    std::vector<const fleet::WorkerEntry*> workers;
    fleet.for_each([&](const fleet::WorkerEntry& e) { workers.push_back(&e); });
    const FleetSnapshot first = fleet;
    f.update_us = timed(
        kShortRuns,
        kMicro,
        [&] { return workers[rng.below(workers.size())]; },
        [&](const fleet::WorkerEntry* entry) { fleet = first.with(toggled(*entry, 0)); });
  }

  Figure fixes(const FleetSnapshot& fleet, Rng& rng, Figures& f) {
    return timed(
        kLongRuns / 4,
        kMilli,
        [&] {
          const Request r = nowhere(rng);
          return std::pair(r, decide(fleet, r, kPolicy, catalog_));
        },
        [&](const auto& asked) {
          const fleet::FixBudget budget{.fixes_max = kFixesWanted};
          f.fixes_found += placement::fixes(fleet, asked.first, kPolicy, catalog_, asked.second, budget).size();
        });
  }

  /// Shape by shape, all replicas that a deployment waits for in one decision, as the reconciler asks; each claim is an
  /// update of its own.
  Figure batch(FleetSnapshot fleet, Rng& rng, Figures& f, DecideReport& report) {
    const auto requests = shapes(rng, kShapes, kReplicasPerShape);
    const auto from = Clock::now();
    for (const auto& request : requests) {
      if (seconds_since(from) > kBatchSecondsMax) break;
      for (const auto& plan : decide(fleet, request, kPolicy, catalog_, kPlansOnly).plans)
        fleet = placed(fleet, plan, f.placed++);
    }
    const double rate = static_cast<double>(f.placed) / seconds_since(from);
    for (auto& text : over_capacity(fleet)) report.differences.push_back(std::move(text));
    return {rate, rate};
  }

  void check(const FleetSnapshot& fleet, Load load, Rng& rng, DecideReport& report) {
    Comparison comparison(fleet, catalog_, options_.dump, load == Load::kIdle ? "idle" : "occupied");
    for (std::size_t i = 0; i < kLongRuns; ++i) {
      comparison.add(one_worker(rng), report);
      comparison.add(nowhere(rng), report);
      comparison.add(devices_32(rng), report);
    }
    for (const auto& r : shapes(rng, kShapes, 7)) comparison.add(r, report);
  }

  const DecideOptions& options_;
  const EngineCatalog& catalog_;
};

Figure slower(const Figure& a, const Figure& b) { return a.median > b.median ? a : b; }

}  // namespace

Result<DecideReport> run_decide(const DecideOptions& options) {
  if (options.gpus < kDevicesPerWorker || options.gpus > kGpusMax)
    return fail(Code::kInvalid,
                fmt::format("--gpus {}: from {} to {} are possible", options.gpus, kDevicesPerWorker, kGpusMax));
  if (options.check && options.gpus > kCheckedGpusMax)
    return fail(
        Code::kInvalid,
        fmt::format("--check with --gpus {}: the plain search is compared up to {}", options.gpus, kCheckedGpusMax));
  TRY(const auto catalog, wire::embedded_catalog());
  DecideReport report;
  report.gpus = options.gpus;
  Bench bench(options, catalog);
  report.idle = bench.run(Load::kIdle, report);
  report.occupied = bench.run(Load::kOccupied, report);
  const auto worst = [&](Figure Figures::* what) { return slower(report.idle.*what, report.occupied.*what); };
  report.build_ms = worst(&Figures::build_ms);
  report.fit_us = worst(&Figures::fit_us);
  report.nofit_us = worst(&Figures::nofit_us);
  report.update_us = worst(&Figures::update_us);
  report.plan32_us = worst(&Figures::plan32_us);
  report.fixes_ms = worst(&Figures::fixes_ms);
  return report;
}

std::string to_text(const DecideReport& report) {
  Table table({"", "IDLE", "MEDIAN", "OCCUPIED", "MEDIAN"});
  table.align_right({1, 2, 3, 4});
  const auto add = [&](const char* name, Figure Figures::* what) {
    const Figure &a = report.idle.*what, &b = report.occupied.*what;
    table.add({name,
               fmt::format("{:.1f}", a.min),
               fmt::format("{:.1f}", a.median),
               fmt::format("{:.1f}", b.min),
               fmt::format("{:.1f}", b.median)});
  };
  add("build, ms", &Figures::build_ms);
  add("one worker, µs", &Figures::fit_us);
  add("  with report, µs", &Figures::report_us);
  add("fits nowhere, with report, µs", &Figures::nofit_us);
  add("one claim, µs", &Figures::update_us);
  add("32 devices, µs", &Figures::plan32_us);
  add("3 fixes, ms", &Figures::fixes_ms);
  add("placements a second", &Figures::placements_s);
  std::string out = table.text();
  for (const auto& [name, f] : {std::pair("idle", &report.idle), std::pair("occupied", &report.occupied)})
    out += fmt::format(
        "{}: {} of {} fit on one worker, {} of {} on 32 devices; {} of {} replicas placed; {} fixes; "
        "{:.0f} bytes a device\n",
        name,
        f->fit_fits,
        f->requests,
        f->plan32_fits,
        kLongRuns,
        f->placed,
        kShapes * kReplicasPerShape,
        f->fixes_found,
        f->bytes_per_device);
  if (report.compared > 0) out += fmt::format("{} answers compared with the plain search\n", report.compared);
  for (const auto& text : report.differences) out += "DIFFERENT  " + text + "\n";
  return out;
}

}  // namespace bench

int bench_decide_command(Context& context, const std::vector<std::string>& args) {
  bench::DecideOptions options;
  std::optional<std::uint32_t> gpus, seed;
  std::string output = "text";
  Arguments a(
      "bench decide",
      "Measure decisions on a made-up fleet: 8 devices a worker, 12 device types, 300 classes, idle and occupied",
      {"berth bench decide --gpus 100000 -o json", "berth bench decide --gpus 1000 --check"});
  a.option("--gpus", gpus, "Devices of the fleet; 1000 unless given");
  a.option("--seed", seed, "Another fleet, other requests");
  a.flag("--check", options.check, "Compare every answer with the search without index, up to 3000 devices");
  a.option("--dump", options.dump, "Folder for the compared requests, as scenarios for `berth check`; with --check");
  a.choice("-o,--output", output, {"text", "json", "yaml"}, "Form of the answer");
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  options.gpus = gpus.value_or(options.gpus);
  options.seed = seed.value_or(options.seed);
  if (!options.dump.empty() && !options.check) return context.misused(invalid("--dump needs --check"));
  const auto report = bench::run_decide(options);
  if (!report)
    return report.error().code == Code::kInvalid ? context.misused(report.error()) : context.failed(report.error());
  const auto text = output == "text" ? bench::to_text(*report) : formatted(wire::to_json(*report), output);
  if (!text) return context.failed(text.error());
  context.out(*text);
  return report->differences.empty() ? kExitOk : kExitError;
}

}  // namespace berth::cli
