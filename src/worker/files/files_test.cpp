#include <sys/stat.h>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "worker/files/fd.h"
#include "worker/files/resolve.h"
#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

namespace {

fleet::ModelSource local(const std::string& path) { return {.kind = "local", .path = path}; }

}  // namespace

TEST_CASE("a model under a root is found with its size, by its real path") {
  const testing::Folder folder;
  folder.write("models/a.gguf", std::string(1000, 'x'));
  folder.link("models/link.gguf", folder.path("models/a.gguf"));
  const std::vector<std::string> roots{folder.path("models")};
  const auto direct = resolve_model(local(folder.path("models/a.gguf")), roots);
  REQUIRE(direct.has_value());
  CHECK(direct->size_bytes.value == 1000);
  const auto linked = resolve_model(local(folder.path("models/link.gguf")), roots);
  REQUIRE(linked.has_value());
  CHECK(linked->path == direct->path);
}

TEST_CASE("a folder that a flag names must be an absolute path to one") {
  const testing::Folder folder;
  folder.write("file", "x");
  CHECK(check_folders("--model-root", {folder.path(""), "/"}).has_value());
  const auto refusal = [](const std::string& path) { return check_folders("--model-root", {"/", path}).error(); };
  CHECK(refusal("/nope/there").message == "--model-root is \"/nope/there\", which is not there");
  CHECK(refusal(folder.path("file")).message.ends_with("which is not a folder"));
  CHECK(refusal("models").message.ends_with("must be an absolute path"));
  CHECK(refusal("").code == Code::kInvalid);
}

TEST_CASE("paths outside the roots are forbidden, whichever way they lead out") {
  const testing::Folder folder;
  folder.write("models/a.gguf", "x");
  folder.write("secret", "x");
  folder.write("models2/b.gguf", "x");
  folder.link("models/out", folder.path("secret"));
  const std::vector<std::string> roots{folder.path("models")};
  for (const std::string bad : {"secret", "models/../secret", "models/out", "models2/b.gguf"}) {
    CAPTURE(bad);
    const auto got = resolve_model(local(folder.path(bad)), roots);
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().code == Code::kForbidden);
  }
}

TEST_CASE("what an engine opens with a model may not lead out either") {
  const testing::Folder folder;
  folder.write("secret", "x");
  folder.write("blobs/b", "12345");
  folder.write("m/config.json", "1");
  folder.link("m/w.safetensors", folder.path("blobs/b"));
  folder.write("s/x-00001-of-00002.gguf", "123");
  folder.write("s/x-00002-of-00002.gguf", "1234");
  folder.write("t/x-00001-of-00002.gguf", "123");
  folder.link("t/x-00002-of-00002.gguf", folder.path("secret"));
  const auto size = [&](const std::string& path, const std::string& root) {
    const auto got = resolve_model(local(folder.path(path)), {folder.path(root)});
    return got ? std::to_string(got->size_bytes.value) : std::to_string(static_cast<int>(got.error().code));
  };
  const std::string forbidden = std::to_string(static_cast<int>(Code::kForbidden));
  CHECK(size("m", "") == "6");
  CHECK(size("m", "m") == forbidden);
  CHECK(size("s/x-00001-of-00002.gguf", "s") == "7");
  CHECK(size("t/x-00001-of-00002.gguf", "t") == forbidden);
}

