// Scores: each case with one fact turned must give the turned order. What is expected is a second reading of the rules:
// who holds the files, how many run where, how full it is, what serves.
#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/judge.h"
#include "cli/inputs.h"

namespace berth::cli::conformance {
namespace {

const Judge& score_judge() {
  static const Judge kJudge = *Judge::embedded();
  return kJudge;
}

std::vector<Case> score_cases(std::string_view kind) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/conformance/cases"))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  std::vector<Case> out;
  for (const auto& file : files) {
    auto c = *read_case(*read_text_file(file));
    if (c.kind == kind) out.push_back(std::move(c));
  }
  return out;
}

/// The smaller, the better.
using Standing = std::vector<std::uint64_t>;

const CaseWorker& worker_with(const Case& c, std::int64_t id) {
  return *std::find_if(c.fleet.workers.begin(), c.fleet.workers.end(), [&](const auto& w) { return w.id == id; });
}

bool on_device(const CaseInstance& instance, int index) {
  return std::find(instance.gpu_indexes.begin(), instance.gpu_indexes.end(), index) != instance.gpu_indexes.end();
}

std::uint64_t free_on(const Case& c, const CaseWorker& w, const CaseGpu& gpu) {
  std::uint64_t left = gpu.memory.total_bytes.value - w.reserved.vram_bytes.value;
  for (const auto& instance : c.instances) {
    if (instance.worker_id != w.id || !instance.claim) continue;
    const auto at = instance.claim->vram_bytes_by_gpu.find(std::to_string(gpu.index));
    if (at != instance.claim->vram_bytes_by_gpu.end()) left -= at->second.value;
  }
  return left;
}

Standing files_of(const Case& c, const CasePlace& place) {
  std::uint64_t missing = 0;
  const auto count = [&](std::int64_t id) {
    const auto& ids = c.worker_files_ready->front().worker_ids;
    missing += std::find(ids.begin(), ids.end(), id) == ids.end() ? 1 : 0;
  };
  count(*place.worker_id);
  for (const auto& follower : place.subordinates.value_or(std::vector<CaseFollower>())) count(*follower.worker_id);
  return {missing};
}

Standing placement_of(const Case& c, const CasePlace& place) {
  const auto& w = worker_with(c, *place.worker_id);
  if (c.model->placement_strategy == "binpack") {
    std::uint64_t whole = 0, chosen = 0;
    for (const auto& gpu : w.gpus) {
      whole += free_on(c, w, gpu);
      const auto& used = *place.gpu_indexes;
      if (std::find(used.begin(), used.end(), gpu.index) != used.end())
        chosen += free_on(c, w, gpu) - place.claim->vram_bytes_by_gpu->at(std::to_string(gpu.index)).value;
    }
    return {whole, chosen};
  }
  std::uint64_t own = 0, all = 0, busiest = 0;
  for (const auto& instance : c.instances)
    if (instance.worker_id == w.id) {
      ++all;
      own += instance.model_id == c.model->id ? 1 : 0;
    }
  for (const auto index : *place.gpu_indexes) {
    std::uint64_t on = 0;
    for (const auto& instance : c.instances) on += instance.worker_id == w.id && on_device(instance, index) ? 1 : 0;
    busiest = std::max(busiest, on);
  }
  return {own, all, busiest};
}

Standing standing_of(const Case& c, const CasePlace& place) {
  if (c.scorer == "model_file_locality") return files_of(c, place);
  auto out = placement_of(c, place);
  // A chain: the files come before what else there is.
  if (c.scorer == "chain") out.insert(out.begin(), files_of(c, place).front());
  return out;
}

/// Scores as the standings order them; the ceiling and 0 where all files or none are there.
std::vector<double> scores_of(const Case& c) {
  std::vector<Standing> all;
  for (const auto& place : c.candidates) all.push_back(standing_of(c, place));
  std::vector<double> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto better = std::count_if(all.begin(), all.end(), [&](const auto& other) { return other < all[i]; });
    double score = 4.0 / static_cast<double>(1 + better);
    const std::uint64_t workers = 1 + c.candidates[i].subordinates.value_or(std::vector<CaseFollower>()).size();
    if (c.scorer == "model_file_locality") score = all[i][0] == 0 ? *c.max_score : all[i][0] == workers ? 0 : 1;
    out.push_back(score);
  }
  return out;
}

wire::RawJson json_of(const std::vector<double>& scores) {
  return wire::RawJson{fmt::format("[{}]", fmt::join(scores, ","))};
}

struct TurnedScore {
  std::string what;
  Case c;
};

/// Files on other workers; one more instance on each worker, of this model and of another; claims on other devices.
std::vector<TurnedScore> turned_scores(const Case& c) {
  std::vector<TurnedScore> out;
  const auto turn = [&](std::string what, auto&& change) {
    out.push_back({std::move(what), c});
    change(out.back().c);
  };
  std::vector<std::int64_t> workers;
  for (const auto& place : c.candidates) {
    workers.push_back(*place.worker_id);
    for (const auto& follower : place.subordinates.value_or(std::vector<CaseFollower>()))
      workers.push_back(*follower.worker_id);
  }
  if (c.worker_files_ready) {
    for (const auto id : workers)
      turn(fmt::format("files on {}", id), [&](Case& t) { t.worker_files_ready->front().worker_ids = {id}; });
    turn("files everywhere", [&](Case& t) { t.worker_files_ready->front().worker_ids = workers; });
    turn("files nowhere", [&](Case& t) { t.worker_files_ready->front().worker_ids.clear(); });
  }
  if (c.scorer == "model_file_locality") return out;
  for (const auto& place : c.candidates)
    for (const std::int64_t model : {*c.model->id, std::int64_t(77)})
      turn(fmt::format("one more of {} on {}", model, place.worker), [&](Case& t) {
        CaseInstance one;
        one.id = 900;
        one.model_id = model;
        one.worker_id = *place.worker_id;
        one.state = "running";
        one.gpu_indexes = *place.gpu_indexes;
        one.claim.emplace();
        for (const auto index : *place.gpu_indexes) one.claim->vram_bytes_by_gpu[std::to_string(index)] = kGiB;
        t.instances.push_back(std::move(one));
      });
  return out;
}

