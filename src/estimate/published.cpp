#include "estimate/published.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::estimate {
namespace {

using engines::Engine;
using fleet::ModelFacts;
using fleet::Request;
using fleet::Settings;

constexpr std::uint64_t kFootprintLlm = 2 * kGiB;
constexpr std::uint64_t kFootprintOther = 512 * kMiB;
constexpr std::uint64_t kSpeechFactor = 3;
constexpr Bytes kCustomHostLeast = 2 * kGiB;

/// Readings that a deployment brings along (ModelFacts::measured).
constexpr std::string_view kAudioDevice = "device";
constexpr std::string_view kAudioDeviceHost = "device/host";
constexpr std::string_view kAudioHost = "host";
constexpr std::string_view kClaim = "claim";
constexpr std::string_view kCacheHost = "kv/host";
constexpr std::string_view kDraftReserve = "draft/reserve";
constexpr std::string_view kCachePermille = "kv/host/permille";

std::optional<Bytes> measured(const ModelFacts& facts, std::string_view name) {
  const auto at = facts.measured.find(std::string(name));
  return at == facts.measured.end() ? std::nullopt : std::optional(at->second);
}

std::optional<std::string> flag_text(const Settings& settings, std::string_view name) {
  for (const auto& flag : settings.flags)
    if (flag.starts_with(name) && flag.size() > name.size() && flag[name.size()] == '=')
      return flag.substr(name.size() + 1);
  return std::nullopt;
}

std::uint64_t flag_number(const Settings& settings, std::string_view name, std::uint64_t otherwise) {
  const auto text = flag_text(settings, name);
  return text ? parse_u64(*text).value_or(otherwise) : otherwise;
}

bool switched(const Settings& settings, std::string_view name) {
  return std::find(settings.flags.begin(), settings.flags.end(), name) != settings.flags.end();
}

/// Weights and a fifth of them, and a footprint of the framework by the kind of model.
Result<Bytes> by_weights(const ModelFacts& facts, const Request& request) {
  if (const auto told = measured(facts, kClaim)) return *told;
  if (!facts.weight_bytes) return invalid("facts.weight_bytes is not known");
  const std::uint64_t weights = facts.weight_bytes->value;
  if (request.task == "image") return Bytes(weights);
  if (request.task == "speech") return Bytes(sat_add(sat_mul(weights, kSpeechFactor), kFootprintOther));
  const std::uint64_t footprint = request.task == "generate" ? kFootprintLlm : kFootprintOther;
  return Bytes(weights) + Bytes(weights / 5) + Bytes(footprint);
}

/// Models that keep a KV cache whatever they are for.
bool is_decoder(const ModelFacts& facts) {
  const auto& name = facts.architecture;
  return name.ends_with("ForCausalLM") || name.ends_with("ForConditionalGeneration");
}

double share_or(const Request& request, const Settings& settings, const ModelFacts& facts, double otherwise) {
  if (request.task != "generate" && !is_decoder(facts)) return 0;
  return settings.utilization.value_or(otherwise);
}

/// KV that is kept in host memory besides: so much, or so much of what the devices give.
void add_host_cache(const ModelFacts& facts, PublishedNeed& need) {
  need.host_bytes = measured(facts, kCacheHost).value_or(Bytes());
  if (need.host_bytes.value == 0) need.host_permille = measured(facts, kCachePermille).value_or(Bytes()).value;
}

Result<PublishedNeed> vllm(const ModelFacts& facts, const Request& request, const Settings& settings) {
  constexpr double kShare = 0.9;
  PublishedNeed need{.form = PublishedForm::kShare};
  TRY(need.device_bytes, by_weights(facts, request));
  add_host_cache(facts, need);
  need.share = share_or(request, settings, facts, kShare);
  if (request.task == "image") need.form = PublishedForm::kOneDevice;
  return need;
}

Result<PublishedNeed> sglang(const ModelFacts& facts, const Request& request, const Settings& settings) {
  PublishedNeed need{.form = PublishedForm::kShare};
  TRY(need.device_bytes, by_weights(facts, request));
  add_host_cache(facts, need);
  need.share = settings.utilization;
  if (share_or(request, settings, facts, 1) == 0) need.share = 0;
  if (request.task == "image") need.form = PublishedForm::kOneDevice;  // every rank holds all of it
  return need;
}

/// Elements of one token of one layer: keys and values; for latent attention what GPUStack takes for it.
std::optional<std::uint64_t> token_elements(const ModelFacts& facts) {
  if (facts.kv_lora_rank) {
    if (!facts.mla_key_head_dim) return std::nullopt;
    return 2 *
           std::uint64_t(*facts.mla_key_head_dim - std::min(*facts.mla_key_head_dim, facts.rope_head_dim.value_or(0)));
  }
  if (!facts.kv_heads || !facts.head_dim) return std::nullopt;
  return 2 * std::uint64_t(*facts.kv_heads) * *facts.head_dim;
}

Result<PublishedNeed> mindie(const ModelFacts& facts, const Request&, const Settings& settings) {
  constexpr double kShare = 0.8;
  constexpr std::uint64_t kFootprint = 3 * kGiB, kHost = 512 * kMiB;
  constexpr std::uint64_t kBatchTokens = 200 * 128;  // most prompts of a batch × tokens of a block
  if (!facts.weight_bytes) return invalid("facts.weight_bytes is not known");
  if (!facts.layers) return invalid("facts.layers is not known");
  const auto elements = token_elements(facts);
  if (!elements) return invalid("facts.kv_heads or facts.head_dim is not known");
  const std::uint64_t width = facts.dtype == "float32" ? 4 : 2;
  const bool eight_bits = facts.quantization && to_lower(*facts.quantization).find("w8a8") != std::string::npos;
  const std::uint64_t row = sat_mul(*elements, *facts.layers);
  const std::uint64_t kv = sat_mul(sat_mul(row, width), settings.context.value_or(0));
  const std::uint64_t batch = sat_mul(sat_mul(row, eight_bits ? 1 : width), kBatchTokens);
  PublishedNeed need{.form = PublishedForm::kShare};
  need.device_bytes = *facts.weight_bytes + Bytes(kFootprint) + Bytes(kv) + Bytes(batch);
  need.host_bytes = Bytes(kHost) + Bytes(sat_mul(flag_number(settings, "--cpu-mem-size", 0), kGiB));
  need.share = settings.utilization.value_or(kShare);
  need.one_per_worker = need.part_of_worker = true;
  return need;
}

Result<PublishedNeed> voxbox(const ModelFacts& facts, const Request& request, const Settings&) {
  PublishedNeed need{.form = PublishedForm::kOneDevice};
  const auto device = measured(facts, kAudioDevice), host = measured(facts, kAudioHost);
  if (!device && !host) {
    TRY(need.device_bytes, by_weights(facts, request));
    return need;
  }
  need.device_bytes = device.value_or(Bytes(Bytes::kMax));
  need.host_bytes = measured(facts, kAudioDeviceHost).value_or(Bytes());
  need.host_alone = host;
  need.vendor = "nvidia";
  return need;
}

Result<PublishedNeed> custom(const ModelFacts& facts, const Request& request, const Settings&) {
  PublishedNeed need{.form = PublishedForm::kEvenly};
  TRY(need.device_bytes, by_weights(facts, request));
  need.host_bytes = std::max(Bytes(need.device_bytes.value / 10), kCustomHostLeast);
  need.host_alone = need.host_bytes;
  need.share = 0;
  return need;
}

PublishedNeed layers(const ModelFacts& facts) {
  PublishedNeed need{.form = PublishedForm::kLayers};
  for (const auto& reading : facts.splits)
    for (const auto& row : reading.rows)
      if (row.full) need.total_layers = row.offload_layers;
  if (facts.splits.empty() && facts.layers) need.total_layers = *facts.layers + 1;
  need.text = "GPUStack's recorded estimate of this split";
  return need;
}

struct NeedRow {
  std::string_view engine;
  Result<PublishedNeed> (*need)(const ModelFacts&, const Request&, const Settings&);
};
constexpr std::array kNeedRows = {
    NeedRow{"vllm", vllm}, NeedRow{"sglang", sglang}, NeedRow{"mindie", mindie}, NeedRow{"voxbox", voxbox}};

// SGLang's defaults by the memory of a device; the second batch is that of 4 and more ranks.
struct Tier {
  std::uint64_t below_mib;
  std::uint64_t prefill;
  std::uint64_t batch;
  std::uint64_t batch_wide;
};
constexpr std::array kTiers = {Tier{20 * 1024, 2048, 8, 8},
                               Tier{35 * 1024, 2048, 24, 80},
                               Tier{60 * 1024, 4096, 32, 160},
                               Tier{90 * 1024, 8192, 256, 512},
                               Tier{160 * 1024, 8192, 256, 512},
                               Tier{UINT64_MAX, 16384, 512, 512}};

/// Vision towers take memory outside the share, more the larger they are. Of a tower that is not told, the width is
/// taken for that of the model, and the layers for those of a usual one.
double tower_factor(const ModelFacts& facts) {
  if (!facts.vision_attention_heads) return 1;
  constexpr double kBase = 0.95, kLeast = 0.8, kMost = 1.05, kStep = 0.1;
  constexpr double kUsualWidth = 1024;
  const double width = facts.hidden_size.value_or(1024) / kUsualWidth;
  return kBase * std::clamp(1 - kStep * (width * width - 1), kLeast, kMost);
}

}  // namespace

