// Feeds the HTTP reader arbitrary bytes, whole and in pieces: both must come to the same result, and what was accepted
// must survive being written and read again.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/http1.h"
#include "net/sse.h"

namespace {

using namespace berth::net;
using namespace berth::net::http1;

void demand(bool holds) {
  if (!holds) std::abort();
}

struct Scan {
  HeadScanner::State state = HeadScanner::State::kMore;
  std::size_t bytes = 0;
  Refusal refusal;
};

Scan scan(std::string_view text, std::size_t step) {
  HeadScanner scanner;
  Scan out;
  for (std::size_t size = 0; out.state == HeadScanner::State::kMore && size < text.size();) {
    size = size + step < text.size() ? size + step : text.size();
    out.state = scanner.scan(text.substr(0, size));
  }
  if (out.state == HeadScanner::State::kComplete) out.bytes = scanner.head_bytes();
  if (out.state == HeadScanner::State::kRefused) out.refusal = scanner.refusal();
  return out;
}

struct Body {
  std::string data;
  std::size_t consumed = 0;
  bool done = false;
  bool refused = false;
  Refusal refusal;
};

Body decode(std::string_view text, std::size_t step) {
  ChunkedDecoder decoder;
  Body out;
  while (out.consumed < text.size() && !out.done && !out.refused) {
    std::string_view piece = text.substr(out.consumed, step);
    while (!piece.empty() && !out.done && !out.refused) {
      const auto got = decoder.feed(piece);
      out.data.append(got.data);
      out.consumed += got.consumed;
      piece.remove_prefix(got.consumed);
      out.done = decoder.done();
      out.refused = got.refused;
      demand(got.consumed > 0 || got.refused);
    }
  }
  out.refusal = decoder.refusal();
  return out;
}

void check_fields(const HeaderList& headers) {
  for (std::size_t i = 0; i < headers.size(); ++i) {
    demand(is_token(headers[i].name));
    demand(is_field_value(headers[i].value));
  }
}

void check_request(std::string_view head) {
  Request request;
  const HeadResult result = parse_request_head(head, request);
  if (!result.ok) return demand(result.refusal.status >= 400);
  check_fields(request.headers);
  demand(request.headers.count("content-length") + request.headers.count("transfer-encoding") <= 1);
  std::string out;
  const WriteOptions options{.framing = result.framing, .keep_alive = result.keep_alive, .host = "fallback"};
  demand(append_request_head(out, request, options).has_value());
  const Scan again = scan(out, out.size());
  if (out.size() > kHeadBytesMax) return;
  demand(again.state == HeadScanner::State::kComplete && again.bytes == out.size());
  Request second;
  const HeadResult reread = parse_request_head(out, second);
  // Fields that the writer adds may pass the limits; everything else must come back.
  if (!reread.ok) return demand(reread.refusal.status == 431);
  demand(second.method == request.method && second.target == request.target);
  demand(reread.framing == result.framing);
}

void check_response(std::string_view head) {
  for (const std::string_view method : {"GET", "HEAD"}) {
    Response response;
    const HeadResult result = parse_response_head(head, method, response);
    if (!result.ok) continue;
    check_fields(response.headers);
    demand(response.status >= 100 && response.status <= 599);
    demand(method != "HEAD" || result.framing.kind == BodyFraming::Kind::kNone);
  }
}

void check_sse(std::string_view text) {
  std::string copies[2];
  std::size_t counts[2] = {0, 0};
  const std::size_t steps[2] = {1, text.size()};
  for (int way = 0; way < 2; ++way) {
    SseReader reader;
    for (std::size_t at = 0; at < text.size(); at += steps[way]) {
      demand(reader.feed(text.substr(at, steps[way])).has_value());
      while (auto item = reader.next()) {
        copies[way].append(item->raw);
        ++counts[way];
      }
    }
    copies[way].append(reader.rest());
  }
  demand(copies[0] == text && copies[1] == text && counts[0] == counts[1]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 64 * 1024) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t step = 1 + data[0] % 13U;
  const Scan whole = scan(text, size);
  const Scan pieces = scan(text, step);
  demand(whole.state == pieces.state && whole.bytes == pieces.bytes && whole.refusal == pieces.refusal);
  if (whole.state == HeadScanner::State::kComplete) {
    check_request(text.substr(0, whole.bytes));
    check_response(text.substr(0, whole.bytes));
  }
  const std::string_view rest = text.substr(whole.bytes);
  const Body body = decode(rest, rest.size() + 1);
  const Body parts = decode(rest, step);
  demand(body.data == parts.data && body.consumed == parts.consumed);
  demand(body.done == parts.done && body.refused == parts.refused && body.refusal == parts.refusal);
  if (size <= 4096) check_sse(text);
  return 0;
}
