// A stand-in for libnvidia-ml.so.1 whose devices come from the file named by BERTH_FAKE_NVML, read again at each count:
//   init CODE                 nvmlInit_v2 answers CODE
//   driver TEXT / cuda INT
//   device uuid=… name=… total=… used=… [cc=8.0] [pci=DOMAIN:BUS:DEVICE] [fail=memory:15,uuid:999]
//          [use=PID:BYTES,PID:] [nvlink=1] [mig=0|1] [slice_of=INDEX]
// '_' in a name is a blank.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "worker/detect/nvml_api.h"

struct NvmlDeviceOpaque {
  std::map<std::string, std::string> fields;
  std::vector<NvmlDeviceOpaque*> slices;

  std::string text(const std::string& key) const {
    const auto at = fields.find(key);
    return at == fields.end() ? "" : at->second;
  }
  unsigned long long number(const std::string& key) const { return std::strtoull(text(key).c_str(), nullptr, 10); }
  int failure(const std::string& call) const {
    std::istringstream list(text("fail"));
    for (std::string item; std::getline(list, item, ',');)
      if (item.rfind(call + ":", 0) == 0) return std::atoi(item.c_str() + call.size() + 1);
    return 0;
  }
};

namespace {

// Handles stay valid for the life of the process, as the real ones do.
std::vector<NvmlDeviceOpaque*> devices;
std::string driver;
int cuda = 0;
int init_code = 0;

void read_file() {
  devices.clear();
  driver.clear();
  cuda = init_code = 0;
  const char* path = std::getenv("BERTH_FAKE_NVML");
  std::ifstream file(path == nullptr ? "" : path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "init") words >> init_code;
    if (kind == "driver") words >> driver;
    if (kind == "cuda") words >> cuda;
    if (kind != "device") continue;
    auto* device = new NvmlDeviceOpaque;
    for (std::string word; words >> word;) {
      const auto equals = word.find('=');
      if (equals != std::string::npos) device->fields[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (device->fields.count("slice_of") != 0)
      devices.at(device->number("slice_of"))->slices.push_back(device);
    else
      devices.push_back(device);
  }
}

int put(const std::string& text, char* out, unsigned size) {
  if (text.size() + 1 > size) return berth::worker::kNvmlInsufficientSize;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return 0;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  read_file();
  return init_code;
}
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : "Some Error"; }
int nvmlSystemGetDriverVersion(char* out, unsigned size) { return put(driver, out, size); }
int nvmlSystemGetCudaDriverVersion_v2(int* out) {
  *out = cuda;
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* out) {
  read_file();
  *out = static_cast<unsigned>(devices.size());
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, NvmlDevice* out) {
  if (index >= devices.size()) return 2;
  *out = devices[index];
  return devices[index]->failure("handle");
}
int nvmlDeviceGetUUID(NvmlDevice device, char* out, unsigned size) {
  if (const int code = device->failure("uuid")) return code;
  return put(device->text("uuid"), out, size);
}
int nvmlDeviceGetName(NvmlDevice device, char* out, unsigned size) {
  std::string name = device->text("name");
  for (char& c : name)
    if (c == '_') c = ' ';
  return put(name, out, size);
}
int nvmlDeviceGetMemoryInfo(NvmlDevice device, NvmlMemory* out) {
  if (const int code = device->failure("memory")) return code;
  *out = {device->number("total"), device->number("total") - device->number("used"), device->number("used")};
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(NvmlDevice device, int* major, int* minor) {
  return std::sscanf(device->text("cc").c_str(), "%d.%d", major, minor) == 2 ? 0 : berth::worker::kNvmlNotSupported;
}
int nvmlDeviceGetPciInfo_v3(NvmlDevice device, NvmlPciInfo* out) {
  std::memset(out, 0, sizeof(*out));
  const std::string pci = device->text("pci");
  return std::sscanf(pci.c_str(), "%x:%x:%x", &out->domain, &out->bus, &out->device) == 3 ? 0 : 3;
}
int nvmlDeviceGetComputeRunningProcesses_v3(NvmlDevice device, unsigned* count, NvmlProcessInfo* out) {
  std::istringstream list(device->text("use"));
  unsigned n = 0;
  for (std::string item; std::getline(list, item, ','); ++n) {
    if (n >= *count) return berth::worker::kNvmlInsufficientSize;
    const auto colon = item.find(':');
    const std::string bytes = item.substr(colon + 1);
    out[n] = {};
    out[n].pid = static_cast<unsigned>(std::atoi(item.c_str()));
    out[n].used_memory = bytes.empty() ? ~0ULL : std::strtoull(bytes.c_str(), nullptr, 10);
  }
  *count = n;
  return 0;
}
int nvmlDeviceGetP2PStatus(NvmlDevice a, NvmlDevice b, unsigned index, int* status) {
  const bool linked = index == berth::worker::kNvmlP2pNvlink && !a->text("nvlink").empty();
  *status = linked && a->text("nvlink") == b->text("nvlink") ? 0 : 1;
  return 0;
}
int nvmlDeviceGetMigMode(NvmlDevice device, unsigned* current, unsigned* pending) {
  if (device->text("mig").empty()) return berth::worker::kNvmlNotSupported;
  *current = *pending = static_cast<unsigned>(device->number("mig"));
  return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(NvmlDevice, unsigned* out) {
  *out = 7;
  return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(NvmlDevice device, unsigned index, NvmlDevice* out) {
  if (index >= device->slices.size()) return berth::worker::kNvmlNotFound;
  *out = device->slices[index];
  return 0;
}
}
