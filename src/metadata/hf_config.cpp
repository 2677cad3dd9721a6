#include "metadata/hf_config.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "metadata/detail/config_view.h"
#include "metadata/detail/hf_layers.h"
#include "metadata/detail/json_events.h"
#include "metadata/detail/limits.h"

namespace berth::metadata {

namespace {

namespace json = boost::json;
using namespace detail;
using fleet::ModelFacts;

/// Bounds what the tree will need before it is built.
class CountValues final : public JsonEvents {
 public:
  Result<void> begin(bool) override { return count(); }
  Result<void> end() override { return {}; }
  Result<void> key(std::string_view) override { return {}; }
  Result<void> text(std::string_view) override { return count(); }
  Result<void> unsigned_integer(std::uint64_t) override { return count(); }
  Result<void> other(std::string_view) override { return count(); }

 private:
  Result<void> count() {
    if (++values_ <= kHfConfigValuesMax) return {};
    return invalid(fmt::format("config has more than {} values", kHfConfigValuesMax));
  }

  std::uint64_t values_ = 0;
};

/// Python writes NaN and Infinity, which are no JSON; none of them is a size, so they count as 0, which is absent.
/// Positions stay as they are.
std::string without_python_numbers(std::string_view text) {
  std::string out(text);
  bool quoted = false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (quoted && out[i] == '\\') {
      ++i;
      continue;
    }
    if (out[i] == '"') quoted = !quoted;
    if (quoted || (out[i] != 'N' && out[i] != 'I' && out[i] != '-')) continue;
    for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (text.substr(i, word.size()) != word) continue;
      // "0" and blanks: the one spelling that is short enough for NaN.
      out.replace(i, word.size(), "0" + std::string(word.size() - 1, ' '));
    }
  }
  return out;
}

Result<json::value> parse(std::string_view document) {
  if (document.size() > kHfConfigMaxBytes)
    return fail(Code::kTooLarge, fmt::format("config has {} bytes, at most {}", document.size(), kHfConfigMaxBytes));
  const std::string text = without_python_numbers(document);
  CountValues counter;
  TRY_VOID(read_json(text, kHfConfigMaxBytes, counter));
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::error_code ec;
  json::value value = json::parse(json::string_view(text.data(), text.size()), ec, {}, options);
  if (ec) return invalid(fmt::format("not valid JSON: {}", ec.message()));
  if (!value.is_object()) return invalid("config must be a JSON object");
  return value;
}

const json::object* child(const json::object* parent, Names names) {
  if (parent == nullptr) return nullptr;
  return ConfigView({parent}).section(names);
}

/// The language model inside a model of several parts; nullptr: the top level is it.
const json::object* text_model(const json::object& top) {
  const json::object* thinker = child(&top, {"thinker_config"});
  for (const json::object* parent : {thinker, &top}) {
    const json::object* found = child(parent, {"llm_config", "text_config", "language_config"});
    // One level deeper in models that wrap a wrapped model.
    if (found != nullptr) return child(found, {"text_config"}) ? child(found, {"text_config"}) : found;
  }
  return thinker;
}

bool ends_with_any(std::string_view text, Names endings) {
  return std::ranges::any_of(endings, [text](std::string_view ending) { return text.ends_with(ending); });
}

std::string task_of(std::string_view architecture) {
  if (architecture.starts_with("Whisper") || ends_with_any(architecture, {"ForSpeechSeq2Seq", "ForCTC"})) {
    return "transcribe";
  }
  if (ends_with_any(architecture, {"ForTextToSpeech", "ForTextToWaveform", "ForSpeechSynthesis"})) return "speech";
  if (ends_with_any(architecture, {"ForSequenceClassification", "ForTokenClassification"})) return "rerank";
  if (ends_with_any(architecture, {"Model", "ForMaskedLM", "ForEmbedding"}) &&
      !ends_with_any(architecture, {"LMHeadModel", "ChatModel", "GLMModel", "_Model"})) {
    return "embed";
  }
  return "generate";
}

