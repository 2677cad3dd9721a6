#include "placement/rules/architecture.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/flags.h"
#include "placement/rules/rows.h"

namespace berth::placement {
namespace {

using engines::Runs;

std::string name_of(const fleet::ModelFacts& facts) {
  return facts.architecture.empty() ? join(facts.architectures, ", ") : facts.architecture;
}

std::string titled(const Engine& engine, const std::string& version) {
  return version.empty() ? engine.title : engine.title + " " + version;
}

/// "vLLM from 0.17.0 on and SGLang do", or that none does.
RuleOutcome::Args who_does(const engines::EngineCatalog& catalog, const fleet::ModelFacts& facts) {
  std::vector<std::string> en, zh;
  for (const auto& with : engines::engines_for(catalog, facts)) {
    std::string text = with.title, text_zh = with.title;
    if (!with.since.empty()) {
      text += fmt::format(" from {} on", with.since);
      text_zh += fmt::format("（{} 起）", with.since);
    }
    if (!with.until.empty()) {
      text += fmt::format(" before {}", with.until);
      text_zh += fmt::format("（{} 之前）", with.until);
    }
    en.push_back(std::move(text));
    zh.push_back(std::move(text_zh));
  }
  if (en.empty()) return {{"others", "no engine of the catalog does"}, {"others_zh", "目录中没有引擎支持"}};
  const bool one = en.size() == 1 && !en.front().empty();
  return {{"others", join(en, " and ") + (one ? " does" : " do")}, {"others_zh", "支持的引擎：" + join(zh, "、")}};
}

RuleOutcome not_known(const StaticInput& in, const std::string& engine, const fleet::ModelFacts& facts) {
  const std::string name = name_of(facts);
  if (!name.empty())
    return RuleOutcome::unknown(Reason::kUnknownArchitecture,
                                {{"engine", engine},
                                 {"architecture", name},
                                 {"what", "the architecture " + name},
                                 {"what_zh", "架构 " + name}});
  if (!in.context.snapshot.carries("architecture")) return RuleOutcome::source_lacks();
  return RuleOutcome::unknown(Reason::kUnknownArchitecture,
                              {{"engine", engine},
                               {"architecture", ""},
                               {"what", "this model: nothing tells its architecture"},
                               {"what_zh", "该模型：其架构未知"}});
}

bool trusts_code(const StaticInput& in) {
  const Engine& engine = *in.option.engine;
  const auto flags = engines::parse_flags(engine, in.context.request.settings.flags);
  return flags && std::any_of(flags->begin(), flags->end(), [&](const engines::ParsedFlag& flag) {
           return flag.name == engine.architectures.trust_flag && !flag.off;
         });
}

}  // namespace

RuleOutcome architecture(const StaticInput& in, RowState&) {
  const Engine& engine = *in.option.engine;
  const auto& facts = in.context.request.facts;
  if (engine.formats.empty() || engine.architectures.any || !facts) return RuleOutcome::pass();
  const std::string& version = in.version;
  const Runs runs = in.option.architecture->runs(version);
  const std::string engine_text = titled(engine, version);
  if (runs == Runs::kUnknown) return not_known(in, engine_text, *facts);
  if (runs == Runs::kNo) {
    auto args = who_does(in.context.catalog, *facts);
    args.insert(
        args.end(),
        {{"engine", engine_text}, {"title", engine.title}, {"version", version}, {"architecture", name_of(*facts)}});
    return RuleOutcome::reject(Reason::kUnsupportedArchitecture, std::move(args));
  }
  const auto& match = in.option.architecture->match();
  const auto* row = engines::row_for(match, version);
  if (row == nullptr) return RuleOutcome::pass();  // a version between two that have it by different rows
  const auto& tasks = engines::tasks_of(match, *row);
  if (!holds(tasks, in.context.request.task))
    return RuleOutcome::reject(Reason::kTaskUnsupported,
                               {{"engine", engine.title},
                                {"task", in.context.request.task},
                                {"with", " with the architecture " + name_of(*facts)},
                                {"with_zh", "（架构 " + name_of(*facts) + "）"}});
  if (!row->own_code || !facts->custom_code.value_or(false) || trusts_code(in)) return RuleOutcome::pass();
  return RuleOutcome::reject(
      Reason::kCustomCodeNotTrusted,
      {{"engine", engine_text}, {"architecture", name_of(*facts)}, {"flag", engine.architectures.trust_flag}});
}

}  // namespace berth::placement
