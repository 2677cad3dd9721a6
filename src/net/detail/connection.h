#pragma once
// The server's side of one connection: state shared by the loop that reads requests and the Exchange that answers.

#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <string>

#include "net/detail/in_buffer.h"
#include "net/server.h"

namespace berth::net {

struct Exchange::Impl {
  enum class Answer { kNone, kStreaming, kDone, kBroken };

  Impl(Stream on, std::shared_ptr<const Handler> to, std::shared_ptr<const ServerOptions> with)
      : stream(std::move(on)),
        handler(std::move(to)),
        options(std::move(with)),
        peer(stream.peer()),
        tls(stream.is_tls()),
        unix_socket(stream.is_unix()),
        executor(stream.executor()) {}

  /// Makes ready for the next request on the connection.
  void begin(const http1::HeadResult& head);
  /// Calls back when the client leaves, once nothing of the body is in the way.
  void watch();
  void left();  // the client did
  [[nodiscard]] bool may_stay() const;
  [[nodiscard]] bool head_request() const { return request.method == "HEAD"; }
  awaitable<Result<std::string_view>> next_piece();
  awaitable<Result<void>> send(std::string_view first, std::string_view second = {}, std::string_view third = {});
  Error body_failure(Error error);

  Stream stream;
  std::shared_ptr<const Handler> handler;
  std::shared_ptr<const ServerOptions> options;
  std::string peer;
  bool tls;
  bool unix_socket;
  Executor executor;
  asio::cancellation_signal signal;      // of the connection's own task
  std::shared_ptr<const bool> stopping;  // null without a Server

  InBuffer in;
  Request request;
  BodyReader body;
  Deadline::Clock::time_point body_since;
  std::optional<Error> body_error;
  std::string out;  // head being written
  Answer answer = Answer::kNone;
  bool keep_alive = false;
  bool continue_wanted = false;
  bool chunked = false;
  bool bodiless = false;  // HEAD, 204, 304: pieces are swallowed
  bool gone = false;
  bool idle = true;
  bool upgraded = false;
  bool in_handler = false;
};

/// Runs the connection to its end; a cancellation of the calling task reaches the handler.
awaitable<void> run_connection(std::shared_ptr<Exchange::Impl> connection);
/// "Date: …\r\n" is costly to make, so it is made once a second.
std::string_view http_date();

}  // namespace berth::net
