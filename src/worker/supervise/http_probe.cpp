#include <fmt/format.h>

#include "base/text.h"
#include "net/client.h"
#include "wire/json.h"
#include "worker/supervise/probe.h"

namespace berth::worker {
namespace {

constexpr std::size_t kAnswerBytesMax = 8ULL * 1024 * 1024;  // an embedding of a large model is some 100 KiB
constexpr std::size_t kDetailBytesMax = 200;

struct Question {
  std::string method;
  std::string path;
  std::string body;
  std::string answer;  // what a real answer holds
};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

Question question_for(const ProbeTarget& target) {
  const std::string model = quoted(target.model);
  if (target.task == "embed")
    return {"POST", "/v1/embeddings", fmt::format(R"({{"model":{},"input":"ready?"}})", model), "\"embedding\""};
  if (target.task == "rerank")
    return {"POST",
            "/v1/rerank",
            fmt::format(R"({{"model":{},"query":"ready?","documents":["yes"]}})", model),
            "\"results\""};
  if (target.task == "generate")
    return {"POST",
            "/v1/completions",
            fmt::format(R"({{"model":{},"prompt":"ready?","max_tokens":1,"temperature":0}})", model),
            "\"choices\""};
  // Speech, transcription, images: their smallest answer is not small. The list of models is what can be asked.
  return {"GET", "/v1/models", "", "\"data\""};
}

class HttpProbe final : public EngineProbe {
 public:
  Result<ProbeResult> probe(const ProbeTarget& target) override {
    const Question question = question_for(target);
    net::HeaderList headers{{"authorization", "Bearer " + target.secret}};
    if (!question.body.empty()) headers.add("content-type", "application/json");
    net::FetchOptions options;
    options.body_max = kAnswerBytesMax;
    options.total_max = std::chrono::duration_cast<net::Millis>(kProbeDeadline);
    const auto response = net::fetch_blocking(question.method,
                                              fmt::format("http://127.0.0.1:{}{}", target.port, question.path),
                                              std::move(headers),
                                              question.body,
                                              options);
    if (!response.has_value()) return ProbeResult{.ready = false, .status = 0, .detail = response.error().message};
    if (response->status == 200 && response->body.find(question.answer) != std::string::npos)
      return ProbeResult{.ready = true, .status = response->status, .detail = ""};
    const std::string_view shown = std::string_view(response->body).substr(0, kDetailBytesMax);
    return ProbeResult{
        .ready = false,
        .status = response->status,
        .detail = fmt::format(
            "{} answered {}: {}", question.path, response->status, is_utf8(shown) ? printable(shown) : "(not text)")};
  }
};

}  // namespace

std::unique_ptr<EngineProbe> make_http_probe() { return std::make_unique<HttpProbe>(); }

}  // namespace berth::worker
