// The report: why not elsewhere, how often, what was assumed, and what would help.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "cli/detail/page.h"

namespace berth::cli::detail {
namespace {

using fleet::Outcome;
using fleet::Verdict;

std::string names_text(const fleet::WorkerLine& line) {
  std::string text = join(line.examples, ", ");
  if (line.workers > line.examples.size()) text += fmt::format(" and {} more", line.workers - line.examples.size());
  return text;
}

/// Another engine on the same workers, with the same outcomes for the same reasons. Figures may differ, so lines that
/// come to any are told each for itself.
bool says_the_same(const fleet::WorkerLine& a, const fleet::WorkerLine& b) {
  if (a.engine == b.engine || a.workers != b.workers || a.examples != b.examples || a.hardware != b.hardware)
    return false;
  return a.would_fit == b.would_fit && std::equal(a.results.begin(),
                                                  a.results.end(),
                                                  b.results.begin(),
                                                  b.results.end(),
                                                  [](const fleet::RuleResult& x, const fleet::RuleResult& y) {
                                                    return x.rule == y.rule && x.outcome == y.outcome &&
                                                           x.reason == y.reason && x.needed == y.needed &&
                                                           x.available == y.available;
                                                  });
}

bool is_gate(const std::string& rule) {
  return rule == "worker_ready" || rule == "cordon" || rule == "labels" || rule == "selection";
}

}  // namespace

void Page::title(std::string_view english, std::string_view chinese) {
  blank();
  text_ += terminal_.paint(Ink::kBold, std::string(say(english, chinese)) + ":") + "\n";
}

void Page::line(std::string_view text, std::size_t indent, std::size_t hang) {
  text_ += wrapped(text, options_.width, indent, indent + hang) + "\n";
}

void Page::verdict(const fleet::Decision& d) {
  const auto& m = terminal_.marks();
  Ink ink = Ink::kRed;
  std::string_view mark = m.no, chinese = "无法放置";
  switch (d.verdict) {
    case Verdict::kFits:
      ink = Ink::kGreen;
      mark = m.yes;
      chinese = "可以放置";
      break;
    case Verdict::kFitsAfter:
      ink = Ink::kYellow;
      mark = m.warn;
      chinese = "释放实例后可以放置";
      break;
    case Verdict::kUnknown:
      ink = Ink::kYellow;
      mark = m.unknown;
      chinese = "无法判断";
      break;
    case Verdict::kDoesNotFit:
      break;
  }
  const std::string text = options_.language == placement::Language::kChinese
                               ? fmt::format("{}：{}/{} 个副本", chinese, d.fit_count, d.asked)
                               : d.summary;
  line(terminal_.paint(ink, mark) + " " + terminal_.paint(Ink::kBold, text));
}

void Page::result(const fleet::RuleResult& r) {
  const auto& m = terminal_.marks();
  const std::string text = sentence_of(r, options_.language);
  switch (r.outcome) {
    case Outcome::kReject:
      return line(fmt::format("{} {}: {}", terminal_.paint(Ink::kRed, m.no), r.rule, text), 2, 4);
    case Outcome::kUnknown:
      return line(fmt::format("{} {}: {}", terminal_.paint(Ink::kYellow, m.unknown), r.rule, text), 2, 4);
    case Outcome::kWarn:
      return line(fmt::format("{} {}: {}", terminal_.paint(Ink::kYellow, m.warn), r.rule, text), 2, 4);
    case Outcome::kPass:
      if (options_.verbose)
        line(fmt::format("{} {}{}{}", terminal_.paint(Ink::kGreen, m.yes), r.rule, text.empty() ? "" : ": ", text),
             2,
             4);
      return;
    case Outcome::kNotEvaluated:
      return;
  }
}

void Page::line_block(const fleet::WorkerLine& w, const std::vector<std::string>& same) {
  const auto& m = terminal_.marks();
  line(fmt::format("{} ({}{}/{}, {}): {}",
                   terminal_.paint(Ink::kBold, names_text(w)),
                   w.simulated ? "simulated, " : "",
                   w.os,
                   w.arch,
                   w.hardware,
                   engine_text(w.engine, w.engine_version)) +
       (same.empty() ? "" : fmt::format("; {} {}", say("the same for", "以下相同："), join(same, ", "))));
  std::vector<std::string> skipped, absent;
  std::string because;
  bool rejected = false;
  for (const auto& r : w.results) {
    result(r);
    rejected = rejected || r.outcome == Outcome::kReject || r.outcome == Outcome::kUnknown;
    if (r.outcome != Outcome::kNotEvaluated) continue;
    if (r.because == "not_carried") {
      absent.push_back(r.rule);
      continue;
    }
    because = r.because;
    skipped.push_back(r.rule);
  }
  const bool gated = std::any_of(w.results.begin(), w.results.end(), [](const auto& r) {
    return r.outcome == Outcome::kReject && is_gate(r.rule);
  });
  if (w.would_fit && gated)
    line(fmt::format("{} {}",
                     terminal_.paint(Ink::kGreen, m.yes),
                     w.state == fleet::WorkerState::kReady ? say("otherwise it would fit", "除此之外可以放置")
                                                           : say("by that report it would fit", "按该报告可以放置")),
         2,
         4);
  else if (!rejected)
    line(fmt::format("{} {}", terminal_.paint(Ink::kGreen, m.yes), say("fits", "可以放置")), 2, 4);
  if (!skipped.empty())
    line(terminal_.paint(Ink::kDim,
                         fmt::format("{} {} {}: {}",
                                     m.skipped,
                                     say("after that not evaluated, because of", "此后未评估，原因："),
                                     because,
                                     join(skipped, ", "))),
         2,
         4);
  if (!absent.empty() && options_.verbose)
    line(fmt::format("{} {}: {}", m.skipped, say("the source does not tell", "来源未提供"), join(absent, ", ")), 2, 4);
  if (!options_.verbose) return;
  std::vector<fleet::DeviceLine> places = w.devices;
  if (w.host) places.push_back(*w.host);
  for (const auto& d : places)
    line(fmt::format("{}/{}: total {} - reserved {} - claimed {} - foreign {} = {} allocatable{}",
                     d.worker,
                     d.device.empty() ? d.name : d.device,
                     human(d.total),
                     human(d.reserved),
                     human(d.claimed),
                     human(d.foreign),
                     human(d.allocatable),
                     d.needed ? ", needs " + human(*d.needed) : ""),
         4);
}

void Page::lines(const fleet::Decision& d) {
  if (!d.report.lines.empty() || !d.report.request.empty()) title("Where it was looked for", "各节点结果");
  const auto& all = d.report.lines;
  std::set<std::size_t> shown;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (shown.contains(i)) continue;
    std::vector<std::string> same;
    for (std::size_t k = i + 1; k < all.size() && !options_.verbose; ++k) {
      if (shown.contains(k) || !says_the_same(all[i], all[k])) continue;
      shown.insert(k);
      same.push_back(engine_text(all[k].engine, all[k].engine_version));
    }
    line_block(all[i], same);
  }
  for (const auto& r : d.report.request)
    line(fmt::format("{} {}: {}",
                     terminal_.paint(r.outcome == Outcome::kReject ? Ink::kRed : Ink::kYellow,
                                     r.outcome == Outcome::kReject ? terminal_.marks().no : terminal_.marks().unknown),
                     r.rule,
                     sentence_of(r, options_.language)),
         0,
         4);
}

