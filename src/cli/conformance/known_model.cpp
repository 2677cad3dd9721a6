#include "cli/conformance/known_model.h"

namespace berth::cli::conformance {
namespace {

template <class T>
void fill(std::optional<T>& told, const std::optional<T>& known) {
  if (!told) told = known;
}

}  // namespace

Case with_known_model(Case c, const fleet::ModelCatalog& models) {
  if (c.kind != kKindSchedule || !c.model || !c.model_facts || !c.model->file.empty()) return c;
  if (c.model->repo.empty() || c.model->repo.find("GGUF") != std::string::npos) return c;
  const auto found = fleet::find_model(models, c.model->repo);
  if (!found || found->variant != nullptr) return c;
  const auto known = fleet::facts_of(*found->model);
  auto& told = *c.model_facts;
  if (!told.architectures && !known.architectures.empty()) told.architectures = known.architectures;
  fill(told.layers, known.layers);
  fill(told.hidden_size, known.hidden_size);
  fill(told.vocab_size, known.vocab_size);
  fill(told.attention_heads, known.attention_heads);
  fill(told.kv_heads, known.kv_heads);
  fill(told.head_dim, known.head_dim);
  fill(told.max_context, known.max_context);
  fill(told.dtype, known.dtype);
  fill(told.experts, known.experts);
  fill(told.moe_intermediate_size, known.expert_feed_forward_size);
  if (told.kv_lora_rank || !known.kv_lora_rank) return c;
  told.kv_lora_rank = known.kv_lora_rank;
  fill(told.q_lora_rank, known.q_lora_rank);
  fill(told.qk_rope_head_dim, known.rope_head_dim);
  fill(told.v_head_dim, known.mla_value_head_dim);
  if (!told.qk_nope_head_dim && known.mla_key_head_dim && known.rope_head_dim)
    told.qk_nope_head_dim = *known.mla_key_head_dim - *known.rope_head_dim;
  return c;
}

}  // namespace berth::cli::conformance