TEST_CASE("a path in a flag is what was opened for it beneath a root, or refused with the flag") {
  const testing::Folder folder;
  folder.write("models/a.gguf", "x");
  folder.write("models/deep/b.gguf", "x");
  folder.write("secret", "x");
  folder.link("models/in", folder.path("models/deep"));
  folder.link("models/out", folder.path("secret"));
  folder.link("models/up", folder.path(""));
  const std::vector<std::string> roots{folder.path("models")};
  const auto resolve = [&](const std::string& path) { return resolve_flag_paths({{"--lora", path}}, roots); };
  const auto linked = resolve(folder.path("models/in/b.gguf"));
  REQUIRE(linked.has_value());
  const auto direct = resolve(folder.path("models/deep/b.gguf"));
  REQUIRE(direct.has_value());
  CHECK(linked->begin()->second == direct->begin()->second);
  for (const std::string bad : {"models/out", "models/up/secret", "secret"}) {
    CAPTURE(bad);
    const auto got = resolve(folder.path(bad));
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().code == Code::kForbidden);
    CHECK(got.error().message.starts_with("flag --lora: "));
  }
  CHECK(resolve(folder.path("models/none")).error().code == Code::kNotFound);
  CHECK(resolve(folder.path("models/../secret")).error().code == Code::kInvalid);
  CHECK(resolve_flag_paths({{"--lora", folder.path("models/a.gguf")}}, {}).error().code == Code::kForbidden);
}

TEST_CASE("a FIFO, a device and a relative path are not models") {
  const testing::Folder folder;
  folder.write("models/a", "x");
  REQUIRE(::mkfifo(folder.path("models/pipe").c_str(), 0600) == 0);
  const auto pipe = resolve_model(local(folder.path("models/pipe")), {folder.path("models")});
  REQUIRE_FALSE(pipe.has_value());
  CHECK(pipe.error().code == Code::kInvalid);
  CHECK(resolve_model(local("/dev/zero"), {"/dev"}).error().code == Code::kInvalid);
  CHECK(resolve_model(local("models/a"), {folder.path("models")}).error().code == Code::kInvalid);
  CHECK(resolve_model(local(folder.path("models/none")), {folder.path("models")}).error().code == Code::kNotFound);
}

TEST_CASE("a folder of a model counts its files") {
  const testing::Folder folder;
  folder.write("models/m/config.json", std::string(10, 'x'));
  folder.write("models/m/model-00001.safetensors", std::string(90, 'x'));
  const auto got = resolve_model(local(folder.path("models/m")), {folder.path("models")});
  REQUIRE(got.has_value());
  CHECK(got->size_bytes.value == 100);
}

TEST_CASE("a source that must be pulled first is said to be so") {
  const auto got = resolve_model({.kind = "huggingface", .repo = "Qwen/Qwen3-0.6B"}, {"/"});
  REQUIRE_FALSE(got.has_value());
  CHECK(got.error().code == Code::kNotSupported);
  CHECK(got.error().message.find("pull Qwen/Qwen3-0.6B first") != std::string::npos);
}

TEST_CASE("the content id follows size, head and tail of a file") {
  const testing::Folder folder;
  std::string content(3 * kMiB, 'a');
  folder.write("a", content);
  folder.write("b", content);
  content.back() = 'b';
  folder.write("c", content);
  const auto a = content_id(folder.path("a"));
  REQUIRE(a.has_value());
  CHECK(a->starts_with("3145728-"));
  CHECK(*a == *content_id(folder.path("b")));
  CHECK(*a != *content_id(folder.path("c")));
  folder.write("empty", "");
  CHECK(content_id(folder.path("empty"))->starts_with("0-"));
}

TEST_CASE("a durable write replaces content, keeps the mode and leaves no temporary file") {
  const testing::Folder folder;
  const std::string path = folder.path("x.json");
  REQUIRE(write_file_durably(path, "one").has_value());
  REQUIRE(write_file_durably(path, "two").has_value());
  CHECK(*read_small_file(path) == "two");
  struct stat info{};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(::access((path + ".new").c_str(), F_OK) != 0);
  CHECK(write_file_durably(folder.path("none/x"), "x").error().code == Code::kNotFound);
}

TEST_CASE("small files are bounded and FIFOs do not block") {
  const testing::Folder folder;
  folder.write("big", std::string(2000, 'x'));
  CHECK(read_small_file(folder.path("big"), 1000).error().code == Code::kTooLarge);
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK(read_small_file(folder.path("pipe")).error().code == Code::kInvalid);
  CHECK(read_small_file("/proc/self/stat").has_value());
}