/// What serves stays longest, and what may: on a worker that is away; of equals, what has more layers on devices. The
/// other scheduler counts what has not started for more than what its worker left behind.
double scale_down_score(const Case& c, const CaseInstance& instance) {
  const bool ready = worker_with(c, instance.worker_id).state == "ready";
  const bool serves = instance.state == "running";
  const double state = !ready ? 25 : serves ? 100 : instance.state == "starting" ? 50 : 0;
  const auto& claim = instance.claim;
  if (!claim || claim->total_layers.value_or(0) == 0) return state;
  return state + 10.0 * claim->offload_layers.value_or(0) / *claim->total_layers;
}

std::vector<TurnedScore> turned_scale_downs(const Case& c) {
  std::vector<TurnedScore> out;
  for (std::size_t i = 0; i < c.instances.size(); ++i) {
    for (const auto* state : {"running", "error", "starting", "pending"})
      for (const std::uint32_t layers : {0U, 4U, 10U}) {
        out.push_back({fmt::format("instance {} is {} with {} layers", i, state, layers), c});
        auto& instance = out.back().c.instances[i];
        instance.state = state;
        instance.claim->offload_layers = layers;
      }
    for (const auto* state : {"ready", "not_ready", "unreachable"}) {
      out.push_back({fmt::format("worker {} is {}", i, state), c});
      out.back().c.fleet.workers[i].state = state;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("each case of scores with other files, instances and claims gives the turned order") {
  int cases = 0, turned = 0, moved = 0;
  for (const auto& original : score_cases(kKindScore)) {
    CAPTURE(original.id);
    ++cases;
    CHECK(score_judge().run(original).passed);
    const auto before = scores_of(original);
    for (auto& [what, c] : turned_scores(original)) {
      CAPTURE(what);
      const auto scores = scores_of(c);
      c.expected.scores = json_of(scores);
      const auto result = score_judge().run(c);
      CHECK_MESSAGE(result.passed, join(result.differences, "; "));
      CHECK(result.compared > 0);
      ++turned;
      if (scores == before) continue;
      ++moved;
      c.expected.scores = json_of(before);
      CHECK_FALSE(score_judge().run(c).passed);
    }
  }
  CHECK(cases >= 6);
  CHECK(turned >= 30);
  CHECK(moved >= 10);
}

TEST_CASE("each case of scaling down with other states gives the turned order") {
  int moved = 0;
  for (const auto& original : score_cases(kKindScaleDown)) {
    CAPTURE(original.id);
    CHECK(score_judge().run(original).passed);
    for (auto& [what, c] : turned_scale_downs(original)) {
      CAPTURE(what);
      std::vector<std::string> right, wrong;
      for (const auto& instance : c.instances) {
        const double score = scale_down_score(c, instance);
        right.push_back(fmt::format(R"({{"instance_id":{},"score":{}}})", instance.id, score));
        wrong.push_back(fmt::format(R"({{"instance_id":{},"score":{}}})", instance.id, -score));
      }
      if (scale_down_score(c, c.instances[0]) == scale_down_score(c, c.instances[1])) continue;
      c.expected.scores = wire::RawJson{"[" + join(right, ",") + "]"};
      const auto result = score_judge().run(c);
      CHECK_MESSAGE(result.passed, join(result.differences, "; "));
      c.expected.scores = wire::RawJson{"[" + join(wrong, ",") + "]"};
      CHECK_FALSE(score_judge().run(c).passed);
      ++moved;
    }
  }
  CHECK(moved >= 20);
}

TEST_CASE("scores that nothing can be held against fail their case") {
  const auto said = [](const Case& c) { return join(score_judge().run(c).differences, " | "); };
  auto c = score_cases(kKindScore).front();
  auto other = c;
  other.scorer = "beauty";
  CHECK(said(other) == "not understood: scorer is \"beauty\", which is not understood");
  other = c;
  other.scorer = "chain";
  other.parts.clear();
  CHECK(said(other) == "not understood: the chain has no parts");
  other = c;
  other.expected.scores = wire::RawJson{"[1]"};
  CHECK(said(other) == "it has 1 scores of 2 candidates");
  other = c;
  other.expected.scores.reset();
  CHECK(said(other) == "nothing in it could be compared");
  other = c;
  other.candidates.pop_back();
  other.expected.scores = wire::RawJson{"[1]"};
  CHECK(said(other) == "nothing in it could be compared");
  other = c;
  other.candidates.front().worker_id = 99;
  CHECK(said(other) == "not understood: candidates: worker 99 is not among the workers");
  other = c;
  other.worker_files_ready = {CaseFiles{"draft", {1}}};
  CHECK(said(other) == "not understood: worker_files_ready[].which is \"draft\", which is not understood");
  other = score_cases(kKindScaleDown).front();
  other.instances.front().model_id = 99;
  CHECK(said(other).starts_with("not understood: instance 1 is of another model"));
  other = score_cases(kKindScaleDown).front();
  other.expected.scores = wire::RawJson{R"([{"instance_id":55,"score":1}])"};
  CHECK(said(other) == "instance 55 is never stopped | nothing in it could be compared");
}

}  // namespace berth::cli::conformance
