#include <array>

#include "base/assert.h"
#include "placement/rules/rule.h"

namespace berth::placement {
namespace {

struct RuleRow {
  RuleId id;
  std::string_view name;
  std::string_view subject;
};

constexpr std::array<RuleRow, kRuleCount> kRules = {{
    {RuleId::kRequest, "request", "request"},
    {RuleId::kWorkerReady, "worker_ready", "worker"},
    {RuleId::kCordon, "cordon", "worker"},
    {RuleId::kLabels, "labels", "worker"},
    {RuleId::kSelection, "selection", "worker"},
    {RuleId::kFormat, "format", "request"},
    {RuleId::kEngineOs, "engine_os", "worker"},
    {RuleId::kEngineVendor, "engine_vendor", "device"},
    {RuleId::kEngineArch, "engine_arch", "worker"},
    {RuleId::kEngineRuntime, "engine_runtime", "device"},
    {RuleId::kDriver, "driver", "device"},
    {RuleId::kCapability, "capability", "device"},
    {RuleId::kEnginePresent, "engine_present", "worker"},
    {RuleId::kHealth, "health", "device"},
    {RuleId::kLayout, "layout", "plan"},
    {RuleId::kMemory, "memory", "device"},
    {RuleId::kRam, "ram", "worker"},
    {RuleId::kDisk, "disk", "worker"},
}};

struct ReasonRow {
  Reason reason;
  std::string_view name;
  bool acceptable;
  std::string_view en;
  std::string_view zh;
};

// Placeholders are filled from RuleOutcome::args, and from needed/available as {needed}, {available}, {short}.
constexpr std::array kReasons = {
    ReasonRow{Reason::kNone, "", false, "", ""},
    ReasonRow{Reason::kInvalidRequest, "invalid_request", false, "{text}", "{text}"},
    ReasonRow{Reason::kUnknownEngine,
              "unknown_engine",
              false,
              "the catalog has no engine \"{engine}\"",
              "目录中没有引擎 \"{engine}\""},
    ReasonRow{Reason::kTaskUnsupported,
              "task_unsupported",
              false,
              "{engine} does not serve the task \"{task}\"",
              "{engine} 不支持任务 \"{task}\""},
    ReasonRow{Reason::kFlagUnknown,
              "flag_unknown",
              false,
              "{engine} gets {flags}, which berth does not know: what they change is in none of these sums",
              "{engine} 将收到 berth 未知的参数 {flags}：其影响未计入以下各项"},
    ReasonRow{Reason::kUnknownArchitecture,
              "unknown_architecture",
              true,
              "it is not known whether {engine} runs the architecture {architecture}",
              "未知 {engine} 是否支持架构 {architecture}"},
    ReasonRow{Reason::kWorkerNotReady,
              "worker_not_ready",
              false,
              "worker is {state}{since}",
              "工作节点状态为 {state}{since}"},
    ReasonRow{
        Reason::kCordoned, "cordoned", false, "worker is cordoned: no new instances", "工作节点已封锁，不接受新实例"},
    ReasonRow{Reason::kLabelMismatch,
              "label_mismatch",
              false,
              "label {label} is {has}, must be {wants}",
              "标签 {label} 为 {has}，要求为 {wants}"},
    ReasonRow{Reason::kOtherCluster,
              "other_cluster",
              false,
              "worker is in cluster {has}, not in {wants}",
              "工作节点属于集群 {has}，而非 {wants}"},
    ReasonRow{Reason::kNotSelected, "not_selected", false, "not selected", "未被选中"},
    ReasonRow{Reason::kSelectedDeviceMissing,
              "selected_device_missing",
              false,
              "selected device {device} does not exist",
              "所选设备 {device} 不存在"},
    ReasonRow{Reason::kSelectedWorkerMissing,
              "selected_worker_missing",
              false,
              "selected worker {worker} does not exist",
              "所选节点 {worker} 不存在"},
    ReasonRow{Reason::kFormatUnsupported,
              "format_unsupported",
              false,
              "{engine} reads {needs}; the model is {has}",
              "{engine} 支持 {needs} 格式；模型为 {has}"},
    ReasonRow{Reason::kFormatUnknown,
              "format_unknown",
              false,
              "the model's format is not known{why}",
              "模型格式未知{why_zh}"},
    ReasonRow{Reason::kEngineOs,
              "engine_os",
              false,
              "{engine} needs {needs}; this worker runs {has}",
              "{engine} 需要 {needs}；该节点运行 {has}"},
    ReasonRow{Reason::kOsUnknown,
              "os_unknown",
              true,
              "the worker does not tell its system; {engine} needs {needs}",
              "节点未报告操作系统；{engine} 需要 {needs}"},
    ReasonRow{Reason::kEngineVendor,
              "engine_vendor",
              false,
              "{engine} has no build for {has} on {os}; it has {needs}{why}",
              "{engine} 在 {os} 上没有 {has} 版本；支持 {needs}{why_zh}"},
    ReasonRow{Reason::kNeedsDevice,
              "needs_device",
              false,
              "{engine} needs a device ({needs}); this worker has none",
              "{engine} 需要设备（{needs}）；该节点没有"},
    ReasonRow{Reason::kNoWorkerForEngine,
              "no_worker_for_engine",
              false,
              "{engine} has builds for {needs}; no worker is such a machine",
              "{engine} 仅支持 {needs}；没有这样的节点"},
    ReasonRow{Reason::kDeviceSelected,
              "device_selected",
              false,
              "devices are selected, so running on the CPU alone is out",
              "已选定设备，不能仅用 CPU 运行"},
    ReasonRow{Reason::kDevicesAsked,
              "devices_asked",
              false,
              "the request asks for devices, so running on the CPU alone is out",
              "请求要求使用设备，不能仅用 CPU 运行"},
    ReasonRow{Reason::kEngineUnsupported,
              "engine_unsupported",
              false,
              "berth does not support {engine}",
              "berth 不支持 {engine}"},
    ReasonRow{Reason::kEngineVersion,
              "engine_version_unsupported",
              false,
              "{engine} {version} has no build for {has}",
              "{engine} {version} 没有适用于 {has} 的版本"},
    ReasonRow{Reason::kEngineArch,
              "engine_arch",
              false,
              "{engine} on {vendor} needs {needs}; this worker is {has}",
              "{engine}（{vendor}）需要 {needs}；该节点为 {has}"},
    ReasonRow{Reason::kArchUnknown,
              "arch_unknown",
              true,
              "the worker does not tell its architecture; {engine} on {vendor} needs {needs}",
              "节点未报告架构；{engine}（{vendor}）需要 {needs}"},
    ReasonRow{Reason::kRuntimeTooOld,
              "runtime_too_old",
              false,
              "{engine} is built for {framework} {needs}; the driver offers {has}",
              "{engine} 针对 {framework} {needs} 构建；驱动仅提供 {has}"},
    ReasonRow{
        Reason::kRuntimeNewerThanDriver,
        "runtime_newer_than_driver",
        true,
        "{engine} is built for {framework} {needs}, the driver offers {has}: inside the vendor's compatibility range",
        "{engine} 针对 {framework} {needs} 构建，驱动提供 {has}：在厂商兼容范围内"},
    ReasonRow{Reason::kRuntimeUnknown,
              "runtime_unknown",
              true,
              "the worker does not tell its {framework} version; {engine} needs {needs}",
              "节点未报告 {framework} 版本；{engine} 需要 {needs}"},
    ReasonRow{Reason::kDriverTooOld,
              "driver_too_old",
              true,
              "{engine} needs driver {needs}; {device} has {has}",
              "{engine} 需要驱动 {needs}；{device} 为 {has}"},
    ReasonRow{Reason::kDriverUnknown,
              "driver_unknown",
              true,
              "the worker does not tell its driver version; {engine} needs {needs}",
              "节点未报告驱动版本；{engine} 需要 {needs}"},
    ReasonRow{Reason::kCapabilityTooLow,
              "capability_too_low",
              false,
              "{engine} needs compute capability {needs}; {device} has {has}",
              "{engine} 需要计算能力 {needs}；{device} 为 {has}"},
    ReasonRow{Reason::kTypeNeedsCapability,
              "type_needs_capability",
              false,
              "{type} needs compute capability {needs}; {device} has {has}",
              "{type} 需要计算能力 {needs}；{device} 为 {has}"},
    ReasonRow{Reason::kTypeUnsupported,
              "type_unsupported",
              false,
              "{engine} does not run {type} on {device}",
              "{engine} 不支持在 {device} 上运行 {type}"},
    ReasonRow{Reason::kVariantUnsupported,
              "variant_unsupported",
              false,
              "{engine} has builds for the chips {needs}; {device} is {has}",
              "{engine} 支持芯片 {needs}；{device} 为 {has}"},
    ReasonRow{Reason::kCapabilityUnknown,
              "capability_unknown",
              true,
              "the worker does not tell the compute capability of {device}; {needs} is needed",
              "节点未报告 {device} 的计算能力；需要 {needs}"},
    ReasonRow{Reason::kEngineAbsent,
              "engine_absent",
              false,
              "{engine} is not on this worker and cannot be installed there: {why}",
              "该节点没有 {engine}，且无法安装：{why}"},
    ReasonRow{Reason::kEngineVersionAbsent,
              "engine_version_absent",
              false,
              "{engine} {version} is asked for; this worker has {has}, and {version} cannot be installed there: {why}",
              "要求 {engine} {version}；该节点为 {has}，且无法安装 {version}：{why}"},
    ReasonRow{Reason::kEngineVersionUntold,
              "engine_version_untold",
              true,
              "the worker does not tell which version of {engine} it has; {version} is asked for",
              "节点未报告 {engine} 的版本；要求 {version}"},
    ReasonRow{Reason::kEngineWillInstall,
              "engine_will_install",
              false,
              "{engine} will be installed ({how}, {size})",
              "将安装 {engine}（{how}，{size}）"},
    ReasonRow{
        Reason::kDeviceUnhealthy, "device_unhealthy", false, "{device} is reported unhealthy", "{device} 状态异常"},
    ReasonRow{Reason::kTooFewDevices,
              "too_few_devices",
              false,
              "devices of one type on one worker: {needs} needed, {has} can be used here",
              "需要同一节点上 {needs} 个同型设备；可用 {has} 个"},
    ReasonRow{Reason::kUnevenSelection,
              "uneven_selection",
              false,
              "{devices} selected devices do not split evenly over {replicas} replicas: {hint}",
              "{devices} 个所选设备无法平均分配给 {replicas} 个副本：{hint}"},
    ReasonRow{Reason::kWorldMismatch,
              "world_size_mismatch",
              false,
              "the parallel sizes make {ranks} ranks, but {each} devices are asked for each replica",
              "并行规模共 {ranks} 个 rank，但每个副本要求 {each} 个设备"},
    ReasonRow{Reason::kLayoutUnsupported,
              "layout_unsupported",
              false,
              "{engine} cannot run this model as {layout} here",
              "{engine} 不能以 {layout} 方式运行该模型"},
    ReasonRow{Reason::kLayoutNotJudged,
              "layout_not_judged",
              false,
              "berth does not judge {layout} yet, so it cannot say whether {engine} would fit that way",
              "berth 尚不能判断 {layout}，无法确定 {engine} 以该方式能否运行"},
    ReasonRow{Reason::kNoCpuOffload,
              "no_cpu_offload",
              false,
              "layers would be left to the host, and cpu_offload is off",
              "会有层留在主机上，且已关闭 cpu_offload"},
    ReasonRow{Reason::kHeadsNotDivisible,
              "heads_not_divisible",
              false,
              "{heads} {what} do not divide by {by} {tp}",
              "{heads} {what_zh}不能被{by_zh} {tp} 整除"},
    ReasonRow{Reason::kTooFewLayers,
              "too_few_layers",
              false,
              "{layers} layers do not make {pp} pipeline stages",
              "{layers} 层不能分成 {pp} 个流水线阶段"},
    ReasonRow{Reason::kOverWorkersShort,
              "over_workers_short",
              false,
              "over several workers {engine} needs {groups} groups of {tp} × {device} with {claim} each ({shape}); "
              "there is room for {has}",
              "跨节点时 {engine} 需要 {groups} 组，每组 {tp} × {device}，每个 {claim}（{shape}）；可容纳 {has} 组"},
    ReasonRow{Reason::kOverWorkersOff,
              "over_workers_off",
              false,
              "this server does not start one replica on several workers",
              "该服务器不支持跨节点启动一个副本"},
    ReasonRow{Reason::kFactsMissing, "facts_missing", true, "memory cannot be judged: {text}", "无法评估内存：{text}"},
    ReasonRow{Reason::kFreeMemory,
              "free_memory",
              false,
              "{layout} needs {needed} on {where}; {available} can be used, {short} short",
              "{layout} 在 {where} 上需要 {needed}；可用 {available}，缺 {short}"},
    ReasonRow{Reason::kMemoryUncertain,
              "memory_uncertain",
              true,
              "{layout} is expected to take {expected}, at worst {needed}; {available} can be used on {where}, {short} "
              "short of "
              "the worst",
              "{layout} 预计占用 {expected}，最多 {needed}；{where} 可用 {available}，距最多缺 {short}"},
    ReasonRow{Reason::kSelectionOvercommitted,
              "selection_overcommitted",
              false,
              "claims more than there is on the devices that were chosen by hand, as this policy lets one replica do",
              "在手动选择的设备上占用超过可用量，该策略允许单个副本这样做"},
    ReasonRow{Reason::kUtilizationBelowNeed,
              "utilization_below_need",
              false,
              "utilization {utilization} claims {claim} of {where}, but {needed} is needed; {enough} would be enough",
              "利用率 {utilization} 在 {where} 上仅占 {claim}，需要 {needed}；{enough} 即可"},
    ReasonRow{Reason::kRamShort,
              "ram_short",
              false,
              "needs {needed} of host RAM; {available} can be used, {short} short",
              "需要主机内存 {needed}；可用 {available}，缺 {short}"},
    ReasonRow{Reason::kPoolShort,
              "pool_short",
              false,
              "needs {needed} of the memory that host and device share; {available} can be used, {short} short",
              "需要统一内存 {needed}；可用 {available}，缺 {short}"},
    ReasonRow{Reason::kDiskShort,
              "disk_short",
              false,
              "needs {needed} of disk; {available} is free, {short} short",
              "需要磁盘 {needed}；可用 {available}，缺 {short}"},
    ReasonRow{Reason::kSearchLimit,
              "search_limit",
              false,
              "the search stopped after {steps} steps with {found} of {asked} replicas placed",
              "搜索在 {steps} 步后停止，已放置 {found}/{asked} 个副本"},
    ReasonRow{
        Reason::kInternalError, "internal_error", false, "internal error in this rule: {text}", "规则内部错误：{text}"},
};

const ReasonRow& row_of(Reason reason) {
  const auto at = static_cast<std::size_t>(reason);
  ASSERT(at < kReasons.size());
  ASSERT(kReasons[at].reason == reason);
  return kReasons[at];
}

std::string argument(const RuleOutcome& o, std::string_view name) {
  if (o.numbers && name == "needed") return human(o.needed);
  if (o.numbers && name == "available") return human(o.available);
  if (o.numbers && name == "short") return human(o.needed.minus_or_zero(o.available));
  for (const auto& [key, value] : o.args)
    if (name == key) return value;
  return "?";
}

}  // namespace

std::string_view rule_name(RuleId id) { return kRules[index(id)].name; }
std::string_view rule_subject(RuleId id) { return kRules[index(id)].subject; }
std::string_view reason_name(Reason reason) { return row_of(reason).name; }
bool acceptable(Reason reason) { return row_of(reason).acceptable; }

std::vector<std::string> acceptable_reasons() {
  std::vector<std::string> out;
  for (const auto& row : kReasons)
    if (row.acceptable) out.emplace_back(row.name);
  return out;
}

std::string sentence(const RuleOutcome& o, Language language) {
  if (o.outcome == Outcome::kNotEvaluated)
    return o.not_carried ? "the source does not carry this"
                         : "not evaluated because of " + std::string(rule_name(o.because));
  const auto& row = row_of(o.reason);
  const std::string_view text = language == Language::kChinese ? row.zh : row.en;
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto open = text.find('{', at);
    out += text.substr(at, open == std::string_view::npos ? open : open - at);
    if (open == std::string_view::npos) break;
    const auto close = text.find('}', open);
    out += argument(o, text.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  return out;
}

fleet::RuleResult to_result(RuleId rule, const RuleOutcome& o) {
  fleet::RuleResult r;
  r.rule = rule_name(rule);
  r.outcome = o.outcome;
  if (o.outcome == Outcome::kPass && o.reason == Reason::kNone) return r;
  if (o.outcome == Outcome::kNotEvaluated) {
    r.because = o.not_carried ? "not_carried" : std::string(rule_name(o.because));
    return r;
  }
  r.reason = reason_name(o.reason);
  if (o.numbers) {
    r.needed = o.needed;
    r.available = o.available;
  }
  for (const auto& [key, value] : o.args) r.args.emplace(key, value);
  r.text = sentence(o);
  return r;
}

}  // namespace berth::placement
