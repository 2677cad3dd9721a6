#include <cstdlib>
#include <doctest/doctest.h>
#include <new>

#include "base/rng.h"
#include "base/testing.h"
#include "metadata/detail/test_files.h"
#include "metadata/gguf.h"

namespace {
// Sum of what operator new was asked for, so that a test can show that a declared size is never allocated.
std::uint64_t g_allocated_bytes = 0;
}  // namespace

void* operator new(std::size_t size) {
  g_allocated_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace berth::metadata {

namespace {

using B = detail::GgufBuilder;

constexpr std::uint64_t kHuge = UINT64_MAX;

struct BadHeader {
  std::string_view what;
  std::string bytes;
  std::string_view message;  // a part of it
};

std::string with_tensor(std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset = 0) {
  return B(1).tensor("blk.0.a", dims, type, offset).pad().zeros(4096).str();
}

std::vector<BadHeader> bad_beginnings() {
  return {
      {"empty file", "", "magic needs 4 bytes at 0, but the file has 0 bytes"},
      {"three bytes", "GGU", "truncated"},
      {"another format", B(0, 0, 3, "PK\3\4").str(), "must start with \"GGUF\""},
      {"old format", B(0, 0, 3, "ggjt").str(), "file starts with \"ggjt\""},
      {"magic alone", "GGUF", "version needs 4 bytes"},
      {"version 0", B(0, 0, 0).str(), "version is 0, must be 2 or 3"},
      {"version 1", B(0, 0, 1).str(), "version is 1, must be 2 or 3"},
      {"version 4", B(0, 0, 4).str(), "version is 4"},
      {"big endian", B(0, 0, 0x03000000).str(), "big endian"},
      {"no counts", std::string("GGUF\3\0\0\0", 8), "tensor count needs 8 bytes"},
      {"all tensors", B(kHuge, 0).str(), "tensor count is 18446744073709551615, must be at most 65536"},
      {"all keys", B(0, kHuge).str(), "key count is 18446744073709551615, must be at most 16384"},
      {"negative tensors", B(1ULL << 63, 0).str(), "tensor count is"},
      {"more tensors than bytes", B(65536, 0).str(), "hold at most 0"},
      {"more keys than bytes", B(0, 16384).zeros(100).str(), "the 100 bytes that follow hold at most 7"},
      {"one tensor missing", B(1, 0).zeros(20).str(), "hold at most 0"},
      {"count that wraps a product", B(0x0800'0000'0000'0001, 0).str(), "must be at most 65536"},
  };
}

std::vector<BadHeader> bad_keys() {
  return {
      {"empty key", B(0, 1).key_u32("", 1).zeros(8).str(), "key 0 is empty"},
      {"key length of all bits", B(0, 1).u64(kHuge).zeros(64).str(), "must be at most 65535"},
      {"key length above the limit", B(0, 1).u64(65536).zeros(70000).str(), "length of 65536 bytes"},
      {"key longer than the file", B(0, 1).u64(5000).zeros(64).str(), "needs 5000 bytes"},
      {"key twice", B(0, 2).key_u32("a", 1).key_u32("a", 1).str(), "key 1 \"a\" occurs twice"},
      {"value type 13", B(0, 1).key("a", 13).zeros(8).str(), "value type 13, must be below 13"},
      {"value type of all bits", B(0, 1).key("a", UINT32_MAX).zeros(8).str(), "value type 4294967295"},
      {"text of all bits", B(0, 1).key("a", 8).u64(kHuge).str(), "must be at most 67108864"},
      {"text longer than the file", B(0, 1).key("a", 8).u64(1000).zeros(10).str(), "needs 1000 bytes"},
      {"text that would wrap the position", B(0, 1).key("a", 8).u64(kHuge - 40).str(), "must be at most"},
      {"bool of 2", B(0, 1).key("abc", 7).u8(2).str(), "is a bool of 2, must be 0 or 1"},
      {"number cut off", B(0, 1).key("a", 10).zeros(4).str(), "needs 8 bytes"},
      {"array of arrays", B(0, 1).key("a", 9).array(9, 1).array(4, 1).u32(0).str(), "array of arrays"},
      {"array of unknown type", B(0, 1).key("a", 9).array(77, 1).zeros(8).str(), "array of value type 77"},
      {"array of all bits", B(0, 1).key("a", 9).array(4, kHuge).zeros(64).str(), "declares 18446744073709551615"},
      {"array whose bytes wrap",
       B(0, 1).key("a", 9).array(10, (1ULL << 61) + 1).zeros(64).str(),
       "truncated or damaged"},
      {"array one too long", B(0, 1).key("a", 9).array(4, 3).zeros(8).str(), "declares 3 elements of at least 4 bytes"},
      {"texts with a bad length", B(0, 1).key("a", 9).array(8, 2).text("x").u64(kHuge).str(), "must be at most"},
      {"texts that end early", B(0, 1).key("a", 9).array(8, 2).text("x").u64(9).zeros(3).str(), "needs 9 bytes"},
      {"array of bools with a 3", B(0, 1).key("a", 9).array(7, 2).u8(1).u8(3).str(), "bool of 3"},
      {"alignment 0", B(0, 1).key_u32("general.alignment", 0).str(), "general.alignment is 0, must be a power of two"},
      {"alignment 3", B(0, 1).key_u32("general.alignment", 3).str(), "general.alignment is 3"},
      {"alignment 2^31", B(0, 1).key_u32("general.alignment", 1U << 31).str(), "from 1 to 1048576"},
      {"alignment as text", B(0, 1).key_text("general.alignment", "32").str(), "must be an unsigned integer"},
      {"negative alignment", B(0, 1).key("general.alignment", 5).u32(0xFFFFFFE0).str(), "must be an unsigned integer"},
      {"control characters in a key", B(0, 1).key("a\x1b[2J", 13).zeros(8).str(), "\\x1b[2J"},
  };
}

std::vector<BadHeader> bad_tensors() {
  return {
      {"no name", B(1).tensor("", {32}, 0, 0).pad().zeros(256).str(), "tensor 0 has no name"},
      {"name of 65", B(1).tensor(std::string(65, 'x'), {32}, 0, 0).pad().zeros(256).str(), "must be at most 64"},
      {"name of all bits", B(1).u64(kHuge).zeros(64).str(), "must be at most 64"},
      {"name twice", B(2).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).pad().zeros(64).str(), "\"a\" occurs twice"},
      {"no dimension", with_tensor({}, 0), "has 0 dimensions, must have 1 to 4"},
      {"five dimensions", with_tensor({1, 1, 1, 1, 1}, 0), "has 5 dimensions"},
      {"dimensions of all bits", B(1).text("a").u32(UINT32_MAX).zeros(64).str(), "has 4294967295 dimensions"},
      {"a dimension of 0", with_tensor({32, 0}, 0), "dimension of 0, must be at least 1"},
      {"a negative dimension", with_tensor({kHuge}, 0), "must have at most 1125899906842624 elements"},
      {"a product that wraps to 0", with_tensor({1ULL << 32, 1ULL << 32}, 0), "elements"},
      {"a product that wraps to a small number", with_tensor({1ULL << 63, 2, 32}, 0), "elements"},
      {"more bytes than elements allow", with_tensor({1ULL << 50}, 27), "must have at most 1125899906842624"},
      {"an exabyte in a small file", with_tensor({1ULL << 40}, 0), "ends at 4398046511168 but the file has"},
      {"unknown type", with_tensor({32}, 99), "has type 99, which is unknown or was removed"},
      {"removed type 4", with_tensor({32}, 4), "has type 4"},
      {"removed type 31", with_tensor({32}, 31), "has type 31"},
      {"rows that split a block", with_tensor({100}, 12), "rows of 100 elements, must be a multiple of 256 for Q4_K"},
      {"rows that split a small block", with_tensor({48}, 39), "multiple of 32 for MXFP4"},
      {"offset not 0", with_tensor({32}, 0, 32), "has offset 32, must be 0"},
      {"offset of all bits", with_tensor({32}, 0, kHuge), "has offset 18446744073709551615"},
      {"overlap",
       B(2).tensor("a", {32}, 0, 0).tensor("b", {32}, 0, 64).pad().zeros(512).str(),
       "offset 64, must be 128"},
      {"gap", B(2).tensor("a", {32}, 0, 0).tensor("b", {32}, 0, 160).pad().zeros(512).str(), "offset 160, must be 128"},
      {"data cut off", B(1).tensor("a", {64}, 0, 0).pad().zeros(255).str(), "the file is truncated"},
      {"header and no data", B(1).tensor("a", {64}, 0, 0).pad().str(), "it holds the header and no weights"},
      {"no room for padding", B(1).tensor("abc", {64}, 0, 0).str(), "tensor data starts at"},
      {"index cut off", B(2).tensor("a", {32}, 0, 0).u64(1).raw("b").u32(4).zeros(24).str(), "tensor 1 \"b\" needs"},
      {"index that is too short for its count", B(2).tensor("a", {32}, 0, 0).zeros(31).str(), "hold at most 1"},
  };
}

}  // namespace

TEST_CASE("every bad header is refused with what is wrong, and allocates next to nothing") {
  std::size_t tried = 0;
  for (const auto& table : {bad_beginnings(), bad_keys(), bad_tensors()}) {
    for (const BadHeader& bad : table) {
      CAPTURE(bad.what);
      const std::uint64_t before = g_allocated_bytes;
      const auto file = read_gguf(detail::bytes_of(bad.bytes));
      const std::uint64_t allocated = g_allocated_bytes - before;
      REQUIRE_FALSE(file.has_value());
      CHECK(file.error().code == Code::kInvalid);
      CAPTURE(file.error().message);
      CHECK(file.error().message.find(bad.message) != std::string::npos);
      CHECK(allocated <= 4096 + 4 * bad.bytes.size());
      ++tried;
    }
  }
  CHECK(tried >= 60);
}

TEST_CASE("declared tensor sizes are bounded even when only metadata is asked for") {
  const GgufOptions metadata_only{.metadata_only = true};
  CHECK_FALSE(read_gguf(detail::bytes_of(with_tensor({1ULL << 50, 2}, 0)), metadata_only).has_value());
  CHECK_FALSE(read_gguf(detail::bytes_of(with_tensor({1ULL << 49}, 0)), metadata_only).has_value());
  const std::uint64_t half = 1ULL << 49;
  const std::string sum =
      B(3).tensor("a", {half}, 24, 0).tensor("b", {half}, 24, half).tensor("c", {32}, 24, 2 * half).pad().str();
  const auto file = read_gguf(detail::bytes_of(sum), metadata_only);
  REQUIRE_FALSE(file.has_value());
  CHECK(file.error().message ==
        "tensor 2 \"c\" ends at 1125899906842656 of the tensor data, which may have at most 1125899906842624 bytes");
}

TEST_CASE("the most keys and tensors that fit a file cost memory in proportion to it") {
  B many(0, 16'384);
  for (std::uint32_t i = 0; i < 16'384; ++i) many.key("k" + std::to_string(i), 0).u8(1);
  const std::uint64_t before = g_allocated_bytes;
  const auto file = read_gguf(many.bytes());
  const std::uint64_t allocated = g_allocated_bytes - before;
  REQUIRE(file.has_value());
  CHECK(allocated <= 64 * many.str().size());  // an entry is 14 bytes in the file and a map node here
}

TEST_CASE("a header is refused when it is cut off at any byte") {
  const std::string whole = detail::slurp("tests/data/metadata/llama-3.2-1b.gguf");
  REQUIRE(whole.size() > 9000);
  const GgufOptions metadata_only{.metadata_only = true};
  REQUIRE(read_gguf(detail::bytes_of(whole), metadata_only).has_value());
  for (std::size_t size = 0; size < whole.size(); size += testing::kOneRoundIn) {
    const auto cut = read_gguf(detail::bytes_of(std::string_view(whole).substr(0, size)), metadata_only);
    CAPTURE(size);
    REQUIRE_FALSE(cut.has_value());
    REQUIRE(cut.error().code == Code::kInvalid);
  }
}

TEST_CASE("no changed byte of a header crashes the reader or the facts") {
  const std::string whole = detail::slurp("tests/data/metadata/llama-3.2-1b.gguf");
  REQUIRE(!whole.empty());
  constexpr std::uint64_t kSeed = 20261123;
  Rng rng(kSeed);
  std::size_t read = 0;
  for (std::size_t i = 0; i < whole.size(); i += testing::kOneRoundIn) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ static_cast<char>(1 + rng.below(255)));
    const auto file = read_gguf(detail::bytes_of(changed), {.metadata_only = true});
    if (!file) continue;
    ++read;
    const auto facts = facts_from_gguf(*file);
    if (facts) CHECK(facts->layer_weights.size() == facts->layers.value_or(0));
  }
  CHECK(read > 100 / testing::kOneRoundIn);  // changed names and numbers still make files; else nothing behind the
                                             // reader was tried
}

}  // namespace berth::metadata
