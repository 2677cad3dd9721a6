#include "cli/conformance/memory.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <set>

#include "base/text.h"
#include "cli/conformance/memory_rows.h"
#include "cli/inputs.h"
#include "cli/terminal.h"
#include "estimate/estimate.h"

namespace berth::cli::conformance {
namespace {

namespace fs = std::filesystem;

constexpr double kNotEstimated = 1.0;  // error of a row that was not estimated
constexpr std::string_view kUnknownArchitecture = "not estimated";

/// Expected and high of what llama.cpp's breakdown holds.
struct Estimated {
  std::uint64_t expected = 0;
  std::uint64_t high = 0;
};

/// One place of one row.
struct Sample {
  bool host = false;
  bool estimated = false;
  double error = kNotEstimated;
  double high = 0;  // (high − actual) / actual
  std::string where;
};

/// A model's facts, or why there are none.
struct Model {
  std::optional<fleet::ModelFacts> facts;
  bool missing = false;
  std::string trouble;
};

Estimated in_place(const std::vector<fleet::MemoryPart>& parts, std::string_view device) {
  Estimated e;
  for (const auto& part : parts) {
    if (part.device != device || part.name == "runtime" || part.name == "logits") continue;
    e.expected += part.expected.value;
    e.high += part.high.value;
  }
  return e;
}

Model load_model(const std::string& folder, const std::string& name) {
  Model m;
  const fs::path path = fs::path(folder) / (name + ".gguf");
  std::error_code error;
  if (!fs::exists(path, error)) {
    m.missing = true;
    m.trouble = path.string() + " is not there";
    return m;
  }
  auto facts = facts_of_path(path.string(), true);
  if (facts)
    m.facts = std::move(*facts);
  else
    m.trouble = facts.error().message;
  return m;
}

Sample sample(const std::string& where, bool host, const PlannedBytes& actual, const Estimated& ours) {
  Sample s{.host = host, .estimated = true, .where = where};
  if (actual.total() == 0) {
    // Nothing was planned there; whatever is estimated is wrong altogether.
    s.error = ours.expected == 0 ? 0 : kNotEstimated;
    s.high = s.error;
    return s;
  }
  const auto bytes = static_cast<double>(actual.total());
  s.error = (static_cast<double>(ours.expected) - bytes) / bytes;
  s.high = (static_cast<double>(ours.high) - bytes) / bytes;
  return s;
}

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

constexpr double kMedian = 0.5, kP90 = 0.9, kP95 = 0.95;

MemoryErrors errors_of(const std::vector<Sample>& samples, bool host) {
  std::vector<double> absolute;
  MemoryErrors out;
  for (const Sample& s : samples) {
    if (s.host != host) continue;
    out.min = absolute.empty() ? s.error : std::min(out.min, s.error);
    out.max = absolute.empty() ? s.error : std::max(out.max, s.error);
    absolute.push_back(std::abs(s.error));
  }
  std::sort(absolute.begin(), absolute.end());
  out.n = absolute.size();
  out.median_abs = percentile(absolute, kMedian);
  out.p90_abs = percentile(absolute, kP90);
  out.p95_abs = percentile(absolute, kP95);
  return out;
}

HighCovers covers_of(const std::vector<Sample>& samples) {
  HighCovers out;
  std::vector<double> ratios;
  std::size_t covered = 0;
  for (const Sample& s : samples) {
    covered += s.estimated && s.high >= 0 ? 1U : 0U;
    if (!s.estimated) continue;
    out.worst_under = std::min(out.worst_under, s.high);
    ratios.push_back(1 + s.high);
  }
  std::sort(ratios.begin(), ratios.end());
  out.n = samples.size();
  out.share = samples.empty() ? 0 : static_cast<double>(covered) / static_cast<double>(samples.size());
  out.ratio_p95 = percentile(ratios, kP95);
  return out;
}

class Scoring {
 public:
  explicit Scoring(std::string folder) : folder_(std::move(folder)) {}

  void add(const MemoryRow& row) {
    std::string trouble;
    if (auto done = estimate_row(row, trouble)) {
      const auto& facts = models_.at(row.model).facts;
      auto& group = groups_[facts ? facts->architecture : std::string(kUnknownArchitecture)];
      for (auto& s : *done) group.push_back(std::move(s));
      return;
    }
    report_.troubles[row.id] = std::move(trouble);
    auto& group = groups_[std::string(kUnknownArchitecture)];
    for (std::size_t k = 0; k < row.actual.devices.size(); ++k)
      group.push_back({.host = false, .where = fmt::format("{} {} device {}", row.id, row.model, k)});
    group.push_back({.host = true, .where = fmt::format("{} {} host", row.id, row.model)});
  }

  MemoryReport take() {
    std::vector<Sample> all;
    for (const auto& [architecture, samples] : groups_) {
      MemoryGroup& g = report_.by_architecture[architecture];
      g.device_total = errors_of(samples, false);
      g.host_total = errors_of(samples, true);
      g.high_covers = covers_of(samples);
      const auto worst = std::ranges::max_element(samples, {}, [](const Sample& s) { return std::abs(s.error); });
      if (worst != samples.end()) g.worst = fmt::format("{:+.2f} % {}", worst->error * 100, worst->where);
      all.insert(all.end(), samples.begin(), samples.end());
    }
    report_.summary.device_total = errors_of(all, false);
    report_.summary.host_total = errors_of(all, true);
    report_.summary.high_covers = covers_of(all);
    return std::move(report_);
  }

