// The judge of the estimator: what it counts, and that it can be told from a good score.
#include "cli/conformance/memory.h"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "cli/conformance/memory_rows.h"
#include "cli/inputs.h"

namespace berth::cli::conformance {
namespace {

const std::string kRows = "tests/data/conformance/memory.json";
const std::string kHeaders = "tests/data/metadata";

std::string rows_text() {
  const auto text = read_text_file(kRows);
  REQUIRE(text);
  return *text;
}

/// The rows with the first `from` written as `to`, in a file of its own.
std::string changed(const std::string& from, const std::string& to) {
  std::string text = rows_text();
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  const auto path = std::filesystem::temp_directory_path() / "berth-memory-rows.json";
  std::ofstream(path) << text;
  return path.string();
}

MemoryReport scored(const std::string& file, const std::string& headers = kHeaders) {
  auto report = run_memory({file, headers});
  REQUIRE_MESSAGE(report, (report ? "" : report.error().message));
  return std::move(*report);
}

std::string refusal(const std::string& file, const std::string& headers = kHeaders) {
  const auto report = run_memory({file, headers});
  REQUIRE_FALSE(report);
  return report.error().message;
}

bool mentions(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the recorded plans are met on devices and hosts, and covered") {
  const MemorySummary s = scored(kRows).summary;
  CHECK(s.device_total.n == 12);
  CHECK(s.host_total.n == 12);
  CHECK(s.high_covers.n == 24);
  CHECK(s.device_total.median_abs <= 0.005);
  CHECK(s.device_total.p90_abs <= 0.02);
  CHECK(s.host_total.p95_abs <= 0.001);
  CHECK(s.high_covers.share == 1.0);
  CHECK(s.high_covers.worst_under == 0.0);
  CHECK(s.high_covers.ratio_p95 <= 1.12);
  CHECK(s.missing + s.not_understood + s.refused + s.wrong_shape == 0);
}

TEST_CASE("rows without a file count as missing and as errors of 1") {
  const auto empty = std::filesystem::temp_directory_path() / "berth-no-headers";
  std::filesystem::create_directories(empty);
  const MemoryReport report = scored(kRows, empty.string());
  CHECK(report.summary.missing == 12);
  CHECK(report.summary.device_total.n == 12);
  CHECK(report.summary.device_total.median_abs == 1.0);
  CHECK(report.summary.host_total.min == 1.0);
  CHECK(report.summary.high_covers.share == 0.0);
  CHECK(mentions(to_text(report), "qwen3-0.6b.gguf is not there"));
}

TEST_CASE("a setting that is not understood is counted and named, never passed over") {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"ctx\":", "\"moe_on_host\": 3, \"ctx\":"},
           {"\"flash_attn\": true", "\"flash_attn\": \"auto\""},
           {"\"tensor_split\": null", "\"split_mode\": \"row\", \"tensor_split\": null"}}) {
    CAPTURE(to);
    const MemoryReport report = scored(changed(from, to));
    CHECK(report.summary.not_understood == 1);
    CHECK(report.summary.host_total.max == 1.0);
    CHECK(report.troubles.size() == 1);
  }
  CHECK(scored(changed("\"cache_type_k\": \"f16\"", "\"cache_type_k\": \"q3_k\"")).summary.refused == 1);
  CHECK(scored(changed("\"devices\": 1", "\"devices\": 2")).summary.wrong_shape == 1);
}

TEST_CASE("another plan is told from the recorded one") {
  const MemorySummary s = scored(changed("\"host\": {\"model\": ", "\"host\": {\"model\": 9")).summary;
  CHECK(s.host_total.min < -0.5);
  CHECK(s.high_covers.worst_under < -0.5);
  CHECK(s.high_covers.share < 1.0);
}

TEST_CASE("a bad file of rows is refused with the field") {
  CHECK(mentions(refusal(changed("memory-vectors/1", "memory-vectors/9")), "$.kind is \"memory-vectors/9\""));
  CHECK(
      mentions(refusal(changed("\"model\": \"qwen3-0.6b\"", "\"model\": \"../x\"")), "$.vectors[0].model is \"../x\""));
  CHECK(mentions(refusal(changed("\"model\": \"qwen3-0.6b\"", "\"model\": 7")), "$.vectors[0].model"));
  CHECK(mentions(refusal(changed("\"actual\"", "\"actually\"")), "$.vectors[0].actual.host holds no bytes"));
  CHECK(mentions(refusal("tests/data/none.json"), "none.json"));
  CHECK(mentions(refusal(kRows, "tests/data/none"), "--gguf-dir tests/data/none: no such folder"));
}

TEST_CASE("layers are dealt over devices as the loader deals them") {
  MemorySettings s{.devices = 2, .tensor_split = std::vector<double>{3, 1}};
  CHECK(slots_of(s, 29) == std::vector<std::uint32_t>{22, 7});
  s.tensor_split.reset();
  CHECK(slots_of(s, 29) == std::vector<std::uint32_t>{15, 14});
  s.n_gpu_layers = 5;
  CHECK(slots_of(s, 29) == std::vector<std::uint32_t>{3, 2});
  s.split_mode = "none";
  CHECK(slots_of(s, 29) == std::vector<std::uint32_t>{5, 0});
  s.n_gpu_layers = 0;
  CHECK(slots_of(s, 29).empty());
}

}  // namespace berth::cli::conformance