void Page::counts(const fleet::Report& report) {
  Table table({"ENGINE", "RULE", "OF", "CHECKED", "FAIL", "FAIL ONLY THIS", "UNKNOWN", "NOT EVALUATED"});
  for (const auto& c : report.counts) {
    if (c.fails == 0 && c.unknown == 0) continue;
    table.add({c.engine,
               c.rule,
               c.subject,
               std::to_string(c.checked),
               std::to_string(c.fails),
               std::to_string(c.fails_only),
               std::to_string(c.unknown),
               std::to_string(c.not_evaluated)});
  }
  if (table.empty()) return;
  table.align_right({3, 4, 5, 6, 7});
  title("Counts", "统计");
  text_ += table.text("  ");
}

void Page::pages(const fleet::Report& report) {
  const auto all = reason_pages(report);
  if (all.empty() || !options_.verbose) return;
  title("What the reasons mean", "各原因的说明");
  for (const auto& [reason, page] : all) line(fmt::format("{}: {}", reason, page), 2);
}

void Page::remarks(const fleet::Decision& decision) {
  const auto& report = decision.report;
  if (!report.defaults.empty()) {
    title("Assumed, because the request does not say", "请求未指定，采用默认值");
    for (const auto& d : report.defaults) line(fmt::format("{} {} ({})", d.setting, d.value, d.why), 2);
  }
  const auto list = [&](std::string_view en, std::string_view zh, const std::vector<std::string>& items) {
    if (!items.empty()) line(fmt::format("{} {}: {}", terminal_.marks().warn, say(en, zh), join(items, ", ")));
  };
  const bool unused = !decision.plans.empty() && !report.unused_devices.empty();  // without a plan none is used
  const bool any = unused || !report.unused_accept.empty() || !report.notes.empty();
  if (any) blank();
  if (unused) list("selected but not used", "已选择但未使用", report.unused_devices);
  list("accepted but not needed", "已接受但不需要", report.unused_accept);
  for (const auto& note : report.notes) line(fmt::format("{} {}", terminal_.marks().warn, note));
}

