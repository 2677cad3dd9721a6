#include "api/login_limit.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

namespace berth::api {
namespace {

Error wait_for(std::uint64_t seconds) {
  return fail(Code::kRateLimited, fmt::format("too many tries with a password: try again in {} s", seconds));
}

}  // namespace

std::string login_peer(std::string_view peer) {
  const auto colon = peer.rfind(':');
  std::string_view host = colon == std::string_view::npos ? peer : peer.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code ec;
  const auto address = boost::asio::ip::make_address(std::string(host), ec);
  if (ec) return std::string(peer);
  if (!address.is_v6()) return address.to_string();
  auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6).to_string();
  constexpr std::size_t kNetworkBytes = 8;
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + kNetworkBytes, bytes.end(), static_cast<unsigned char>(0));
  return boost::asio::ip::address_v6(bytes).to_string();
}

Result<void> LoginLimit::begin(std::string_view peer, Time now) {
  const std::scoped_lock lock(mutex_);
  forget(now);
  auto& p = peers_[login_peer(peer)];
  if (p.wrong >= kLoginFreeTries) {
    if (now < p.last + kLoginWait)
      return wait_for(static_cast<std::uint64_t>((p.last + kLoginWait - now).count()) / 1000 + 1);
    if (p.under_way > 0) return wait_for(1);
  }
  if (under_way_ + (p.wrong > 0 ? 1 : 0) >= kLoginsAtOnceMax) return wait_for(1);
  ++p.wrong;
  ++p.under_way;
  p.last = now;
  ++under_way_;
  return {};
}

void LoginLimit::right(std::string_view peer) {
  const std::scoped_lock lock(mutex_);
  const auto at = peers_.find(login_peer(peer));
  if (at != peers_.end()) at->second.wrong = 0;
}

void LoginLimit::ended(std::string_view peer) {
  const std::scoped_lock lock(mutex_);
  --under_way_;
  const auto at = peers_.find(login_peer(peer));
  if (at == peers_.end()) return;
  --at->second.under_way;
  if (at->second.wrong == 0 && at->second.under_way == 0) peers_.erase(at);
}

std::size_t LoginLimit::peers() const {
  const std::scoped_lock lock(mutex_);
  return peers_.size();
}

/// Old ones go, and one more when there are too many. Those with a try under way stay.
void LoginLimit::forget(Time now) {
  if (peers_.size() < kLoginPeersMax) return;
  std::erase_if(peers_, [&](const auto& p) { return p.second.under_way == 0 && p.second.last + kLoginMemory < now; });
  if (peers_.size() < kLoginPeersMax) return;
  const auto oldest = std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
    if ((a.second.under_way == 0) != (b.second.under_way == 0)) return a.second.under_way == 0;
    return a.second.last < b.second.last;
  });
  if (oldest->second.under_way == 0) peers_.erase(oldest);
}

}  // namespace berth::api
