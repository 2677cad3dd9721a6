#include "engines/launch.h"

#include <algorithm>
#include <doctest/doctest.h>

#include "engines/paths.h"
#include "engines/testing.h"

namespace berth::engines {
namespace {

using testing::toy_engine;
using List = std::vector<std::string>;

struct Case {
  Engine engine = toy_engine();
  fleet::Plan plan;
  fleet::PlanWorker part;
  std::string framework = "cpu";
  std::string task = "generate";
  LaunchPlace place;

  Case() {
    plan.settings.context = 4096;
    plan.settings.kv_type = "f16";
    place.program = "/usr/bin/toy-server";
    place.model_path = "/models/m.gguf";
    place.alias = "smol";
    place.port = 41000;
    place.secret_file = "/run/berth/key";
    place.secret = "sesame";
    place.threads = 3;
    place.path_roots = {"/models", "/var/lib/berth/files/"};
  }

  [[nodiscard]] Result<LaunchSpec> run() const { return launch(engine, plan, part, framework, task, place); }
  [[nodiscard]] Error refusal() const {
    auto spec = run();
    return spec.has_value() ? Error{Code::kInternal, "accepted"} : spec.error();
  }
};

TEST_CASE("the command line is the recipe with the plan's values, and nothing else") {
  Case c;
  auto spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->argv == List{"/usr/bin/toy-server",
                           "--model",
                           "/models/m.gguf",
                           "--host",
                           "127.0.0.1",
                           "--port",
                           "41000",
                           "--api-key-file",
                           "/run/berth/key",
                           "--ctx-size",
                           "4096",
                           "--threads",
                           "3",
                           "--cache",
                           "half",
                           "--device",
                           "none"});
  CHECK(spec->environment == std::map<std::string, std::string>{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                                {"LANG", "C.UTF-8"},
                                                                {"TOY_KEY", "sesame"},
                                                                {"CUDA_VISIBLE_DEVICES", ""}});
}

TEST_CASE("devices are shown to the engine in the plan's order, and the task adds its arguments") {
  Case c;
  c.part.devices = {"GPU-b", "GPU-a"};
  c.part.tensor_split = {3, 1};
  c.framework = "cuda";
  c.task = "embed";
  c.place.program_args = {"/opt/launcher"};
  auto spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->environment.at("CUDA_VISIBLE_DEVICES") == "GPU-b,GPU-a");
  CHECK(spec->argv[1] == "/opt/launcher");
  const List tail(spec->argv.end() - 5, spec->argv.end());
  CHECK(tail == List{"--tensor-split", "3,1", "--embeddings", "--pooling", "mean"});
  c.place.pooling.clear();
  spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->argv.back() == "3,1");
}

TEST_CASE("an engine that counts devices gets their places, or does not start") {
  Case c;
  c.engine.recipe.devices_by_index = true;
  c.part.devices = {"GPU-b", "GPU-a"};
  c.framework = "cuda";
  CHECK(c.refusal().message ==
        "device GPU-b has no place in the driver's list (it is a slice, or gone), and Toy takes its devices by place: "
        "select a whole device, or an engine that takes ids");
  c.place.device_indices = {{"GPU-a", "0"}, {"GPU-b", "3"}};
  auto spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->environment.at("CUDA_VISIBLE_DEVICES") == "3,0");
}

TEST_CASE("a command of one's own gets ids where CUDA has no place for a device, never both in one list") {
  Case c;
  c.engine.recipe.command_from_request = true;
  c.engine.recipe.devices_by_index = true;
  c.plan.settings.command = {"/opt/serve"};
  c.part.devices = {"GPU-a", "MIG-1"};
  c.place.device_indices = {{"GPU-a", "0"}};
  c.framework = "cuda";
  auto spec = c.run();
  REQUIRE_MESSAGE(spec.has_value(), spec.error().message);
  CHECK(spec->environment.at("CUDA_VISIBLE_DEVICES") == "GPU-a,MIG-1");
}

TEST_CASE("an argument without a value is left out") {
  Case c;
  c.plan.settings.context.reset();
  auto spec = c.run();
  REQUIRE(spec.has_value());
  for (const auto& word : spec->argv) CHECK(word != "--ctx-size");
}