/// Encoders attend in both directions and keep no cache.
bool is_encoder_type(std::string_view model_type) {
  constexpr std::string_view kOthers[] = {"nomic_bert", "new", "gte", "eurobert", "electra", "mpnet", "albert"};
  return model_type.ends_with("bert") || model_type.find("roberta") != std::string_view::npos ||
         model_type.starts_with("deberta") || std::ranges::find(kOthers, model_type) != std::end(kOthers);
}

Result<void> read_identity(const ConfigView& config, const ConfigView& top, ModelFacts& facts) {
  TRY(facts.architectures, top.texts({"architectures"}));
  if (facts.architectures.empty()) {
    TRY(facts.architectures, config.texts({"architectures"}));
  }
  if (!facts.architectures.empty()) facts.architecture = facts.architectures[0];
  facts.task = task_of(facts.architecture);
  TRY(facts.dtype, config.text({"torch_dtype", "dtype"}));
  const json::object* auto_map = top.section({"auto_map"});
  facts.custom_code = auto_map != nullptr && !auto_map->empty();
  return {};
}

/// "fp8", "awq", "gptq", "compressed-tensors", …; for ModelOpt files what was done, not who did it.
Result<void> read_quantization(const ConfigView& config, ModelFacts& facts) {
  const json::object* section = config.section({"quantization_config", "compression_config"});
  if (section == nullptr) return {};
  const ConfigView quantization({section});
  TRY(const auto method, quantization.text({"quant_method"}));
  TRY(const auto algorithm, quantization.text({"quant_algo"}));
  if (method) facts.quantization = to_lower(*method);
  if (algorithm) facts.quantization = to_lower(*algorithm);
  return {};
}

Result<void> read_heads(const ConfigView& config, ModelFacts& facts) {
  TRY(facts.attention_heads,
      config.number({"num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"}, kHeadsMax));
  TRY(facts.kv_heads,
      config.number({"num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num"}, kHeadsMax));
  TRY(const auto single, config.flag({"multi_query"}));
  TRY(const auto decoder, config.flag({"new_decoder_architecture"}));
  if (single.value_or(false) && !decoder.value_or(false)) facts.kv_heads = 1;  // Falcon's first form
  if (!facts.kv_heads) facts.kv_heads = facts.attention_heads;
  TRY(facts.head_dim, config.number({"head_dim", "attention_head_dim", "kv_channels", "d_kv"}, kHeadDimMax));
  if (!facts.head_dim && facts.hidden_size && facts.attention_heads) {
    facts.head_dim = *facts.hidden_size / *facts.attention_heads;
  }
  return {};
}

/// Layers with a sliding window may have heads of their own width; `head_dim` is then that of the others.
Result<void> read_window_heads(const ConfigView& config, ModelFacts& facts) {
  TRY(const auto value, config.number({"v_head_dim"}, kHeadDimMax));
  if (value && value != facts.head_dim) facts.value_head_dim = value;
  TRY(const auto global, config.number({"global_head_dim"}, kHeadDimMax));  // Gemma 4: the window's is head_dim
  if (global && facts.head_dim && global != facts.head_dim) {
    facts.window_head_dim = facts.head_dim;
    facts.head_dim = global;
  }
  TRY(const auto window, config.number({"swa_head_dim"}, kHeadDimMax));
  if (window && window != facts.head_dim) facts.window_head_dim = window;
  TRY(const auto window_value, config.number({"swa_v_head_dim"}, kHeadDimMax));
  if (window_value && facts.value_head_dim && window_value != facts.value_head_dim)
    facts.window_value_head_dim = window_value;
  return {};
}

Result<void> read_latent_attention(const ConfigView& config, ModelFacts& facts) {
  TRY(const auto rank, config.number({"kv_lora_rank"}, kWidthMax));
  if (!rank) return {};
  facts.kv_lora_rank = rank;
  TRY(facts.q_lora_rank, config.number({"q_lora_rank"}, kWidthMax));
  TRY(facts.rope_head_dim, config.number({"qk_rope_head_dim"}, kHeadDimMax));
  TRY(const auto plain, config.number({"qk_nope_head_dim"}, kHeadDimMax));
  TRY(facts.mla_value_head_dim, config.number({"v_head_dim"}, kHeadDimMax));
  if (plain && facts.rope_head_dim) facts.mla_key_head_dim = *plain + *facts.rope_head_dim;
  // hidden / heads says nothing here; head_dim in such files is often that of the rotated part.
  if (facts.mla_key_head_dim) facts.head_dim = facts.mla_key_head_dim;
  facts.value_head_dim = facts.mla_value_head_dim;
  return {};
}

