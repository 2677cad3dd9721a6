#include "metadata/hf_config.h"

#include <doctest/doctest.h>

namespace berth::metadata {

namespace {

using fleet::ModelFacts;

ModelFacts facts(std::string_view json) {
  const auto result = facts_from_hf_config(json);
  REQUIRE_MESSAGE(result.has_value(), result.error().message);
  return *result;
}

std::string error(std::string_view json) {
  const auto result = facts_from_hf_config(json);
  return result ? std::string("no error") : result.error().message;
}

/// "rrrf": r state, s window, f full attention, - neither.
std::string letters(const ModelFacts& f) {
  std::string text;
  for (const auto& row : f.attention_layers) {
    const char letter = row.recurrent ? (row.kv_heads > 0 ? 'b' : 'r') : row.sliding_window ? 's' : 'f';
    text.append(row.count, row.kv_heads == 0 && !row.recurrent ? '-' : letter);
  }
  return text;
}

}  // namespace

TEST_CASE("a dense model has its shape, its dtype and no invented values") {
  const ModelFacts f = facts(R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
    "hidden_size": 5120, "head_dim": 128, "intermediate_size": 25600, "num_attention_heads": 64,
    "num_hidden_layers": 64, "num_key_value_heads": 8, "max_position_embeddings": 40960, "vocab_size": 151936,
    "sliding_window": null, "use_sliding_window": false, "max_window_layers": 64,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16"})");
  CHECK(f.architecture == "Qwen3ForCausalLM");
  CHECK(f.task == "generate");
  CHECK(f.causal == true);
  CHECK(f.custom_code == false);
  CHECK(f.layers == 64);
  CHECK(f.hidden_size == 5120);
  CHECK(f.feed_forward_size == 25600);
  CHECK(f.vocab_size == 151936);
  CHECK(f.attention_heads == 64);
  CHECK(f.kv_heads == 8);
  CHECK(f.head_dim == 128);
  CHECK(f.max_context == 40960);
  CHECK(f.dtype == "bfloat16");
  CHECK_FALSE(f.tied_output);
  CHECK_FALSE(f.quantization.has_value());
  CHECK_FALSE(f.weight_bytes.has_value());
  CHECK_FALSE(f.experts.has_value());
  CHECK_FALSE(f.vision_attention_heads.has_value());
  CHECK_FALSE(f.sliding_window.has_value());
  CHECK(f.attention_layers.empty());
}

TEST_CASE("what is left out follows from the rest or stays unknown") {
  const ModelFacts f = facts(R"({"n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024})");
  CHECK(f.head_dim == 64);
  CHECK(f.kv_heads == 12);
  CHECK(f.max_context == 1024);
  CHECK_FALSE(f.vocab_size.has_value());
  CHECK_FALSE(facts("{}").layers.has_value());
  CHECK(facts(R"({"n_head": 71, "hidden_size": 4544, "multi_query": true})").kv_heads == 1);
  CHECK(facts(R"({"hidden_size": 4096.0, "num_hidden_layers": null})").hidden_size == 4096);
}

TEST_CASE("latent attention and experts of DeepSeek V3") {
  const ModelFacts f = facts(R"({"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"},
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256,
    "num_experts_per_tok": 8, "num_attention_heads": 128, "num_key_value_heads": 128, "num_hidden_layers": 61,
    "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}, "torch_dtype": "bfloat16"})");
  CHECK(f.kv_lora_rank == 512);
  CHECK(f.q_lora_rank == 1536);
  CHECK(f.rope_head_dim == 64);
  CHECK(f.mla_key_head_dim == 192);
  CHECK(f.mla_value_head_dim == 128);
  CHECK(f.experts == 256);
  CHECK(f.experts_used == 8);
  CHECK(f.expert_feed_forward_size == 2048);
  CHECK(f.quantization == "fp8");
  CHECK(f.custom_code == true);
}

