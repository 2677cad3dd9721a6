#include "engines/flags.h"

#include <doctest/doctest.h>

#include "engines/paths.h"
#include "engines/testing.h"

namespace berth::engines {
namespace {

using testing::toy_engine;

std::vector<std::string> texts(const std::vector<std::string>& flags) {
  const Engine engine = toy_engine();
  auto parsed = parse_flags(engine, flags);
  if (!parsed.has_value()) return {"error: " + parsed.error().message};
  std::vector<std::string> out;
  for (const auto& flag : *parsed) out.push_back(flag_text(engine, flag));
  return out;
}

Error refusal(const std::vector<std::string>& flags) {
  auto parsed = parse_flags(toy_engine(), flags);
  return parsed.has_value() ? Error{Code::kInternal, "accepted"} : parsed.error();
}

Result<fleet::Request> absorbed(const std::vector<std::string>& flags, fleet::Settings settings = {}) {
  fleet::Request request;
  request.settings = std::move(settings);
  request.settings.flags = flags;
  return absorb_flags(toy_engine(), std::move(request));
}

using List = std::vector<std::string>;

TEST_CASE("every spelling of the same flags is the same list") {
  const List wanted = {"--ctx-size=4096", "--parallel=2", "--temp=-1"};
  CHECK(texts({"--ctx-size=4096", "--parallel=2", "--temp=-1"}) == wanted);
  CHECK(texts({"--ctx-size 4096 -np 2 --temp -1"}) == wanted);
  CHECK(texts({"--ctx-size", "4096", "-np", "2", "--temperature", "-1"}) == wanted);
  CHECK(texts({"  -np=2   --temp=-1", "-c 4096"}) == wanted);
  CHECK(texts({"--ctx_size=4096 --parallel '2' --temp=\"-1\""}) == wanted);
}

TEST_CASE("the last of duplicates wins, whatever their spelling") {
  CHECK(texts({"-c 1024", "--ctx-size=2048"}) == List{"--ctx-size=2048"});
  CHECK(texts({"--no-mmap --mmap"}) == List{"--mmap"});
  CHECK(texts({"--mmap", "--no-mmap"}) == List{"--no-mmap"});
}

TEST_CASE("switches take no value, their negation, or true and false") {
  CHECK(texts({"--mlock"}) == List{"--mlock"});
  CHECK(texts({"--mmap=false"}) == List{"--no-mmap"});
  CHECK(texts({"--no-mmap=false"}) == List{"--mmap"});
  CHECK(texts({"--mlock true --mmap off"}) == List{"--mlock", "--no-mmap"});
  CHECK(refusal({"--mlock=maybe"}).message == "flag --mlock is \"maybe\", must be true or false");
}

TEST_CASE("quotes keep a value together, and JSON keeps its own quotes") {
  CHECK(texts({"--chat-template 'a b'"}) == List{"--chat-template='a b'"});
  CHECK(texts({"--chat-template=\"it's a\" -np 1"}) == List{"--chat-template='it's a'", "--parallel=1"});
  CHECK(texts({R"(--kwargs={"enable":false})"}) == List{R"(--kwargs={"enable":false})"});
  CHECK(texts({"--kwargs", R"({"a": "b c"})"}) == List{R"(--kwargs='{"a": "b c"}')"});
  CHECK(refusal({"--chat-template 'a b"}).message == "flags: a ' is not closed in: --chat-template 'a b");
  CHECK(refusal({"--chat-template a b"}).message ==
        "flags: \"b\" belongs to no flag; a value with spaces needs quotes or an entry of its own");
}

TEST_CASE("a value that is no value of its flag is refused with what is allowed") {
  CHECK(refusal({"-c many"}).message == "flag --ctx-size is \"many\", must be an integer");
  CHECK(refusal({"-c 4096x"}).message == "flag --ctx-size is \"4096x\", must be an integer");
  CHECK(refusal({"-c 0"}).message == "flag --ctx-size is 0, must be from 1 to 16777216");
  CHECK(refusal({"--temp nan"}).message == "flag --temp is \"nan\", must be a number");
  CHECK(refusal({"--temp 11"}).message == "flag --temp is 11, must be from -1 to 10");
  CHECK(refusal({"-ctk q9"}).message == "flag --cache-type-k is \"q9\", must be one of f16, q8_0, auto");
  CHECK(refusal({"-ngl some"}).message == "flag --n-gpu-layers is \"some\", must be an integer or auto, all");
  CHECK(refusal({"-fa"}).message == "flag --flash-attn needs a value: on, off, auto");
  CHECK(refusal({"--chat-template --mlock"}).message == "flag --chat-template needs a value");
  CHECK(refusal({"4096"}).code == Code::kInvalid);
  CHECK(refusal({"--"}).code == Code::kInvalid);
}

TEST_CASE("a flag that berth owns is forbidden in every spelling, with a reason") {
  CHECK(refusal({"--host 0.0.0.0"}) ==
        Error{Code::kForbidden, "flag --host may not be given: engines listen on 127.0.0.1 only"});
  for (const char* text : {"--host=0.0.0.0",
                           "--port 1",
                           "--api-key=x",
                           "--api_key x",
                           "--log-file /tmp/x",
                           "--log_file=x",
                           "--rpc a:1",
                           "-np 1 --rpc=a:1",
                           "--hos 0.0.0.0",
                           "--api x",
                           "--por=1",
                           "--r a:1",
                           "--rpc.x a",
                           "-ok/x"})
    CHECK_MESSAGE(refusal({text}).code == Code::kForbidden, text);
  CHECK(refusal({"-np", "--host"}).code == Code::kInvalid);
}

TEST_CASE("an unknown flag comes back as unknown with its value") {
  auto parsed = parse_flags(toy_engine(), {"--novel 7 --bare --dash=-x"});
  REQUIRE(parsed.has_value());
  REQUIRE(parsed->size() == 3);
  CHECK((*parsed)[0].name == "--bare");
  CHECK(!(*parsed)[0].has_value);
  CHECK(!(*parsed)[0].known);
  CHECK((*parsed)[1].value == "-x");
  CHECK((*parsed)[2].value == "7");
}

TEST_CASE("a value of an unknown flag that looks like a path must be one that can be judged") {
  for (const char* text : {"--novel ../a",
                           "--novel=a/../b",
                           "--novel ~/a",
                           "--novel=~root",
                           "--novel=file:///models/a",
                           "--novel=FILE:/models/a",
                           "--novel=x=../a",
                           "--novel=a,/models/../b",
                           R"(--novel={"path":"/models/../b"})",
                           "--novel=@/models/./b",
                           "-L/etc/shadow",
                           "--novel/../x 1"})
    CHECK_MESSAGE(refusal({text}).code == Code::kInvalid, text);
  CHECK(refusal({"--novel ../a"}).message ==
        "flag --novel is \"../a\": it looks like a path, which must be absolute and without ~, . or ..");
  for (const char* text : {"--novel=a..b", "--novel=http://a/../b", "--novel=1/2", "--novel=/models/a"})
    CHECK_MESSAGE(parse_flags(toy_engine(), {text}).has_value(), text);
  const auto paths = flag_paths(toy_engine(), {R"(--novel=[/a,"/b":HTTP://x/y,x:/c@/d] --lora=/e,/f --mlock)"});
  REQUIRE(paths.has_value());
  std::string all;
  for (const auto& [flag, path] : *paths) all += flag + path + " ";
  CHECK(all == "--lora/e --lora/f --novel/a --novel/b --novel/c --novel/d ");
}

TEST_CASE("path flags have a form: files with scales, files with names") {
  Engine engine = toy_engine();
  Flag scaled = testing::flag("--lora-scaled", {}, FlagType::kText);
  scaled.kind = FlagClass::kPath;
  scaled.form = PathForm::kScaledList;
  Flag named = testing::flag("--modules", {}, FlagType::kText);
  named.kind = FlagClass::kPath;
  named.form = PathForm::kNamedList;
  engine.flags.push_back(scaled);
  engine.flags.push_back(named);
  const auto paths = flag_paths(engine, {"--lora_scaled /a:0.5,/b:-1 --modules=x=/c,y=/d"});
  REQUIRE(paths.has_value());
  std::string all;
  for (const auto& [flag, path] : *paths) all += path;
  CHECK(all == "/a/b/c/d");
  for (const char* text : {"--lora-scaled /a",
                           "--lora-scaled /a 0.5",
                           "--lora-scaled /a:x",
                           "--lora-scaled /a:1:2",
                           "--lora-scaled a:1",
                           "--lora-scaled /a:1,/../b:1",
                           "--modules=/c",
                           "--modules==/c",
                           "--modules=x=c",
                           "--modules=x=/a=b",
                           "--lora='/a\"b'"})
    CHECK_MESSAGE(parse_flags(engine, {text}).error().code == Code::kInvalid, text);
}

TEST_CASE("line breaks, NUL, other control characters, bad UTF-8 and too much text are refused") {
  CHECK(refusal({"--chat-template=a\n--host 0.0.0.0"}).code == Code::kInvalid);
  CHECK(refusal({"--chat-template", std::string("a\0b", 3)}).code == Code::kInvalid);
  CHECK(refusal({"--chat-template=\x1b[2J"}).code == Code::kInvalid);
  CHECK(refusal({"--chat-template=\xff"}).code == Code::kInvalid);
  CHECK(refusal({"--chat-template=" + std::string(kFlagBytesMax, 'a')}).code == Code::kTooLarge);
  CHECK(refusal(List(kFlagEntriesMax + 1, "--mlock")).code == Code::kTooLarge);
}

TEST_CASE("a path flag must be absolute and free of dots, each of a list") {
  CHECK(texts({"--lora /models/a.gguf"}) == List{"--lora=/models/a.gguf"});
  CHECK(texts({"--lora /models/a.gguf,/models/b.gguf"}) == List{"--lora=/models/a.gguf,/models/b.gguf"});
  for (const char* text :
       {"--lora a.gguf", "--lora /models/../etc/shadow", "--lora /m/a,b", "--lora=", "--lora /m/./a"})
    CHECK_MESSAGE(refusal({text}).code == Code::kInvalid, text);
}

TEST_CASE("flags that mean settings move into the request, the others become one entry each") {
  auto request = absorbed({"-c 4096 -np 2 -fa off -ctk q8_0 --cache-type-v q8_0 -ngl 12", "--novel 1", "--mlock"});
  REQUIRE(request.has_value());
  const auto& s = request->settings;
  CHECK(s.context == 4096);
  CHECK(s.sequences == 2);
  CHECK(s.flash_attention == false);
  CHECK(s.kv_type == "q8_0");
  CHECK(s.offload_layers == 12);
  CHECK(s.flags == List{"--mlock", "--novel=1"});
  auto again = absorb_flags(toy_engine(), *request);
  REQUIRE(again.has_value());
  CHECK(again->settings.flags == s.flags);
  CHECK(again->settings.context == s.context);
}

TEST_CASE("auto leaves a setting to berth, and all layers means nothing on the host") {
  auto request = absorbed({"-ngl auto -fa auto -ctk auto"});
  REQUIRE(request.has_value());
  CHECK(!request->settings.offload_layers);
  CHECK(!request->settings.flash_attention);
  CHECK(!request->settings.kv_type);
  CHECK(request->settings.cpu_offload);
  request = absorbed({"-ngl all"});
  REQUIRE(request.has_value());
  CHECK(!request->settings.cpu_offload);
}

TEST_CASE("a flag and a field that disagree are refused, and ones that agree are one") {
  fleet::Settings given;
  given.context = 8192;
  CHECK(absorbed({"-c 8192"}, given).has_value());
  auto clash = absorbed({"-c 4096"}, given);
  REQUIRE(!clash.has_value());
  CHECK(clash.error().message == "flag --ctx-size is 4096, but settings.context is 8192: give one of them");
  auto types = absorbed({"-ctk f16 -ctv q8_0"});
  REQUIRE(!types.has_value());
  CHECK(types.error().message == "flag --cache-type-v is q8_0, but settings.kv_type is f16: give one of them");
}

TEST_CASE("a value that no quoting can carry is refused rather than changed") {
  CHECK(absorbed({"--chat-template", "a' b"}).has_value());
  auto both = absorbed({"--chat-template", "a' b\" c"});
  REQUIRE(!both.has_value());
  CHECK(both.error().code == Code::kInvalid);
}

}  // namespace
}  // namespace berth::engines
