#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "metadata/detail/attention.h"
#include "metadata/detail/ggml_types.h"
#include "metadata/detail/gguf_keys.h"
#include "metadata/detail/gguf_shapes.h"
#include "metadata/detail/gguf_weights.h"
#include "metadata/detail/limits.h"
#include "metadata/gguf.h"

namespace berth::metadata {

namespace {

using namespace detail;
using fleet::ModelFacts;

/// llama.cpp's file type of a file that does not say; added to the guess.
constexpr std::uint64_t kFileTypeGuessed = 1'024;
/// llama.cpp's enum: 0 none, 1 mean, 2 cls, 3 last, 4 rank.
constexpr std::uint32_t kPoolingNone = 0;
constexpr std::uint32_t kPoolingRank = 4;
constexpr std::uint32_t kPoolingMax = 255;

/// Encoders: no cache, no output layer, whatever the keys leave out.
constexpr std::string_view kEncoders[] = {"bert",
                                          "nomic-bert",
                                          "nomic-bert-moe",
                                          "neo-bert",
                                          "jina-bert-v2",
                                          "jina-bert-v3",
                                          "modern-bert",
                                          "eurobert",
                                          "gemma-embedding",
                                          "t5encoder"};

/// Architectures whose pattern llama.cpp knows without a key. A window of one that is neither here nor has a pattern
/// key is not used: its layers keep all tokens, which can only make the estimate too large.
/// Source: the pattern, the window and the conditions with which llama.cpp b11434 loads each of them.
struct KnownPattern {
  std::string_view architecture;
  SlidingPattern pattern;
  std::uint32_t window = 0;  // when the file has none
  std::uint32_t forced = 0;  // instead of the file's
  std::uint32_t layers = 0;  // only models with so many layers
};
constexpr KnownPattern kPatterns[] = {
    {.architecture = "gemma2", .pattern = {2, false}, .window = 4096},
    {.architecture = "gemma3", .pattern = {6, false}},
    {.architecture = "gemma3n", .pattern = {5, false}},
    {.architecture = "gemma-embedding", .pattern = {6, false}},
    {.architecture = "cohere2", .pattern = {4, false}},
    {.architecture = "cohere2moe", .pattern = {4, true}},
    {.architecture = "llama4", .pattern = {4, false}, .window = 8192, .forced = 8192},
    {.architecture = "gpt-oss", .pattern = {2, false}},
    {.architecture = "olmo2", .pattern = {4, false}},
    {.architecture = "exaone4", .pattern = {4, false}, .window = 4096, .layers = 64},
    {.architecture = "exaone-moe", .pattern = {4, false}, .window = 128},
    {.architecture = "smallthinker", .pattern = {4, true}, .forced = 4096},
    {.architecture = "afmoe", .pattern = {4, false}},
    {.architecture = "mellum", .pattern = {4, false}},
    {.architecture = "modern-bert", .pattern = {3, true}},
    {.architecture = "muse-glimmer", .pattern = {4, false}},
    {.architecture = "plamo3", .pattern = {8, false}},
    {.architecture = "laguna", .pattern = {4, true}},
};
/// Architectures whose window llama.cpp leaves unused although their files may tell one.
constexpr std::string_view kWindowUnused[] = {"phi3"};

std::optional<std::uint32_t> unless_zero(std::optional<std::uint32_t> value) {
  return value == 0U ? std::nullopt : value;
}

bool is_encoder_architecture(std::string_view architecture) {
  return std::ranges::find(kEncoders, architecture) != std::end(kEncoders);
}

Result<void> read_identity(const GgufFile& file, const GgufKeys& keys, ModelFacts& facts) {
  const GgufKeys general(file, "general");
  TRY(const auto name, general.text("name"));
  TRY(const auto file_type, general.number("file_type", UINT32_MAX));
  TRY(const auto causal, keys.flag("attention.causal"));
  TRY(const auto pooling, keys.number("pooling_type", kPoolingMax));
  facts.format = "gguf";
  facts.name = name.value_or("");
  if (file_type) {
    const auto known = file_type_name(*file_type % kFileTypeGuessed);
    if (known) facts.quantization = std::string(*known);
  }
  facts.causal = causal.value_or(!is_encoder_architecture(facts.architecture));
  if (!*facts.causal || pooling.value_or(kPoolingNone) != kPoolingNone) facts.task = "embed";
  if (pooling == kPoolingRank) facts.task = "rerank";
  return {};
}

Result<void> read_attention(const GgufKeys& keys, ModelFacts& facts) {
  TRY(facts.attention_heads, keys.largest("attention.head_count", kHeadsMax));
  TRY(facts.kv_heads, keys.largest("attention.head_count_kv", kHeadsMax));
  if (!facts.kv_heads) facts.kv_heads = facts.attention_heads;
  // Models without attention have the keys all the same, and 0 in them.
  facts.attention_heads = unless_zero(facts.attention_heads);
  facts.kv_heads = unless_zero(facts.kv_heads);
  TRY(const auto key_length, keys.number("attention.key_length", kHeadDimMax));
  TRY(const auto value_length, keys.number("attention.value_length", kHeadDimMax));
  const std::uint32_t heads = facts.attention_heads.value_or(0);
  std::optional<std::uint32_t> usual;
  if (heads > 0 && facts.hidden_size) usual = *facts.hidden_size / heads;
  facts.head_dim = unless_zero(key_length ? key_length : usual);
  facts.value_head_dim = unless_zero(value_length ? value_length : usual);
  TRY(const auto window_key, keys.number("attention.key_length_swa", kHeadDimMax));
  TRY(const auto window_value, keys.number("attention.value_length_swa", kHeadDimMax));
  TRY(const auto indexer, keys.number("attention.indexer.key_length", kHeadDimMax));
  if (window_key != facts.head_dim) facts.window_head_dim = unless_zero(window_key);
  if (window_value != facts.value_head_dim) facts.window_value_head_dim = unless_zero(window_value);
  facts.indexer_head_dim = unless_zero(indexer);
  return {};
}

/// Multi-head latent attention. Files without the `_mla` lengths come from before llama.cpp could use it: their cache
/// holds full keys and values, so the rank is left out.
Result<void> read_latent_attention(const GgufKeys& keys, ModelFacts& facts) {
  TRY(const auto kv_rank, keys.number("attention.kv_lora_rank", kWidthMax));
  TRY(const auto q_rank, keys.number("attention.q_lora_rank", kWidthMax));
  TRY(const auto key_length, keys.number("attention.key_length_mla", kHeadDimMax));
  TRY(const auto value_length, keys.number("attention.value_length_mla", kHeadDimMax));
  TRY(const auto rope, keys.number("rope.dimension_count", kHeadDimMax));
  if (!unless_zero(kv_rank) || !unless_zero(key_length) || !unless_zero(value_length)) return {};
  facts.kv_lora_rank = kv_rank;
  facts.q_lora_rank = unless_zero(q_rank);
  facts.mla_key_head_dim = key_length;
  facts.mla_value_head_dim = value_length;
  facts.rope_head_dim = unless_zero(rope);
  return {};
}

Result<void> read_experts(const GgufKeys& keys, ModelFacts& facts) {
  TRY(const auto experts, keys.number("expert_count", kExpertsMax));
  TRY(const auto used, keys.number("expert_used_count", kExpertsMax));
  TRY(const auto width, keys.largest("expert_feed_forward_length", kWidthMax));
  facts.experts = unless_zero(experts);
  if (!facts.experts) return {};
  facts.experts_used = unless_zero(used);
  facts.expert_feed_forward_size = unless_zero(width) ? width : facts.feed_forward_size;
  return {};
}

/// The families of state: state space, delta attention (a matrix a head), short convolution (a window of the hidden
/// state), RWKV (shifted tokens and one matrix a head), all in the terms of the first.
Result<void> read_state(const GgufKeys& keys, ModelFacts& facts) {
  fleet::StateSpace state;
  TRY(const auto inner, keys.number("ssm.inner_size", kWidthMax));
  TRY(const auto conv, keys.number("ssm.conv_kernel", kWidthMax));
  TRY(const auto size, keys.number("ssm.state_size", kWidthMax));
  TRY(const auto groups, keys.number("ssm.group_count", kWidthMax));
  TRY(const auto rank, keys.number("ssm.time_step_rank", kWidthMax));
  TRY(const auto short_conv, keys.number("shortconv.l_cache", kWidthMax));
  TRY(const auto rwkv_head, keys.number("wkv.head_size", kWidthMax));
  TRY(const auto rwkv_shift, keys.number("token_shift_count", kWidthMax));
  TRY(const auto delta_head, keys.number("kda.head_dim", kHeadDimMax));
  const std::uint32_t hidden = facts.hidden_size.value_or(0);
  const std::uint32_t heads = facts.attention_heads.value_or(0);
  const std::uint32_t delta = delta_head.value_or(0);
  if (delta > 0 && heads > 0) {
    // Windows of queries, keys and values, and a square matrix a head: groups such that inner + 2 × groups × state is
    // three times inner.
    constexpr std::uint32_t kKernelUsual = 4;
    state = {.conv_kernel = conv.value_or(kKernelUsual),
             .inner_size = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{heads} * delta, kWidthMax)),
             .state_size = delta,
             .group_count = heads};
  } else if (inner.value_or(0) > 0) {
    state = {.conv_kernel = conv.value_or(0),
             .inner_size = inner.value_or(0),
             .state_size = size.value_or(0),
             .group_count = groups.value_or(0),
             .time_step_rank = rank.value_or(0)};
  } else if (short_conv.value_or(0) > 0) {
    state = {.conv_kernel = short_conv.value_or(0), .inner_size = hidden};
  } else if (rwkv_head.value_or(0) > 0) {
    constexpr std::uint32_t kShiftsUsual = 2;
    state = {.conv_kernel = rwkv_shift.value_or(kShiftsUsual) + 1,
             .inner_size = hidden,
             .state_size = rwkv_head.value_or(0)};
  } else {
    return {};
  }
  facts.state_space = state;
  return {};
}

