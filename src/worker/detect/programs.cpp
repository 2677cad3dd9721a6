#include "worker/detect/programs.h"

#include <sys/stat.h>

#include <fmt/format.h>
#include <unistd.h>

#include "base/text.h"
#include "worker/supervise/process.h"

namespace berth::worker {
namespace {

constexpr std::size_t kVersionOutputBytesMax = 64 * 1024;
constexpr std::size_t kVersionBytesMax = 64;

bool is_program(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> first_in(const std::vector<std::string>& folders, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.empty() || name.find('/') != std::string::npos) continue;
    for (const std::string& folder : folders) {
      if (folder.empty() || folder.front() != '/') continue;
      std::string path = folder + "/" + name;
      if (is_program(path)) return path;
    }
  }
  return std::nullopt;
}

bool is_version_text(std::string_view word) {
  bool digit = false;
  for (const char c : word) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '+' || c == '-' || c == '_';
    digit = digit || (c >= '0' && c <= '9');
    if (!plain && !(c >= '0' && c <= '9')) return false;
  }
  return digit && word.size() <= kVersionBytesMax;
}

/// "v0.9.1" → "0.9.1"; absent when it does not begin like a version.
std::optional<std::string> as_version(std::string_view word) {
  if (word.size() > 1 && (word[0] == 'v' || word[0] == 'b')) word.remove_prefix(1);
  while (!word.empty() && (word.back() == ',' || word.back() == ':')) word.remove_suffix(1);
  if (word.empty() || word[0] < '0' || word[0] > '9' || !is_version_text(word)) return std::nullopt;
  return std::string(word);
}

}  // namespace

Result<EngineProgram> find_engine(const engines::Engine& engine, const EngineSearch& search) {
  if (const auto at = search.commands.find(engine.id); at != search.commands.end()) {
    const std::vector<std::string>& command = at->second;
    if (command.empty() || command[0].empty() || command[0].front() != '/' || !is_program(command[0]))
      return fail(Code::kNotFound,
                  fmt::format("the configured program of engine {} ({}) is not an executable file",
                              engine.id,
                              command.empty() ? "none" : printable(command[0])));
    return EngineProgram{.program = command[0], .args = {command.begin() + 1, command.end()}};
  }
  if (const auto found = first_in(split(search.path, ':'), engine.recipe.programs)) return EngineProgram{*found, {}};
  if (const auto found = first_in(search.launcher_dirs, engine.recipe.programs)) return EngineProgram{*found, {}};
  return fail(Code::kNotFound,
              fmt::format("engine {} is not here: looked for {} on PATH ({}) and in {}",
                          engine.id,
                          join(engine.recipe.programs, ", "),
                          printable(search.path),
                          search.launcher_dirs.empty() ? "no other folder" : join(search.launcher_dirs, ", ")));
}

std::optional<std::string> version_in(const std::string& output) {
  for (const std::string& line : split(output, '\n')) {
    const std::vector<std::string> words = split(trim(line), ' ');
    for (std::size_t i = 0; i < words.size(); ++i) {
      // A number counts after the word "version", or as the second word of a short line: "vllm 0.9.1".
      const bool named = i > 0 && to_lower(words[i - 1]).find("version") != std::string::npos;
      const bool alone = words.size() <= 2 && i + 1 == words.size();
      if (!named && !alone) continue;
      if (auto version = as_version(words[i])) return version;
    }
  }
  return std::nullopt;
}

InstalledEngines detect_engines(const engines::EngineCatalog& catalog,
                                const EngineSearch& search,
                                const std::string& engine_user_name) {
  InstalledEngines found;
  const auto user = engine_user(engine_user_name);
  for (const engines::Engine& engine : catalog.engines()) {
    auto program = find_engine(engine, search);
    if (!program.has_value()) {
      if (search.commands.contains(engine.id)) found.notes.push_back(program.error().message);
      continue;
    }
    fleet::EngineInstall install{.engine = engine.id, .version = ""};
    if (user.has_value()) {
      ProcessSpec spec;
      spec.argv.push_back(program->program);
      spec.argv.insert(spec.argv.end(), program->args.begin(), program->args.end());
      spec.argv.emplace_back("--version");
      spec.environment = {{"PATH", search.path}, {"LANG", "C.UTF-8"}};
      spec.user = *user;
      const auto captured = run_captured(spec, kVersionDeadline, kVersionOutputBytesMax);
      if (captured.has_value())
        install.version = version_in(captured->output).value_or("");
      else
        found.notes.push_back(
            fmt::format("engine {} does not tell its version: {}", engine.id, captured.error().message));
    } else {
      found.notes.push_back(
          fmt::format("engine {} was not asked for its version: {}", engine.id, user.error().message));
    }
    found.engines.push_back(std::move(install));
  }
  return found;
}

}  // namespace berth::worker