TEST_CASE("hostile values reach the engine as they are: there is no shell, and nothing is expanded twice") {
  Case c;
  const std::string evil = R"(/models/$(reboot);`id` "x" {port} '&& rm -rf ~'.gguf)";
  c.place.model_path = evil;
  c.plan.settings.flags = {"--chat-template='; $(touch /tmp/x) {secret_file}'", "--novel=a b"};
  CHECK(c.refusal().code == Code::kInvalid);  // "b" belongs to no flag
  c.plan.settings.flags = {"--chat-template='; $(touch /tmp/x) {secret_file}'", "--novel='a b'", "--dash=-x y=z"};
  CHECK(c.refusal().code == Code::kInvalid);
  c.plan.settings.flags = {"--chat-template='; $(touch /tmp/x) {secret_file}'", "--novel='a b'", "--dash=-x"};
  auto spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->argv[2] == evil);
  const List tail(spec->argv.end() - 5, spec->argv.end());
  CHECK(tail == List{"--chat-template", "; $(touch /tmp/x) {secret_file}", "--dash=-x", "--novel", "a b"});
}

TEST_CASE("a line break or NUL is refused wherever it comes from") {
  Case c;
  c.place.model_path = "/models/a\nb.gguf";
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.place.model_path = std::string("/models/a\0b", 11);
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.plan.settings.flags = {"--chat-template=a\nb"};
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.plan.settings.env = {{"TOY_X", "a\nb"}};
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.part.devices = {"GPU-a\n"};
  c.framework = "cuda";
  CHECK(c.refusal().code == Code::kInvalid);
}

TEST_CASE("a deployment's flag replaces the recipe's, owned ones are forbidden, settings may not come twice") {
  Case c;
  c.plan.settings.flags = {"-t 1", "--no-mmap"};
  auto spec = c.run();
  REQUIRE(spec.has_value());
  const List tail(spec->argv.end() - 3, spec->argv.end());
  CHECK(tail == List{"--no-mmap", "--threads", "1"});
  CHECK(std::count(spec->argv.begin(), spec->argv.end(), "--threads") == 1);
  c.plan.settings.flags = {"--host=0.0.0.0"};
  CHECK(c.refusal().code == Code::kForbidden);
  c.plan.settings.flags = {"-c 8192"};
  CHECK(c.refusal().code == Code::kInvalid);
}

TEST_CASE("path flags must lie under a root") {
  Case c;
  for (const char* good :
       {"--lora=/models/a.gguf", "--lora /var/lib/berth/files/x/y.gguf", "--lora=/models/a,/models/b"}) {
    c.plan.settings.flags = {good};
    CHECK_MESSAGE(c.refusal().code == Code::kForbidden, "not opened: ", good);
    for (const char* path : {"/models/a.gguf", "/var/lib/berth/files/x/y.gguf", "/models/a", "/models/b"})
      c.place.real_paths[path] = std::string("/real") + path;
    const auto spec = c.run();
    REQUIRE_MESSAGE(spec.has_value(), good);
    CHECK(spec->argv.back().starts_with("/real/"));
    c.place.real_paths.clear();
  }
  for (const char* bad :
       {"--lora=/etc/shadow", "--lora=/modelsx/a", "--lora=/models/a,/etc/shadow", "--lora=/var/lib/berth"}) {
    c.plan.settings.flags = {bad};
    CHECK_MESSAGE(c.refusal().code == Code::kForbidden, bad);
  }
  c.plan.settings.flags = {"--lora=/models/../etc/shadow"};
  CHECK(c.refusal().code == Code::kInvalid);
  c.plan.settings.flags = {"--lora=/models/a"};
  c.place.real_paths = {{"/models/a", "/models/x,/etc/shadow"}};
  CHECK(c.refusal().code == Code::kForbidden);
  CHECK(is_under("/models", {"/models"}));
  CHECK(is_under("/a/b", {"/"}));
  CHECK(!is_under("/a/b", {}));
  CHECK(!is_under("/a/b", {"a"}));
  CHECK(!is_under("a/b", {"/"}));
}

TEST_CASE("files with names are arguments of their own, and a name that would be read as another is refused") {
  Case c;
  Flag named = testing::flag("--modules", {}, FlagType::kText);
  named.kind = FlagClass::kPath;
  named.form = PathForm::kNamedList;
  c.engine.flags.push_back(named);
  c.plan.settings.flags = {"--modules=x=/models/a,y=/models/b"};
  c.place.real_paths = {{"/models/a", "/real/a"}, {"/models/b", "/real/b"}};
  const auto spec = c.run();
  REQUIRE(spec.has_value());
  const auto& argv = spec->argv;
  REQUIRE(argv.size() > 3);
  CHECK(std::vector<std::string>(argv.end() - 3, argv.end()) ==
        std::vector<std::string>{"--modules", "x=/real/a", "y=/real/b"});
  c.place.real_paths["/models/a"] = "/real/a=b";
  CHECK(c.refusal().code == Code::kForbidden);
}

