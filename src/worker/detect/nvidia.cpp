#include "worker/detect/nvidia.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <dlfcn.h>
#include <fmt/format.h>

#include "base/text.h"
#include "worker/detect/nvml_api.h"
#include "worker/files/fd.h"

namespace berth::worker {
namespace {

constexpr unsigned kTextMax = 96;  // the library's own largest text buffer
constexpr unsigned long long kNotTold = ~0ULL;

template <class F>
void bind(void* library, const char* symbol, F& function) {
  function = reinterpret_cast<F>(::dlsym(library, symbol));
}

NvmlApi bind_all(void* library) {
  NvmlApi api;
  bind(library, "nvmlInit_v2", api.init);
  bind(library, "nvmlShutdown", api.shutdown);
  bind(library, "nvmlDeviceGetCount_v2", api.device_count);
  bind(library, "nvmlDeviceGetHandleByIndex_v2", api.device_handle);
  bind(library, "nvmlDeviceGetUUID", api.uuid);
  bind(library, "nvmlDeviceGetName", api.name);
  bind(library, "nvmlDeviceGetMemoryInfo", api.memory);
  bind(library, "nvmlErrorString", api.error_text);
  bind(library, "nvmlSystemGetDriverVersion", api.driver_version);
  bind(library, "nvmlSystemGetCudaDriverVersion_v2", api.cuda_version);
  bind(library, "nvmlDeviceGetCudaComputeCapability", api.capability);
  bind(library, "nvmlDeviceGetPciInfo_v3", api.pci_info);
  bind(library, "nvmlDeviceGetComputeRunningProcesses_v3", api.processes);
  bind(library, "nvmlDeviceGetP2PStatus", api.p2p_status);
  bind(library, "nvmlDeviceGetMigMode", api.mig_mode);
  bind(library, "nvmlDeviceGetMaxMigDeviceCount", api.mig_count_max);
  bind(library, "nvmlDeviceGetMigDeviceHandleByIndex", api.mig_handle);
  return api;
}

bool complete(const NvmlApi& api) {
  return api.init != nullptr && api.shutdown != nullptr && api.device_count != nullptr &&
         api.device_handle != nullptr && api.uuid != nullptr && api.name != nullptr && api.memory != nullptr;
}

/// The text that a getter writes; absent when it fails or writes none.
template <class F>
std::optional<std::string> text_of(F&& getter) {
  std::array<char, kTextMax> buffer{};
  if (getter(buffer.data(), kTextMax) != kNvmlSuccess) return std::nullopt;
  buffer.back() = '\0';
  std::string text(trim(buffer.data()));
  if (text.empty() || !is_utf8(text)) return std::nullopt;
  return text;
}

/// 12040 → "12.4".
std::string cuda_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

struct Handle {
  NvmlDevice device = nullptr;
  std::size_t at = 0;  // in DeviceReport::devices
};

}  // namespace

struct Nvidia::Impl {
  NvidiaOptions options;
  void* library = nullptr;
  NvmlApi api;
  bool started = false;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (started) api.shutdown();
    if (library != nullptr) ::dlclose(library);
  }

  [[nodiscard]] std::string reason(int code) const {
    const char* text = api.error_text == nullptr ? nullptr : api.error_text(code);
    return text == nullptr ? fmt::format("NVML error {}", code) : fmt::format("{} (NVML error {})", text, code);
  }

  void read_memory(NvmlDevice handle, fleet::Device& device, std::vector<std::string>& notes) const {
    NvmlMemory memory{};
    const int code = api.memory(handle, &memory);
    if (code == kNvmlSuccess) {
      device.memory_total_bytes = memory.total;
      // What is not free cannot be claimed, whoever keeps it: the driver's own share counts as used.
      device.memory_used_bytes = Bytes(memory.total).minus_or_zero(memory.free);
    } else if (code == kNvmlNotSupported) {
      device.unified_memory = true;  // the device shares the host's memory; detect() fills in how much
    } else {
      device.health = fleet::Health::kUnhealthy;
      notes.push_back(fmt::format("device {} does not tell its memory: {}", device.id, reason(code)));
    }
  }