TEST_CASE("attention heads come from the language model inside, vision heads from its vision part") {
  // The cases of the corpus: nested values win over the top level; padding heads count unless negative.
  const auto heads = [](std::string_view json) { return facts(json).attention_heads; };
  CHECK(heads(R"({"text_config": {"num_attention_heads": 10}, "vision_config": {"num_attention_heads": 4}})") == 10);
  CHECK(heads(R"({"llm_config": {"num_attention_heads": 64}, "vision_config": {"num_attention_heads": 25}})") == 64);
  CHECK(heads(R"({"num_attention_heads": 128, "llm_config": {"num_attention_heads": 64}})") == 64);
  CHECK(heads(R"({"thinker_config": {"text_config": {"num_attention_heads": 28}},
                  "talker_config": {"num_attention_heads": 12}})") == 28);
  const auto vision = [](std::string_view json) { return facts(json).vision_attention_heads; };
  CHECK_FALSE(vision("{}").has_value());
  CHECK(vision(R"({"vision_config": {"num_attention_heads": 16, "num_dummy_heads": 2}})") == 18);
  CHECK(vision(R"({"vision_config": {"num_heads": 16, "num_dummy_heads": -2}})") == 16);
  CHECK(vision(R"({"thinker_config": {"vision_config": {"num_heads": 16}}})") == 16);
  // What the inner model leaves out is taken from the top.
  CHECK(facts(R"({"torch_dtype": "float16", "text_config": {"hidden_size": 64}})").dtype == "float16");
}

TEST_CASE("windows are taken from the list of layers, from a known pattern, or not at all") {
  CHECK(letters(facts(R"({"model_type": "gpt_oss", "num_hidden_layers": 4, "num_attention_heads": 8,
    "sliding_window": 128, "layer_types": ["sliding_attention", "full_attention", "sliding_attention",
    "full_attention"]})")) == "sfsf");
  CHECK(letters(facts(R"({"model_type": "gemma3_text", "num_hidden_layers": 8, "num_attention_heads": 8,
    "sliding_window": 512, "sliding_window_pattern": 6})")) == "sssssfss");
  CHECK(letters(facts(R"({"model_type": "mistral", "num_hidden_layers": 2, "num_attention_heads": 8,
    "sliding_window": 4096})")) == "ss");
  const ModelFacts off = facts(R"({"model_type": "qwen2", "num_hidden_layers": 28, "num_attention_heads": 28,
    "sliding_window": 131072, "use_sliding_window": false, "max_window_layers": 28})");
  CHECK_FALSE(off.sliding_window.has_value());
  CHECK(off.attention_layers.empty());
  const ModelFacts on = facts(R"({"model_type": "qwen2", "num_hidden_layers": 4, "num_attention_heads": 28,
    "sliding_window": 1024, "use_sliding_window": true, "max_window_layers": 3})");
  CHECK(letters(on) == "fffs");
  CHECK_FALSE(facts(R"({"model_type": "unheard", "num_hidden_layers": 2, "num_attention_heads": 8,
    "sliding_window": 64})")
                  .sliding_window.has_value());
}

TEST_CASE("hybrid models say which layers keep a state and how large it is") {
  const ModelFacts next = facts(R"({"model_type": "qwen3_next", "num_hidden_layers": 8, "num_attention_heads": 16,
    "num_key_value_heads": 2, "hidden_size": 2048, "full_attention_interval": 4, "linear_conv_kernel_dim": 4,
    "linear_num_value_heads": 32, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
    "linear_key_head_dim": 128})");
  CHECK(letters(next) == "rrrfrrrf");
  REQUIRE(next.state_space.has_value());
  CHECK(next.state_space->inner_size == 4096);
  CHECK(next.state_space->state_size == 128);
  CHECK(next.state_space->group_count == 16);
  const ModelFacts mamba = facts(R"({"model_type": "mamba", "num_hidden_layers": 3, "hidden_size": 2560,
    "state_size": 16, "conv_kernel": 4, "expand": 2, "intermediate_size": 5120})");
  CHECK(letters(mamba) == "rrr");
  CHECK(mamba.state_space->inner_size == 5120);
  CHECK(mamba.state_space->group_count == 0);
  CHECK(letters(facts(R"({"model_type": "nemotron_h", "num_hidden_layers": 4, "num_attention_heads": 8,
    "hybrid_override_pattern": "M-*M"})")) == "r-fr");
  CHECK(letters(facts(R"({"model_type": "falcon_h1", "num_hidden_layers": 2, "num_attention_heads": 8})")) == "bb");
}

TEST_CASE("the task follows from the architecture") {
  const auto task = [](const std::string& name) { return facts(R"({"architectures": [")" + name + R"("]})").task; };
  CHECK(task("LlamaForCausalLM") == "generate");
  CHECK(task("Qwen2_5_VLForConditionalGeneration") == "generate");
  CHECK(task("InternVLChatModel") == "generate");
  CHECK(task("XLMRobertaModel") == "embed");
  CHECK(task("XLMRobertaForSequenceClassification") == "rerank");
  CHECK(task("WhisperForConditionalGeneration") == "transcribe");
  CHECK(facts(R"({"model_type": "xlm-roberta"})").causal == false);
}