TEST_CASE("paths in the value of an unknown flag must lie under a root and be opened, too") {
  Case c;
  c.plan.settings.flags = {"--novel=a:/models/a,b"};
  c.place.real_paths = {{"/models/a", "/models/real"}};
  const auto spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->argv.back() == "a:/models/real,b");
  c.place.real_paths.clear();
  CHECK(c.refusal().code == Code::kForbidden);
  c.plan.settings.flags = {"--novel=/etc/shadow"};
  c.place.real_paths = {{"/etc/shadow", "/etc/shadow"}};
  CHECK(c.refusal().code == Code::kForbidden);
}

TEST_CASE("variables pass an allow-list, and some never pass") {
  Case c;
  c.plan.settings.env = {{"TOY_LEVEL", "2"}, {"OMP_NUM_THREADS", "1"}};
  auto spec = c.run();
  REQUIRE(spec.has_value());
  CHECK(spec->environment.at("TOY_LEVEL") == "2");
  c.engine.recipe.user_environment = {"*"};  // even if a catalog allowed everything
  for (const char* name : {"LD_PRELOAD",
                           "LD_LIBRARY_PATH",
                           "DYLD_INSERT_LIBRARIES",
                           "PATH",
                           "HOME",
                           "PYTHONPATH",
                           "PYTHONSTARTUP",
                           "BASH_ENV",
                           "LLAMA_ARG_HOST",
                           "LLAMA_API_KEY",
                           "VLLM_API_KEY",
                           "VLLM_PLUGINS",
                           "CUDA_VISIBLE_DEVICES",
                           "NVIDIA_VISIBLE_DEVICES",
                           "TOY_KEY",
                           "GCONV_PATH",
                           "GLIBC_TUNABLES"}) {
    c.plan.settings.env = {{name, "x"}};
    CHECK_MESSAGE(c.refusal().code == Code::kForbidden, name);
  }
  c.engine = toy_engine();
  c.plan.settings.env = {{"SOMETHING", "x"}};
  CHECK(c.refusal() ==
        Error{Code::kInvalid, "variable SOMETHING is not allowed for Toy: allowed are TOY_*, OMP_NUM_THREADS"});
  c.plan.settings.env = {{"A=B", "x"}};
  CHECK(c.refusal().code == Code::kInvalid);
  c.plan.settings.env = {{"", "x"}};
  CHECK(c.refusal().code == Code::kInvalid);
}

TEST_CASE("no engine starts without its key, a port, or absolute paths") {
  Case c;
  c.place.secret.clear();
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.place.secret_file.clear();
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.place.port = 0;
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.place.program = "toy-server";
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.place.model_path = "--host";
  CHECK(c.refusal().code == Code::kInvalid);
  c = Case();
  c.part.devices = {"GPU-a,GPU-b"};
  CHECK(c.refusal().code == Code::kInvalid);
}

TEST_CASE("frameworks that count devices get places, the others ids") {
  Case c;
  c.part.devices = {"GPU-b"};
  c.place.device_indices = {{"GPU-b", "1"}};
  c.framework = "cuda";
  CHECK(c.run()->environment.at("CUDA_VISIBLE_DEVICES") == "GPU-b");
  c.engine.recipe.index_frameworks = {"cuda"};
  CHECK(c.run()->environment.at("CUDA_VISIBLE_DEVICES") == "1");
}

TEST_CASE("a custom engine runs the deployment's words, with what only the worker knows filled in") {
  Case c;
  c.engine.recipe.command_from_request = true;
  c.engine.recipe.arguments.clear();
  c.engine.recipe.programs.clear();
  c.place.program.clear();
  CHECK(c.refusal().message == "engine toy runs what settings.command or settings.image says, and neither is given");
  c.plan.settings.command = {"/opt/serve", "--model={model_path}", "--at", "{host}:{port}", R"({"a": "{b c}"})"};
  auto spec = c.run();
  REQUIRE_MESSAGE(spec.has_value(), spec.error().message);
  CHECK(spec->argv == List{"/opt/serve", "--model=/models/m.gguf", "--at", "127.0.0.1:41000", R"({"a": "{b c}"})"});
  CHECK(spec->image.empty());
  CHECK(spec->environment.at("TOY_KEY") == "sesame");

  c.plan.settings.command = {"serve", "--port={port}"};
  CHECK(c.refusal().message == "settings.command[0] is \"serve\", must be an absolute path");
  c.plan.settings.image = "example/serve:1";
  spec = c.run();
  REQUIRE_MESSAGE(spec.has_value(), spec.error().message);
  CHECK(spec->argv == List{"serve", "--port=41000"});
  CHECK(spec->image == "example/serve:1");
  for (const char* word : {"{secret}", "{flavour}"}) {
    c.plan.settings.command = {"serve", word};
    CHECK(c.refusal().message ==
          "settings.command: \"" + std::string(word) + "\" names a placeholder that has no value here");
  }
}

}  // namespace
}  // namespace berth::engines
