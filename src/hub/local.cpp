#include "hub/local.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <span>
#include <unistd.h>
#include <vector>

#include "base/text.h"
#include "metadata/gguf.h"
#include "metadata/hf_config.h"
#include "metadata/safetensors.h"

namespace berth::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstRead = 64 * 1024;
constexpr std::size_t kShardsMax = 1000;
constexpr std::uint64_t kSafetensorsLengthBytes = 8;  // the length of the header that follows

class File {
 public:
  static Result<File> open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
      const Code code = errno == ENOENT ? Code::kNotFound : errno == EACCES ? Code::kForbidden : Code::kUnavailable;
      return fail(code, fmt::format("{}: {}", path, std::strerror(errno)));
    }
    File file(fd);
    struct stat info{};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return invalid(path + " is not a regular file");
    file.size_ = static_cast<std::uint64_t>(info.st_size);
    return file;
  }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  File& operator=(File&&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Grows `bytes` to the first `upto` bytes of the file. A file that shrinks meanwhile ends early.
  Result<void> read_upto(std::vector<std::byte>& bytes, std::uint64_t upto) const {
    std::size_t at = bytes.size();
    bytes.resize(static_cast<std::size_t>(std::min({upto, size_, kHeaderReadMax})));
    while (at < bytes.size()) {
      const auto n = ::pread(fd_, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Code::kUnavailable, fmt::format("read failed: {}", std::strerror(errno)));
      if (n == 0) return invalid("the file became shorter while it was read");
      at += static_cast<std::size_t>(n);
    }
    return {};
  }

 private:
  explicit File(int fd) : fd_(fd) {}
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

Result<std::string> read_text(const std::string& path, std::uint64_t max) {
  TRY(auto file, File::open(path));
  if (file.size() > max)
    return fail(Code::kTooLarge, fmt::format("{} has {} bytes, at most {}", path, file.size(), max));
  std::vector<std::byte> bytes;
  TRY_VOID(file.read_upto(bytes, max));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());  // NOLINT: text is bytes
}

Result<metadata::GgufFile> gguf_file(const std::string& path, bool metadata_only) {
  TRY(auto file, File::open(path));
  const metadata::GgufOptions options{.file_bytes = file.size(), .metadata_only = metadata_only};
  std::vector<std::byte> bytes;
  std::uint64_t want = kFirstRead;
  while (true) {
    TRY_VOID(file.read_upto(bytes, want));
    auto prefix = metadata::read_gguf_prefix(bytes, options);
    if (!prefix) {
      Error error = in(path, std::move(prefix).error());
      if (metadata_only) return error;
      const auto header = metadata::read_gguf_prefix(bytes, {.file_bytes = file.size(), .metadata_only = true});
      if (header && header->file)
        error.message += "; if only its header is meant, say --metadata-only or metadata_only: true";
      return error;
    }
    if (auto& header = prefix->file) return std::move(*header);
    if (prefix->need_bytes > kHeaderReadMax) {
      return fail(
          Code::kTooLarge,
          fmt::format("{}: its header needs {} bytes, at most {} are read", path, prefix->need_bytes, kHeaderReadMax));
    }
    if (prefix->need_bytes <= bytes.size()) return invalid(path + ": the header does not end");
    want = prefix->need_bytes;
  }
}

/// "x-00002-of-00003.gguf" → all three, in order; any other name → itself alone.
std::vector<std::string> shards_of(const std::string& path) {
  constexpr std::size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  constexpr std::string_view kEnding = ".gguf";
  const std::string name = fs::path(path).filename().string();
  const auto at = name.rfind(kOf);
  if (at == std::string::npos || at < kDigits + 1) return {path};
  if (name.size() != at + kOf.size() + kDigits + kEnding.size()) return {path};
  const auto count = parse_u64(name.substr(at + kOf.size(), kDigits));
  if (!count || *count < 2 || *count > kShardsMax) return {path};
  const std::string stem = (fs::path(path).parent_path() / name.substr(0, at - kDigits)).string();
  std::vector<std::string> out;
  for (std::uint64_t i = 1; i <= *count; ++i) out.push_back(fmt::format("{}{:05}-of-{:05}.gguf", stem, i, *count));
  return out;
}

