#include "net/loopback.h"

#include <array>
#include <cstdio>
#include <memory>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace berth::net {

std::string loopback_id() {
  std::array<char, 128> boot{}, space{};
#ifdef __APPLE__
  std::size_t size = boot.size() - 1;
  if (::sysctlbyname("kern.bootsessionuuid", boot.data(), &size, nullptr, 0) != 0) return "";
  return boot.data();
#else
  {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/sys/kernel/random/boot_id", "re"),
                                                               &std::fclose);
    if (file == nullptr || std::fscanf(file.get(), "%64s", boot.data()) != 1) return "";
  }
  if (::readlink("/proc/self/ns/net", space.data(), space.size() - 1) <= 0) return "";
  return std::string(boot.data()) + "/" + space.data();
#endif
}

}  // namespace berth::net
