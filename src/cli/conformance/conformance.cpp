#include "cli/conformance/conformance.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/conformance/differences.h"
#include "cli/conformance/judge.h"
#include "cli/conformance/memory.h"
#include "cli/exit_codes.h"
#include "cli/inputs.h"
#include "cli/output.h"
#include "wire/codec.h"

namespace berth::cli {
namespace conformance {
namespace {

namespace fs = std::filesystem;

Result<std::vector<fs::path>> case_files(const std::string& folder) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error)
    return fail(Code::kNotFound, fmt::format("cannot read the folder {}: {}", printable(folder), error.message()));
  std::vector<fs::path> out;
  for (const fs::directory_iterator end; entries != end; entries.increment(error)) {
    if (error) return fail(Code::kInternal, fmt::format("reading {} stopped: {}", printable(folder), error.message()));
    if (entries->path().extension() == ".json") out.push_back(entries->path());
    if (out.size() > kCasesMax)
      return fail(Code::kTooLarge, fmt::format("{} holds more than {} cases, the limit", printable(folder), kCasesMax));
  }
  if (out.empty()) return fail(Code::kNotFound, fmt::format("{} holds no .json file", printable(folder)));
  std::sort(out.begin(), out.end());
  return out;
}

CaseLine run_file(const Judge& judge, const fs::path& path) {
  const std::string id = path.stem().string();
  CaseResult result;
  if (const auto text = read_text_file(path.string()))
    result = judge.run(*text);
  else
    result.differences = {text.error().message};
  return {.id = id,
          .file = path.string(),
          .passed = result.passed,
          .compared = result.compared,
          .differences = std::move(result.differences),
          .left_out = std::move(result.left_out),
          .listed = {}};
}

}  // namespace

Result<Summary> run_conformance(const Options& options) {
  TRY(auto judge, Judge::embedded(options.policy == "gpustack" ? fleet::gpustack_policy() : fleet::Policy()));
  judge.strict = options.strict;
  TRY(const auto files, case_files(options.folder));
  // What is listed is how berth's own policy differs.
  const bool own = options.policy == "berth";
  TRY(const auto differences, differences_for(own ? options.differences : "none", options.folder));
  Summary summary;
  for (const auto& path : files) {
    if (!options.only.empty() && !glob_match(options.only, path.stem().string())) {
      ++summary.skipped;
      continue;
    }
    summary.cases.push_back(run_file(judge, path));
    ++(summary.cases.back().passed ? summary.passed : summary.failed);
  }
  if (summary.cases.empty())
    return fail(Code::kNotFound,
                fmt::format("none of the {} cases is called like \"{}\"", files.size(), printable(options.only)));
  apply(differences, summary.skipped == 0, summary);
  return summary;
}

std::string to_text(const Summary& summary) {
  std::string out;
  for (const auto& line : summary.cases) {
    const bool listed = !line.listed.empty();
    out += fmt::format("{}  {}{}",
                       line.passed ? "PASS" : "FAIL",
                       printable(line.id),
                       listed ? ": differs (listed): " + printable(line.listed) : "");
    for (std::size_t i = 0; i < line.differences.size(); ++i)
      out += fmt::format("{}{}", i == 0 ? ": " : "; ", printable(line.differences[i]));
    out += "\n";
  }
  const std::string differ =
      summary.listed > 0 ? fmt::format("; {} of those passed differ as listed", summary.listed) : "";
  return out +
         fmt::format("{} passed, {} failed, {} skipped{}\n", summary.passed, summary.failed, summary.skipped, differ);
}

}  // namespace conformance

namespace {

int memory_command(Context& context, const conformance::MemoryInputs& inputs, const std::string& output) {
  const auto report = conformance::run_memory(inputs);
  if (!report) return context.failed(report.error());
  if (output == "text") {
    context.out(conformance::to_text(*report));
    return kExitOk;
  }
  const auto text = formatted(wire::to_json(report->summary), output);
  if (!text) return context.failed(text.error());
  context.out(*text);
  return kExitOk;
}

}  // namespace

int conformance_command(Context& context, const std::vector<std::string>& args) {
  conformance::Options options;
  conformance::MemoryInputs memory;
  std::string policy = "berth", output = "text";
  Arguments a("conformance",
              "Run sched-case/1 files through the decision and compare with what they expect, or score the estimator",
              {"berth conformance tests/conformance/cases",
               "berth conformance cases --only 'issue-*' -o json",
               "berth conformance --memory memory-vectors.json --gguf-dir headers"});
  a.positional("DIR", options.folder, "Folder with the cases, one .json file each", false);
  a.option("--memory", memory.file, "Score the estimator on a memory-vectors/1 file instead");
  a.option("--gguf-dir", memory.gguf_dir, "Folder with MODEL.gguf for each model of --memory; headers will do");
  a.option("--only", options.only, "Glob over the names of the cases; the others are skipped");
  a.option("--differences",
           options.differences,
           "File of cases whose recorded answer is wrong; none for none; else the one beside DIR or compiled in");
  a.choice("--policy", policy, {"berth", "gpustack"}, "Rules of the house");
  a.flag("--strict", options.strict, "With --policy gpustack: compare the order of the candidates as well");
  a.choice("-o,--output", output, {"text", "json", "yaml"}, "Form of the answer");
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  options.policy = policy;
  const bool scores = !memory.file.empty() || !memory.gguf_dir.empty();
  if (scores && !options.folder.empty()) return context.misused(invalid("DIR and --memory exclude each other"));
  if (scores && (memory.file.empty() || memory.gguf_dir.empty()))
    return context.misused(invalid("--memory FILE and --gguf-dir DIR need each other"));
  if (scores) return memory_command(context, memory, output);
  if (options.folder.empty()) return context.misused(invalid("DIR is missing, or --memory FILE with --gguf-dir DIR"));
  const auto summary = conformance::run_conformance(options);
  if (!summary) return context.failed(summary.error());
  if (output == "text") {
    context.out(conformance::to_text(*summary));
  } else {
    const auto text = formatted(wire::to_json(*summary), output);
    if (!text) return context.failed(text.error());
    context.out(*text);
  }
  return summary->failed == 0 ? kExitOk : kExitError;
}

}  // namespace berth::cli

BERTH_WIRE(berth::cli::conformance::Summary);
