#pragma once
// Which Host headers are this server's own. A page on another name that resolves to this machine (DNS rebinding) must
// not reach it, so names are compared whole and addresses as addresses, never by their beginning.

#include <string>
#include <string_view>
#include <vector>

namespace berth::api {

/// The host of "host", "host:port" or "[v6]:port", without brackets; empty when it is none of these.
std::string_view host_of(std::string_view authority);
/// localhost, an address in 127.0.0.0/8, or ::1.
bool is_loopback_host(std::string_view host);
/// The same name without regard to case, or the same address however it is spelt; brackets are passed over.
bool is_same_host(std::string_view a, std::string_view b);
/// This machine's host name and the addresses of its interfaces, as they are now.
std::vector<std::string> own_hosts();

}  // namespace berth::api
