// Streams: whole events are passed on as soon as they are whole, as the bytes they came in. One read is followed by one
// write, so a client that does not read stops the reading from the engine, and no more than one event is held.

#include "gateway/detail/call.h"
#include "net/sse.h"

namespace berth::gateway {
namespace {

constexpr std::string_view kDone = "[DONE]";
constexpr net::Millis kAfterDoneMax{1'000};  // for the engine to end its message, so that the connection can be kept

/// Cuts what came into events, drops the one the client did not ask for, and takes note of the rest.
class EventFilter {
 public:
  explicit EventFilter(bool show_usage) : show_usage_(show_usage) {}

  /// Appends to `out` what the client gets. Errors: kTooLarge.
  Result<void> feed(std::string_view bytes, std::string& out) {
    TRY_VOID(reader_.feed(bytes));
    while (const auto item = reader_.next()) {
      if (item->has_data && hidden(item->data)) continue;
      out.append(item->raw);
    }
    return {};
  }

  [[nodiscard]] std::string_view rest() const { return reader_.rest(); }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] const std::optional<TokenCounts>& counts() const { return counts_; }
  [[nodiscard]] std::uint64_t pieces() const { return pieces_; }

 private:
  bool hidden(std::string_view data) {
    if (data == kDone) {
      done_ = true;
      return false;
    }
    const AnswerFacts facts = read_answer(data);
    if (facts.usage) counts_ = facts.usage;
    if (facts.has_choices) ++pieces_;
    if (facts.is_error) failed_ = true;
    return !show_usage_ && facts.usage && facts.empty_choices;
  }

  net::SseReader reader_;
  bool show_usage_;
  bool done_ = false;
  bool failed_ = false;  // the engine itself reported an error
  std::optional<TokenCounts> counts_;
  std::uint64_t pieces_ = 0;
};

}  // namespace

net::awaitable<void> Call::relay_events(Upstream& upstream) {
  const Held open(state_.metrics.streams_open, 1);
  if (!co_await start_events()) co_return;
  EventFilter filter(fields_.wants_usage());
  std::string out;
  Error broken;
  net::Deadline stalled = net::Deadline::in(state_.options.stall_max);
  for (;;) {
    const net::Millis patience = filter.done() ? kAfterDoneMax : state_.options.ping_every;
    const auto piece = co_await upstream.read_some(stalled.sooner(net::Deadline::in(patience)));
    out.clear();
    if (!piece) {
      if (filter.done()) break;
      const bool silent = piece.error().code == Code::kTimeout && !stalled.passed();
      broken = piece.error();
      if (!silent) break;
      out = kPing;
    } else {
      if (piece->empty()) break;
      stalled = net::Deadline::in(state_.options.stall_max);
      const Result<void> fed = filter.feed(*piece, out);
      counts_ = filter.counts();
      pieces_ = filter.pieces();
      broken = fed ? Error{} : fed.error();
      if (!fed) break;
    }
    if (out.empty()) continue;
    state_.metrics.bytes_out.fetch_add(out.size(), std::memory_order_relaxed);
    const Result<void> sent = co_await exchange_.write(out);
    if (lost_client(sent)) co_return;
  }
  if (exchange_.client_gone() || broken.code == Code::kCancelled) {
    aborted_ = true;
    co_return;
  }
  if (!filter.done() && !filter.failed()) {
    aborted_ = true;
    ApiError error{.status = 502, .code = "engine_error"};
    error.message = broken.message.empty() ? "the engine ended the stream before it was complete"
                                           : "the engine broke the stream off: " + broken.message;
    co_return co_await answer_error(std::move(error));
  }
  upstream.keep();
  Result<void> sent;
  if (!filter.rest().empty()) sent = co_await exchange_.write(filter.rest());
  if (sent) sent = co_await exchange_.finish();
  lost_client(sent);
}

}  // namespace berth::gateway