TEST_CASE("a broken config is refused with name, value and limit") {
  CHECK(error(R"({"num_hidden_layers": 1000000000})") ==
        "num_hidden_layers is 1000000000, must be a whole number from 0 to 1024");
  CHECK(error(R"({"vocab_size": -1})") == "vocab_size is -1, must be a whole number from 0 to 67108864");
  CHECK(error(R"({"max_position_embeddings": -1})") ==
        "max_position_embeddings is -1, must be a whole number from 0 to 1073741824");
  CHECK(error(R"({"num_hidden_layers": -1})") == "num_hidden_layers is -1, must be a whole number from 0 to 1024");
  CHECK(error(R"({"num_hidden_layers": 1.5})").find("must be a whole number") != std::string::npos);
  CHECK(error(R"({"num_hidden_layers": 18446744073709551615})").find("from 0 to 1024") != std::string::npos);
  CHECK(error(R"({"hidden_size": "wide"})") == "hidden_size is \"wide\", must be a whole number from 0 to 16777216");
  CHECK(error(R"({"hidden_size": {}})").find("is an object") != std::string::npos);
  CHECK(error(R"({"vocab_size": 1e300})").find("vocab_size is 1E300") != std::string::npos);
  CHECK(error(R"({"tie_word_embeddings": 1})") == "tie_word_embeddings is 1, must be true or false");
  CHECK(error(R"({"torch_dtype": 16})") == "torch_dtype is 16, must be a text");
  CHECK(error(R"({"architectures": [1]})") == "architectures holds 1, must hold texts");
  CHECK(error(R"({"num_hidden_layers": 3, "layer_types": ["full_attention"]})") ==
        "layer_types has 1 entries, must have 3, one for each layer");
  CHECK(error("[]") == "config must be a JSON object");
  CHECK(error("").find("not valid JSON") != std::string::npos);
  CHECK(error("{} {}").find("not valid JSON") != std::string::npos);
  CHECK(error(R"({"a": 1,})").find("not valid JSON") != std::string::npos);
  CHECK(error("{\"a\": \"\xff\"}").find("not valid JSON") != std::string::npos);
}

TEST_CASE("deep, large and crowded configs are refused before a tree is built") {
  CHECK(error(R"({"a": )" + std::string(63, '[') + std::string(63, ']') + "}") == "no error");
  CHECK(error(R"({"a": )" + std::string(64, '[') + std::string(64, ']') + "}").find("not valid JSON") == 0);
  CHECK(error(std::string(1'000'000, '[')).find("not valid JSON") == 0);
  const std::string large = R"({"a": ")" + std::string(kHfConfigMaxBytes, 'x') + "\"}";
  CHECK(facts_from_hf_config(large).error().code == Code::kTooLarge);
  std::string crowded = R"({"a": [0)";
  for (std::uint64_t i = 0; i < kHfConfigValuesMax; ++i) crowded += ",0";
  CHECK(error(crowded + "]}") == "config has more than 1000000 values");
}

TEST_CASE("no cut and no changed byte of a config crashes the reader") {
  const std::string whole = R"({"architectures": ["A"], "num_hidden_layers": 4, "layer_types": ["mamba", "conv",
    "full_attention", "sliding_attention"], "sliding_window": 12, "mamba_d_conv": 4, "mamba_expand": 2,
    "hidden_size": 64, "text_config": {"num_attention_heads": 8}, "vision_config": {"num_heads": 2}})";
  REQUIRE(facts_from_hf_config(whole).has_value());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK_FALSE(facts_from_hf_config(std::string_view(whole).substr(0, i)).has_value());
    for (const char c : {'0', '9', '"', '{', ']', '-', 'e', '\0'}) {
      std::string changed = whole;
      changed[i] = c;
      const auto result = facts_from_hf_config(changed);
      if (!result) CHECK(!result.error().message.empty());
    }
  }
}

