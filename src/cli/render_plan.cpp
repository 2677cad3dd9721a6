// Plans: where, how, and the sum that makes each claim.
#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/detail/page.h"

namespace berth::cli::detail {
namespace {

constexpr std::size_t kPlansShown = 20;

std::string part_text(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

bool is_of(const fleet::MemoryPart& part, const std::string& worker, const std::string& device) {
  if (!part.worker.empty() && part.worker != worker) return false;
  return part.device == device || (part.device.empty() && device != "host");
}

std::string hundredths(std::uint64_t value) { return fmt::format("{}.{:02}", value / 100, value % 100); }

std::uint64_t rounded(Bytes bytes) { return (bytes.value / kGiB) * 100 + (bytes.value % kGiB * 100 + kGiB / 2) / kGiB; }

std::string gib(Bytes bytes) { return hundredths(rounded(bytes)) + " GiB"; }

std::string settings_text(const fleet::Plan& plan) {
  std::vector<std::string> out;
  const auto& s = plan.settings;
  if (s.context) out.push_back(fmt::format("context {}", *s.context));
  if (s.sequences) out.push_back(fmt::format("sequences {}", *s.sequences));
  if (s.kv_type) out.push_back(fmt::format("KV cache {}", *s.kv_type));
  if (s.utilization) out.push_back(fmt::format("utilization {}", *s.utilization));
  if (plan.offload_layers && plan.total_layers)
    out.push_back(fmt::format("{} of {} layers on devices", *plan.offload_layers, *plan.total_layers));
  if (plan.kv_tokens) out.push_back(fmt::format("room for {} KV tokens", *plan.kv_tokens));
  if (plan.tensor_parallel > 1) out.push_back(fmt::format("tensor parallel {}", plan.tensor_parallel));
  if (plan.pipeline_parallel > 1) out.push_back(fmt::format("pipeline parallel {}", plan.pipeline_parallel));
  return join(out, ", ");
}

}  // namespace

std::string engine_text(const std::string& engine, const std::string& version) {
  return version.empty() ? engine : engine + " " + version;
}

std::string layout_text(const fleet::Plan& plan) { return part_text(plan.layout); }

Bytes need_of(const fleet::Plan& plan, const std::string& worker, const std::string& device) {
  Bytes sum;
  for (const auto& part : plan.memory)
    if (is_of(part, worker, device)) sum += part.high;
  return sum;
}

// Terms are rounded so that a reader who adds them up gets the printed total: all down, then those that lost most up
// by one. Exact bytes stand in -v.
std::string sum_of(const fleet::Plan& plan, const std::string& worker, const std::string& device) {
  struct Term {
    const fleet::MemoryPart* part;
    std::uint64_t shown;  // hundredths of a GiB
    std::uint64_t lost;   // bytes · 100 mod GiB
  };
  std::vector<Term> terms;
  std::uint64_t total = rounded(need_of(plan, worker, device)), shown = 0;
  for (const auto& part : plan.memory) {
    if (!is_of(part, worker, device) || part.high.value == 0) continue;
    const std::uint64_t rest = part.high.value % kGiB * 100;
    terms.push_back({&part, (part.high.value / kGiB) * 100 + rest / kGiB, rest % kGiB});
    shown += terms.back().shown;
  }
  if (terms.empty()) return "";
  std::vector<Term*> order;
  for (auto& term : terms) order.push_back(&term);
  std::sort(order.begin(), order.end(), [](const Term* a, const Term* b) {
    return a->lost != b->lost ? a->lost > b->lost : a < b;
  });
  for (std::size_t i = 0; i < order.size() && shown < total; ++i, ++shown) ++order[i]->shown;
  std::vector<std::string> texts;
  for (const auto& term : terms)
    texts.push_back(fmt::format("{} {}", part_text(term.part->name), hundredths(term.shown)));
  if (texts.size() == 1) return texts.front() + " GiB";
  return fmt::format("{} = {} GiB", join(texts, " + "), hundredths(total));
}

void Page::claim_line(const std::string& worker, const std::string& device, Bytes claim, const std::string& sum) {
  const auto at = figures_.free.find({worker, device});
  const bool pool = device.empty() && at != figures_.free.end() && at->second.unified;
  const std::string name(!device.empty() ? std::string_view(device)
                         : pool          ? say("shared pool", "共享内存池")
                                         : say("host RAM", "主机内存"));
  std::string text = fmt::format("{}: {} {}", name, say("claim", "占用"), gib(claim));
  if (at != figures_.free.end()) {
    auto& free = at->second;
    const std::uint64_t before = rounded(free.allocatable), taken = rounded(claim);
    text += fmt::format(", {} {} - {} = {} GiB",
                        say("free", "可用"),
                        hundredths(before),
                        hundredths(taken),
                        hundredths(before > taken ? before - taken : 0));
    free.allocatable = free.allocatable.minus_or_zero(claim);
    const std::string reserved =
        free.reserved.value > 0 ? fmt::format(", {} {}", gib(free.reserved), say("reserved", "保留")) : "";
    text += fmt::format(" ({} {}{})", say("total", "总计"), gib(free.total), reserved);
  }
  line(text, 4);
  if (!sum.empty()) line(sum, 6, 2);
}

void Page::claims(const fleet::Plan& plan, const fleet::PlanWorker& part) {
  Bytes shared;
  for (std::size_t i = 0; i < part.claim.devices.size(); ++i) {
    const auto& claim = part.claim.devices[i];
    const auto at = figures_.free.find({part.worker_name, claim.device});
    if (at != figures_.free.end() && at->second.unified) shared += claim.bytes;
    std::string sum = sum_of(plan, part.worker_name, claim.device);
    if (plan.settings.utilization && !sum.empty()) sum = std::string(say("needs ", "需要 ")) + sum;
    claim_line(part.worker_name, claim.device, claim.bytes, sum);
  }
  std::string host = sum_of(plan, part.worker_name, "host");
  if (!host.empty() && shared.value > 0) host.insert(0, say("host ", "主机 "));
  claim_line(part.worker_name, "", part.claim.memory_bytes + shared, host);
  if (shared.value > 0)
    line(fmt::format("{} {} + {} = {} B",
                     say("host and device share this memory:", "主机与设备共享内存："),
                     part.claim.memory_bytes.value,
                     shared.value,
                     (part.claim.memory_bytes + shared).value),
         6);
  if (part.claim.disk_bytes.value > 0)
    line(fmt::format("{} {}", say("disk:", "磁盘："), human(part.claim.disk_bytes)), 4);
}

void Page::parts(const fleet::Plan& plan) {
  Table table({"PART", "WHERE", "LOW", "EXPECTED", "HIGH", "HOW"});
  for (const auto& p : plan.memory)
    table.add({part_text(p.name),
               p.device.empty()   ? "each device"
               : p.worker.empty() ? p.device
                                  : p.worker + "/" + p.device,
               std::to_string(p.low.value),
               std::to_string(p.expected.value),
               std::to_string(p.high.value),
               p.derivation});
  table.align_right({2, 3, 4});
  if (!table.empty()) text_ += table.text("    ");
}

void Page::plan(const fleet::Plan& plan, std::size_t number, std::size_t of) {
  blank();
  std::vector<std::string> workers;
  for (const auto& w : plan.workers) workers.push_back(w.worker_name + (w.simulated ? " (simulated)" : ""));
  const std::string head =
      of > 1 ? fmt::format("{} {}", say("Replica", "副本"), number) : std::string(say("Plan", "方案"));
  text_ += terminal_.paint(Ink::kBold, head);
  text_ += fmt::format(": {} {} {}, {}\n",
                       engine_text(plan.engine, plan.engine_version),
                       say("on", "于"),
                       join(workers, ", "),
                       layout_text(plan));
  for (const auto& part : plan.workers) {
    if (plan.workers.size() > 1) line(part.worker_name, 2);
    claims(plan, part);
  }
  if (const auto text = settings_text(plan); !text.empty()) line(text, 4);
  for (const auto& w : plan.warnings)
    line(fmt::format("{} {}: {}",
                     terminal_.paint(Ink::kYellow, terminal_.marks().warn),
                     w.rule,
                     sentence_of(w, options_.language)),
         4);
  if (!options_.verbose) return;
  parts(plan);
  line(say("ranked by", "排序依据"), 4);
  for (const auto& k : plan.key) line(fmt::format("{} {}: {}", k.name, k.value, k.text), 6);
  line("id " + plan.id, 4);
}

void Page::plans(const fleet::Decision& decision) {
  for (std::size_t i = 0; i < decision.plans.size(); ++i) {
    if (i == kPlansShown && !options_.verbose) {
      line(fmt::format(
          "{} {}", decision.plans.size() - i, say("more plans: see -v or -o json", "个更多方案：见 -v 或 -o json")));
      return;
    }
    plan(decision.plans[i], i + 1, decision.plans.size());
  }
}

void Page::holders(const fleet::Decision& decision) {
  if (decision.holders.empty()) return;
  title("It would fit after releasing (sufficient, not the least)", "释放以下实例后即可放置（充分，非最少）");
  for (const auto& h : decision.holders) {
    std::vector<std::string> held;
    for (const auto& d : h.devices) held.push_back(fmt::format("{} {}", d.device, human(d.bytes)));
    line(fmt::format("{} ({}, {} {}) {} {}: {}",
                     h.instance,
                     h.deployment,
                     say("priority", "优先级"),
                     h.priority,
                     say("on", "于"),
                     h.worker,
                     join(held, ", ")),
         2);
  }
}

}  // namespace berth::cli::detail