  void read_place(NvmlDevice handle, fleet::Device& device) const {
    NvmlPciInfo pci{};
    if (api.pci_info == nullptr || api.pci_info(handle, &pci) != kNvmlSuccess) return;
    const std::string address = fmt::format("{:04x}:{:02x}:{:02x}.0", pci.domain, pci.bus, pci.device);
    const auto node = read_small_file(fmt::format("{}/{}/numa_node", options.pci_devices, address));
    if (!node.has_value()) return;
    const auto number = parse_u64(trim(*node));  // "-1": the machine has no nodes
    if (number && *number < 4096) device.numa_node = static_cast<int>(*number);
  }

  /// Absent, with a note, when not even the id is told.
  std::optional<fleet::Device> read_device(NvmlDevice handle, unsigned index, std::vector<std::string>& notes) const {
    fleet::Device device;
    const auto id = text_of([&](char* out, unsigned size) { return api.uuid(handle, out, size); });
    if (!id) {
      notes.push_back(fmt::format("NVIDIA device {} tells no id and is left out", index));
      return std::nullopt;
    }
    device.id = *id;
    device.index = static_cast<int>(index);
    device.vendor = "nvidia";
    device.framework = "cuda";
    device.name =
        text_of([&](char* out, unsigned size) { return api.name(handle, out, size); }).value_or("NVIDIA device");
    int major = 0;
    int minor = 0;
    if (api.capability != nullptr && api.capability(handle, &major, &minor) == kNvmlSuccess)
      device.compute_capability = fmt::format("{}.{}", major, minor);
    read_memory(handle, device, notes);
    read_place(handle, device);
    return device;
  }

  void read_processes(NvmlDevice handle, const std::string& id, DeviceReport& report) const {
    if (api.processes == nullptr) return;
    std::vector<NvmlProcessInfo> infos(kDeviceProcessesMax);
    unsigned count = kDeviceProcessesMax;
    const int code = api.processes(handle, &count, infos.data());
    if (code == kNvmlInsufficientSize)
      report.notes.push_back(fmt::format("device {} has more than {} processes", id, kDeviceProcessesMax));
    if (code != kNvmlSuccess) return;
    infos.resize(std::min(count, kDeviceProcessesMax));
    for (const NvmlProcessInfo& info : infos) {
      ProcessUse use{.pid = static_cast<std::int64_t>(info.pid), .device = id, .bytes = std::nullopt};
      if (info.used_memory != kNotTold) use.bytes = Bytes(info.used_memory);
      report.processes.push_back(std::move(use));
    }
  }

  /// True when the device is cut into slices, which then stand in its place.
  bool read_slices(NvmlDevice handle, unsigned index, DeviceReport& report) const {
    unsigned current = 0;
    unsigned pending = 0;
    if (api.mig_mode == nullptr || api.mig_mode(handle, &current, &pending) != kNvmlSuccess || current == 0)
      return false;
    unsigned count = 0;
    const bool countable = api.mig_count_max != nullptr && api.mig_handle != nullptr;
    if (!countable || api.mig_count_max(handle, &count) != kNvmlSuccess) count = 0;
    bool any = false;
    for (unsigned i = 0; i < std::min(count, kDevicesMax); ++i) {
      NvmlDevice slice = nullptr;
      if (api.mig_handle(handle, i, &slice) != kNvmlSuccess) continue;
      auto device = read_device(slice, index, report.notes);
      if (!device) continue;
      const std::size_t profile = device->name.find("MIG ");
      device->partition = profile == std::string::npos ? "mig" : device->name.substr(profile + 4);
      read_processes(slice, device->id, report);
      report.devices.push_back(std::move(*device));
      any = true;
    }
    if (!any) report.notes.push_back(fmt::format("NVIDIA device {} is in MIG mode and has no slices", index));
    return true;
  }

