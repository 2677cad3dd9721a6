#include "metadata/detail/ggml_types.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"

namespace berth::metadata::detail {

namespace {

constexpr std::array kTypes = {
    GgmlType{0, "F32", 1, 4, false},        GgmlType{1, "F16", 1, 2, false},
    GgmlType{2, "Q4_0", 32, 18, true},      GgmlType{3, "Q4_1", 32, 20, true},
    GgmlType{6, "Q5_0", 32, 22, true},      GgmlType{7, "Q5_1", 32, 24, true},
    GgmlType{8, "Q8_0", 32, 34, true},      GgmlType{9, "Q8_1", 32, 36, true},
    GgmlType{10, "Q2_K", 256, 84, true},    GgmlType{11, "Q3_K", 256, 110, true},
    GgmlType{12, "Q4_K", 256, 144, true},   GgmlType{13, "Q5_K", 256, 176, true},
    GgmlType{14, "Q6_K", 256, 210, true},   GgmlType{15, "Q8_K", 256, 292, true},
    GgmlType{16, "IQ2_XXS", 256, 66, true}, GgmlType{17, "IQ2_XS", 256, 74, true},
    GgmlType{18, "IQ3_XXS", 256, 98, true}, GgmlType{19, "IQ1_S", 256, 50, true},
    GgmlType{20, "IQ4_NL", 32, 18, true},   GgmlType{21, "IQ3_S", 256, 110, true},
    GgmlType{22, "IQ2_S", 256, 82, true},   GgmlType{23, "IQ4_XS", 256, 136, true},
    GgmlType{24, "I8", 1, 1, false},        GgmlType{25, "I16", 1, 2, false},
    GgmlType{26, "I32", 1, 4, false},       GgmlType{27, "I64", 1, 8, false},
    GgmlType{28, "F64", 1, 8, false},       GgmlType{29, "IQ1_M", 256, 56, true},
    GgmlType{30, "BF16", 1, 2, false},      GgmlType{34, "TQ1_0", 256, 54, true},
    GgmlType{35, "TQ2_0", 256, 66, true},   GgmlType{39, "MXFP4", 32, 17, true},
    GgmlType{40, "NVFP4", 64, 36, true},    GgmlType{41, "Q1_0", 128, 18, true},
    GgmlType{42, "Q2_0", 64, 18, true},
};

constexpr std::array kFileTypes = std::to_array<std::pair<std::uint32_t, std::string_view>>({
    {0, "F32"},     {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},    {7, "Q8_0"},    {8, "Q5_0"},    {9, "Q5_1"},
    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},  {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"},
    {17, "Q5_K_M"}, {18, "Q6_K"},   {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"}, {23, "IQ3_XXS"},
    {24, "IQ1_S"},  {25, "IQ4_NL"}, {26, "IQ3_S"},   {27, "IQ3_M"},  {28, "IQ2_S"},  {29, "IQ2_M"},  {30, "IQ4_XS"},
    {31, "IQ1_M"},  {32, "BF16"},   {36, "TQ1_0"},   {37, "TQ2_0"},  {38, "MXFP4"},  {39, "NVFP4"},  {40, "Q1_0"},
});

constexpr std::uint64_t kDeviceAlignmentBytes = 128;
constexpr std::uint64_t kDeviceRowElements = 512;

}  // namespace

const GgmlType* ggml_type(std::uint32_t id) {
  const auto* found = std::ranges::find(kTypes, id, &GgmlType::id);
  return found == kTypes.end() ? nullptr : &*found;
}

std::optional<std::string_view> file_type_name(std::uint64_t file_type) {
  for (const auto& [id, name] : kFileTypes) {
    if (id == file_type) return name;
  }
  return std::nullopt;
}

std::uint64_t device_bytes(const GgmlType& type, std::uint64_t row_elements, std::uint64_t bytes) {
  const std::uint64_t odd = row_elements % kDeviceRowElements;
  if (type.quantized && odd != 0) {
    bytes = sat_add(bytes, (kDeviceRowElements - odd) / type.block_elements * type.block_bytes);
  }
  return round_up(bytes, kDeviceAlignmentBytes);
}

}  // namespace berth::metadata::detail
