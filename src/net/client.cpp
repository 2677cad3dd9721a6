#include "net/client.h"

#include "base/assert.h"
#include "net/detail/in_buffer.h"

namespace berth::net {
namespace {

using Kind = http1::BodyFraming::Kind;

constexpr int kInterimMax = 16;  // 1xx answers before the final one
constexpr std::size_t kAnswerReadBytes = 4 * 1024;

bool wants_body(std::string_view method) { return method == "POST" || method == "PUT" || method == "PATCH"; }

}  // namespace

struct ClientConnection::Impl {
  Impl(Stream on, std::string host) : stream(std::move(on)), authority(std::move(host)) {}

  awaitable<Result<void>> send(std::string_view first,
                               Deadline deadline,
                               std::string_view second,
                               std::string_view third);
  awaitable<Result<void>> send_head(const Request& request,
                                    http1::WriteOptions options,
                                    std::string_view body,
                                    Deadline deadline);
  awaitable<Result<void>> fill(Deadline deadline, std::size_t least);
  Error broken_by(Error error) {
    keep = false;
    failed = true;
    return error;
  }

  Stream stream;
  std::string authority;
  InBuffer in;
  std::string out;
  std::string method;
  Response response;
  BodyReader body;
  std::uint64_t left_to_send = 0;
  bool chunked = false;
  bool sending = false;   // a body is still owed to the server
  bool awaiting = false;  // a request was sent, its response head was not read
  bool answered = true;   // bytes of a response came
  bool keep = true;
  bool failed = false;
};

awaitable<Result<void>> ClientConnection::Impl::send(std::string_view first,
                                                     Deadline deadline,
                                                     std::string_view second,
                                                     std::string_view third) {
  auto sent = co_await stream.write_all(first, deadline, second, third);
  if (sent) co_return sent;
  keep = false;
  // A server may answer early and stop reading: its answer says more than our broken pipe.
  if (sent.error().code == Code::kUnavailable) co_return Result<void>{};
  failed = true;
  co_return sent;
}

awaitable<Result<void>> ClientConnection::Impl::send_head(const Request& request,
                                                          http1::WriteOptions options,
                                                          std::string_view bytes,
                                                          Deadline deadline) {
  if (failed || sending || awaiting || !body.done() || !keep) {
    co_return fail(Code::kInternal, "the connection is not ready for another request");
  }
  body.release(in);
  out.clear();
  options.host = authority;
  CO_TRY_VOID(http1::append_request_head(out, request, options));
  method = request.method;
  awaiting = true;
  answered = false;
  if (request.headers.has_token("connection", "close")) keep = false;
  co_return co_await send(out, deadline, bytes, {});
}

/// Reads more into the buffer; kUnavailable at the end of the stream.
awaitable<Result<void>> ClientConnection::Impl::fill(Deadline deadline, std::size_t least) {
  auto got = co_await stream.read_some(in.tail(least), deadline);
  if (!got && got.error().code == Code::kTimeout) co_return std::move(got).error();  // nothing was lost
  if (!got) co_return broken_by(std::move(got).error());
  if (*got == 0) {
    keep = false;
    co_return fail(Code::kUnavailable, "the server closed the connection");
  }
  in.commit(*got);
  answered = true;
  co_return Result<void>{};
}

ClientConnection::ClientConnection() = default;
ClientConnection::ClientConnection(Stream stream, std::string authority)
    : impl_(std::make_unique<Impl>(std::move(stream), std::move(authority))) {}
ClientConnection::~ClientConnection() = default;
ClientConnection::ClientConnection(ClientConnection&& other) noexcept = default;
ClientConnection& ClientConnection::operator=(ClientConnection&& other) noexcept = default;

awaitable<Result<void>> ClientConnection::send(const Request& request, Deadline deadline) {
  http1::WriteOptions options{.keep_alive = !request.headers.has_token("connection", "close")};
  if (!request.body.empty() || wants_body(request.method)) {
    options.framing = {.kind = Kind::kLength, .length = request.body.size()};
  }
  const bool upgrade = request.headers.has_token("connection", "upgrade");
  if (upgrade) options.upgrade = request.headers.get("upgrade").value_or("");
  co_return co_await impl_->send_head(request, options, request.body, deadline);
}

awaitable<Result<void>> ClientConnection::start(const Request& request,
                                                std::optional<std::uint64_t> length,
                                                Deadline deadline) {
  http1::WriteOptions options;
  options.keep_alive = !request.headers.has_token("connection", "close");
  options.framing = {.kind = length ? Kind::kLength : Kind::kChunked, .length = length.value_or(0)};
  CO_TRY_VOID(co_await impl_->send_head(request, options, {}, deadline));
  impl_->chunked = !length;
  impl_->left_to_send = length.value_or(0);
  impl_->sending = true;
  co_return Result<void>{};
}

awaitable<Result<void>> ClientConnection::write(std::string_view bytes, Deadline deadline) {
  Impl& impl = *impl_;
  if (!impl.sending) co_return fail(Code::kInternal, "no request body was begun");
  if (bytes.empty()) co_return Result<void>{};
  if (!impl.chunked) {
    if (bytes.size() > impl.left_to_send) co_return impl.broken_by(invalid("the body is longer than was declared"));
    impl.left_to_send -= bytes.size();
    co_return co_await impl.send(bytes, deadline, {}, {});
  }
  char prefix[20];
  const std::size_t size = http1::chunk_prefix(prefix, bytes.size());
  co_return co_await impl.send(std::string_view(prefix, size), deadline, bytes, "\r\n");
}

awaitable<Result<void>> ClientConnection::finish(Deadline deadline) {
  Impl& impl = *impl_;
  if (!impl.sending) co_return fail(Code::kInternal, "no request body was begun");
  impl.sending = false;
  if (impl.chunked) co_return co_await impl.send(http1::kLastChunk, deadline, {}, {});
  if (impl.left_to_send > 0) co_return impl.broken_by(invalid("the body is shorter than was declared"));
  co_return Result<void>{};
}

awaitable<Result<const Response*>> ClientConnection::read_head(Deadline deadline) {
  Impl& impl = *impl_;
  if (!impl.awaiting) co_return fail(Code::kInternal, "no response is due");
  for (int interim = 0; interim < kInterimMax;) {
    http1::HeadScanner scanner;
    auto state = scanner.scan(impl.in.view());
    while (state == http1::HeadScanner::State::kMore) {
      CO_TRY_VOID(co_await impl.fill(deadline, kAnswerReadBytes));
      state = scanner.scan(impl.in.view());
    }
    const bool refused = state == http1::HeadScanner::State::kRefused;
    const http1::HeadResult head =
        refused
            ? http1::HeadResult{.refusal = scanner.refusal()}
            : http1::parse_response_head(impl.in.view().substr(0, scanner.head_bytes()), impl.method, impl.response);
    if (!head.ok) {
      co_return impl.broken_by(fail(Code::kInternal, fmt::format("the server broke HTTP: {}", head.refusal.reason)));
    }
    impl.in.consume(scanner.head_bytes());
    if (impl.response.status < 200 && impl.response.status != 101) {
      ++interim;
      continue;
    }
    impl.awaiting = false;
    impl.keep = impl.keep && head.keep_alive && impl.response.status != 101;
    impl.body.start(head.framing);
    co_return &impl.response;
  }
  co_return impl.broken_by(fail(Code::kInternal, "the server broke HTTP: too many interim answers"));
}

awaitable<Result<std::string_view>> ClientConnection::read_some(Deadline deadline) {
  Impl& impl = *impl_;
  if (impl.awaiting || impl.failed) co_return fail(Code::kInternal, "no response is being read");
  for (;;) {
    std::string_view data;
    switch (impl.body.next(impl.in, data)) {
      case BodyReader::State::kData:
        co_return data;
      case BodyReader::State::kDone:
        impl.in.shrink();
        co_return std::string_view();
      case BodyReader::State::kRefused:
        co_return impl.broken_by(fail(Code::kInternal, fmt::format("the server broke HTTP: {}", impl.body.reason())));
      case BodyReader::State::kMore:
        break;
    }
    auto filled = co_await impl.fill(deadline, kReadBytes);
    if (filled) continue;
    if (filled.error().code == Code::kUnavailable && !impl.failed && impl.body.end_of_stream()) {
      co_return std::string_view();
    }
    if (filled.error().code == Code::kTimeout) co_return std::move(filled).error();
    co_return impl.broken_by(std::move(filled).error());
  }
}

awaitable<Result<std::string>> ClientConnection::read_body(std::size_t max, Deadline deadline) {
  std::string body;
  for (;;) {
    CO_TRY(const std::string_view piece, co_await read_some(deadline));
    if (piece.empty()) co_return std::move(body);
    if (body.size() + piece.size() > max) {
      co_return impl_->broken_by(fail(Code::kTooLarge, fmt::format("the response is larger than {} bytes", max)));
    }
    body.append(piece);
  }
}

bool ClientConnection::reusable() const {
  return impl_ && impl_->stream.is_open() && impl_->keep && !impl_->failed && !impl_->awaiting && !impl_->sending &&
         impl_->body.done();
}

bool ClientConnection::idle_healthy() const {
  if (!reusable()) return false;
  impl_->body.release(impl_->in);
  return impl_->in.empty() && impl_->stream.idle_healthy();
}

bool ClientConnection::unanswered() const { return impl_ && !impl_->answered; }
Stream& ClientConnection::stream() { return impl_->stream; }

Stream ClientConnection::release() {
  ASSERT(!impl_->awaiting);
  impl_->body.release(impl_->in);
  if (!impl_->in.empty()) impl_->stream.unread(impl_->in.view());
  impl_->failed = true;
  return std::move(impl_->stream);
}

void ClientConnection::close() {
  if (impl_) impl_->stream.close();
}

}  // namespace berth::net
