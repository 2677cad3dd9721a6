#include "metadata/safetensors.h"

#include <array>
#include <doctest/doctest.h>

#include "metadata/detail/test_files.h"
#include "metadata/hf_config.h"

namespace berth::metadata {

namespace {

using detail::bytes_of;

/// Length, header and `data_bytes` of data.
std::string file_of(const std::string& json, std::size_t data_bytes) {
  const std::uint64_t length = json.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + json + std::string(data_bytes, '\0');
}

std::string error(const std::string& json, std::size_t data_bytes) {
  const std::string file = file_of(json, data_bytes);
  const auto header = read_safetensors_header(bytes_of(file), file.size());
  return header ? std::string("no error") : header.error().message;
}

const std::string kTwo = R"({"__metadata__": {"format": "pt", "n": "1"},
  "b": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [24, 32]},
  "a": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]}})";

}  // namespace

TEST_CASE("a header gives bytes, tensors and parameters") {
  const std::string file = file_of(kTwo, 32);
  CHECK(safetensors_header_end(bytes_of(file).first(8), file.size()).value() == kTwo.size() + 8);
  const auto header = read_safetensors_header(bytes_of(file), file.size());
  REQUIRE_MESSAGE(header.has_value(), header.error().message);
  CHECK(header->data_offset == kTwo.size() + 8);
  CHECK(header->data_bytes == Bytes(32));
  CHECK(header->tensors == 2);
  CHECK(header->elements == 20);
  CHECK(header->bytes_by_dtype.at("BF16") == 24);
  const auto facts = with_weights(*facts_from_hf_config("{}"), std::array{*header, *header});
  CHECK(facts.weight_bytes == Bytes(64));
  CHECK(facts.parameters == 40);
  CHECK(facts.format == "safetensors");
}

TEST_CASE("only the header has to be at hand, the size of the file is enough for the rest") {
  const std::string file = file_of(kTwo, 32);
  const auto bytes = bytes_of(file);
  CHECK(read_safetensors_header(bytes.first(kTwo.size() + 8), file.size()).has_value());
  CHECK(read_safetensors_header(bytes.first(kTwo.size() + 7), file.size()).error().code == Code::kUnavailable);
  CHECK(read_safetensors_header(bytes, file.size() - 1).error().code == Code::kInvalid);
}

TEST_CASE("a file without tensors, or with empty ones only, holds no weights") {
  const std::string none = "the file has no tensors, or none with data: it holds no weights";
  CHECK(error("{}", 0) == none);
  CHECK(error(R"({"__metadata__": {"format": "pt"}})", 0) == none);
  CHECK(error(R"({"a": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}})", 0) == none);
}

TEST_CASE("packed integers are not counted as parameters") {
  const std::string file = file_of(R"({"q": {"dtype": "I32", "shape": [4], "data_offsets": [0, 16]}})", 16);
  const auto header = read_safetensors_header(bytes_of(file), file.size());
  REQUIRE(header.has_value());
  CHECK_FALSE(with_weights({}, std::span(&*header, 1)).parameters.has_value());
}