void Page::fixes(const fleet::Decision& decision, const std::optional<std::vector<fleet::Fix>>& fixes) {
  if (decision.verdict == Verdict::kFits) return;
  title("Fixes", "可行的修改");
  if (!fixes)
    line(say("not looked for here; `berth check -f FILE` tries changes and shows those that help",
             "此处未查找；`berth check -f FILE` 会尝试并给出可行的修改"),
         2);
  else if (fixes->empty())
    line(say("none found: no change of the request or of this fleet was found to help", "未找到可行的修改"), 2);
  else
    for (std::size_t i = 0; i < fixes->size(); ++i) fix((*fixes)[i], i + 1);
}

void Page::fix(const fleet::Fix& fix, std::size_t number) {
  const auto pieces = [&] {
    std::vector<std::string> out;
    std::string rest = fix.text;
    for (auto at = rest.find("; "); at != std::string::npos; at = rest.find("; ")) {
      out.push_back(rest.substr(0, at));
      rest = rest.substr(at + 2);
    }
    out.push_back(rest);
    return out;
  }();
  line(fmt::format("{}. {}", number, pieces.front()), 2, 3);
  for (std::size_t k = 1; k < pieces.size(); ++k) line(pieces[k], 5);
  if (!fix.plan || fix.plan->workers.empty()) return;
  const auto& plan = *fix.plan;
  std::set<std::string> shown;
  for (const auto& part : plan.workers) {
    const std::string at = plan.workers.size() > 1 ? part.worker_name + "/" : "";
    for (const auto& d : part.devices) {
      const std::string sum = sum_of(plan, part.worker_name, d);
      if (!sum.empty() && shown.insert(sum).second) line(fmt::format("{}{}: {}", at, d, sum), 5);
    }
    const std::string sum = sum_of(plan, part.worker_name, "host");
    if (!sum.empty()) line(fmt::format("{}{}: {}", at, say("host", "主机"), sum), 5);
  }
}

}  // namespace berth::cli::detail

namespace berth::cli {

std::map<std::string, std::string> reason_pages(const fleet::Report& report) {
  std::map<std::string, std::string> out;
  const auto add = [&](const fleet::RuleResult& result) {
    if (!result.reason.empty()) out.emplace(result.reason, "docs/reasons/" + result.reason + ".md");
  };
  for (const auto& result : report.request) add(result);
  for (const auto& line : report.lines)
    for (const auto& result : line.results) add(result);
  return out;
}

}  // namespace berth::cli
