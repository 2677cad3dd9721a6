#include "net/sse.h"

#include <doctest/doctest.h>
#include <vector>

namespace berth::net {
namespace {

struct Got {
  std::string event;
  std::string id;
  std::string data;
  bool has_data;
  friend bool operator==(const Got&, const Got&) = default;
};

std::vector<Got> read(std::string_view text, std::size_t step, std::string& raw) {
  SseReader reader;
  std::vector<Got> events;
  raw.clear();
  for (std::size_t at = 0; at < text.size(); at += step) {
    REQUIRE(reader.feed(text.substr(at, step)));
    while (auto item = reader.next()) {
      raw.append(item->raw);
      events.push_back({std::string(item->event), std::string(item->id), item->data, item->has_data});
    }
  }
  raw.append(reader.rest());
  return events;
}

TEST_CASE("events are cut the same however the bytes arrive, and every byte is kept") {
  const std::string text =
      "\xef\xbb\xbf"
      "data: a\n\n: comment\n\nevent: x\r\nid: 7\r\ndata: {\"b\":1}\r\ndata:c\r\n\r\ndata\n\ndata: [DONE]\n\ndata: "
      "rest";
  const std::vector<Got> wanted = {{"", "", "a", true},
                                   {"", "", "", false},
                                   {"x", "7", "{\"b\":1}\nc", true},
                                   {"", "", "", true},
                                   {"", "", "[DONE]", true}};
  for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{5}, text.size()}) {
    CAPTURE(step);
    std::string raw;
    CHECK(read(text, step, raw) == wanted);
    CHECK(raw == text);
  }
}

TEST_CASE("what is written is read back, and line breaks cannot forge fields") {
  std::string out;
  append_sse(out, {.event = "up\ndata: evil", .data = "line 1\nline 2\r\n", .id = "5"});
  append_sse_comment(out, "still\nhere");
  std::string raw;
  const std::vector<Got> events = read(out, out.size(), raw);
  REQUIRE(events.size() == 2);
  CHECK(events[0] == Got{"updata: evil", "5", "line 1\nline 2\n", true});
  CHECK_FALSE(events[1].has_data);
}

TEST_CASE("an event without end is refused at the limit") {
  SseReader reader(100);
  REQUIRE(reader.feed("data: "));
  bool refused = false;
  for (int i = 0; i < 30 && !refused; ++i) {
    auto fed = reader.feed("0123456789");
    CHECK_FALSE(reader.next());
    refused = !fed && fed.error().code == Code::kTooLarge;
  }
  CHECK(refused);
}

}  // namespace
}  // namespace berth::net
