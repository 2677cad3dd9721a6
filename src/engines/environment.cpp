#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/detail/words.h"
#include "engines/launch.h"

namespace berth::engines {
namespace {

// What changes the code that a process loads or runs, where it looks for it, or whom it trusts, and the variables by
// which llama-server and vLLM take flags that berth owns.
constexpr std::array<std::string_view, 34> kNever = {"LD_*",
                                                     "DYLD_*",
                                                     "PYTHON*",
                                                     "PERL*",
                                                     "RUBY*",
                                                     "NODE_*",
                                                     "JAVA_*",
                                                     "BASH*",
                                                     "GCONV_PATH",
                                                     "GLIBC_*",
                                                     "MALLOC_*",
                                                     "LOCPATH",
                                                     "NLSPATH",
                                                     "RES_OPTIONS",
                                                     "HOSTALIASES",
                                                     "LOCALDOMAIN",
                                                     "PATH",
                                                     "HOME",
                                                     "ENV",
                                                     "IFS",
                                                     "SHELL",
                                                     "TMPDIR",
                                                     "OPENSSL_*",
                                                     "SSL_CERT_*",
                                                     "CURL_CA_BUNDLE",
                                                     "REQUESTS_CA_BUNDLE",
                                                     "LLAMA_*",
                                                     "VLLM_API_KEY",
                                                     "VLLM_PLUGINS",
                                                     "VLLM_HOST_IP",
                                                     "VLLM_PORT",
                                                     "XDG_*",
                                                     "GGML_BACKEND_*",
                                                     "VIRTUAL_ENV"};

bool is_variable_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') && std::all_of(name.begin(), name.end(), fits);
}

bool set_by_berth(const Recipe& recipe, const std::string& name) {
  if (recipe.environment.count(name) != 0) return true;
  for (const auto& [framework, variable] : recipe.visible_devices)
    if (variable == name) return true;
  return name.size() >= 15 && name.ends_with("VISIBLE_DEVICES");
}

}  // namespace

bool never_allowed(std::string_view variable) {
  return std::any_of(
      kNever.begin(), kNever.end(), [&](std::string_view pattern) { return glob_match(pattern, variable); });
}

Result<void> check_environment(const Engine& engine, const std::map<std::string, std::string>& environment) {
  constexpr std::size_t kVariablesMax = 64;
  constexpr std::size_t kValueBytesMax = 4096;
  if (environment.size() > kVariablesMax)
    return invalid(fmt::format("env has {} variables, at most {}", environment.size(), kVariablesMax));
  for (const auto& [name, value] : environment) {
    if (!is_variable_name(name))
      return invalid(fmt::format("variable \"{}\" is no name: letters, digits and _ only", printable(name)));
    if (never_allowed(name))
      return fail(Code::kForbidden,
                  fmt::format("variable {} may never be set: it changes what the engine runs or trusts", name));
    if (set_by_berth(engine.recipe, name))
      return fail(Code::kForbidden, fmt::format("variable {} is set by berth; leave it out", name));
    const auto& allowed = engine.recipe.user_environment;
    if (std::none_of(allowed.begin(), allowed.end(), [&](const auto& p) { return glob_match(p, name); }))
      return invalid(fmt::format("variable {} is not allowed for {}: allowed are {}",
                                 name,
                                 engine.title,
                                 allowed.empty() ? "none" : join(allowed, ", ")));
    if (value.size() > kValueBytesMax)
      return invalid(fmt::format("variable {} has {} bytes, at most {}", name, value.size(), kValueBytesMax));
    if (detail::is_unprintable(value))
      return invalid(fmt::format("variable {} has a line break or another control character", name));
  }
  return {};
}

}  // namespace berth::engines