TEST_CASE("bad safetensors headers are refused with what is wrong") {
  const auto one = [](const std::string& fields) { return R"({"t": {)" + fields + "}}"; };
  CHECK(error("[]", 0) == "header must be an object");
  CHECK(error("{", 0).find("not valid JSON") == 0);
  CHECK(error(R"({"t": 5})", 0) == "tensor \"t\" has a value of the wrong kind");
  CHECK(error(R"({"t": []})", 0) == "tensor \"t\" must be an object");
  CHECK(error(one(R"("shape": [1], "data_offsets": [0, 4])"), 4).find("must have dtype, shape") != std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "data_offsets": [0, 4])"), 4).find("must have dtype") != std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "shape": [1])"), 4).find("two data_offsets") != std::string::npos);
  CHECK(error(one(R"("dtype": "F31", "shape": [1], "data_offsets": [0, 4])"), 4) ==
        "tensor \"t\" has an unknown dtype \"F31\"");
  CHECK(error(one(R"("dtype": "F32", "shape": [-1], "data_offsets": [0, 4])"), 4).find("wrong kind") !=
        std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "shape": [2], "data_offsets": [0, 4])"), 4) ==
        "tensor \"t\" has 2 elements of F32 but 4 bytes of data");
  CHECK(error(one(R"("dtype": "F4", "shape": [3], "data_offsets": [0, 1])"), 1).find("3 elements of F4") !=
        std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0])"), 0) ==
        "tensor \"t\" has more than 1125899906842624 elements");
  CHECK(error(one(R"("dtype": "F32", "shape": [1], "data_offsets": [8, 4])"), 4).find("must rise") !=
        std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 18446744073709551615])"), 4).find("must rise") !=
        std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "shape": [1], "data_offsets": [4, 8])"), 8) ==
        "a tensor begins at 4 of the data, must be 0: gap or overlap");
  CHECK(error(one(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8])"), 4) ==
        "tensor \"t\" has more than 2 data_offsets");
  CHECK(error(one(R"("dtype": "F32", "shape": [[1]], "data_offsets": [0, 4])"), 4).find("wrong kind") !=
        std::string::npos);
  CHECK(error(one(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": 1)"), 4).find("unknown field \"x\"") !=
        std::string::npos);
  CHECK(error(kTwo, 31).find("the file is truncated or damaged") != std::string::npos);
  CHECK(error(kTwo, 33).find("the file is truncated or damaged") != std::string::npos);
  const std::string twice = R"("t": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})";
  CHECK(error("{" + twice + "," + twice + "}", 0) == "a tensor name occurs twice");
}

TEST_CASE("the length in front is bounded by the limit and the file") {
  CHECK(safetensors_header_end(bytes_of("1234567"), 7).error().code == Code::kInvalid);
  const std::string huge(8, '\xff');
  CHECK(safetensors_header_end(bytes_of(huge), 1ULL << 60).error().code == Code::kTooLarge);
  const std::string beyond = std::string("\x10", 1) + std::string(7, '\0');
  CHECK(safetensors_header_end(bytes_of(beyond), 20).error().message ==
        "header length is 16, but the file has 20 bytes: truncated or damaged");
}

TEST_CASE("no cut of a file is accepted") {
  const std::string file = file_of(kTwo, 32);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CHECK_FALSE(read_safetensors_header(bytes_of(file).first(size), size).has_value());
  }
}

TEST_CASE("an index gives the total of all files, which completes a config") {
  const auto index = read_safetensors_index(R"({"metadata": {"total_parameters": 32, "total_size": 64.0},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
                   "c": "model-00001-of-00002.safetensors"}})");
  REQUIRE_MESSAGE(index.has_value(), index.error().message);
  CHECK(index->files.size() == 2);
  const auto facts = with_weights(*facts_from_hf_config(R"({"num_hidden_layers": 2})"), *index);
  CHECK(facts.weight_bytes == Bytes(64));
  CHECK(facts.parameters == 32);
  CHECK(facts.layers == 2);
}

TEST_CASE("a bad index is refused") {
  const auto message = [](std::string_view json) {
    const auto index = read_safetensors_index(json);
    return index ? std::string("no error") : index.error().message;
  };
  CHECK(message("{}") == "metadata.total_size is missing");
  CHECK(message("5") == "metadata.total_size is missing");
  CHECK(message("[]") == "index must be an object");
  for (const std::string value : {"\"64\"", "-1", "1.5", "null", "true"})
    CHECK(message(R"({"metadata": {"total_size": )" + value + "}}") ==
          "metadata.total_size is " + value + ", must be a whole number from 1 to 1125899906842624");
  CHECK(message(R"({"metadata": {"total_size": [64]}})").starts_with("metadata.total_size is an array, must be"));
  CHECK(message(R"({"metadata": {"total_size": 18446744073709551615}})").find("must be from 1 to") !=
        std::string::npos);
  CHECK(message(R"({"metadata": {"total_size": 1, "total_parameters": 18446744073709551615}})")
            .find("metadata.total_parameters is 18446744073709551615, must be from 1 to") != std::string::npos);
  for (const std::string name : {"../x", "a/b", "", "..", "a\\\\b", "a\\u0000b"}) {
    CHECK(message(R"({"metadata": {"total_size": 1}, "weight_map": {"a": ")" + name + R"("}})")
              .find("must be a name without a path") != std::string::npos);
  }
}

}  // namespace berth::metadata
