#include "gateway/detail/hop.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace berth::gateway {
namespace {

net::awaitable<void> quiet(net::awaitable<void> op) {
  co_await net::asio::this_coro::throw_if_cancelled(false);
  co_await std::move(op);
}

}  // namespace

net::awaitable<void> run_on(net::Executor owner, net::awaitable<void> op) {
  net::awaitable<void> task = quiet(std::move(op));
  try {
    co_await net::asio::co_spawn(owner, std::move(task), net::asio::use_awaitable);
  } catch (const boost::system::system_error& e) {
    // A cancellation that came before the task began leaves it unstarted, and that is all.
    if (e.code() != net::asio::error::operation_aborted) throw;
  }
}

void dispose(net::ClientConnection connection) {
  const net::Executor owner = connection.stream().executor();
  net::asio::post(owner, [held = std::move(connection)]() mutable { held.close(); });
}

}  // namespace berth::gateway