 private:
  const Model& model(const std::string& name) {
    const auto [at, is_new] = models_.try_emplace(name);
    if (is_new) at->second = load_model(folder_, name);
    return at->second;
  }

  std::optional<std::vector<Sample>> estimate_row(const MemoryRow& row, std::string& trouble) {
    MemorySummary& counts = report_.summary;
    const Model& m = model(row.model);
    trouble = m.trouble;
    if (!m.facts) {
      ++(m.missing ? counts.missing : counts.refused);
      return std::nullopt;
    }
    const auto settings = read_settings(row.settings);
    if (!settings) {
      ++counts.not_understood;
      trouble = settings.error().message;
      return std::nullopt;
    }
    const auto prepared =
        estimate::LlamaModel::prepare(*m.facts, options_of(*settings, m.facts->max_context.value_or(0)));
    if (!prepared) {
      ++counts.refused;
      trouble = prepared.error().message;
      return std::nullopt;
    }
    auto slots = slots_of(*settings, prepared->total_layers());
    if (row.actual.devices.size() != settings->devices) {
      ++counts.wrong_shape;
      trouble = fmt::format("{} devices set, {} told", settings->devices, row.actual.devices.size());
      return std::nullopt;
    }
    slots.resize(row.actual.devices.size(), 0);
    return samples_of(row, *prepared, slots);
  }

  static std::vector<Sample> samples_of(const MemoryRow& row,
                                        const estimate::LlamaModel& prepared,
                                        const std::vector<std::uint32_t>& slots) {
    std::vector<std::string> ids;
    for (std::size_t k = 0; k < slots.size(); ++k) ids.push_back(fmt::format("device {}", k));
    const auto parts = prepared.explain(slots, {.framework = "cuda"}, ids);
    std::vector<Sample> out;
    const std::string name = fmt::format("{} {}", row.id, row.model);
    for (std::size_t k = 0; k < slots.size(); ++k)
      out.push_back(sample(name + " " + ids[k], false, row.actual.devices[k], in_place(parts, ids[k])));
    out.push_back(sample(name + " host", true, row.actual.host, in_place(parts, "host")));
    return out;
  }

  std::string folder_;
  MemoryReport report_;
  std::map<std::string, Model> models_;
  std::map<std::string, std::vector<Sample>> groups_;
};

std::string percent(double fraction) { return fmt::format("{:.3f} %", fraction * 100); }

void add_line(Table& table, const std::string& name, const MemoryGroup& g) {
  table.add({name,
             std::to_string(g.device_total.n),
             percent(g.device_total.median_abs),
             percent(g.device_total.p90_abs),
             percent(g.device_total.p95_abs),
             std::to_string(g.host_total.n),
             percent(g.host_total.p90_abs),
             percent(g.high_covers.share),
             percent(g.high_covers.worst_under),
             fmt::format("{:.3f}", g.high_covers.ratio_p95),
             g.worst});
}

}  // namespace

Result<MemoryReport> run_memory(const MemoryInputs& inputs) {
  std::error_code error;
  if (!fs::is_directory(inputs.gguf_dir, error))
    return fail(Code::kNotFound, fmt::format("--gguf-dir {}: no such folder", printable(inputs.gguf_dir)));
  TRY(const auto text, read_text_file(inputs.file, wire::kJsonBytesMax));
  auto rows = read_memory_rows(text);
  if (!rows) {
    Error e = std::move(rows).error();
    e.message = fmt::format("{}: {}", printable(inputs.file), e.message);
    return e;
  }
  Scoring scoring(inputs.gguf_dir);
  for (const MemoryRow& row : *rows) scoring.add(row);
  return scoring.take();
}

std::string to_text(const MemoryReport& report) {
  Table table({"ARCHITECTURE",
               "DEVICES",
               "MEDIAN",
               "P90",
               "P95",
               "HOSTS",
               "P90",
               "HIGH HOLDS",
               "WORST",
               "HIGH/ACTUAL P95",
               "FURTHEST OFF"});
  table.align_right({1, 2, 3, 4, 5, 6, 7, 8, 9});
  for (const auto& [name, group] : report.by_architecture) add_line(table, printable(name), group);
  const MemorySummary& s = report.summary;
  add_line(table, "all", {s.device_total, s.host_total, s.high_covers, ""});
  std::string out = table.text();
  // One line per reason: a missing file concerns all rows of its model.
  std::set<std::string> reasons;
  for (const auto& [id, trouble] : report.troubles) reasons.insert(printable(trouble));
  for (const auto& reason : reasons) out += "not estimated: " + reason + "\n";
  return out + fmt::format("{} missing, {} not understood, {} refused, {} of another shape\n",
                           s.missing,
                           s.not_understood,
                           s.refused,
                           s.wrong_shape);
}

}  // namespace berth::cli::conformance
