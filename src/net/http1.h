#pragma once
// HTTP/1.1 messages as bytes: strict incremental reader and writer. Pure: no I/O. What is ambiguous is refused, never
// repaired, because two readers that repair differently are how requests get smuggled.
// Source: RFC 9110, RFC 9112; refused beyond them: any repeated Content-Length, Content-Length with
// Transfer-Encoding, any coding but chunked, bare LF, folded lines, absolute limits below.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http_types.h"

namespace berth::net::http1 {

constexpr std::size_t kHeadBytesMax = 32 * 1024;
constexpr std::size_t kFieldsMax = 100;
constexpr std::size_t kTargetBytesMax = 8 * 1024;
constexpr std::size_t kMethodBytesMax = 32;
constexpr std::size_t kChunkLineBytesMax = 256;      // size, extensions and CRLF
constexpr std::size_t kTrailerBytesMax = 8 * 1024;   // read, checked and dropped
constexpr std::uint64_t kBodyBytesMax = 1ULL << 50;  // of a declared length; servers have far lower caps

/// Why a message is refused: `status` is what a server answers with; `reason` is a constant text.
struct Refusal {
  int status = 400;
  const char* reason = "";

  friend bool operator==(const Refusal& a, const Refusal& b) {
    return a.status == b.status && std::string_view(a.reason) == b.reason;
  }
};

/// Finds the end of a head in a buffer that grows, looking at each byte once.
class HeadScanner {
 public:
  enum class State { kMore, kComplete, kRefused };

  /// `buffer` is everything received so far of this message, starting where it started before.
  State scan(std::string_view buffer);
  /// Size of the head with its empty line; valid when complete.
  [[nodiscard]] std::size_t head_bytes() const { return scanned_; }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }
  void reset() { *this = HeadScanner(); }

 private:
  std::size_t scanned_ = 0;     // bytes before this have been looked at
  std::size_t line_start_ = 0;  // of the line being scanned
  Refusal refusal_;
};

struct BodyFraming {
  enum class Kind { kNone, kLength, kChunked, kUntilClose };
  Kind kind = Kind::kNone;
  std::uint64_t length = 0;

  friend bool operator==(const BodyFraming&, const BodyFraming&) = default;
};

struct HeadResult {
  bool ok = false;
  Refusal refusal;          // when not ok
  BodyFraming framing;      // when ok
  bool keep_alive = false;  // the sender allows another message on this connection
};

/// Parses a complete head (HeadScanner says where it ends) into `out`, whose storage is reused.
HeadResult parse_request_head(std::string_view head, Request& out);
/// `method` of the request this answers (HEAD and CONNECT have no body).
HeadResult parse_response_head(std::string_view head, std::string_view method, Response& out);

/// Decodes a chunked body piece by piece without copying.
class ChunkedDecoder {
 public:
  struct Step {
    std::size_t consumed = 0;  // bytes of the input used up
    std::string_view data;     // a part of the input; empty when none was in it
    bool done = false;         // the last chunk and the trailers were read
    bool refused = false;
  };

  /// Returns after the first piece of data; call again with the rest. Nothing consumed: more input is needed.
  Step feed(std::string_view input);
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }
  [[nodiscard]] bool done() const { return state_ == State::kDone; }
  void reset() { *this = ChunkedDecoder(); }

 private:
  enum class State { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kTrailerLf, kDone, kRefused };

  Step refuse(const char* reason, std::size_t consumed);
  const char* size_byte(char c);
  const char* extension_byte(char c);
  const char* trailer_byte(char c);
  const char* line_byte(char c);

  State state_ = State::kSize;
  std::uint64_t left_ = 0;      // of the chunk
  std::size_t digits_ = 0;      // of the chunk size
  std::size_t line_bytes_ = 0;  // of the chunk line
  std::size_t trailer_bytes_ = 0;
  std::size_t trailer_line_ = 0;  // bytes of the present trailer line
  bool trailer_colon_ = false;
  bool quoted_ = false;  // inside a quoted chunk extension
  Refusal refusal_;
};

/// How a written message frames its body and whether the connection stays.
struct WriteOptions {
  BodyFraming framing;
  bool keep_alive = true;
  bool say_keep_alive = false;  // spell "Connection: keep-alive" out, for HTTP/1.0 peers
  std::string_view upgrade;     // of a request: the protocol to switch to
  std::string_view host;        // of a request that brings no Host field
};

/// Appends the head. Framing and Connection come from `options`; fields of these names in the message are left out, so
/// that nobody can contradict them. Errors: kInvalid when a name, value, method or target holds what may not be sent.
Result<void> append_request_head(std::string& out, const Request& request, const WriteOptions& options);
Result<void> append_response_head(std::string& out, const Response& response, const WriteOptions& options);
/// The 101 answer: `headers` as given, with Connection: Upgrade and Upgrade: `protocol`.
Result<void> append_upgrade_head(std::string& out, std::string_view protocol, const HeaderList& headers);
/// "1f\r\n" into `out` (at least 20 bytes); returns its size. Chunk data is followed by "\r\n".
std::size_t chunk_prefix(char* out, std::size_t data_bytes);
constexpr std::string_view kLastChunk = "0\r\n\r\n";

bool is_token(std::string_view text);
/// Visible characters, space, tab and bytes from 0x80; no leading or trailing space.
bool is_field_value(std::string_view text);

}  // namespace berth::net::http1