Result<void> read_experts(const ConfigView& config, ModelFacts& facts) {
  TRY(facts.experts,
      config.number({"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"}, kExpertsMax));
  if (!facts.experts) return {};
  TRY(facts.experts_used,
      config.number(
          {"num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_k", "top_k_experts"},
          kExpertsMax));
  TRY(facts.expert_feed_forward_size, config.number({"moe_intermediate_size", "expert_ffn_hidden_size"}, kWidthMax));
  if (!facts.expert_feed_forward_size) facts.expert_feed_forward_size = facts.feed_forward_size;
  return {};
}

Result<void> read_shape(const ConfigView& config, ModelFacts& facts) {
  TRY(facts.layers,
      config.number({"num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"}, kLayersMax));
  TRY(facts.hidden_size, config.number({"hidden_size", "n_embd", "d_model", "model_dim", "dim"}, kWidthMax));
  TRY(facts.feed_forward_size,
      config.number({"intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "decoder_ffn_dim", "d_ff"},
                    kWidthMax));
  TRY(facts.vocab_size, config.number({"vocab_size", "padded_vocab_size"}, kVocabMax));
  TRY(facts.max_context,
      config.number({"max_position_embeddings",
                     "seq_length",
                     "n_positions",
                     "max_seq_len",
                     "max_sequence_length",
                     "model_max_length",
                     "n_ctx",
                     "max_target_positions"},
                    kContextMax));
  TRY_VOID(read_heads(config, facts));
  TRY_VOID(read_window_heads(config, facts));
  TRY(facts.indexer_head_dim, config.number({"index_head_dim"}, kHeadDimMax));
  TRY_VOID(read_latent_attention(config, facts));
  return read_experts(config, facts);
}

/// Heads of the vision part, which tensor parallelism must divide too. Padding heads count; a negative number of them
/// means none.
Result<void> read_vision(const json::object& top, ModelFacts& facts) {
  const json::object* thinker = child(&top, {"thinker_config"});
  const json::object* vision = nullptr;
  for (const json::object* parent : {thinker, &top}) {
    if (vision == nullptr) vision = child(parent, {"vision_config", "vit_config", "visual"});
  }
  if (vision == nullptr) return {};
  const ConfigView view({vision});
  TRY(const auto heads,
      view.number({"num_attention_heads", "num_heads", "heads", "vt_num_attention_heads"}, kHeadsMax));
  TRY(const auto dummies, view.positive({"num_dummy_heads", "dummy_heads"}, kHeadsMax));
  if (heads) facts.vision_attention_heads = *heads + dummies.value_or(0);
  return {};
}

/// Files leave out what equals the default of their family, and a few families tie by default.
Result<void> read_tied(const ConfigView& config, std::string_view model_type, ModelFacts& facts) {
  TRY(const auto tied, config.flag({"tie_word_embeddings"}));
  const bool usual = model_type.starts_with("gemma") || model_type.starts_with("cohere") || model_type == "gpt2" ||
                     model_type == "bloom";
  facts.tied_output = tied.value_or(usual);
  return {};
}

}  // namespace

Result<ModelFacts> facts_from_hf_config(std::string_view config_json) {
  TRY(const json::value document, parse(config_json));
  const json::object& root = document.get_object();
  const json::object* text = text_model(root);
  const ConfigView top({&root});
  const ConfigView config(text == nullptr ? std::vector{&root} : std::vector{text, &root});
  TRY(const auto model_type, config.text({"model_type"}));
  const std::string type = model_type.value_or("");
  ModelFacts facts;
  TRY_VOID(read_identity(config, top, facts));
  TRY_VOID(read_quantization(config, facts));
  TRY_VOID(read_shape(config, facts));
  TRY_VOID(read_vision(root, facts));
  TRY_VOID(read_tied(config, type, facts));
  TRY_VOID(read_hf_layers(config, type, facts));
  facts.causal = !is_encoder_type(type);
  return facts;
}

}  // namespace berth::metadata
