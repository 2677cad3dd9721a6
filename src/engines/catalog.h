#pragma once
// EngineCatalog: what each engine can do and how it is started, as data. Adding a vendor, an engine or a version is a
// row in catalog/*.yaml, never a change of the search (DESIGN §1, "Rules are data").

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/hash.h"
#include "base/result.h"

namespace berth::engines {

/// How a user's flag is treated: passed on after a type check, refused because berth sets it, or a path under roots.
enum class FlagClass { kAllowed, kOwned, kPath };
DESCRIBE_ENUM(FlagClass, kAllowed, kOwned, kPath)

/// How the value of a path flag names its files. Several are separated by commas.
enum class PathForm {
  kList,        // PATH
  kScaledList,  // PATH:SCALE
  kNamedList,   // NAME=PATH; the engine gets each as an argument of its own
};
DESCRIBE_ENUM(PathForm, kList, kScaledList, kNamedList)

enum class FlagType { kBool, kInteger, kNumber, kText, kChoice };
DESCRIBE_ENUM(FlagType, kBool, kInteger, kNumber, kText, kChoice)

struct Flag {
  std::string name;                  // canonical, "--ctx-size"
  std::vector<std::string> aliases;  // "-c"
  std::string negation;              // switches: the spelling that turns it off, "--no-mmap"
  FlagType type = FlagType::kText;
  FlagClass kind = FlagClass::kAllowed;
  PathForm form = PathForm::kList;  // path flags
  std::optional<double> min;
  std::optional<double> max;
  std::vector<std::string> choices;  // for numbers: words allowed beside them, "auto"
  std::string setting;  // field of fleet::Settings or Restriction that this flag means: "context", "tensor_parallel", …
  std::string doc;      // owned flags: why, the end of "flag X may not be given: …"
};
DESCRIBE(Flag, name, aliases, negation, type, kind, form, min, max, choices, setting, doc);

/// How a parallel size enters the number of ranks.
enum class Combine {
  kAbsent,                // the engine has no such size
  kMultiplies,            // each of its parts has ranks of its own
  kInsideTensorParallel,  // it divides the tensor-parallel group and adds no rank
  kInsideWorld,           // it divides all ranks and adds none
};
DESCRIBE_ENUM(Combine, kAbsent, kMultiplies, kInsideTensorParallel, kInsideWorld)

/// What world size a set of parallel sizes means (engines/world.h).
struct WorldRules {
  Combine tensor_parallel = Combine::kMultiplies;
  Combine pipeline_parallel = Combine::kMultiplies;
  Combine data_parallel = Combine::kMultiplies;
  std::string data_parallel_inside_by;  // the switch that puts copies inside the group: "--enable-dp-attention"
  bool data_parallel_local = false;     // whether copies on one worker can be told apart from all copies
  Combine expert_parallel = Combine::kAbsent;
  std::string expert_parallel_by;  // the switch that spreads experts over all ranks of a stage
  Combine prefill_context_parallel = Combine::kAbsent;
  Combine decode_context_parallel = Combine::kAbsent;
  std::vector<std::string> part_by;                 // flags that make the deployment one part of a larger group
  std::vector<std::string> powers_of_two;           // sizes that must be one
  std::vector<std::vector<std::string>> exclusive;  // sizes of which at most one may be above 1
};
DESCRIBE(WorldRules,
         tensor_parallel,
         pipeline_parallel,
         data_parallel,
         data_parallel_inside_by,
         data_parallel_local,
         expert_parallel,
         expert_parallel_by,
         prefill_context_parallel,
         decode_context_parallel,
         part_by,
         powers_of_two,
         exclusive);

/// One supported combination. Empty list: any. `vendor` "cpu" is the row for running without a device, "any" for every
/// device and none.
struct SupportRow {
  std::vector<std::string> versions;  // engine versions; empty: all
  std::vector<std::string> os;
  std::vector<std::string> arch;
  std::string vendor;
  std::string framework;
  std::optional<std::string> runtime_version;      // what the build is for: "12.8"
  std::optional<std::string> runtime_version_min;  // oldest that the vendor's compatibility range admits
  std::optional<std::string> driver_version_min;
  std::optional<std::string> capability_min;  // compute capability
  std::vector<std::string> variants;          // globs over chip variant or device name, in lower case
  std::string install;                        // "container", "package", or empty: must be present
  Bytes install_bytes;
  std::string source;  // where this row's facts come from
};
DESCRIBE(SupportRow,
         versions,
         os,
         arch,
         vendor,
         framework,
         runtime_version,
         runtime_version_min,
         driver_version_min,
         capability_min,
         variants,
         install,
         install_bytes,
         source);

/// A quantization or dtype that needs something of the device: {"bf16", "8.0"}.
struct TypeNeed {
  std::string type;
  std::string vendor;
  std::string capability_min;         // vendors whose capability is a number; empty: not asked for
  std::vector<std::string> variants;  // globs of the chips that have it; empty: any
  std::vector<std::string> versions;  // engine versions that this is about; empty: all
  std::vector<std::string> unless;    // canonical flags under which it is not asked for: "--dtype=half"
  bool refused = false;               // no device of this vendor has it
  std::string source;
};
DESCRIBE(TypeNeed, type, vendor, capability_min, variants, versions, unless, refused, source);

/// A vendor that the engine is known not to run on here, which is more than a row that is missing.
struct Unsupported {
  std::string vendor;
  std::string why;  // the end of "X has no build for Y: …"
  std::string why_zh;
  std::string source;
};
DESCRIBE(Unsupported, vendor, why, why_zh, source);

/// What of a model must divide by the ranks that share it.
enum class Divided { kAttentionHeads, kKvHeads, kVisionHeads, kExperts, kVocab };
DESCRIBE_ENUM(Divided, kAttentionHeads, kKvHeads, kVisionHeads, kExperts, kVocab)

struct DivideRule {
  Divided what = Divided::kAttentionHeads;
  std::uint32_t pad = 1;            // rounded up to a multiple of this before
  bool either_way = false;          // fewer than ranks will do when they divide the ranks
  std::vector<std::string> unless;  // canonical flags under which it is not asked for: "--language-model-only"
  std::string source;
};
DESCRIBE(DivideRule, what, pad, either_way, unless, source);

/// Architectures that versions of the engine run, spelt as the model's files do.
struct ArchitectureRow {
  std::string since;               // the first of the versions read that has them
  std::string until;               // the first of them that has them no longer; empty: none
  std::vector<std::string> tasks;  // what they are served for; empty: Architectures::tasks
  bool own_code = false;           // where their files bring code, it has to be trusted
  std::vector<std::string> names;  // sorted: a decision looks them up
};
DESCRIBE(ArchitectureRow, since, until, tasks, own_code, names);

/// What is known of the architectures that an engine runs (architectures.h). Nothing read: nobody knows.
struct Architectures {
  bool any = false;                // what it runs is not told by an architecture
  std::vector<std::string> read;   // versions whose lists were read, oldest first
  std::vector<std::string> tasks;  // of rows that name none
  std::string trust_flag;          // the switch that lets a model's own code run; empty: it never does
  std::string source;
  std::vector<ArchitectureRow> rows;
};
DESCRIBE(Architectures, any, read, tasks, trust_flag, source, rows);

/// Layouts that some versions of the engine do not have.
struct VersionLimit {
  std::vector<std::string> versions;
  std::vector<std::string> layouts;
  std::string why;
  std::string source;
};
DESCRIBE(VersionLimit, versions, layouts, why, source);

/// One piece of a command line. `when` empty: always; else "devices", "cpu", "one_device", "several_devices" or a task
/// ("generate", "embed", …). Values may hold {placeholders} of launch.h; an argument with an absent one is dropped.
struct Argument {
  std::string when;
  std::vector<std::string> args;
};
DESCRIBE(Argument, when, args);

struct Probe {
  std::string path;  // "/health"
  std::string method = "GET";
  std::string body;
};
DESCRIBE(Probe, path, method, body);

struct Recipe {
  std::vector<std::string> programs;  // names looked for, in order: on PATH, then among berth's own launchers
  std::vector<Argument> arguments;
  std::map<std::string, std::string> environment;      // values may hold placeholders
  std::map<std::string, std::string> visible_devices;  // framework → variable: "cuda" → "CUDA_VISIBLE_DEVICES"
  bool devices_by_index = false;              // the variable takes places in the driver's list (PCI order), not ids
  std::vector<std::string> index_frameworks;  // those that take places even so
  // placeholder → how a value of berth is spelt by this engine: "kv_type" → {"f16" → "auto"}
  std::map<std::string, std::map<std::string, std::string>> spellings;
  Probe health;
  std::vector<std::string> openai_paths;      // inference paths that it serves
  std::vector<std::string> user_environment;  // allow-list of names (globs) that a deployment may set
  bool command_from_request = false;          // settings.command or settings.image say what is run
};
DESCRIBE(Recipe,
         programs,
         arguments,
         environment,
         visible_devices,
         devices_by_index,
         index_frameworks,
         spellings,
         health,
         openai_paths,
         user_environment,
         command_from_request);

/// How the memory of an engine is judged: per part, or as a share of the whole device (DESIGN §1).
enum class MemoryModel { kParts, kShareOfDevice, kDeclared };
DESCRIBE_ENUM(MemoryModel, kParts, kShareOfDevice, kDeclared)

struct Engine {
  std::string id;     // "llama.cpp"
  std::string title;  // "llama.cpp"
  int order = 100;    // place in the catalog: lower first, then by id; files of a folder have no order of their own
  MemoryModel memory = MemoryModel::kParts;
  std::vector<std::string> formats;   // "gguf", "safetensors"
  std::vector<std::string> tasks;     // "generate", "embed", …
  std::vector<std::string> layouts;   // names of placement/layouts this engine has
  std::vector<std::string> versions;  // best first
  Architectures architectures;
  WorldRules world;
  bool supported = true;         // false: known, said to be unsupported
  bool on_request = false;       // considered only where the request names it
  std::vector<SupportRow> rows;  // of one vendor: best first
  std::vector<Unsupported> unsupported;
  std::vector<VersionLimit> limits;
  std::vector<DivideRule> divides;
  std::vector<TypeNeed> type_needs;
  std::vector<Flag> flags;
  Recipe recipe;
};
DESCRIBE(Engine,
         id,
         title,
         order,
         memory,
         formats,
         tasks,
         layouts,
         versions,
         architectures,
         world,
         supported,
         on_request,
         rows,
         unsupported,
         limits,
         divides,
         type_needs,
         flags,
         recipe);

/// The vendor of rows that admit every device and none.
constexpr std::string_view kAnyVendor = "any";

/// The layouts of that version: the engine's less its limits. An empty version: the engine's.
std::vector<std::string> layouts_of(const Engine& engine, std::string_view version);
/// What keeps that version from a layout that the engine has; null when nothing does.
const VersionLimit* limit_of(const Engine& engine, std::string_view version, std::string_view layout);
/// True when one of `globs` matches `text`, in lower case; true for no globs at all.
bool matches_variant(const std::vector<std::string>& globs, std::string_view text);

/// Engines in catalog order, which is part 1 of the plan key, with the hash of all that they say. The hash is made
/// where engines change, which is rare, and not where they are read, which is in every decision.
class EngineCatalog {
 public:
  explicit EngineCatalog(std::vector<Engine> engines = {});

