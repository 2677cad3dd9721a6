#include "placement/by_index.h"

#include <algorithm>
#include <utility>

#include "placement/detail/few.h"
#include "placement/rules/engine_rules.h"

namespace berth::placement {

using fleet::DeviceType;
using fleet::Lane;
using fleet::SlotList;
using Least = KeyOrder::Least;

namespace {

const std::string kNoId;  // before all others

// The list of slots that tells most about so many devices.
std::size_t slot_size(std::uint32_t devices) {
  std::size_t size = 0;
  while (size + 1 < fleet::kSlotSizes && fleet::devices_of_slot(size + 1) <= devices) ++size;
  return size;
}

}  // namespace

ByIndex::ByIndex(Search& search, Context& context) : search_(search), context_(context) {
  const auto& r = context.request.restriction;
  possible_ = context.use_index && search.order().bounded() && r.workers.empty() && r.devices.empty() &&
              !context.request.replaces && context.uneven.outcome != Outcome::kReject && context.group_size == 0;
  if (!context.carries_files || !context.request.facts) return;
  whole_model_ = context.request.facts->weight_bytes.value_or(Bytes()).value;
  file_ = fleet::hash_file(context.model_file);
}

bool ByIndex::behind(const Lead& a, const Lead& b) const {
  const int order = search_.order().compare(a.least, *a.id, b.least, *b.id);
  if (order != 0) return order > 0;
  if (a.candidate != nullptr && b.candidate != nullptr) return search_.order().before(*b.candidate, *a.candidate);
  return a.candidate != nullptr;
}

void ByIndex::push(const Lead& lead) {
  heap_.push_back(lead);
  std::push_heap(heap_.begin(), heap_.end(), [&](const Lead& a, const Lead& b) { return behind(a, b); });
}

const DeviceType& ByIndex::type_of(const Lead& lead) const {
  return context_.snapshot.index().worker_class(lead.cls).types[lead.type];
}

const StaticChain& ByIndex::chain_of(const Lead& lead, const WorkerEntry& sample) {
  return search_.chain_of(lead.option, sample, type_of(lead));
}

std::optional<std::vector<Candidate>> ByIndex::place() {
  if (!possible_ || context_.options.empty()) return std::nullopt;
  const std::uint32_t asked = context_.request.replicas;
  const std::size_t looks_max = kLooksAtLeast + kLooksPerReplica * asked;
  push_stage(0, Stage::kEngine, 0, {.engine_order = context_.options.front().order});
  while (chosen_.size() < asked) {
    if (heap_.empty() || looks_ > looks_max) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), [&](const Lead& a, const Lead& b) { return behind(a, b); });
    const Lead lead = heap_.back();
    heap_.pop_back();
    switch (lead.step) {
      case Step::kStage:
        open(lead);
        break;
      case Step::kSlots:
        look_at_slot(lead);
        break;
      case Step::kLane:
        look_into(lead);
        break;
      case Step::kWorker:
        if (lead.run != UINT32_MAX) next_of_run(lead.run);
        look_at(lead);
        break;
      case Step::kPlan:
        take(lead);
        break;
    }
  }
  return std::move(chosen_);
}

void ByIndex::push_stage(std::uint32_t option, Stage stage, std::uint32_t devices, const Least& least) {
  Lead lead{.id = &kNoId, .step = Step::kStage, .stage = stage, .option = option, .devices = devices};
  search_.order().fill(least, lead.least);
  push(lead);
}

void ByIndex::open(const Lead& lead) {
  switch (lead.stage) {
    case Stage::kEngine:
      return open_engine(lead.option);
    case Stage::kOnSlots:
      return open_slots(lead.option, lead.devices);
    case Stage::kSeveral:
    case Stage::kOffload:
    case Stage::kAnywhere:
    case Stage::kOnCpu:
      return open_lanes(lead.option, lead.stage);
  }
}

