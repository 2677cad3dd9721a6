#pragma once
// The few declarations of NVML that are used here: its header is not in Debian. Names, values and layouts are part of
// the library's stable ABI. Source: NVIDIA NVML API reference, "Device Queries", "Initialization", "MIG".

extern "C" {

struct NvmlDeviceOpaque;
using NvmlDevice = NvmlDeviceOpaque*;

struct NvmlMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;  // with what the driver keeps for itself
};

struct NvmlPciInfo {
  char bus_id_legacy[16];
  unsigned int domain;
  unsigned int bus;
  unsigned int device;
  unsigned int pci_device_id;
  unsigned int pci_subsystem_id;
  char bus_id[32];
};

struct NvmlProcessInfo {
  unsigned int pid;
  unsigned long long used_memory;  // all ones: not told
  unsigned int gpu_instance_id;
  unsigned int compute_instance_id;
};
}

namespace berth::worker {

constexpr int kNvmlSuccess = 0;
constexpr int kNvmlNotSupported = 3;
constexpr int kNvmlNotFound = 6;
constexpr int kNvmlInsufficientSize = 7;
constexpr unsigned kNvmlP2pNvlink = 2;

/// Null where the library lacks the function; `load` of nvidia.cpp insists on the first block.
struct NvmlApi {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*device_count)(unsigned*) = nullptr;
  int (*device_handle)(unsigned, NvmlDevice*) = nullptr;
  int (*uuid)(NvmlDevice, char*, unsigned) = nullptr;
  int (*name)(NvmlDevice, char*, unsigned) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;

  const char* (*error_text)(int) = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*cuda_version)(int*) = nullptr;
  int (*capability)(NvmlDevice, int*, int*) = nullptr;
  int (*pci_info)(NvmlDevice, NvmlPciInfo*) = nullptr;
  int (*processes)(NvmlDevice, unsigned*, NvmlProcessInfo*) = nullptr;
  int (*p2p_status)(NvmlDevice, NvmlDevice, unsigned, int*) = nullptr;
  int (*mig_mode)(NvmlDevice, unsigned*, unsigned*) = nullptr;
  int (*mig_count_max)(NvmlDevice, unsigned*) = nullptr;
  int (*mig_handle)(NvmlDevice, unsigned, NvmlDevice*) = nullptr;
};

}  // namespace berth::worker
