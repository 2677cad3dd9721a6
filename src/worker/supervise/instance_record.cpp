#include "worker/supervise/instance_record.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

#include "base/text.h"
#include "wire/codec.h"
#include "wire/json.h"
#include "worker/files/fd.h"

BERTH_WIRE(berth::worker::InstanceRecord);

namespace berth::worker {
namespace {

constexpr std::size_t kIdMax = 64;
constexpr std::size_t kFilesMax = 16 * kInstancesMax;
constexpr std::string_view kEnding = ".json";

Result<InstanceRecord> read_record(const std::filesystem::path& path) {
  TRY(const std::string text, read_small_file(path));
  TRY(InstanceRecord record, wire::from_json<InstanceRecord>(text, wire::Strictness::kLenient));
  if (record.version != 1) return invalid(fmt::format("version is {}, must be 1", record.version));
  if (!is_instance_id(record.instance) || path.filename() != record.instance + std::string(kEnding))
    return invalid(fmt::format("instance \"{}\" does not agree with the file's name", printable(record.instance)));
  return record;
}

}  // namespace

bool is_instance_id(std::string_view id) {
  if (id.empty() || id.size() > kIdMax || id.front() == '.') return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

Result<RecordStore> RecordStore::open(std::string folder) {
  TRY_VOID(make_folder(folder, 0700));
  return RecordStore(std::move(folder));
}

Result<void> RecordStore::save(const InstanceRecord& record) const {
  return write_file_durably(folder_ + "/" + record.instance + std::string(kEnding), wire::to_json_pretty(record));
}

Result<void> RecordStore::remove(const std::string& instance) const {
  const std::string path = folder_ + "/" + instance + std::string(kEnding);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_error("cannot remove " + path, errno);
  return {};
}

Result<RecordStore::Loaded> RecordStore::load_all() const {
  Loaded loaded;
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == kEnding) paths.push_back(entry->path());
    if (paths.size() > kFilesMax)
      return fail(Code::kTooLarge, fmt::format("{} holds more than {} files", folder_, kFilesMax));
  }
  if (error) return system_error("cannot list " + folder_, error.value());
  std::sort(paths.begin(), paths.end());
  for (const std::filesystem::path& path : paths) {
    auto record = read_record(path);
    if (record.has_value()) {
      loaded.records.push_back(std::move(*record));
      continue;
    }
    const std::string bad = path.string() + ".bad";
    ::rename(path.c_str(), bad.c_str());
    loaded.notes.push_back(
        fmt::format("record {} cannot be read ({}) and was put aside as {}: an engine of it may still run and hold "
                    "memory; end it by hand",
                    path.string(),
                    record.error().message,
                    bad));
  }
  return loaded;
}

}  // namespace berth::worker