TEST_CASE("MiMo V2 lists its windows and gives them KV heads of their own") {
  const ModelFacts f = facts(R"({"architectures": ["MiMoV2FlashForCausalLM"], "model_type": "mimo_v2_flash",
    "num_hidden_layers": 6, "hidden_size": 4096, "num_attention_heads": 64, "num_key_value_heads": 4,
    "head_dim": 192, "v_head_dim": 128, "swa_num_key_value_heads": 8, "swa_head_dim": 192, "swa_v_head_dim": 64,
    "sliding_window": 128, "hybrid_layer_pattern": [0, 1, 1, 1, 1, 0]})");
  CHECK(letters(f) == "fssssf");
  REQUIRE(f.attention_layers.size() == 3);
  CHECK(f.attention_layers[0].kv_heads == 4);
  CHECK(f.attention_layers[1].kv_heads == 8);
  CHECK(f.sliding_window == 128);
  CHECK(f.value_head_dim == 128);
  CHECK_FALSE(f.window_head_dim.has_value());
  CHECK(f.window_value_head_dim == 64);
  CHECK(error(R"({"num_hidden_layers": 3, "hybrid_layer_pattern": [0, 1]})") ==
        "hybrid_layer_pattern has 2 entries, must have 3, one for each layer");
}

TEST_CASE("Gemma 4 has heads of another width and number in the layers without a window") {
  const ModelFacts f = facts(R"({"architectures": ["Gemma4ForConditionalGeneration"], "text_config": {
    "model_type": "gemma4_text", "num_hidden_layers": 3, "hidden_size": 2816, "num_attention_heads": 16,
    "num_key_value_heads": 8, "num_global_key_value_heads": 2, "head_dim": 256, "global_head_dim": 512,
    "sliding_window": 1024, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}})");
  CHECK(letters(f) == "ssf");
  REQUIRE(f.attention_layers.size() == 2);
  CHECK(f.attention_layers[0].kv_heads == 8);
  CHECK(f.attention_layers[1].kv_heads == 2);
  CHECK(f.head_dim == 512);
  CHECK(f.window_head_dim == 256);
}

TEST_CASE("Nemotron's blocks say how many heads share a KV head, or that there is no attention") {
  const ModelFacts f = facts(R"({"architectures": ["DeciLMForCausalLM"], "model_type": "nemotron-nas",
    "num_hidden_layers": 4, "hidden_size": 8192, "num_attention_heads": 64, "block_configs": [
      {"attention": {"n_heads_in_group": 8, "no_op": false}},
      {"attention": {"n_heads_in_group": null, "no_op": true}},
      {"attention": {"n_heads_in_group": null, "no_op": false, "replace_with_linear": true}},
      {"attention": {"n_heads_in_group": 16}}]})");
  CHECK(letters(f) == "f--f");
  CHECK(f.kv_heads == 8);
  REQUIRE(f.attention_layers.size() == 3);
  CHECK(f.attention_layers[2].kv_heads == 4);
}

TEST_CASE("Kimi Linear counts its layers of full attention from 1; the others keep a state") {
  const ModelFacts f = facts(R"({"architectures": ["KimiK3ForConditionalGeneration"], "text_config": {
    "model_type": "kimi_linear", "num_hidden_layers": 5, "hidden_size": 7168, "num_attention_heads": 96,
    "num_key_value_heads": 96, "linear_attn_config": {"full_attn_layers": [4, 5], "kda_layers": [1, 2, 3],
    "num_heads": 96, "head_dim": 128, "short_conv_kernel_size": 4}},
    "vision_config": {"vt_num_attention_heads": 12}})");
  CHECK(letters(f) == "rrrff");
  CHECK(f.vision_attention_heads == 12);
  const auto state = f.state_space.value_or(fleet::StateSpace{});
  CHECK(state.conv_kernel == 4);
  CHECK(state.inner_size == 96 * 128);
  CHECK(state.state_size == 128);
  CHECK(state.group_count == 96);
}

TEST_CASE("an index over the keys is one more key of its width") {
  CHECK(facts(R"({"model_type": "deepseek_v32", "index_head_dim": 128})").indexer_head_dim == 128);
  CHECK_FALSE(facts(R"({"model_type": "deepseek_v3"})").indexer_head_dim.has_value());
}

TEST_CASE("what Python writes instead of numbers is absent, and text that looks like it stays") {
  const ModelFacts f = facts(R"({"architectures": ["Infinity"], "time_step_limit": [0.0, Infinity],
    "num_hidden_layers": NaN, "hidden_size": -Infinity, "torch_dtype": "a\"NaN"})");
  CHECK(f.architecture == "Infinity");
  CHECK(f.dtype == "a\"NaN");
  CHECK_FALSE(f.layers.has_value());
  CHECK_FALSE(f.hidden_size.has_value());
  CHECK(error("{\"a\": Infinit}") != "no error");
}

}  // namespace berth::metadata