Result<void> read_shape(const GgufKeys& keys, ModelFacts& facts) {
  TRY(const auto layers, keys.number("block_count", kLayersMax));
  TRY(const auto hidden, keys.number("embedding_length", kWidthMax));
  TRY(const auto context, keys.number("context_length", kContextMax));
  TRY(const auto feed_forward, keys.largest("feed_forward_length", kWidthMax));
  facts.layers = unless_zero(layers);
  facts.feed_forward_size = unless_zero(feed_forward);
  facts.hidden_size = unless_zero(hidden);
  facts.max_context = unless_zero(context);
  TRY_VOID(read_attention(keys, facts));
  TRY_VOID(read_latent_attention(keys, facts));
  TRY_VOID(read_experts(keys, facts));
  return read_state(keys, facts);
}

/// How many layers at the end keep no cache: some read the cache of an earlier one, others predict further tokens and
/// take no part unless asked for.
struct LastLayers {
  std::uint32_t sharing = 0;
  std::uint32_t predicting = 0;
};
Result<LastLayers> last_layers(const GgufKeys& keys, const ModelFacts& facts) {
  const std::uint32_t layers = facts.layers.value_or(0);
  TRY(const auto sharing, keys.number("attention.shared_kv_layers", kLayersMax));
  TRY(const auto predicting, keys.number("nextn_predict_layers", kLayersMax));
  LastLayers last = {.sharing = sharing.value_or(0), .predicting = predicting.value_or(0)};
  // Of this one llama.cpp gives a cache to the first 20, whatever the file says.
  constexpr std::uint32_t kGemma3nCaches = 20;
  if (facts.architecture == "gemma3n") last.sharing = layers - std::min(layers, kGemma3nCaches);
  // A file of nothing but predicting layers is a draft model, in which they all work.
  if (last.predicting >= layers) last.predicting = 0;
  return last;
}

