// Facts of models on this machine, from headers alone: tensor data is never read.
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <span>

#include "base/text.h"
#include "cli/inputs.h"
#include "metadata/gguf.h"
#include "metadata/hf_config.h"
#include "metadata/safetensors.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstPrefix = 64 * kKiB;
constexpr std::size_t kShardsMax = 1000;

/// The first `size` bytes, fewer when the file is shorter.
Result<std::vector<std::byte>> read_prefix(const std::string& path, std::uint64_t size) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, fmt::format("cannot open {}", printable(path)));
  std::vector<std::byte> bytes(size);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));  // NOLINT: raw bytes
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

Result<std::uint64_t> size_of(const std::string& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) return fail(Code::kNotFound, fmt::format("{} does not exist", printable(path)));
  if (!fs::is_regular_file(status)) return invalid(fmt::format("{} is not a file", printable(path)));
  const auto size = fs::file_size(path, error);
  if (error) return fail(Code::kForbidden, fmt::format("{}: {}", printable(path), error.message()));
  return size;
}

Result<metadata::GgufFile> gguf_file(const std::string& path, bool metadata_only) {
  TRY(const std::uint64_t total, size_of(path));
  const metadata::GgufOptions options{.file_bytes = total, .metadata_only = metadata_only};
  std::uint64_t want = std::min(total, kFirstPrefix);
  for (;;) {
    TRY(const auto bytes, read_prefix(path, want));
    auto read = metadata::read_gguf_prefix(bytes, options);
    if (!read) {
      Error error = in(path, std::move(read).error());
      if (metadata_only) return error;
      const metadata::GgufOptions headers{.file_bytes = total, .metadata_only = true};
      const auto again = metadata::read_gguf_prefix(bytes, headers);
      if (again && again->file)
        error.message += "; if only its header is meant, say --metadata-only or metadata_only: true";
      return error;
    }
    if (read->file) return std::move(*read->file);
    if (read->need_bytes <= bytes.size()) return invalid(fmt::format("{} changed while it was read", printable(path)));
    want = read->need_bytes;
  }
}

/// "x-00001-of-00003.gguf" → all three, in order; else the path alone.
std::vector<std::string> shards_of(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  const auto at = name.rfind("-of-");
  constexpr std::size_t kDigits = 5;
  if (at == std::string::npos || at < kDigits + 1 || name.size() != at + 4 + kDigits + 5) return {path};
  const auto count = parse_u64(name.substr(at + 4, kDigits));
  if (!count || *count < 2 || *count > kShardsMax) return {path};
  std::vector<std::string> out;
  for (std::uint64_t i = 1; i <= *count; ++i)
    out.push_back(
        (fs::path(path).parent_path() / fmt::format("{}{:05}-of-{:05}.gguf", name.substr(0, at - kDigits), i, *count))
            .string());
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
  TRY(const std::uint64_t total, size_of(path));
  TRY(const auto first, read_prefix(path, 8));
  auto end = metadata::safetensors_header_end(first, total);
  if (!end) return in(path, std::move(end).error());
  TRY(const auto bytes, read_prefix(path, *end));
  auto header = metadata::read_safetensors_header(bytes, total);
  if (!header) return in(path, std::move(header).error());
  return header;
}

Result<fleet::ModelFacts> config_facts(const std::string& config, const std::string& index) {
  TRY(const auto text, read_text_file(config, metadata::kHfConfigMaxBytes));
  auto facts = metadata::facts_from_hf_config(text);
  if (!facts) return in(config, std::move(facts).error());
  if (index.empty()) return facts;
  TRY(const auto index_text, read_text_file(index, metadata::kSafetensorsIndexMaxBytes));
  auto read = metadata::read_safetensors_index(index_text);
  if (!read) return in(index, std::move(read).error());
  return metadata::with_weights(std::move(*facts), *read);
}

Result<fleet::ModelFacts> folder_facts(const std::string& folder) {
  const fs::path root(folder);
  std::error_code error;
  const auto index = root / "model.safetensors.index.json";
  if (fs::exists(index, error)) return config_facts((root / "config.json").string(), index.string());
  TRY(auto facts, config_facts((root / "config.json").string(), ""));
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(root, error))
    if (entry.path().extension() == ".safetensors" && paths.size() < metadata::kSafetensorsFilesMax)
      paths.push_back(entry.path().string());
  if (error) return fail(Code::kForbidden, fmt::format("{}: {}", printable(folder), error.message()));
  if (paths.empty()) return invalid(fmt::format("{} holds no .safetensors files", printable(folder)));
  std::sort(paths.begin(), paths.end());
  std::vector<metadata::SafetensorsHeader> headers;
  for (const auto& path : paths) {
    TRY(auto header, safetensors_header(path));
    headers.push_back(std::move(header));
  }
  return metadata::with_weights(std::move(facts), headers);
}

std::string below(const std::string& base, const std::string& path) {
  return path.empty() ? "" : (fs::path(base) / path).string();
}

}  // namespace

Result<fleet::ModelFacts> read_facts(const wire::FactsFrom& from, const FactsOptions& options) {
  const int given = (from.gguf.empty() ? 0 : 1) + (from.config.empty() ? 0 : 1) + (from.folder.empty() ? 0 : 1);
  if (given != 1) return invalid("facts_from needs exactly one of gguf, config, folder");
  if (!from.index.empty() && from.config.empty()) return invalid("facts_from.index goes with config");
  if (!from.gguf.empty())
    return gguf_facts(below(options.base, from.gguf), options.metadata_only || from.metadata_only);
  if (!from.folder.empty()) return folder_facts(below(options.base, from.folder));
  return config_facts(below(options.base, from.config), below(options.base, from.index));
}

Result<fleet::ModelFacts> facts_of_path(const std::string& path, bool metadata_only) {
  std::error_code error;
  if (fs::is_directory(path, error)) return folder_facts(path);
  if (!fs::exists(path, error)) return fail(Code::kNotFound, fmt::format("{} does not exist", printable(path)));
  if (fs::path(path).extension() == ".gguf") return gguf_facts(path, metadata_only);
  return invalid(fmt::format("{} is neither a .gguf file nor a folder with config.json", printable(path)));
}

}  // namespace berth::cli
