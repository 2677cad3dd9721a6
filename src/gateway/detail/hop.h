#pragma once
// Work on the executor that owns a connection, when that is not the caller's.

#include <optional>

#include "net/client.h"

namespace berth::gateway {

/// Runs `op` on `owner` and comes back to the caller's executor. A cancellation of the caller reaches it over there.
/// Exceptions pass through.
net::awaitable<void> run_on(net::Executor owner, net::awaitable<void> op);

namespace detail {
template <class T>
net::awaitable<void> keep(net::awaitable<Result<T>> op, std::optional<Result<T>>* into) {
  into->emplace(co_await std::move(op));
}
}  // namespace detail

template <class T>
net::awaitable<Result<T>> result_on(net::Executor owner, net::awaitable<Result<T>> op) {
  std::optional<Result<T>> out;
  net::awaitable<void> kept = detail::keep<T>(std::move(op), &out);
  co_await run_on(std::move(owner), std::move(kept));
  if (!out) co_return fail(Code::kCancelled, "cancelled");
  co_return std::move(*out);
}

/// Closes the connection on its own executor, at the next turn. Any thread.
void dispose(net::ClientConnection connection);

}  // namespace berth::gateway