  /// Devices that reach each other over NVLink share an island, named after the first of them.
  void read_islands(const std::vector<Handle>& handles, DeviceReport& report) const {
    if (api.p2p_status == nullptr) return;
    for (std::size_t i = 0; i < handles.size(); ++i) {
      fleet::Device& device = report.devices[handles[i].at];
      for (std::size_t j = 0; j < i; ++j) {
        int status = -1;
        if (api.p2p_status(handles[j].device, handles[i].device, kNvmlP2pNvlink, &status) != kNvmlSuccess) continue;
        if (status != 0) continue;
        fleet::Device& other = report.devices[handles[j].at];
        if (!other.island) other.island = other.id;
        device.island = other.island;
        break;
      }
    }
  }
};

Nvidia::Nvidia(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Nvidia::Nvidia(Nvidia&&) noexcept = default;
Nvidia& Nvidia::operator=(Nvidia&&) noexcept = default;
Nvidia::~Nvidia() = default;

Result<Nvidia> Nvidia::open(const NvidiaOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->library = ::dlopen(options.library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (impl->library == nullptr) {
    const char* why = ::dlerror();
    return fail(Code::kNotFound,
                fmt::format("no NVIDIA driver library {}: {}", options.library, why == nullptr ? "not found" : why));
  }
  impl->api = bind_all(impl->library);
  if (!complete(impl->api))
    return fail(Code::kUnavailable, fmt::format("NVIDIA driver library {} lacks functions: too old?", options.library));
  const int code = impl->api.init();
  if (code != kNvmlSuccess)
    return fail(Code::kUnavailable, fmt::format("the NVIDIA driver does not answer: {}", impl->reason(code)));
  impl->started = true;
  return Nvidia(std::move(impl));
}

DeviceReport Nvidia::read() const {
  const NvmlApi& api = impl_->api;
  DeviceReport report;
  unsigned count = 0;
  if (const int code = api.device_count(&count); code != kNvmlSuccess) {
    report.notes.push_back(fmt::format("the NVIDIA driver does not count its devices: {}", impl_->reason(code)));
    return report;
  }
  if (count > kDevicesMax)
    report.notes.push_back(fmt::format("{} NVIDIA devices, only {} are used", count, kDevicesMax));
  std::vector<Handle> handles;
  for (unsigned i = 0; i < std::min(count, kDevicesMax); ++i) {
    NvmlDevice handle = nullptr;
    if (const int code = api.device_handle(i, &handle); code != kNvmlSuccess) {
      report.notes.push_back(fmt::format("NVIDIA device {} cannot be opened: {}", i, impl_->reason(code)));
      continue;
    }
    if (impl_->read_slices(handle, i, report)) continue;
    auto device = impl_->read_device(handle, i, report.notes);
    if (!device) continue;
    impl_->read_processes(handle, device->id, report);
    handles.push_back({.device = handle, .at = report.devices.size()});
    report.devices.push_back(std::move(*device));
  }
  impl_->read_islands(handles, report);
  int cuda = 0;
  std::optional<std::string> runtime;
  if (api.cuda_version != nullptr && api.cuda_version(&cuda) == kNvmlSuccess && cuda > 0) runtime = cuda_text(cuda);
  std::optional<std::string> driver;
  if (api.driver_version != nullptr)
    driver = text_of([&](char* out, unsigned size) { return api.driver_version(out, size); });
  for (fleet::Device& device : report.devices) {
    device.runtime_version = runtime;
    device.driver_version = driver;
  }
  return report;
}

DeviceReport detect_nvidia(const NvidiaOptions& options) {
  auto nvidia = Nvidia::open(options);
  if (!nvidia.has_value()) {
    DeviceReport report;
    report.notes.push_back(nvidia.error().message);
    return report;
  }
  return nvidia->read();
}

}  // namespace berth::worker