/// The kinds of plan that the engine may have, and the next engine.
void ByIndex::open_engine(std::uint32_t option) {
  const Option& it = context_.options[option];
  const std::uint64_t order = it.order;
  if (option + 1 < context_.options.size())
    push_stage(option + 1, Stage::kEngine, 0, {.engine_order = context_.options[option + 1].order});
  const bool parts = it.engine->memory == engines::MemoryModel::kParts;
  const auto* layers = parts ? it.estimates->llama() : nullptr;
  const bool declared = it.engine->memory == engines::MemoryModel::kDeclared;
  if (declared) push_stage(option, Stage::kOnCpu, 0, {.engine_order = order});
  if (layers != nullptr && context_.request.settings.cpu_offload)
    push_stage(option, Stage::kOnCpu, 0, {.engine_order = order, .host_layers = layers->total_layers()});
  // Slots lie in the order of plans that are spread.
  if (declared || context_.strategy != fleet::Strategy::kSpread) return open_lanes(option, Stage::kAnywhere);
  open_holders(option);
  if (!parts) return open_slots(option, it.sizes.world().value_or(1));
  const auto wanted = it.settings.offload_layers;
  if (layers != nullptr && wanted.value_or(layers->total_layers()) >= layers->total_layers() &&
      it.sizes.world().value_or(1) == 1)
    open_slots(option, 1);
  push_stage(option, Stage::kSeveral, 0, {.engine_order = order, .devices = 2});
  push_stage(option, Stage::kOffload, 0, {.engine_order = order, .host_layers = 1, .devices = 1});
}

std::uint32_t ByIndex::most_devices() const {
  std::size_t most = 0;
  const auto& index = context_.snapshot.index();
  for (std::size_t c = 0; c < index.class_count(); ++c)
    for (const auto& type : index.worker_class(c).types) most = std::max(most, type.positions.size());
  return static_cast<std::uint32_t>(most);
}

void ByIndex::open_slots(std::uint32_t option, std::uint32_t devices) {
  const auto& index = context_.snapshot.index();
  for (std::uint32_t c = 0; c < index.class_count(); ++c) {
    const auto& cls = index.worker_class(c);
    for (std::uint32_t t = 0; t < cls.types.size(); ++t) {
      if (cls.types[t].positions.size() < devices || cls.types[t].cpu) continue;
      Lead lead{.step = Step::kSlots, .stage = Stage::kOnSlots, .option = option, .devices = devices};
      lead.cls = c;
      lead.type = t;
      if (fill_slots(lead, demand_of(lead), nullptr)) push(lead);
    }
  }
  const Option& it = context_.options[option];
  if (it.engine->memory == engines::MemoryModel::kParts || it.sizes.world() || devices >= most_devices()) return;
  push_stage(option, Stage::kOnSlots, devices + 1, {.engine_order = it.order, .devices = devices + 1});
}

bool ByIndex::fill_slots(Lead& lead, Demand& demand, const StaticChain* chain) {
  if (demand.claims.size() <= lead.devices) return false;
  const auto claim = claim_of(demand, lead.devices);
  if (!claim) return false;
  const auto& index = context_.snapshot.index();
  const std::size_t size = slot_size(lead.devices);
  const SlotList& slots = index.slots(lead.cls, lead.type)[size];
  lead.at = slots.fit(lead.at, *claim);
  const fleet::Slot* slot = slots.at(lead.at);
  if (slot == nullptr) return false;
  lead.id = &slot->worker->worker.id;
  lead.entry = slot->worker;
  const Bytes install = chain != nullptr
                            ? chain->install_bytes
                            : least_install(context_, context_.options[lead.option], *slot->worker, type_of(lead));
  const Least least{.simulated = index.worker_class(lead.cls).simulated ? 1U : 0U,
                    .engine_order = context_.options[lead.option].order,
                    .devices = lead.devices,
                    .bytes_to_fetch = whole_model_ + install.value,
                    .strategy = KeyOrder::least_strategy(context_, slot->ours, slot->busy, Bytes()),
                    .bytes_left = (slot->room.minus_or_zero(*claim) * fleet::devices_of_slot(size)).value};
  search_.order().fill(least, lead.least);
  return true;
}

