#include "placement/detail/context.h"

#include <algorithm>
#include <fmt/format.h>

#include "engines/world.h"

namespace berth::placement {
namespace {

bool same_memory(const DeviceTraits& a, const DeviceTraits& b) {
  return a.unified_memory == b.unified_memory && a.framework == b.framework;
}

template <class T>
T complete(std::optional<T>& field, T value, std::string_view name, std::string_view why, Context& context) {
  if (field) return *field;
  field = value;
  const fleet::Default line{std::string(name), fmt::format("{}", value), std::string(why)};
  for (const auto& known : context.defaults)
    if (known.setting == line.setting && known.value == line.value) return value;
  context.defaults.push_back(line);
  return value;
}

/// What was left out gives way to what was asked for.
bool sequences_open(const Engine& engine, const Context& context) {
  const Settings& s = context.request.settings;
  return engine.memory == engines::MemoryModel::kShareOfDevice && s.utilization && !s.sequences;
}

Settings complete_settings(const Engine& engine, Context& context) {
  constexpr std::uint32_t kUbatchDefault = 512;  // llama.cpp's own default physical batch
  Settings s = context.request.settings;
  const Policy& policy = context.policy;
  const auto& facts = context.request.facts;
  const std::uint32_t most = facts && facts->max_context ? *facts->max_context : policy.default_context;
  const std::uint32_t tokens = complete(s.context,
                                        std::min(most, policy.default_context),
                                        "context",
                                        "smaller of the model's maximum and the policy's default",
                                        context);
  if (sequences_open(engine, context))
    complete(
        s.sequences, 1U, "sequences", "at least; as many more, up to the policy's, as utilization leaves", context);
  complete(s.sequences, policy.default_sequences, "sequences", "the policy's default", context);
  complete(s.kv_type, policy.default_kv_type, "kv_type", "the policy's default", context);
  if (engine.memory == engines::MemoryModel::kParts) {
    // An embedding or a score is computed over the input as a whole.
    const bool whole = context.request.task == "embed" || context.request.task == "rerank";
    if (whole)
      complete(s.ubatch, tokens, "ubatch", "the whole input in one batch", context);
    else
      complete(s.ubatch, kUbatchDefault, "ubatch", "the engine's default", context);
    if (!s.flash_attention) s.flash_attention = true;
  }
  return s;
}

Sizes sizes_of(const Context& context, const Engine& engine) {
  const auto& r = context.request.restriction;
  Sizes s{r.tensor_parallel, r.pipeline_parallel, r.data_parallel, r.devices_per_replica};
  if (context.group_size > 0) s.ranks = context.group_size;
  const auto world = engines::world_of(engine, r, context.request.settings.flags);
  if (!world) return s;  // refused before it comes here; who comes another way is judged by the sizes as they stand
  if (world->part) s.data = world->dp_local;
  if (world->data_inside) s.data.reset();
  if (engine.world.prefill_context_parallel == engines::Combine::kMultiplies) s.shared_context = world->pcp;
  return s;
}

std::uint32_t order_of(const Context& context, const Engine& engine, std::uint32_t position) {
  const auto& order = context.policy.engine_order;
  const auto at = std::find(order.begin(), order.end(), engine.id);
  if (at != order.end()) return static_cast<std::uint32_t>(at - order.begin());
  return static_cast<std::uint32_t>(order.size()) + position;
}

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

void add_options(Context& context) {
  const auto& r = context.request.restriction;
  if (r.engine && context.catalog.find(*r.engine) == nullptr) {
    context.invalid = RuleOutcome::reject(Reason::kUnknownEngine, {{"engine", *r.engine}});
    return;
  }
  std::uint32_t position = 0;
  for (const auto& engine : context.catalog.engines()) {
    ++position;
    if (r.engine ? engine.id != *r.engine : engine.on_request) continue;
    Option option;
    option.engine = &engine;
    option.order = order_of(context, engine, position);
    option.versions = engine.versions;
    if (r.engine_version) option.versions = {*r.engine_version};
    if (option.versions.empty()) option.versions = {""};
    option.settings = complete_settings(engine, context);
    option.sizes = sizes_of(context, engine);
    option.sequences_open = sequences_open(engine, context);
    const auto layouts = engines::layouts_of(engine, r.engine_version.value_or(""));
    const auto& whole = engine.layouts;
    const auto knows = [&](std::string_view layout) { return contains(layouts, layout); };
    option.ranks = knows("tensor_parallel");
    option.pipeline = knows("pipeline_parallel");
    option.data = knows("data_parallel");
    // Whether the version that a worker takes has it is seen there, and said.
    if (contains(whole, "over_workers_evenly")) option.over_workers = OverWorkers::kEvenly;
    if (contains(whole, "over_workers")) option.over_workers = OverWorkers::kFreely;
    context.options.push_back(std::move(option));
  }
  std::sort(context.options.begin(), context.options.end(), [](const Option& a, const Option& b) {
    return a.order < b.order;
  });
  for (auto& option : context.options) {
    option.estimates = std::make_unique<Estimates>(context.request, option.settings);
    option.architecture = std::make_unique<ArchitectureAnswers>(*option.engine, context.request);
  }
}

void resolve_selection(Context& context) {
  const auto& r = context.request.restriction;
  for (const auto& ref : r.devices) {
    const auto slash = ref.find('/');
    context.selected[ref.substr(0, slash)].push_back(ref.substr(slash + 1));
  }
  if (r.use != fleet::DeviceUse::kAll) return;
  const auto count = static_cast<std::uint32_t>(r.devices.size());
  const std::uint32_t replicas = context.request.replicas;
  context.group_size = r.devices_per_replica.value_or(count / replicas);
  if (context.group_size > 0 && context.group_size * replicas == count) return;
  const std::uint32_t lower = count / replicas * replicas;
  const std::uint32_t upper = lower + replicas;
  const std::string hint =
      lower > 0 ? fmt::format("select {} or {} devices", lower, upper) : fmt::format("select {} devices", upper);
  context.uneven =
      RuleOutcome::reject(Reason::kUnevenSelection,
                          {{"devices", std::to_string(count)}, {"replicas", std::to_string(replicas)}, {"hint", hint}});
}

/// The smallest device of each framework among those that are ready and admitted, and how many there are.
struct Admitted {
  Bytes least;
  std::uint32_t devices = 0;
};
std::map<std::string, Admitted> admitted_devices(const Context& context) {
  std::map<std::string, Admitted> out;
  context.snapshot.for_each([&](const WorkerEntry& entry) {
    if (entry.worker.state != fleet::WorkerState::kReady) return;
    const auto* chosen = selected_on(context, entry.worker);
    if (chosen == nullptr && !context.selected.empty()) return;
    for (const auto& device : entry.worker.devices) {
      if (chosen != nullptr && !contains(*chosen, device.id)) continue;
      auto& known = out[device.framework];
      known.least = known.devices == 0 ? device.memory_total_bytes : std::min(known.least, device.memory_total_bytes);
      ++known.devices;
    }
  });
  return out;
}

/// Policy::estimates "published": the need of each option, once for all workers.
void add_published(Context& context) {
  static const fleet::ModelFacts kNothing;
  const auto& facts = context.request.facts ? *context.request.facts : kNothing;
  std::map<std::string, Admitted> devices;
  for (auto& option : context.options) {
    auto need = estimate::published_need(*option.engine, facts, context.request, option.settings);
    if (!need) {
      option.published_error = need.error().message;
      continue;
    }
    option.published = *std::move(need);
    if (option.published->share) continue;
    if (devices.empty()) devices = admitted_devices(context);
    const auto& sizes = option.sizes;
    for (const auto& [framework, known] : devices) {
      const std::uint32_t ranks = sizes.tensor || sizes.pipeline ? sizes.tensor.value_or(1) * sizes.pipeline.value_or(1)
                                  : context.selected.empty()     ? 1
                                                                 : known.devices;
      option.shares[framework] =
          estimate::published_share(facts, option.settings, {known.least, ranks, sizes.tensor.value_or(ranks)});
    }
  }
}

}  // namespace

std::optional<std::uint32_t> Sizes::world() const {
  if (ranks) return ranks;
  if (!tensor && !pipeline && !data) return std::nullopt;
  return tensor.value_or(1) * pipeline.value_or(1) * data.value_or(1);
}

ArchitectureAnswers::ArchitectureAnswers(const Engine& engine, const Request& request) {
  match_.list = &engine.architectures;
  if (request.facts) match_ = engines::match_architecture(engine, *request.facts);
}

engines::Runs ArchitectureAnswers::runs(const std::string& version) {
  for (const auto& [asked, answer] : known_)
    if (asked == version) return answer;
  return known_.emplace_back(version, engines::runs(match_, version)).second;
}

Estimates::Estimates(const Request& request, const Settings& settings) : request_(request), settings_(settings) {}

const estimate::LlamaModel* Estimates::llama() {
  if (!prepared_) {
    prepared_ = true;
    if (!request_.facts) {
      error_ = "nothing is known about the model";
    } else if (auto model = estimate::LlamaModel::prepare(*request_.facts, settings_)) {
      llama_ = std::move(*model);
    } else {
      error_ = model.error().message;
    }
  }
  return llama_ ? &*llama_ : nullptr;
}

const Estimates::LayerTable& Estimates::layer_table(const DeviceTraits& traits) {
  for (const auto& row : tables_)
    if (same_memory(row.traits, traits)) return row.table;
  auto& table = tables_.emplace_back(TableRow{traits, {}}).table;
  const auto* model = llama();
  if (model == nullptr) return table;
  for (std::uint32_t n = 0; n <= model->total_layers(); ++n) {
    const std::uint32_t layers[] = {n};
    const auto split = n == 0 ? model->split({}, traits) : model->split(layers, traits);
    table.device.push_back(n == 0 ? Interval{} : split.devices.front());
    table.host.push_back(split.host);
  }
  return table;
}

const Estimates::Whole& Estimates::whole(const DeviceTraits& traits) {
  for (const auto& row : wholes_)
    if (same_memory(row.traits, traits)) return row.whole;
  auto& whole = wholes_.emplace_back(WholeRow{traits, {}}).whole;
  const auto* model = llama();
  if (model == nullptr) return whole;
  const std::uint32_t layers[] = {model->total_layers()};
  const auto split = model->split(layers, traits);
  whole = {split.devices.front(), split.host};
  return whole;
}

const Interval& Estimates::on_host() {
  const auto* model = llama();
  if (!on_host_) on_host_ = model == nullptr ? Interval{} : model->split({}, {.framework = "cpu"}).host;
  return *on_host_;
}

Estimates::Runs* Estimates::runs(const DeviceTraits& traits, std::uint32_t count) {
  constexpr std::uint32_t kKeptMax = 256;  // layers: 1.5 MiB
  for (auto& row : runs_)
    if (same_memory(row.traits, traits)) return row.runs.total == count ? &row.runs : nullptr;
  const auto* model = llama();
  if (model == nullptr || model->total_layers() != count || count > kKeptMax) return nullptr;
  return &runs_.emplace_back(RunsRow{traits, {count, std::vector<Run>(std::size_t(count + 1) * (count + 1))}}).runs;
}

Bytes Estimates::least_on_devices(std::uint32_t layers) {
  if (least_.empty()) {
    // The last layers go to devices first; one of those counted may be the output layer.
    least_.resize(2);
    if (request_.facts) {
      const auto& weights = request_.facts->layer_weights;
      for (std::size_t i = weights.size(); i > 0; --i)
        least_.push_back(least_.back() + std::min(weights[i - 1].host_bytes, weights[i - 1].device_bytes));
    }
  }
  return least_[std::min<std::size_t>(layers, least_.size() - 1)];
}

const estimate::RankEstimate* Estimates::rank(const Shape& shape, const DeviceTraits& traits) {
  for (const auto& row : ranks_)
    if (row.shape == shape && same_memory(row.traits, traits)) return row.rank ? &*row.rank : nullptr;
  auto& row = ranks_.emplace_back(RankRow{traits, shape, {}});
  if (!request_.facts) {
    error_ = "nothing is known about the model";
    return nullptr;
  }
  const estimate::RankLayout layout{
      .tensor_parallel = shape.tensor, .pipeline_parallel = shape.pipeline, .data_parallel = shape.data};
  auto rank = estimate::rank_memory(*request_.facts, settings_, layout, traits);
  if (rank)
    row.rank = std::move(*rank);
  else
    error_ = rank.error().message;
  return row.rank ? &*row.rank : nullptr;
}

bool Context::accepts(Reason reason) const {
  return acceptable(reason) &&
         std::binary_search(request.accept.begin(), request.accept.end(), std::string(reason_name(reason)));
}

RuleOutcome Context::accepted(RuleOutcome outcome) {
  const bool blocks = outcome.outcome == Outcome::kReject || outcome.outcome == Outcome::kUnknown;
  if (!blocks || !accepts(outcome.reason)) return outcome;
  used_accept.emplace(reason_name(outcome.reason));
  outcome.outcome = Outcome::kWarn;
  return outcome;
}

Context make_context(const FleetSnapshot& snapshot,
                     const Request& canonical_request,
                     const Policy& policy,
                     const EngineCatalog& catalog) {
  Context context{.snapshot = snapshot,
                  .request = canonical_request,
                  .policy = policy,
                  .catalog = catalog,
                  .strategy = canonical_request.strategy.value_or(policy.default_strategy)};
  context.model_file = file_key(canonical_request.source);
  if (canonical_request.draft) context.draft_file = file_key(*canonical_request.draft);
  context.carries_files = snapshot.carries("files");
  context.carries_interconnect = snapshot.carries("interconnect");
  resolve_selection(context);
  add_options(context);
  context.listed = policy.candidates == "listed";
  if (policy.estimates == "published") add_published(context);
  return context;
}

const std::vector<std::string>* selected_on(const Context& context, const fleet::Worker& worker) {
  for (const auto* key : {&worker.name, &worker.id}) {
    const auto at = context.selected.find(*key);
    if (at != context.selected.end()) return &at->second;
  }
  return nullptr;
}

std::string file_key(const fleet::ModelSource& source) {
  if (source.kind == "local") return "local:" + source.path;
  return fmt::format("{}:{}/{}@{}", source.kind, source.repo, source.file, source.revision);
}

}  // namespace berth::placement
