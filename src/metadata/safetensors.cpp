#include "metadata/safetensors.h"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "base/hash.h"
#include "metadata/detail/byte_reader.h"
#include "metadata/detail/json_events.h"

namespace berth::metadata {

namespace {

using detail::quoted;

constexpr std::uint64_t kHeaderLengthBytes = 8;
constexpr std::uint64_t kDimsMax = 64;

struct Dtype {
  std::string_view name;
  std::uint64_t bits = 0;
  bool real = false;  // one element is one parameter; packed integers may hold several
};
constexpr Dtype kDtypes[] = {
    {"F64", 64, true},    {"F32", 32, true},    {"F16", 16, true},    {"BF16", 16, true},   {"F8_E4M3", 8, true},
    {"F8_E5M2", 8, true}, {"F8_E8M0", 8, true}, {"F6_E2M3", 6, true}, {"F6_E3M2", 6, true}, {"F4", 4, true},
    {"I64", 64, false},   {"I32", 32, false},   {"I16", 16, false},   {"I8", 8, false},     {"U64", 64, false},
    {"U32", 32, false},   {"U16", 16, false},   {"U8", 8, false},     {"BOOL", 8, false},   {"C64", 64, false},
};

const Dtype* find_dtype(std::string_view name) {
  const auto* found = std::ranges::find(kDtypes, name, &Dtype::name);
  return found == std::end(kDtypes) ? nullptr : found;
}

/// Collects the tensors of a header: {"name": {"dtype": …, "shape": […], "data_offsets": [begin, end]}, …}.
class HeaderEvents final : public detail::JsonEvents {
 public:
  Result<void> begin(bool object) override {
    ++depth_;
    if (depth_ == 1 && !object) return invalid("header must be an object");
    if (in_metadata()) return {};
    if (depth_ == 2) {
      if (!object) return invalid(label() + " must be an object");
      tensor_ = {};
    }
    if (depth_ == 3 && (object || (field_ != "shape" && field_ != "data_offsets"))) return unexpected();
    if (depth_ > 3) return unexpected();
    if (depth_ == 3 && field_ == "shape") tensor_.shaped = true;
    return {};
  }

  Result<void> end() override {
    --depth_;
    if (depth_ == 1 && name_ != kMetadata) return finish_tensor();
    return {};
  }

  Result<void> key(std::string_view name) override {
    if (depth_ == 1) name_ = name;
    if (depth_ == 2 && !in_metadata()) {
      if (name != "dtype" && name != "shape" && name != "data_offsets") {
        return invalid(fmt::format("{} has an unknown field {}", label(), quoted(name)));
      }
      field_ = name;
    }
    return {};
  }

  Result<void> text(std::string_view value) override {
    if (in_metadata()) return {};
    if (depth_ != 2 || field_ != "dtype") return unexpected();
    tensor_.dtype = find_dtype(value);
    if (tensor_.dtype == nullptr) return invalid(fmt::format("{} has an unknown dtype {}", label(), quoted(value)));
    return {};
  }

  Result<void> unsigned_integer(std::uint64_t value) override {
    if (in_metadata()) return {};
    if (depth_ != 3) return unexpected();
    if (field_ == "shape") {
      if (++tensor_.dims > kDimsMax) return invalid(fmt::format("{} has more than {} dimensions", label(), kDimsMax));
      if (value != 0 && tensor_.elements > kSafetensorsDataMaxBytes / value) {
        return invalid(fmt::format("{} has more than {} elements", label(), kSafetensorsDataMaxBytes));
      }
      tensor_.elements *= value;
      return {};
    }
    if (tensor_.offsets == 2) return invalid(label() + " has more than 2 data_offsets");
    (tensor_.offsets++ == 0 ? tensor_.begin : tensor_.end) = value;
    return {};
  }

  Result<void> other(std::string_view) override {
    if (in_metadata()) return {};
    return unexpected();
  }

  /// Checks what can only be seen with all tensors at hand.
  Result<SafetensorsHeader> finish() {
    if (depth_ != 0) return invalid("header is not complete");
    std::ranges::sort(names_);
    if (std::ranges::adjacent_find(names_) != names_.end()) return invalid("a tensor name occurs twice");
    std::ranges::sort(ranges_);
    std::uint64_t expected = 0;
    for (const auto& [begin, end] : ranges_) {
      if (begin != expected) {
        return invalid(fmt::format("a tensor begins at {} of the data, must be {}: gap or overlap", begin, expected));
      }
      expected = end;
    }
    if (expected == 0) return invalid("the file has no tensors, or none with data: it holds no weights");
    header_.data_bytes = expected;
    return header_;
  }