bool ByIndex::has_file(const fleet::IndexBlock& block) const {
  const auto at = std::lower_bound(block.files.begin(), block.files.end(), fleet::FileHolder{file_, 0});
  return at != block.files.end() && at->file == file_;
}

/// Leads for the workers that have the model's file: those on slots stand for workers that fetch it.
void ByIndex::open_holders(std::uint32_t option) {
  if (!context_.carries_files) return;
  const auto& index = context_.snapshot.index();
  index.each_lane([&](const Lane& lane) {
    if (!lane.open() || lane.devices == 0) return;
    const auto& files = lane.block->files;
    Lead from{.stage = Stage::kAnywhere, .option = option, .cls = lane.cls, .type = lane.type};
    for (auto at = std::lower_bound(files.begin(), files.end(), fleet::FileHolder{file_, 0});
         at != files.end() && at->file == file_;
         ++at) {
      const auto& entry = *lane.block->workers[at->worker];
      if (!entry.open()) continue;
      if (auto lead = lead_of(entry, from, demand_of(from), nullptr)) push(*lead);
    }
  });
}

void ByIndex::open_lanes(std::uint32_t option, Stage stage) {
  const auto& index = context_.snapshot.index();
  index.each_lane([&](const Lane& lane) {
    if (!lane.open() || (lane.devices == 0) != (stage == Stage::kOnCpu)) return;
    Lead lead{.step = Step::kLane, .stage = stage, .option = option, .cls = lane.cls, .type = lane.type, .lane = &lane};
    const std::size_t tops = std::min<std::size_t>(lane.devices, lane.tops.size());
    auto least = least_of(demand_of(lead), std::span(lane.tops).first(tops), lane.sum, lane.memory);
    if (!least) return;
    if (stage == Stage::kSeveral && least->host_layers > 0) return;
    // The best of all workers may be of an earlier stage, while others are of this one.
    if (stage == Stage::kSeveral) *least = {.devices = std::max<std::uint64_t>(least->devices, 2)};
    if (stage == Stage::kOffload)
      *least = {.host_layers = std::max<std::uint64_t>(least->host_layers, 1), .devices = 1};
    least->simulated = index.worker_class(lane.cls).simulated ? 1 : 0;
    least->engine_order = context_.options[option].order;
    least->bytes_to_fetch = has_file(*lane.block) ? 0 : whole_model_;
    least->strategy = KeyOrder::least_strategy(context_, lane.ours, 0, Bytes());
    least->bytes_left = 0;
    lead.id = &lane.block->workers.front()->worker.id;
    search_.order().fill(*least, lead.least);
    push(lead);
  });
}

bool ByIndex::of_stage(Stage stage, const Least& least) const {
  switch (stage) {
    case Stage::kSeveral:
      return least.host_layers == 0 && least.devices > 1;
    case Stage::kOffload:
      return least.host_layers > 0;
    case Stage::kEngine:
    case Stage::kOnSlots:
    case Stage::kAnywhere:
    case Stage::kOnCpu:
      return true;
  }
  return true;
}

std::optional<ByIndex::Lead> ByIndex::lead_of(const WorkerEntry& entry,
                                              const Lead& from,
                                              Demand& demand,
                                              const StaticChain* chain) {
  if (touched_.contains(&entry)) return std::nullopt;
  const auto& type = type_of(from);
  Few<Bytes> rooms;
  Bytes sum;
  for (const auto p : type.positions) {
    rooms.push_back(entry.capacity[p].allocatable);
    sum += rooms.back();
  }
  std::sort(rooms.begin(), rooms.end(), std::greater<>());
  auto least = least_of(demand, rooms, sum, entry.memory.allocatable);
  if (!least || !of_stage(from.stage, *least)) return std::nullopt;
  if (from.step == Step::kSlots && (least->devices != from.devices || least->host_layers != 0)) return std::nullopt;
  least->engine_order = context_.options[from.option].order;
  least->simulated = entry.worker.simulated ? 1 : 0;
  least->bytes_to_fetch = chain == nullptr ? 0 : KeyOrder::bytes_to_fetch(context_, entry, *chain);
  least->strategy = KeyOrder::least_strategy(context_, entry.ours(), 0, sum);
  Lead next = from;
  next.step = Step::kWorker;
  next.id = &entry.worker.id;
  next.entry = &entry;
  search_.order().fill(*least, next.least);
  return next;
}

