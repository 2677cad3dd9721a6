#include "cli/inputs.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <unistd.h>

#include "base/text.h"

namespace berth::cli {
namespace fs = std::filesystem;

Result<std::string> read_text_file(const std::string& path, std::size_t max) {
  // Not blocking: a pipe that nobody writes to would be waited for without end.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    const Code code = errno == EACCES ? Code::kForbidden : Code::kNotFound;
    return fail(code, fmt::format("cannot read {}: {}", printable(path), std::strerror(errno)));
  }
  const std::unique_ptr<const int, void (*)(const int*)> closed(&fd, [](const int* open) { ::close(*open); });
  struct stat info{};
  if (::fstat(fd, &info) != 0)
    return fail(Code::kUnavailable, fmt::format("cannot read {}: {}", printable(path), std::strerror(errno)));
  if (S_ISDIR(info.st_mode)) return invalid(fmt::format("{} is a folder, not a file", printable(path)));
  if (!S_ISREG(info.st_mode))
    return invalid(fmt::format("{} is not a regular file: write what it gives to a file first", printable(path)));
  std::string text;
  char buffer[16384];
  while (true) {
    const auto n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return fail(Code::kUnavailable, fmt::format("cannot read {}: {}", printable(path), std::strerror(errno)));
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > max)
      return fail(Code::kTooLarge, fmt::format("{} is larger than {} bytes, the limit", printable(path), max));
  }
}

Result<wire::FleetFile> load_fleet(const std::string& path, const std::vector<std::string>& profiles) {
  wire::FleetFile fleet;
  if (!path.empty()) {
    TRY(const auto text, read_text_file(path));
    auto read = wire::read_fleet_file(text);
    if (!read) return in(path, std::move(read).error());
    fleet = std::move(*read);
  }
  for (const auto& profile : profiles) {
    TRY(const auto text, read_text_file(profile));
    auto worker = wire::read_profile(text);
    if (!worker) return in(profile, std::move(worker).error());
    fleet.workers.push_back(std::move(*worker));
  }
  return fleet;
}

Result<fleet::Request> request_from(wire::DeploymentFile file, const FactsOptions& options) {
  const bool local = file.source.kind == "local" && !file.source.path.empty();
  std::error_code error;
  if (!file.facts && !file.facts_from && local && fs::exists(file.source.path, error)) {
    TRY(file.facts, facts_of_path(file.source.path, options.metadata_only));
  }
  return wire::to_request(std::move(file), [&](const wire::FactsFrom& from) { return read_facts(from, options); });
}

Result<fleet::Request> load_request(const std::string& path, bool metadata_only) {
  TRY(const auto text, read_text_file(path));
  auto file = wire::read_deployment_file(text);
  if (!file) return in(path, std::move(file).error());
  if (file->name.empty()) return invalid(fmt::format("{}: name is missing", printable(path)));
  auto request = request_from(std::move(*file), {.base = fs::path(path).parent_path(), .metadata_only = metadata_only});
  if (!request) return in(path, std::move(request).error());
  return request;
}

std::string name_from_path(const std::string& path) {
  fs::path p(path);
  if (p.filename().empty()) p = p.parent_path();
  std::string name = to_lower(p.extension() == ".gguf" ? p.stem().string() : p.filename().string());
  for (char& c : name)
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.') c = '-';
  const auto begin = name.find_first_not_of("-.");
  name = begin == std::string::npos ? "model" : name.substr(begin);
  constexpr std::size_t kNameMax = 63;
  if (name.size() > kNameMax) name.resize(kNameMax);
  while (name.back() == '-' || name.back() == '.') name.pop_back();
  return name;
}

Result<wire::DeploymentFile> deployment_for_path(const std::string& path, bool metadata_only) {
  wire::DeploymentFile file;
  file.name = name_from_path(path);
  file.source.kind = "local";
  std::error_code error;
  file.source.path = fs::weakly_canonical(fs::absolute(path), error).string();
  TRY(file.facts, facts_of_path(path, metadata_only));
  if (file.facts->task != "generate" && !file.facts->task.empty()) file.task = file.facts->task;
  return file;
}

}  // namespace berth::cli