Result<PublishedNeed> published_need(const Engine& engine,
                                     const ModelFacts& facts,
                                     const Request& request,
                                     const Settings& settings) {
  if (facts.format == "gguf") return layers(facts);
  const auto at =
      std::find_if(kNeedRows.begin(), kNeedRows.end(), [&](const NeedRow& row) { return row.engine == engine.id; });
  TRY(auto need, at == kNeedRows.end() ? custom(facts, request, settings) : at->need(facts, request, settings));
  need.text = fmt::format("GPUStack's rule for {}: {} of devices, {} of each host",
                          engine.title,
                          human(need.device_bytes),
                          human(need.host_bytes));
  return need;
}

double published_share(const ModelFacts& facts, const Settings& settings, const ShareInput& input) {
  constexpr double kRanksMib = 1024.0 / 8, kLeastMib = 10 * 1024, kLargeMib = 60 * 1024, kThousandths = 1000;
  const std::uint64_t total = input.device_bytes.value / kMiB;
  if (total == 0) return 0;
  const auto& tier =
      *std::find_if(kTiers.begin(), kTiers.end(), [&](const Tier& row) { return total < row.below_mib; });
  const auto prefill = static_cast<double>(flag_number(settings, "--chunked-prefill-size", tier.prefill));
  const auto batch = static_cast<double>(
      flag_number(settings, "--cuda-graph-max-bs", input.tensor >= 4 ? tier.batch_wide : tier.batch));
  double reserve = 512 + 1.5 * std::max(prefill, 2048.0) + 2 * batch + input.ranks * kRanksMib;
  if (switched(settings, "--enable-dp-attention")) {
    const auto copies = static_cast<double>(flag_number(settings, "--data-parallel-size", 1));
    reserve += 3 * batch * copies + (batch > 300 ? 1.5 * batch * copies : 0);
  }
  reserve += static_cast<double>(measured(facts, kDraftReserve).value_or(Bytes()).value / kMiB);
  if (static_cast<double>(total) > kLargeMib) reserve = std::max(reserve, kLeastMib);
  const double share = std::max(0.0, (static_cast<double>(total) - reserve) / static_cast<double>(total));
  return std::round(std::round(share * kThousandths) * tower_factor(facts)) / kThousandths;
}

Bytes share_bytes(Bytes total, double share) {
  return {static_cast<std::uint64_t>(static_cast<double>(total.value) * std::clamp(share, 0.0, 1.0))};
}

}  // namespace berth::estimate