/// Which layers have a sliding window; empty: none.
Result<std::vector<bool>> sliding_layers(const GgufKeys& keys, ModelFacts& facts) {
  TRY(auto window, keys.number("attention.sliding_window", kContextMax));
  constexpr std::string_view kPatternKey = "attention.sliding_window_pattern";
  const std::uint32_t layers = facts.layers.value_or(0);
  std::optional<SlidingPattern> pattern;
  for (const KnownPattern& known : kPatterns) {
    if (known.architecture != facts.architecture || (known.layers > 0 && known.layers != layers)) continue;
    pattern = known.pattern;
    if (!window && known.window > 0) window = known.window;
    if (window > 0U && known.forced > 0) window = known.forced;
  }
  if (std::ranges::find(kWindowUnused, facts.architecture) != std::end(kWindowUnused)) return std::vector<bool>();
  std::vector<bool> slides;
  if (keys.is_array(kPatternKey)) {
    TRY(const auto array, keys.per_layer(kPatternKey, layers, 1));
    for (const std::uint32_t flag : array) slides.push_back(flag == 1);
  } else {
    TRY(const auto period, keys.number(kPatternKey, kLayersMax));
    if (period) pattern = SlidingPattern{.period = *period, .full_first = pattern && pattern->full_first};
    for (std::uint32_t i = 0; pattern && i < layers; ++i) slides.push_back(pattern->slides(i));
  }
  if (!unless_zero(window) || std::ranges::find(slides, true) == slides.end()) return std::vector<bool>();
  facts.sliding_window = window;
  return slides;
}

Result<void> read_layers(const GgufKeys& keys, const GgufWeights& weights, ModelFacts& facts) {
  if (!facts.layers) return {};
  TRY(auto kv_heads, keys.per_layer("attention.head_count_kv", *facts.layers, kHeadsMax));
  if (kv_heads.empty()) {
    TRY(kv_heads, keys.per_layer("attention.head_count", *facts.layers, kHeadsMax));
  }
  if (kv_heads.empty()) kv_heads.resize(*facts.layers);
  TRY(const auto slides, sliding_layers(keys, facts));
  TRY(const LastLayers last, last_layers(keys, facts));
  std::vector<Layer> layers(*facts.layers);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerTensors& kind = weights.kinds[i];
    const bool cache = layers.size() - i > std::max(last.sharing, last.predicting);
    layers[i].recurrent = kind.recurrent && layers.size() - i > last.predicting;
    layers[i].kv_heads = !cache || (kind.recurrent && !kind.keys) ? 0 : kv_heads[i];
    layers[i].sliding_window = !slides.empty() && slides[i] && layers[i].kv_heads > 0;
  }
  facts.attention_layers = attention_rows(layers, facts.kv_heads.value_or(0));
  return {};
}

