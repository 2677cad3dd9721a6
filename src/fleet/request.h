#pragma once
// Request and Policy: what is asked, and by which rules of the house it is answered. Both are canonicalised before
// hashing, so that order and spelling never matter (DESIGN §1, invariant 8).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/hash.h"
#include "base/result.h"
#include "fleet/model.h"

namespace berth::fleet {

/// How a list of selected devices is meant: an allow-list, or "every one of them, split evenly over the replicas".
enum class DeviceUse { kAny, kAll };
DESCRIBE_ENUM(DeviceUse, kAny, kAll)

enum class Strategy { kSpread, kBinpack };
DESCRIBE_ENUM(Strategy, kSpread, kBinpack)

/// Narrows the search; never another algorithm.
struct Restriction {
  std::optional<std::string> cluster;
  std::vector<std::string> workers;           // names or ids; empty: any
  std::map<std::string, std::string> labels;  // all must match, case-sensitive
  std::vector<std::string> devices;           // "worker/device-id"; empty: any
  DeviceUse use = DeviceUse::kAny;
  std::optional<std::uint32_t> devices_per_replica;
  std::optional<std::string> engine;  // catalog id
  std::optional<std::string> engine_version;
  std::optional<std::uint32_t> tensor_parallel;
  std::optional<std::uint32_t> pipeline_parallel;
  std::optional<std::uint32_t> data_parallel;        // copies, over all that take part
  std::optional<std::uint32_t> data_parallel_local;  // copies on one worker
  std::optional<std::uint32_t> expert_parallel;      // ranks that share the experts
  std::optional<std::uint32_t> prefill_context_parallel;
  std::optional<std::uint32_t> decode_context_parallel;
  bool across_workers = false;  // consent to layouts over several workers
};
DESCRIBE(Restriction,
         cluster,
         workers,
         labels,
         devices,
         use,
         devices_per_replica,
         engine,
         engine_version,
         tensor_parallel,
         pipeline_parallel,
         data_parallel,
         data_parallel_local,
         expert_parallel,
         prefill_context_parallel,
         decode_context_parallel,
         across_workers);

/// What a custom engine takes, in the deployment's own words. Absent fields: nothing was declared (DESIGN §1: it then
/// claims its selected devices whole, or one whole device).
struct DeclaredNeeds {
  std::optional<Bytes> device_bytes;     // of each device
  std::optional<std::uint32_t> devices;  // of one replica; absent: 1, or what is selected
  std::optional<Bytes> memory_bytes;     // of the host
};
DESCRIBE(DeclaredNeeds, device_bytes, devices, memory_bytes);

/// Engine settings that change memory or launch. Absent: Policy's default, printed as such and pinned in the plan.
struct Settings {
  std::optional<std::uint32_t> context;         // tokens
  std::optional<std::uint32_t> sequences;       // parallel slots
  std::optional<std::string> kv_type;           // "f16", "q8_0", "fp8", …
  std::optional<bool> flash_attention;          // llama.cpp
  std::optional<std::uint32_t> ubatch;          // llama.cpp physical batch, tokens
  std::optional<double> utilization;            // share of the device, engines that take one
  std::optional<std::uint32_t> offload_layers;  // llama.cpp -ngl; absent: as many as fit
  bool cpu_offload = true;                      // layers may stay on the host
  std::vector<std::string> flags;               // further engine flags, typed and checked against the catalog
  std::map<std::string, std::string> env;       // allow-listed by the catalog
  std::optional<DeclaredNeeds> needs;           // engines whose memory is declared
  std::vector<std::string> command;             // custom engines: program and arguments, never a shell's line
  std::optional<std::string> image;             // custom engines: the container that the command runs in
};
DESCRIBE(Settings,
         context,
         sequences,
         kv_type,
         flash_attention,
         ubatch,
         utilization,
         offload_layers,
         cpu_offload,
         flags,
         env,
         needs,
         command,
         image);

/// Another file of the same model: other quantization or format.
struct Variant {
  std::string name;  // "Q4_K_M"
  ModelSource source;
  std::optional<ModelFacts> facts;
};
DESCRIBE(Variant, name, source, facts);

struct Request {
  std::string deployment;  // id or name; only shown and hashed
  std::string model;       // display name
  std::string task = "generate";
  ModelSource source;
  std::optional<ModelFacts> facts;   // absent: every rule that needs them is `unknown`
  std::vector<Variant> variants;     // only fixes look at them
  std::optional<ModelSource> draft;  // a smaller model whose file goes along
  std::uint32_t replicas = 1;
  Settings settings;
  Restriction restriction;
  std::optional<Strategy> strategy;
  std::optional<std::string> replaces;  // id of an own deployment whose claims are excluded
  std::vector<std::string> accept;      // rule names whose reject or unknown becomes a warn
  int priority = 0;
  bool partial = true;  // place the k that fit when fewer than asked do
};
DESCRIBE(Request,
         deployment,
         model,
         task,
         source,
         facts,
         variants,
         draft,
         replicas,
         settings,
         restriction,
         strategy,
         replaces,
         accept,
         priority,
         partial);

/// Limits on what a request may ask; beyond is kInvalid.
constexpr std::uint32_t kReplicasMax = 1000;
constexpr std::uint32_t kContextMax = 16 * 1024 * 1024;
constexpr std::uint32_t kSequencesMax = 4096;
constexpr std::size_t kSelectedDevicesMax = 4096;
constexpr std::size_t kVariantsMax = 64;
constexpr std::size_t kCommandWordsMax = 256;
constexpr std::size_t kCommandBytesMax = 64 * 1024;
constexpr std::uint32_t kDeclaredDevicesMax = 1024;

/// Checks ranges and sorts and deduplicates every list. Idempotent. Errors: kInvalid naming field, value and limit.
Result<Request> canonical(Request request);

/// The rules of the house. The plan key is a named list, so that another policy is data (DESIGN §1).
struct Policy {
  std::string name = "berth";
  std::uint32_t default_context = 8192;  // min(model's maximum, this)
  std::uint32_t default_sequences = 4;
  std::string default_kv_type = "f16";
  Strategy default_strategy = Strategy::kSpread;
  std::vector<std::string> engine_order;  // empty: the catalog's
  std::vector<std::string> plan_key = {"simulated",
                                       "engine_order",
                                       "layers_on_devices",
                                       "workers",
                                       "tensor_groups_across_workers",
                                       "devices",
                                       "stages",
                                       "interconnect",
                                       "files_present",
                                       "strategy",
                                       "bytes_left",
                                       "ids"};
  // Rows of other tables that a decision goes by; these are berth's own.
  std::string estimates = "parts";  // a need: the sum of its "parts", or by the rules that GPUStack has "published"
  std::string allocatable = "measured";  // a device's room: less what was "measured" on it, or less "claims" alone
  std::string candidates = "best";       // plans looked at: whichever can be "best", or a few that are "listed"
  std::string scores;                    // row of the table of scores, where plan_key has any
  std::vector<std::string> rules_off;    // rules that this house does not have
  bool overcommit_selection = false;     // devices chosen by hand are taken though they are too small, with a warning
  bool allow_install = true;             // berth may install an absent engine where it can
  bool over_workers = true;              // berth can start one replica on several workers
  std::uint32_t search_steps_max = 200000;  // bound of the replica search; beyond: search_limit
};
DESCRIBE(Policy,
         name,
         default_context,
         default_sequences,
         default_kv_type,
         default_strategy,
         engine_order,
         plan_key,
         estimates,
         allocatable,
         candidates,
         scores,
         rules_off,
         overcommit_selection,
         allow_install,
         over_workers,
         search_steps_max);

/// As much of berth's own policy as this version carries out: what the server decides by. Nothing installs engines yet,
/// and workers start whole replicas only. An offline check answers for Policy() and says where this one differs.
Policy standard_policy();

/// GPUStack's estimate, allocatable, candidates and choice, for those who migrate and compare: the same search with
/// other rows. As its main branch has them in 2026; docs/gpustack-differences.md says where the answers differ.
Policy gpustack_policy();

}  // namespace berth::fleet
