#include "worker/detect/detect.h"

#include <algorithm>
#include <iterator>

namespace berth::worker {
namespace {

/// A device that shares the host's memory may use all of it, and shows the host's use.
void fill_unified(std::vector<fleet::Device>& devices, Bytes total, Bytes used) {
  for (fleet::Device& device : devices) {
    if (!device.unified_memory || device.memory_total_bytes.value != 0) continue;
    device.memory_total_bytes = total;
    device.memory_used_bytes = used;
  }
}

void append(std::vector<std::string>& to, std::vector<std::string> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

class LiveObserver final : public Observer {
 public:
  LiveObserver(HostPaths host, const NvidiaOptions& nvidia) : host_(std::move(host)) {
    if (auto opened = Nvidia::open(nvidia); opened.has_value()) nvidia_.emplace(std::move(*opened));
  }

  Result<Usage> look() override {
    TRY(const HostMemory memory, host_memory(host_));
    Usage usage;
    usage.memory_total_bytes = memory.total_bytes;
    usage.memory_available_bytes = memory.available_bytes;
    if (!host_.model_dir.empty()) {
      TRY(usage.disk_free_bytes, disk_free(host_.model_dir));
    }
    if (!nvidia_) return usage;
    DeviceReport report = nvidia_->read();
    usage.devices = std::move(report.devices);
    usage.processes = std::move(report.processes);
    fill_unified(usage.devices, memory.total_bytes, memory.total_bytes.minus_or_zero(memory.available_bytes));
    return usage;
  }

 private:
  HostPaths host_;
  std::optional<Nvidia> nvidia_;
};

}  // namespace

Result<Detection> detect(const DetectOptions& options, const engines::EngineCatalog& catalog) {
  Detection detection;
  TRY(detection.worker, detect_host(options.host));
  DeviceReport devices = detect_nvidia(options.nvidia);
  fleet::Worker& worker = detection.worker;
  worker.devices = std::move(devices.devices);
  fill_unified(worker.devices, worker.memory_total_bytes, worker.memory_used_bytes);
  detection.processes = std::move(devices.processes);
  append(detection.notes, std::move(devices.notes));
  InstalledEngines engines = detect_engines(catalog, options.engines, options.engine_user);
  worker.engines = std::move(engines.engines);
  append(detection.notes, std::move(engines.notes));
  return detection;
}

std::unique_ptr<Observer> make_observer(HostPaths host, const NvidiaOptions& nvidia) {
  return std::make_unique<LiveObserver>(std::move(host), nvidia);
}

}  // namespace berth::worker