Result<void> read_vocabulary(const GgufFile& file,
                             const GgufKeys& keys,
                             const GgufWeights& weights,
                             ModelFacts& facts) {
  TRY(const auto vocab, keys.number("vocab_size", kVocabMax));
  facts.vocab_size = unless_zero(vocab);
  const GgufKeys tokenizer(file, "tokenizer.ggml");
  const auto told = weights.embedding_rows ? weights.embedding_rows : tokenizer.array_length("tokens");
  const std::uint64_t tokens = told.value_or(0);
  if (tokens == 0) return {};
  if (tokens > kVocabMax) return invalid(fmt::format("vocabulary of {} tokens, must be at most {}", tokens, kVocabMax));
  facts.vocab_size = static_cast<std::uint32_t>(tokens);
  return {};
}

/// Layers that predict further tokens are not loaded.
Result<void> drop_predicting(const GgufKeys& keys, GgufWeights& weights, const ModelFacts& facts) {
  TRY(const auto last, last_layers(keys, facts));
  for (std::size_t i = 0; i < last.predicting && i < weights.layers.size(); ++i)
    weights.layers[weights.layers.size() - 1 - i] = {};
  return {};
}

void set_weights(GgufWeights weights, ModelFacts& facts) {
  const GgmlType* type = ggml_type(weights.main_type);
  if (!facts.quantization && type != nullptr) facts.quantization = std::string(type->name);
  if (type != nullptr && type->name == "F16") facts.dtype = "float16";
  if (type != nullptr && type->name == "BF16") facts.dtype = "bfloat16";
  if (type != nullptr && type->name == "F32") facts.dtype = "float32";
  facts.weight_bytes = weights.total;
  facts.parameters = weights.parameters;
  facts.input_weights_bytes = weights.input_host;
  facts.output_weights_host_bytes = weights.output_host;
  facts.tied_output = facts.causal.value_or(true) && !weights.has_output && weights.embedding_rows.has_value();
  facts.output_weights_bytes = weights.output_device;
  if (facts.tied_output) *facts.output_weights_bytes += weights.embedding_device;
  facts.layer_weights = std::move(weights.layers);
}

/// A model split over several files numbers them; every one is needed, or the sums are wrong.
Result<void> check_shards(std::span<const GgufFile> shards) {
  constexpr std::uint32_t kShardsMax = 10'000;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const GgufKeys split(shards[i], "split");
    TRY(const auto count, split.number("count", kShardsMax));
    TRY(const auto number, split.number("no", kShardsMax));
    const std::size_t expected = std::max<std::size_t>(count.value_or(1), 1);
    if (expected != shards.size()) {
      return invalid(fmt::format("the model is split over {} files (split.count), {} given", expected, shards.size()));
    }
    if (expected > 1 && number.value_or(0) != i) {
      return invalid(fmt::format("file {} of the model is number {} (split.no), must be {}", i, number.value_or(0), i));
    }
  }
  return {};
}

}  // namespace

Result<ModelFacts> facts_from_gguf_shards(std::span<const GgufFile> shards) {
  if (shards.empty()) return invalid("no GGUF file given, need at least 1");
  TRY_VOID(check_shards(shards));
  const GgufFile& first = shards[0];
  TRY(const auto architecture, GgufKeys(first, "general").text("architecture"));
  if (!architecture || architecture->empty()) return invalid("general.architecture is missing: not a model file");
  ModelFacts facts;
  facts.architecture = *architecture;
  const GgufKeys keys(first, facts.architecture);
  TRY_VOID(read_identity(first, keys, facts));
  TRY_VOID(read_shape(keys, facts));
  TRY(GgufWeights weights, weigh(shards, facts.layers.value_or(0)));
  if (weights.total == Bytes(0)) return invalid("the file has no tensors: it holds a vocabulary, not a model");
  TRY_VOID(check_shapes(shards, keys, facts));
  TRY_VOID(read_vocabulary(first, keys, weights, facts));
  TRY_VOID(read_layers(keys, weights, facts));
  TRY_VOID(drop_predicting(keys, weights, facts));
  set_weights(std::move(weights), facts);
  return facts;
}

Result<ModelFacts> facts_from_gguf(const GgufFile& file) {
  return facts_from_gguf_shards(std::span<const GgufFile>(&file, 1));
}

}  // namespace berth::metadata