  [[nodiscard]] const std::vector<Engine>& engines() const { return engines_; }
  [[nodiscard]] const Hash& hash() const { return hash_; }
  /// Null when there is none of that id.
  [[nodiscard]] const Engine* find(std::string_view id) const;
  /// Calls change(std::vector<Engine>&). Its order becomes the catalog's.
  template <class Change>
  void edit(Change&& change) {
    std::vector<Engine> engines = std::move(engines_);
    change(engines);
    *this = EngineCatalog(std::move(engines));
  }

 private:
  std::vector<Engine> engines_;
  Hash hash_;
};

// Limits of a catalog; beyond is kInvalid.
constexpr std::size_t kEnginesMax = 64;
constexpr std::size_t kRowsMax = 1024;
constexpr std::size_t kFlagsKnownMax = 1024;

/// Puts engines read from files, in whatever order, into catalog order: (order, id).
EngineCatalog in_catalog_order(std::vector<Engine> engines);

/// Compares dotted versions number by number ("12.10" > "12.8"); missing parts count as 0, text after digits is
/// ignored.
std::strong_ordering compare_versions(std::string_view a, std::string_view b);
/// First number of a dotted version; 0 when there is none.
std::uint32_t major_of(std::string_view version);

/// Checks that ids and flag spellings are unique, that layouts, settings, placeholders and conditions exist, that
/// ranges are sane, that rows name their source, and that a recipe neither shows a secret in a command line nor opens
/// the environment to loader variables. Errors: kInvalid with the path.
Result<void> validate(const EngineCatalog& catalog);

}  // namespace berth::engines
