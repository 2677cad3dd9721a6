#include "hub/local.h"

#include <sys/stat.h>

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <string>

namespace berth::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHeaderOnly = "tests/data/metadata/qwen3-0.6b.gguf";
constexpr const char* kConfig = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
  "vocab_size": 100, "max_position_embeddings": 512, "torch_dtype": "bfloat16"})";

/// A folder of this test's own, gone with it.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "berth-hub-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    std::error_code ec;
    fs::remove_all(path, ec);
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
    return (path / name).string();
  }
  fs::path path;
};

/// A safetensors file with one tensor of `rows` × 8 in BF16.
std::string shard(int rows) {
  const int bytes = rows * 16;
  const std::string header = R"({"w": {"dtype": "BF16", "shape": [)" + std::to_string(rows) +
                             R"(, 8], "data_offsets": [0, )" + std::to_string(bytes) + "]}}";
  std::string out(8, '\0');
  out[0] = static_cast<char>(header.size());
  return out + header + std::string(static_cast<std::size_t>(bytes), 'x');
}

std::string message(const Result<fleet::ModelFacts>& result) { return result ? "no error" : result.error().message; }

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a GGUF header without tensor data is refused unless metadata only is asked for") {
  const auto refused = local_facts(kHeaderOnly);
  CHECK(holds(message(refused), "--metadata-only"));
  const auto taken = local_facts(kHeaderOnly, true);
  REQUIRE(taken.has_value());
  CHECK(taken->format == "gguf");
}

TEST_CASE("a folder gives the same weights by its index and by the headers of its shards") {
  Folder folder;
  folder.write("config.json", kConfig);
  folder.write("model-00001-of-00002.safetensors", shard(4));
  folder.write("model-00002-of-00002.safetensors", shard(6));
  const auto by_headers = local_facts(folder.path.string());
  REQUIRE_MESSAGE(by_headers.has_value(), message(by_headers));
  CHECK(by_headers->weight_bytes == Bytes(160));
  CHECK(by_headers->format == "safetensors");
  folder.write("model.safetensors.index.json",
               R"({"metadata": {"total_size": 160}, "weight_map": {"w": "model-00001-of-00002.safetensors"}})");
  const auto by_index = local_facts(folder.path.string());
  REQUIRE_MESSAGE(by_index.has_value(), message(by_index));
  CHECK(by_index->weight_bytes == by_headers->weight_bytes);
}

TEST_CASE("what is no model says what it is") {
  Folder folder;
  CHECK(holds(message(local_facts((folder.path / "none.gguf").string())), "does not exist"));
  CHECK(holds(message(local_facts(folder.write("notes.txt", "hello"))), "neither a .gguf file nor a folder"));
  CHECK(holds(message(local_facts(folder.path.string())), "config.json"));
  folder.write("config.json", kConfig);
  CHECK(holds(message(local_facts(folder.path.string())), "no .safetensors file"));
  const std::string pipe = (folder.path / "pipe.gguf").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(holds(message(local_facts(pipe)), "not a regular file"));
}

TEST_CASE("a path lies under a root once links are followed, whether it is there or not") {
  Folder folder, other;
  fs::create_directories(folder.path / "deep");
  const std::vector<std::string> roots = {"/no-such-root", folder.path.string()};
  const auto under = [&](const fs::path& path) { return lies_under(path.string(), roots); };
  folder.write("deep/m.gguf", "x");
  other.write("secret.gguf", "x");
  CHECK(under(folder.path / "deep" / "m.gguf"));
  CHECK(under(folder.path / "deep" / "none.gguf"));
  CHECK(under(folder.path));
  CHECK_FALSE(under(other.path / "secret.gguf"));
  CHECK_FALSE(under(folder.path / ".." / other.path.filename() / "secret.gguf"));
  CHECK_FALSE(under(folder.path.string() + "-beside"));
  CHECK_FALSE(lies_under("deep/m.gguf", roots));
  CHECK_FALSE(lies_under((folder.path / "deep").string(), {}));
  fs::create_symlink(other.path, folder.path / "out");
  CHECK_FALSE(under(folder.path / "out" / "secret.gguf"));
  CHECK_FALSE(under(folder.path / "out" / "none.gguf"));
}

TEST_CASE("a missing shard of a split GGUF file is named") {
  Folder folder;
  fs::copy_file(kHeaderOnly, folder.path / "m-00001-of-00002.gguf");
  const auto facts = local_facts((folder.path / "m-00001-of-00002.gguf").string(), true);
  CHECK(holds(message(facts), "m-00002-of-00002.gguf"));
}

}  // namespace berth::hub