/// The worker that the lead is at, and the lead for those behind it.
void ByIndex::look_at_slot(Lead lead) {
  const auto& chain = chain_of(lead, *lead.entry);
  if (!Search::passes(chain)) return;
  Demand& demand = demand_of(lead);
  if (!std::exchange(lead.passes, true)) {
    const Key before = lead.least;
    if (!fill_slots(lead, demand, &chain)) return;
    if (lead.least != before) return push(lead);
  }
  if (auto worker = lead_of(*lead.entry, lead, demand, &chain))
    look_at(*worker);
  else
    ++looks_;
  lead.at = context_.snapshot.index().slots(lead.cls, lead.type)[slot_size(lead.devices)].next(lead.at);
  if (fill_slots(lead, demand, &chain)) push(lead);
}

/// The workers of a lane, once its chain is known to pass: the best goes into the heap, the others follow it.
void ByIndex::look_into(const Lead& lead) {
  const auto& block = *lead.lane->block;
  const auto& chain = chain_of(lead, *block.workers.front());
  if (!Search::passes(chain)) return;
  Demand& demand = demand_of(lead);
  auto& run = runs_.emplace_back();
  for (std::size_t w = 0; w < block.workers.size(); ++w) {
    if (block.shut[w] != 0) continue;
    auto worker = lead_of(*block.workers[w], lead, demand, &chain);
    if (!worker) continue;
    worker->run = static_cast<std::uint32_t>(runs_.size() - 1);
    run.push_back(*worker);
  }
  std::make_heap(run.begin(), run.end(), [&](const Lead& a, const Lead& b) { return behind(a, b); });
  next_of_run(static_cast<std::uint32_t>(runs_.size() - 1));
}

void ByIndex::next_of_run(std::uint32_t number) {
  auto& run = runs_[number];
  if (run.empty()) return;
  std::pop_heap(run.begin(), run.end(), [&](const Lead& a, const Lead& b) { return behind(a, b); });
  push(run.back());
  run.pop_back();
}

/// The plan on one worker with one engine and device type, if there is one.
void ByIndex::look_at(const Lead& lead) {
  if (touched_.contains(lead.entry)) return;
  if (!looked_.insert({lead.entry, lead.option, lead.type}).second) return;
  ++looks_;
  auto best = search_.best_with(*lead.entry, lead.option, type_of(lead));
  if (!best) return;
  const Candidate& kept = found_.emplace_back(*std::move(best));
  Lead next = lead;
  next.step = Step::kPlan;
  next.id = &lead.entry->worker.id;
  next.least = kept.key;
  next.candidate = &kept;
  push(next);
}

/// The worker's other leads are about a ledger that is no more; it has one for all engines and types from here on.
void ByIndex::take(const Lead& lead) {
  const auto known = touched_.find(lead.entry);
  if (known != touched_.end() && known->second.best != lead.candidate) return;
  chosen_.push_back(*lead.candidate);
  if (chosen_.size() == context_.request.replicas) return;
  const WorkerEval& worker = search_.look_at(*lead.entry);
  Replica& replica = known != touched_.end() ? known->second : touched_[lead.entry];
  if (known == touched_.end()) replica.ledger = worker.ledger;
  deduct(replica.ledger, *lead.candidate);
  ++looks_;
  auto again = search_.best_on(worker, replica.ledger, false);
  replica.best = nullptr;
  if (!again) return;
  const Candidate& kept = found_.emplace_back(*std::move(again));
  replica.best = &kept;
  Lead next = lead;
  next.least = kept.key;
  next.candidate = &kept;
  push(next);
}

}  // namespace berth::placement
