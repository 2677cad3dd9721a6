#include "metadata/gguf.h"

#include <doctest/doctest.h>

#include "metadata/detail/ggml_types.h"
#include "metadata/detail/test_files.h"

namespace berth::metadata {

namespace {

using B = detail::GgufBuilder;

/// Two tensors with all their data: 40 keys' worth of types on top.
B small_file() {
  B b(2, 8);
  b.key_text("general.architecture", "llama").key("f", 6).u32(0x3F800000).key("neg", 5).u32(0xFFFFFFFF);
  b.key("yes", 7).u8(1).key("wide", 10).u64(1ULL << 40).key("list", 9).array(4, 3).u32(7).u32(8).u32(9);
  b.key("texts", 9).array(8, 2).text("one").text("two").key("flags", 9).array(7, 2).u8(1).u8(0);
  b.tensor("a", {256, 3}, 12, 0).tensor("b.weight", {10}, 1, 448);
  return b;
}

}  // namespace

TEST_CASE("keys and tensors are read with their types") {
  const B b = small_file().pad().zeros(448 + 20);
  const auto file = read_gguf(b.bytes());
  REQUIRE(file.has_value());
  CHECK(file->version == 3);
  CHECK(file->alignment == 32);
  CHECK(file->data_offset == b.str().size() - 468);
  CHECK(file->metadata.at("general.architecture") == GgufValue(std::string("llama")));
  CHECK(file->metadata.at("f") == GgufValue(1.0));
  CHECK(file->metadata.at("neg") == GgufValue(std::int64_t(-1)));
  CHECK(file->metadata.at("yes") == GgufValue(true));
  CHECK(file->metadata.at("wide") == GgufValue(std::uint64_t(1) << 40));
  CHECK(file->metadata.at("list") == GgufValue(GgufArray{3, {7, 8, 9}}));
  CHECK(file->metadata.at("texts") == GgufValue(GgufArray{2, {}}));
  CHECK(file->metadata.at("flags") == GgufValue(GgufArray{2, {1, 0}}));
  REQUIRE(file->tensors.size() == 2);
  CHECK(file->tensors[0].bytes == 3 * 144);
  CHECK(file->tensors[1].bytes == 20);
  CHECK(file->tensors[1].elements == 10);
}

TEST_CASE("version 2 is read like version 3") {
  const B b = B(0, 1, 2).key_u32("a", 1);
  const auto file = read_gguf(b.bytes());
  REQUIRE(file.has_value());
  CHECK(file->version == 2);
}

TEST_CASE("an alignment other than 32 moves the data and the offsets") {
  const B b =
      B(2, 1).key_u32("general.alignment", 128).tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 128).pad(128).zeros(132);
  const auto file = read_gguf(b.bytes());
  REQUIRE(file.has_value());
  CHECK(file->data_offset % 128 == 0);
}

TEST_CASE("a file without its data is read only when metadata is asked for") {
  const B b = small_file().pad();
  const auto refused = read_gguf(b.bytes());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("it holds the header and no weights") != std::string::npos);
  CHECK(read_gguf(b.bytes(), {.metadata_only = true}).has_value());
}

TEST_CASE("a prefix asks for more until the header is whole, then trusts the size of the file") {
  const B b = small_file().pad();
  const std::uint64_t file_bytes = b.str().size() + 468;
  GgufOptions options{.file_bytes = file_bytes};
  std::uint64_t offered = 0;
  int steps = 0;
  for (;; ++steps) {
    REQUIRE(steps < 10);
    const auto prefix = read_gguf_prefix(b.bytes().first(offered), options);
    REQUIRE(prefix.has_value());
    if (prefix->file) break;
    REQUIRE(prefix->need_bytes > offered);
    REQUIRE(prefix->need_bytes <= file_bytes);
    offered = steps < 4 ? offered + 20 : b.str().size();
  }
  CHECK(steps > 2);
  CHECK(read_gguf(b.bytes().first(30), options).error().code == Code::kUnavailable);
  options.file_bytes = file_bytes - 1;
  CHECK(read_gguf_prefix(b.bytes(), options).error().message ==
        "tensor 1 \"b.weight\" ends at " + std::to_string(file_bytes) + " but the file has " +
            std::to_string(file_bytes - 1) + " bytes: the file is truncated");
  options.file_bytes = 10;
  CHECK(read_gguf_prefix(b.bytes(), options).error().code == Code::kInvalid);
}

TEST_CASE("a header above the limit is refused instead of asked for") {
  const B b = B(0, 1).key("a", 9).array(4, 20'000'000).zeros(64);
  const auto prefix = read_gguf_prefix(b.bytes(), {.file_bytes = 1ULL << 40});
  REQUIRE_FALSE(prefix.has_value());
  CHECK(prefix.error().message.find("67108") != std::string::npos);
  const B text = B(0, 2).key("b", 9).array(0, 67'000'000).zeros(64);
  CHECK(read_gguf_prefix(text.bytes(), {.file_bytes = 1ULL << 40})->need_bytes <= kGgufHeaderMaxBytes);
}

TEST_CASE("long texts and arrays keep their length only") {
  B b(0, 2);
  b.key_text("t", std::string(70'000, 'x')).key("n", 9).array(4, 5'000).zeros(20'000);
  const auto file = read_gguf(b.bytes());
  REQUIRE(file.has_value());
  CHECK(file->metadata.at("t") == GgufValue(GgufLongText{70'000}));
  CHECK(file->metadata.at("n") == GgufValue(GgufArray{5'000, {}}));
}

TEST_CASE("the size of every tensor type follows from its block") {
  // Bits per weight as published for the types: an independent check of the table.
  const std::pair<std::uint32_t, double> bits[] = {
      {0, 32},      {1, 16},      {2, 4.5},  {3, 5},       {6, 5.5},     {7, 6},       {8, 8.5},
      {10, 2.625},  {11, 3.4375}, {12, 4.5}, {13, 5.5},    {14, 6.5625}, {16, 2.0625}, {17, 2.3125},
      {18, 3.0625}, {19, 1.5625}, {20, 4.5}, {21, 3.4375}, {22, 2.5625}, {23, 4.25},   {24, 8},
      {25, 16},     {26, 32},     {27, 64},  {28, 64},     {29, 1.75},   {30, 16},     {34, 1.6875},
      {35, 2.0625}, {39, 4.25},   {40, 4.5}, {41, 1.125},  {42, 2.25},
  };
  for (const auto& [id, expected] : bits) {
    const auto* type = detail::ggml_type(id);
    CAPTURE(id);
    REQUIRE(type != nullptr);
    CHECK(8.0 * type->block_bytes / type->block_elements == expected);
  }
  for (const std::uint32_t removed : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U, 43U}) {
    CHECK(detail::ggml_type(removed) == nullptr);
  }
}

TEST_CASE("device bytes add one pad row for quantised rows and align to 128") {
  const auto* q4_k = detail::ggml_type(12);
  const auto* f32 = detail::ggml_type(0);
  REQUIRE(q4_k != nullptr);
  REQUIRE(f32 != nullptr);
  CHECK(detail::device_bytes(*q4_k, 512, 288) == 384);
  CHECK(detail::device_bytes(*q4_k, 256, 144) == 384);  // 144 + 144 for the pad row, aligned
  CHECK(detail::device_bytes(*f32, 10, 40) == 128);
  CHECK(detail::device_bytes(*f32, 32, 128) == 128);
}

}  // namespace berth::metadata
