#pragma once
// berth conformance: a folder of sched-case/1 files through the very decide() and verify() that everything else uses.

#include <cstdint>
#include <string>
#include <vector>

#include "base/describe.h"
#include "base/result.h"

namespace berth::cli {

struct Context;

namespace conformance {

constexpr std::size_t kCasesMax = 10'000;

struct Options {
  std::string folder;
  std::string only;              // glob over ids; empty: all
  std::string policy = "berth";  // or "gpustack": rules of the house
  bool strict = false;           // the order of candidates, too
  std::string differences;       // file of listed differences; "none", or empty for the usual one (differences.h)
};

/// One case as it is printed.
struct CaseLine {
  std::string id;  // name of the file without its ending
  std::string file;
  bool passed = false;
  std::uint64_t compared = 0;
  std::vector<std::string> differences;
  std::vector<std::string> left_out;  // parts of a recorded case that are not compared under berth's own policy
  std::string listed;                 // passed though it differs: what shows the recorded answer wrong
};
DESCRIBE(CaseLine, id, file, passed, compared, differences, left_out, listed);

struct Summary {
  std::vector<CaseLine> cases;  // by file name
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;  // left out by `only`, and nothing else
  std::uint64_t listed = 0;   // of those passed: differ as the list says
};
DESCRIBE(Summary, cases, passed, failed, skipped, listed);

/// Runs every .json file of the folder. Errors: kNotFound and kTooLarge about the folder; a file that cannot be read is
/// a failed case.
Result<Summary> run_conformance(const Options& options);
/// Lines for people, ending in "N passed, N failed, N skipped", and how many of those passed differ as listed.
std::string to_text(const Summary& summary);

}  // namespace conformance

/// berth conformance DIR | --memory FILE --gguf-dir DIR [--only GLOB] [--differences FILE|none]
/// [--policy berth|gpustack] [--strict] [-o text|json|yaml]
int conformance_command(Context& context, const std::vector<std::string>& args);

}  // namespace berth::cli