Result<fleet::ModelFacts> gguf_facts(const std::string& path, bool metadata_only) {
  std::vector<metadata::GgufFile> files;
  for (const auto& shard : shards_of(path)) {
    TRY(auto file, gguf_file(shard, metadata_only));
    files.push_back(std::move(file));
  }
  auto facts = files.size() == 1 ? metadata::facts_from_gguf(files.front()) : metadata::facts_from_gguf_shards(files);
  if (!facts) return in(path, std::move(facts).error());
  return facts;
}

Result<metadata::SafetensorsHeader> safetensors_header(const std::string& path) {
  TRY(auto file, File::open(path));
  std::vector<std::byte> bytes;
  TRY_VOID(file.read_upto(bytes, kSafetensorsLengthBytes));
  auto end = metadata::safetensors_header_end(bytes, file.size());
  if (!end) return in(path, std::move(end).error());
  TRY_VOID(file.read_upto(bytes, *end));
  auto header = metadata::read_safetensors_header(bytes, file.size());
  if (!header) return in(path, std::move(header).error());
  return header;
}

Result<fleet::ModelFacts> folder_facts(const std::string& path) {
  const std::string config = (fs::path(path) / "config.json").string();
  const fs::path index = fs::path(path) / "model.safetensors.index.json";
  std::error_code ec;
  if (fs::exists(index, ec)) return config_facts(config, index.string());
  TRY(auto facts, config_facts(config, ""));
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(path, ec)) {
    if (entry.path().extension() != ".safetensors") continue;
    if (shards.size() == metadata::kSafetensorsFilesMax) {
      return invalid(fmt::format("{} holds more than {} .safetensors files", path, metadata::kSafetensorsFilesMax));
    }
    shards.push_back(entry.path().string());
  }
  if (ec) return fail(Code::kForbidden, fmt::format("{}: {}", path, ec.message()));
  if (shards.empty()) return invalid(path + " has a config.json but no .safetensors file");
  std::sort(shards.begin(), shards.end());
  std::vector<metadata::SafetensorsHeader> headers;
  for (const auto& shard : shards) {
    TRY(auto header, safetensors_header(shard));
    headers.push_back(std::move(header));
  }
  return metadata::with_weights(std::move(facts), headers);
}

}  // namespace

Result<fleet::ModelFacts> config_facts(const std::string& config, const std::string& index) {
  TRY(const auto text, read_text(config, metadata::kHfConfigMaxBytes));
  auto facts = metadata::facts_from_hf_config(text);
  if (!facts) return in(config, std::move(facts).error());
  if (index.empty()) return facts;
  TRY(const auto index_text, read_text(index, metadata::kSafetensorsIndexMaxBytes));
  auto read = metadata::read_safetensors_index(index_text);
  if (!read) return in(index, std::move(read).error());
  return metadata::with_weights(std::move(*facts), *read);
}

bool lies_under(const std::string& path, const std::vector<std::string>& roots) {
  std::error_code ec;
  if (!fs::path(path).is_absolute() || path.find('\0') != std::string::npos) return false;
  const fs::path real = fs::weakly_canonical(path, ec);
  if (ec) return false;
  for (const auto& root : roots) {
    const fs::path base = fs::canonical(root, ec);
    if (ec) continue;
    const auto [in_base, in_real] = std::mismatch(base.begin(), base.end(), real.begin(), real.end());
    if (in_base == base.end()) return true;
  }
  return false;
}

Result<fleet::ModelFacts> local_facts(const std::string& path, bool metadata_only) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) return fail(Code::kNotFound, printable(path) + " does not exist");
  const bool folder = fs::is_directory(status);
  if (!folder && fs::path(path).extension() != ".gguf") {
    return invalid(printable(path) + " is neither a .gguf file nor a folder with config.json");
  }
  auto facts = folder ? folder_facts(path) : gguf_facts(path, metadata_only);
  if (facts && facts->name.empty()) facts->name = fs::path(path).filename().string();
  return facts;
}

}  // namespace berth::hub