 private:
  static constexpr std::string_view kMetadata = "__metadata__";

  struct Tensor {
    const Dtype* dtype = nullptr;
    std::uint64_t dims = 0;
    std::uint64_t elements = 1;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    int offsets = 0;
    bool shaped = false;
  };

  [[nodiscard]] bool in_metadata() const { return depth_ >= 1 && name_ == kMetadata; }
  [[nodiscard]] std::string label() const { return "tensor " + quoted(name_); }
  [[nodiscard]] Error unexpected() const { return invalid(label() + " has a value of the wrong kind"); }

  Result<void> finish_tensor() {
    const Tensor& t = tensor_;
    if (t.dtype == nullptr || !t.shaped || t.offsets != 2)
      return invalid(label() + " must have dtype, shape and two data_offsets");
    if (t.end < t.begin || t.end > kSafetensorsDataMaxBytes) {
      return invalid(fmt::format("{} has data_offsets {} to {}, must rise and be at most {}",
                                 label(),
                                 t.begin,
                                 t.end,
                                 kSafetensorsDataMaxBytes));
    }
    // No overflow: at most 2^50 elements of 64 bits need 2^56.
    const std::uint64_t bits = t.elements * t.dtype->bits;
    if (bits % 8 != 0 || bits / 8 != t.end - t.begin) {
      return invalid(fmt::format(
          "{} has {} elements of {} but {} bytes of data", label(), t.elements, t.dtype->name, t.end - t.begin));
    }
    if (++header_.tensors > kSafetensorsTensorsMax) {
      return invalid(fmt::format("more than {} tensors", kSafetensorsTensorsMax));
    }
    header_.elements = sat_add(header_.elements, t.elements);
    header_.bytes_by_dtype[std::string(t.dtype->name)] += t.end - t.begin;
    if (t.end > t.begin) ranges_.emplace_back(t.begin, t.end);
    names_.push_back(Hasher().add(name_).finish());
    tensor_ = {};
    return {};
  }

  SafetensorsHeader header_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;
  std::vector<Hash> names_;
  std::string name_;
  std::string field_;
  Tensor tensor_;
  int depth_ = 0;
};

}  // namespace

Result<std::uint64_t> safetensors_header_end(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  detail::ByteReader reader(bytes.first(std::min<std::size_t>(bytes.size(), kHeaderLengthBytes)),
                            {.file_bytes = file_bytes, .header_bytes = kHeaderLengthBytes});
  TRY(const auto length, reader.number<std::uint64_t>("header length"));
  if (length > kSafetensorsHeaderMaxBytes) {
    return fail(Code::kTooLarge,
                fmt::format("header length is {}, must be at most {}", length, kSafetensorsHeaderMaxBytes));
  }
  if (length > file_bytes - kHeaderLengthBytes) {
    return invalid(
        fmt::format("header length is {}, but the file has {} bytes: truncated or damaged", length, file_bytes));
  }
  return kHeaderLengthBytes + length;
}

Result<SafetensorsHeader> read_safetensors_header(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  if (file_bytes < bytes.size()) {
    return invalid(fmt::format("file size is {}, but {} bytes are at hand", file_bytes, bytes.size()));
  }
  TRY(const std::uint64_t end, safetensors_header_end(bytes, file_bytes));
  if (end > bytes.size()) {
    return fail(Code::kUnavailable, fmt::format("header needs the first {} bytes, {} are at hand", end, bytes.size()));
  }
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + kHeaderLengthBytes,
                              end - kHeaderLengthBytes);
  HeaderEvents events;
  TRY_VOID(detail::read_json(json, kSafetensorsHeaderMaxBytes, events));
  TRY(SafetensorsHeader header, events.finish());
  header.data_offset = end;
  if (header.data_bytes != Bytes(file_bytes - end)) {
    return invalid(fmt::format("tensors end at {} but the file has {} bytes: the file is truncated or damaged",
                               end + header.data_bytes.value,
                               file_bytes));
  }
  return header;
}

fleet::ModelFacts with_weights(fleet::ModelFacts facts, std::span<const SafetensorsHeader> files) {
  Bytes total;
  std::uint64_t elements = 0;
  bool real = true;
  for (const SafetensorsHeader& file : files) {
    total += file.data_bytes;
    elements = sat_add(elements, file.elements);
    for (const auto& [name, bytes] : file.bytes_by_dtype) {
      const Dtype* dtype = find_dtype(name);
      real = real && dtype != nullptr && dtype->real;
    }
  }
  facts.format = "safetensors";
  facts.weight_bytes = total;
  if (real) facts.parameters = elements;
  return facts;
}

}  // namespace berth::metadata
