#include <boost/json.hpp>
#include <doctest/doctest.h>
#include <filesystem>

#include "fleet/facts.h"
#include "metadata/detail/test_files.h"
#include "metadata/gguf.h"

namespace berth::metadata {

namespace {

using B = detail::GgufBuilder;
using fleet::ModelFacts;

ModelFacts facts_of_file(const std::string& path) {
  const std::string bytes = detail::slurp(path);
  CAPTURE(path);
  REQUIRE(!bytes.empty());
  const auto file = read_gguf(detail::bytes_of(bytes), {.metadata_only = true});
  REQUIRE_MESSAGE(file.has_value(), file.error().message);
  const auto facts = facts_from_gguf(*file);
  REQUIRE_MESSAGE(facts.has_value(), facts.error().message);
  return *facts;
}

ModelFacts known(const std::string& name) { return facts_of_file("tests/data/metadata/" + name + ".gguf"); }

Result<ModelFacts> facts_of(const B& header) {
  TRY(const GgufFile file, read_gguf(header.bytes(), {.metadata_only = true}));
  return facts_from_gguf(file);
}

/// "sssssf": one letter a layer; plain layers without rows are all f.
std::string window_letters(const ModelFacts& facts) {
  std::string letters;
  for (const auto& row : facts.attention_layers) letters.append(row.count, row.sliding_window ? 's' : 'f');
  return letters;
}

/// An architecture with four layers, one tensor each.
B four_layers(const std::string& architecture, std::uint64_t extra_keys) {
  B b(6, 6 + extra_keys);
  b.key_text("general.architecture", architecture).key_u32(architecture + ".block_count", 4);
  b.key_u32(architecture + ".embedding_length", 512).key_u32(architecture + ".attention.head_count", 8);
  b.key_u32(architecture + ".context_length", 4096).key_u32("general.file_type", 7);
  return b;
}
void add_tensors(B& b) {
  b.tensor("token_embd.weight", {512, 100}, 8, 0);
  for (std::uint64_t i = 0; i < 4; ++i) {
    b.tensor("blk." + std::to_string(i) + ".attn_k.weight", {512, 512}, 8, 54'400 + i * 278'528);
  }
  b.tensor("output_norm.weight", {512}, 0, 54'400 + 4 * 278'528).pad();
}

}  // namespace

TEST_CASE("Qwen3 32B in Q4_K_M has the published shape and weighs 19,756,174,336 bytes") {
  const ModelFacts f = known("qwen3-32b");
  CHECK(f.weight_bytes == Bytes(19'756'174'336));
  CHECK(f.parameters == 32'762'123'264);
  CHECK(f.format == "gguf");
  CHECK(f.architecture == "qwen3");
  CHECK(f.quantization == "Q4_K_M");
  CHECK(f.task == "generate");
  CHECK(f.causal == true);
  CHECK(f.layers == 64);
  CHECK(f.hidden_size == 5120);
  CHECK(f.feed_forward_size == 25600);
  CHECK(f.vocab_size == 151936);
  CHECK(f.attention_heads == 64);
  CHECK(f.kv_heads == 8);
  CHECK(f.head_dim == 128);
  CHECK(f.value_head_dim == 128);
  CHECK(f.max_context == 40960);
  CHECK_FALSE(f.tied_output);
  CHECK_FALSE(f.sliding_window.has_value());
  CHECK_FALSE(f.experts.has_value());
  CHECK_FALSE(f.kv_lora_rank.has_value());
  CHECK(f.attention_layers.empty());
  REQUIRE(f.layer_weights.size() == 64);
  Bytes sum = *f.input_weights_bytes + *f.output_weights_host_bytes;
  for (const auto& layer : f.layer_weights) sum += layer.host_bytes;
  CHECK(sum == f.weight_bytes);
  CHECK(f.layer_weights[0].largest_tensor_bytes == Bytes(25600ULL * 5120 / 256 * 210));
}

TEST_CASE("a tied output is a second copy of the embedding on the device and nothing more on the host") {
  const ModelFacts f = known("llama-3.2-1b");
  CHECK(f.tied_output);
  CHECK(f.input_weights_bytes == Bytes(215'470'080));
  CHECK(f.output_weights_bytes == Bytes(215'478'272));
  CHECK(f.output_weights_host_bytes == Bytes(8192));
}

TEST_CASE("experts, latent attention, windows and encoders are told apart") {
  const ModelFacts moe = known("qwen3-30b-a3b");
  CHECK(moe.experts == 128);
  CHECK(moe.experts_used == 8);
  CHECK(moe.expert_feed_forward_size == 768);
  const ModelFacts mla = known("deepseek-v3");
  CHECK(mla.kv_lora_rank == 512);
  CHECK(mla.q_lora_rank == 1536);
  CHECK(mla.rope_head_dim == 64);
  CHECK(mla.mla_key_head_dim == 192);
  CHECK(mla.mla_value_head_dim == 128);
  CHECK(mla.kv_heads == 1);
  CHECK(mla.head_dim == 576);
  const ModelFacts swa = known("gemma3-1b");
  CHECK(swa.sliding_window == 512);
  CHECK(window_letters(swa) == "sssssfsssssfsssssfsssssfss");
  const ModelFacts encoder = known("bge-m3");
  CHECK(encoder.task == "embed");
  CHECK(encoder.causal == false);
  CHECK_FALSE(encoder.tied_output);
  CHECK(encoder.output_weights_bytes == Bytes(0));
  // The norm of the embeddings, 8 KiB, is computed with the first layer and lies with it.
  CHECK(encoder.input_weights_bytes == Bytes(545'562'624));
  CHECK(encoder.layer_weights[0].host_bytes.value == encoder.layer_weights[1].host_bytes.value + 8192);
  CHECK(encoder.dtype == "float16");
  CHECK(known("qwen3-0.6b").tied_output);
}

namespace {

void compare_model(const std::string& name, const boost::json::object& row, const ModelFacts& f) {
  CAPTURE(name);
  const auto number = [&row](std::string_view key) {
    const auto* value = row.if_contains(boost::json::string_view(key.data(), key.size()));
    return value != nullptr && value->is_int64() ? static_cast<std::uint32_t>(value->get_int64()) : 0U;
  };
  CHECK(f.architecture == row.at("arch").as_string());
  CHECK(f.layers.value_or(0) == number("block_count"));
  CHECK(f.hidden_size.value_or(0) == number("embedding_length"));
  CHECK(f.feed_forward_size.value_or(0) == number("feed_forward_length"));
  CHECK(f.experts.value_or(0) == number("expert_count"));
  CHECK(f.experts_used.value_or(0) == number("expert_used_count"));
  CHECK(f.expert_feed_forward_size.value_or(0) == number("expert_feed_forward_length"));
  CHECK(f.attention_heads.value_or(0) == number("head_count"));
  CHECK(f.kv_heads.value_or(0) == number("head_count_kv"));
  CHECK(f.head_dim.value_or(0) == number("key_length"));
  CHECK(f.value_head_dim.value_or(0) == number("value_length"));
  CHECK(f.kv_lora_rank.value_or(0) == number("kv_lora_rank"));
  CHECK(f.mla_key_head_dim.value_or(0) == number("key_length_mla"));
  CHECK(f.mla_value_head_dim.value_or(0) == number("value_length_mla"));
  CHECK(f.vocab_size.value_or(0) == number("vocab"));
  CHECK(f.sliding_window.value_or(0) == number("sliding_window"));
  CHECK(f.tied_output == row.at("tied_output").as_bool());
  if (row.at("swa_pattern").is_string()) CHECK(window_letters(f) == row.at("swa_pattern").as_string());
  if (row.at("ssm").is_object()) {
    const auto& ssm = row.at("ssm").as_object();
    REQUIRE(f.state_space.has_value());
    CHECK(f.state_space->conv_kernel == ssm.at("conv").as_int64());
    CHECK(f.state_space->inner_size == ssm.at("inner").as_int64());
    CHECK(f.state_space->state_size == ssm.at("state").as_int64());
    CHECK(f.state_space->group_count == ssm.at("groups").as_int64());
    CHECK(f.state_space->time_step_rank == ssm.at("dt_rank").as_int64());
  } else {
    CHECK_FALSE(f.state_space.has_value());
  }
  const auto& bytes = row.at("bytes").as_object();
  // The set counts the norm of an encoder's embeddings as input; the planner itself puts it into the first layer.
  const std::uint64_t norm = f.architecture == "bert" ? 8192 : 0;
  CHECK(f.input_weights_bytes->value + norm == boost::json::value_to<std::uint64_t>(bytes.at("input_host")));
  CHECK(f.output_weights_bytes->value == boost::json::value_to<std::uint64_t>(bytes.at("output_dev")));
  const auto& host = bytes.at("layer_host").as_array();
  const auto& device = bytes.at("layer_dev").is_array() ? bytes.at("layer_dev").as_array() : host;
  REQUIRE(f.layer_weights.size() == host.size());
  for (std::size_t i = 0; i < host.size(); ++i) {
    const std::uint64_t more = i == 0 ? norm : 0;
    CHECK(f.layer_weights[i].host_bytes.value == boost::json::value_to<std::uint64_t>(host[i]) + more);
    CHECK(f.layer_weights[i].device_bytes.value == boost::json::value_to<std::uint64_t>(device[i]) + more);
  }
}

}  // namespace

TEST_CASE("facts equal what llama.cpp's own planner saw, for every header of the measured set") {
  // The large set lies beside the checkout; the same figures for the files in tests/data are asserted above.
  const std::string text = detail::slurp("../shared/data/memory-vectors.json");
  if (text.empty()) {
    MESSAGE("skipped: the measured set is not beside the checkout");
    return;
  }
  const boost::json::value vectors = boost::json::parse(text);
  int compared = 0;
  for (const auto& [key, row] : vectors.at("models").as_object()) {
    const std::string name(key.data(), key.size());
    const std::string path = "../shared/data/gguf-headers/" + name + ".gguf";
    if (detail::slurp(path).empty()) continue;
    compare_model(name, row.as_object(), facts_of_file(path));
    ++compared;
  }
  CHECK(compared == 23);
}

TEST_CASE("hybrid models say which layers keep a state") {
  const std::string shared = "../shared/data/gguf-headers/";
  if (detail::slurp(shared + "qwen3-next-80b-a3b.gguf").empty()) return;
  const ModelFacts next = facts_of_file(shared + "qwen3-next-80b-a3b.gguf");
  REQUIRE(next.attention_layers.size() == 24);
  CHECK(next.attention_layers[0].count == 3);
  CHECK(next.attention_layers[0].recurrent);
  CHECK(next.attention_layers[0].kv_heads == 0);
  CHECK(next.attention_layers[1].count == 1);
  CHECK(next.attention_layers[1].kv_heads == 2);
  CHECK_FALSE(next.attention_layers[1].recurrent);
  const ModelFacts both = facts_of_file(shared + "falcon-h1-7b.gguf");
  REQUIRE(both.attention_layers.size() == 1);
  CHECK(both.attention_layers[0].recurrent);
  CHECK(both.attention_layers[0].kv_heads == 2);
  const ModelFacts state = facts_of_file(shared + "mamba-2.8b.gguf");
  REQUIRE(state.attention_layers.size() == 1);
  CHECK(state.attention_layers[0].kv_heads == 0);
  CHECK(facts_of_file(shared + "qwen3-embedding-0.6b.gguf").task == "embed");
}

TEST_CASE("a layer with state-space tensors keeps keys only when it projects them") {
  B b(4, 9);
  b.key_text("general.architecture", "h").key_u32("h.block_count", 3).key_u32("h.embedding_length", 64);
  b.key_u32("h.attention.head_count", 4).key_u32("h.attention.head_count_kv", 2).key_u32("h.ssm.inner_size", 128);
  b.key_u32("h.ssm.conv_kernel", 4).key_u32("h.ssm.state_size", 16).key_u32("h.ssm.group_count", 1);
  b.tensor("blk.0.ssm_in.weight", {8}, 0, 0).tensor("blk.1.ssm_in.weight", {8}, 0, 32);
  b.tensor("blk.1.attn_k.weight", {64, 32}, 0, 64).tensor("blk.2.attn_k.weight", {64, 32}, 0, 64 + 8192).pad();
  const auto facts = facts_of(b);
  REQUIRE(facts.has_value());
  CHECK(facts->state_space->inner_size == 128);
  REQUIRE(facts->attention_layers.size() == 3);
  CHECK(facts->attention_layers[0].recurrent);
  CHECK(facts->attention_layers[0].kv_heads == 0);
  CHECK(facts->attention_layers[1].recurrent);
  CHECK(facts->attention_layers[1].kv_heads == 2);
  CHECK_FALSE(facts->attention_layers[2].recurrent);
}

TEST_CASE("per-layer arrays become rows of equal layers") {
  B b = four_layers("deci", 1);
  b.key("deci.attention.head_count_kv", 9).array(5, 4).u32(8).u32(8).u32(0).u32(4);
  b.tensor("token_embd.weight", {512, 100}, 8, 0).tensor("blk.0.attn_k.weight", {512, 512}, 8, 54'400);
  b.tensor("blk.1.attn_k.weight", {512, 512}, 8, 54'400 + 278'528);
  b.tensor("blk.2.ffn_up.weight", {512, 512}, 8, 54'400 + 2 * 278'528);
  b.tensor("blk.3.attn_k.weight", {512, 256}, 8, 54'400 + 3 * 278'528);
  b.tensor("output_norm.weight", {512}, 0, 54'400 + 3 * 278'528 + 139'264).pad();
  const auto facts = facts_of(b);
  REQUIRE(facts.has_value());
  CHECK(facts->kv_heads == 8);
  CHECK(facts->quantization == "Q8_0");
  REQUIRE(facts->attention_layers.size() == 3);
  CHECK(facts->attention_layers[0].count == 2);
  CHECK(facts->attention_layers[0].kv_heads == 8);
  CHECK(facts->attention_layers[1].kv_heads == 0);
  CHECK(facts->attention_layers[2].kv_heads == 4);
}

TEST_CASE("a window counts only where the pattern of its layers is known") {
  B plain = four_layers("llama", 1);
  plain.key_u32("llama.attention.sliding_window", 1024);
  add_tensors(plain);
  CHECK_FALSE(facts_of(plain)->sliding_window.has_value());

  B flags = four_layers("newmodel", 2);
  flags.key_u32("newmodel.attention.sliding_window", 1024);
  flags.key("newmodel.attention.sliding_window_pattern", 9).array(7, 4).u8(1).u8(1).u8(1).u8(0);
  add_tensors(flags);
  CHECK(facts_of(flags)->sliding_window == 1024);
  CHECK(window_letters(*facts_of(flags)) == "sssf");

  B llama4 = four_layers("llama4", 0);
  add_tensors(llama4);
  CHECK(facts_of(llama4)->sliding_window == 8192);
  CHECK(window_letters(*facts_of(llama4)) == "sssf");
}

TEST_CASE("absurd or contradictory metadata is refused by name, value and limit") {
  const auto message = [](B b) {
    add_tensors(b);
    const auto facts = facts_of(b);
    return facts ? std::string() : facts.error().message;
  };
  CHECK(message(four_layers("x", 1).key_u32("x.feed_forward_length", 1U << 30)) ==
        "x.feed_forward_length is 1073741824, must be from 0 to 16777216");
  CHECK(message(four_layers("x", 1).key_text("x.feed_forward_length", "big")) ==
        "x.feed_forward_length must be an integer, is a text");
  CHECK(message(four_layers("x", 1).key("x.attention.head_count_kv", 9).array(4, 2).u32(1).u32(1)) ==
        "x.attention.head_count_kv has 2 elements, must have 4 integers, one for each layer");
  CHECK(message(four_layers("x", 1).key("x.expert_count", 5).u32(0xFFFFFFFF)) ==
        "x.expert_count must be an integer, is a negative integer");
  CHECK(message(four_layers("x", 1).key_u32("split.count", 3)) ==
        "the model is split over 3 files (split.count), 1 given");
  B many(1, 2);
  many.key_text("general.architecture", "x").key_u32("x.block_count", 1'000'000'000).tensor("a", {1}, 0, 0).pad();
  CHECK(facts_of(many).error().message == "x.block_count is 1000000000, must be from 0 to 1024");
  B beyond(1, 2);
  beyond.key_text("general.architecture", "x").key_u32("x.block_count", 2).tensor("blk.2.a", {1}, 0, 0).pad();
  CHECK(facts_of(beyond).error().message == "tensor \"blk.2.a\" belongs to layer 2, but block_count is 2");
  CHECK(facts_of(B(0, 0)).error().message == "general.architecture is missing: not a model file");
  CHECK(facts_of(B(0, 1).key_text("general.architecture", "x")).error().message ==
        "the file has no tensors: it holds a vocabulary, not a model");
}

TEST_CASE("keys that contradict the tensors beside them are refused with key and tensor") {
  const auto message = [](B b) {
    add_tensors(b);
    const auto facts = facts_of(b);
    return facts ? std::string() : facts.error().message;
  };
  const auto header = [](std::uint32_t hidden, std::uint32_t heads) {
    B b(6, 5);
    b.key_text("general.architecture", "x").key_u32("x.block_count", 4).key_u32("general.file_type", 7);
    return b.key_u32("x.embedding_length", hidden).key_u32("x.attention.head_count", heads);
  };
  CHECK(message(header(512, 8)).empty());
  CHECK(message(header(7, 1)) ==
        "x.embedding_length is 7, but tensor \"token_embd.weight\" is 512 x 100: the file contradicts itself");
  CHECK(message(four_layers("x", 1).key_u32("x.attention.head_count_kv", 0)) ==
        "x.attention.head_count_kv is 0, but tensor \"blk.0.attn_k.weight\" is 512 x 512: the file contradicts itself");
  CHECK(message(four_layers("x", 1).key_u32("x.attention.head_count_kv", 1)) ==
        "x.attention.head_count_kv is 1, of keys with a length of 64, but tensor \"blk.0.attn_k.weight\" is 512 x 512: "
        "the file contradicts itself");
  CHECK(
      message(four_layers("x", 1).key_u32("x.attention.key_length", 32)) ==
      "x.attention.head_count is 8, of keys with a length of 32, but tensor \"blk.0.attn_k.weight\" is 512 x 512: the "
      "file contradicts itself");
  // A window's layers may have heads of their own length.
  CHECK(message(four_layers("x", 2).key_u32("x.attention.key_length", 32).key_u32("x.attention.key_length_swa", 64))
            .empty());
}

TEST_CASE("a model without attention has no head counts, rather than 0 of them") {
  B b(1, 5);
  b.key_text("general.architecture", "m").key_u32("m.block_count", 1).key_u32("m.embedding_length", 64);
  b.key_u32("m.attention.head_count", 0).key_u32("m.feed_forward_length", 0);
  b.tensor("blk.0.ssm_in.weight", {64, 8}, 0, 0).pad();
  const auto facts = facts_of(b);
  REQUIRE(facts.has_value());
  CHECK_FALSE(facts->attention_heads.has_value());
  CHECK_FALSE(facts->kv_heads.has_value());
  CHECK_FALSE(facts->feed_forward_size.has_value());
  CHECK(fleet::check_facts("facts", *facts).has_value());
}

TEST_CASE("no published header is refused, and its facts are in range") {
  std::size_t seen = 0;
  for (const auto* folder : {"tests/data/metadata", "../shared/data/gguf-headers", ".venv/models"}) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      if (entry.path().extension() != ".gguf") continue;
      ++seen;
      const auto ok = fleet::check_facts("facts", facts_of_file(entry.path().string()));
      CHECK_MESSAGE(ok.has_value(), entry.path().string() << ": " << (ok ? "" : ok.error().message));
    }
  }
  CHECK(seen > 0);
}

TEST_CASE("a model in several files is summed over all of them, in order") {
  const auto shard = [](std::uint32_t number, bool first) {
    B b(1, first ? 4 : 2);
    b.key_u32("split.count", 2).key_u32("split.no", number);
    if (first) b.key_text("general.architecture", "x").key_u32("x.block_count", 2);
    b.tensor("blk." + std::to_string(number) + ".a", {64}, 0, 0).pad();
    return *read_gguf(b.bytes(), {.metadata_only = true});
  };
  const std::vector<GgufFile> right = {shard(0, true), shard(1, false)};
  const auto facts = facts_from_gguf_shards(right);
  REQUIRE(facts.has_value());
  CHECK(facts->weight_bytes == Bytes(512));
  CHECK(facts->layer_weights[1].host_bytes == Bytes(256));
  const std::vector<GgufFile> wrong = {shard(1, true), shard(0, false)};
  CHECK(facts_from_gguf_shards(wrong).error().message == "file 0 of the model is number 1 (split.no), must be 0");
  CHECK_FALSE(facts_from_gguf_shards({}).has_value());
}

}  // namespace berth::metadata
