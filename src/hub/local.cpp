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

#include "metadata/gguf.h"
#include "metadata/hf_config.h"
#include "metadata/safetensors.h"

namespace berth::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstRead = 64 * 1024;
constexpr std::size_t kShardsMax = 4096;

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

Result<fleet::ModelFacts> gguf_facts(const std::string& path, bool metadata_only) {
  TRY(auto file, File::open(path));
  std::vector<std::byte> bytes;
  std::uint64_t want = kFirstRead;
  while (true) {
    TRY_VOID(file.read_upto(bytes, want));
    const metadata::GgufOptions options{.file_bytes = file.size(), .metadata_only = metadata_only};
    auto prefix = metadata::read_gguf_prefix(bytes, options);
    if (!prefix) return in(path, std::move(prefix).error());
    if (prefix->file) return metadata::facts_from_gguf(*prefix->file);
    if (prefix->need_bytes <= bytes.size()) return invalid(path + ": the header does not end");
    want = prefix->need_bytes;
  }
}

Result<std::uint64_t> shard_bytes(const std::string& path) {
  TRY(auto file, File::open(path));
  std::vector<std::byte> bytes;
  TRY_VOID(file.read_upto(bytes, 8));
  auto end = metadata::safetensors_header_end(bytes, file.size());
  if (!end) return in(path, std::move(end).error());
  TRY_VOID(file.read_upto(bytes, *end));
  auto header = metadata::read_safetensors_header(bytes, file.size());
  if (!header) return in(path, std::move(header).error());
  return file.size() - *end;
}

Result<fleet::ModelFacts> folder_facts(const std::string& path) {
  constexpr std::uint64_t kConfigMax = 16 * 1024 * 1024;
  TRY(auto config, read_text(path + "/config.json", kConfigMax));
  TRY(auto facts, metadata::facts_from_hf_config(config));
  std::uint64_t total = 0;
  std::size_t shards = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(path, ec)) {
    if (entry.path().extension() != ".safetensors" || ++shards > kShardsMax) continue;
    TRY(const auto bytes, shard_bytes(entry.path().string()));
    total += bytes;
  }
  if (shards == 0) return invalid(path + " has a config.json but no .safetensors file");
  facts.format = "safetensors";
  facts.weight_bytes = Bytes(total);
  return facts;
}

}  // namespace

Result<fleet::ModelFacts> local_facts(const std::string& path, bool metadata_only) {
  std::error_code ec;
  Result<fleet::ModelFacts> facts = fs::is_directory(path, ec) ? folder_facts(path) : gguf_facts(path, metadata_only);
  if (facts && facts->name.empty()) facts->name = fs::path(path).filename().string();
  return facts;
}

}  // namespace berth::hub
