#include <algorithm>
#include <bit>
#include <fmt/format.h>
#include <limits>

#include "base/bytes.h"
#include "metadata/detail/byte_reader.h"
#include "metadata/detail/ggml_types.h"
#include "metadata/gguf.h"

namespace berth::metadata {

namespace {

using detail::ByteReader;
using detail::Part;
using detail::quoted;

enum ValueType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
constexpr std::uint32_t kValueTypesEnd = 13;

constexpr std::uint64_t kLengthBytes = 8;
// Smallest possible entries, which bound the declared counts: length, one character, type, one byte of value; and
// length, one character, dimension count, one dimension, type, offset.
constexpr std::uint64_t kKeyEntryMinBytes = kLengthBytes + 1 + 4 + 1;
constexpr std::uint64_t kTensorEntryMinBytes = kLengthBytes + 1 + 4 + 8 + 4 + 8;
/// Smallest size of one element of an array; 0: not allowed in arrays.
std::uint64_t element_min_bytes(std::uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
    case kString:
      return kLengthBytes;
    default:
      return 0;
  }
}

Result<std::string_view> read_text(ByteReader& reader, std::uint64_t max_bytes, const Part& what) {
  TRY(const auto length, reader.number<std::uint64_t>(what));
  if (length > max_bytes) {
    return invalid(fmt::format("{} has a length of {} bytes, must be at most {}", what.text(), length, max_bytes));
  }
  return reader.take(length, what);
}

template <class T>
Result<GgufValue> read_integer(ByteReader& reader, const Part& what) {
  TRY(const T value, reader.number<T>(what));
  if constexpr (std::is_signed_v<T>) {
    if (value < 0) return GgufValue(std::in_place_type<std::int64_t>, value);
  }
  return GgufValue(std::in_place_type<std::uint64_t>, static_cast<std::uint64_t>(value));
}

Result<GgufValue> read_bool(ByteReader& reader, const Part& what) {
  TRY(const auto value, reader.number<std::uint8_t>(what));
  if (value > 1) return invalid(fmt::format("{} is a bool of {}, must be 0 or 1", what.text(), value));
  return GgufValue(value == 1);
}

/// Everything but arrays.
Result<GgufValue> read_scalar(ByteReader& reader, std::uint32_t type, const Part& what) {
  switch (type) {
    case kUint8:
      return read_integer<std::uint8_t>(reader, what);
    case kInt8:
      return read_integer<std::int8_t>(reader, what);
    case kUint16:
      return read_integer<std::uint16_t>(reader, what);
    case kInt16:
      return read_integer<std::int16_t>(reader, what);
    case kUint32:
      return read_integer<std::uint32_t>(reader, what);
    case kInt32:
      return read_integer<std::int32_t>(reader, what);
    case kUint64:
      return read_integer<std::uint64_t>(reader, what);
    case kInt64:
      return read_integer<std::int64_t>(reader, what);
    case kBool:
      return read_bool(reader, what);
    case kFloat32: {
      TRY(const auto value, reader.number<float>(what));
      return GgufValue(static_cast<double>(value));
    }
    case kFloat64: {
      TRY(const auto value, reader.number<double>(what));
      return GgufValue(value);
    }
    case kString: {
      TRY(const auto text, read_text(reader, kGgufHeaderMaxBytes, what));
      if (text.size() > kGgufTextStoredMaxBytes) return GgufValue(GgufLongText{text.size()});
      return GgufValue(std::string(text));
    }
    default:
      return invalid(fmt::format("{} has value type {}, must be below {}", what.text(), type, kValueTypesEnd));
  }
}

Result<GgufValue> read_array(ByteReader& reader, const Part& what) {
  TRY(const auto type, reader.number<std::uint32_t>(what));
  TRY(const auto count, reader.number<std::uint64_t>(what));
  if (type == kArray) return invalid(fmt::format("{} is an array of arrays, which is not allowed", what.text()));
  const std::uint64_t element_bytes = element_min_bytes(type);
  if (element_bytes == 0) {
    return invalid(fmt::format("{} is an array of value type {}, must be below {}", what.text(), type, kValueTypesEnd));
  }
  if (count > reader.remaining() / element_bytes) {
    return invalid(
        fmt::format("{} declares {} elements of at least {} bytes, but {} bytes remain: truncated or damaged",
                    what.text(),
                    count,
                    element_bytes,
                    reader.remaining()));
  }
  GgufArray array{.count = count, .values = {}};
  if (type == kString) {
    for (std::uint64_t i = 0; i < count; ++i) TRY_VOID(read_text(reader, kGgufHeaderMaxBytes, what));
    return GgufValue(std::move(array));
  }
  const bool integers = type != kFloat32 && type != kFloat64;
  if (!integers || count > kGgufArrayStoredMax) {
    TRY_VOID(reader.take(count * element_bytes, what));
    return GgufValue(std::move(array));
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY(const GgufValue value, read_scalar(reader, type, what));
    if (const auto* number = std::get_if<std::uint64_t>(&value)) array.values.push_back(*number);
    if (const auto* flag = std::get_if<bool>(&value)) array.values.push_back(*flag ? 1 : 0);
    // An array with a negative number is no shape of a model: only its length is kept.
    if (std::holds_alternative<std::int64_t>(value)) {
      array.values.clear();
      TRY_VOID(reader.take((count - i - 1) * element_bytes, what));
      break;
    }
  }
  return GgufValue(std::move(array));
}

Result<void> read_key_value(ByteReader& reader, std::uint64_t index, GgufFile& file) {
  const Part where("key", index);
  TRY(const auto key, read_text(reader, kGgufKeyMaxBytes, where));
  if (key.empty()) return invalid(where.text() + " is empty");
  const Part what("key", index, key);
  TRY(const auto type, reader.number<std::uint32_t>(what));
  auto value = type == kArray ? read_array(reader, what) : read_scalar(reader, type, what);
  if (!value) return std::move(value).error();
  if (!file.metadata.emplace(std::string(key), std::move(*value)).second) return invalid(what.text() + " occurs twice");
  return {};
}

Result<void> read_alignment(GgufFile& file) {
  constexpr std::uint64_t kDefault = 32;
  file.alignment = kDefault;
  const auto found = file.metadata.find("general.alignment");
  if (found == file.metadata.end()) return {};
  const auto* value = std::get_if<std::uint64_t>(&found->second);
  if (value == nullptr) return invalid("general.alignment must be an unsigned integer");
  if (!std::has_single_bit(*value) || *value > kGgufAlignmentMax) {
    return invalid(
        fmt::format("general.alignment is {}, must be a power of two from 1 to {}", *value, kGgufAlignmentMax));
  }
  file.alignment = *value;
  return {};
}

/// Sets elements and bytes from dims and type.
Result<void> measure(GgufTensor& tensor, const Part& what) {
  const detail::GgmlType* type = detail::ggml_type(tensor.type);
  if (type == nullptr) {
    return invalid(
        fmt::format("{} has type {}, which is unknown or was removed from the format", what.text(), tensor.type));
  }
  if (tensor.dims[0] % type->block_elements != 0) {
    return invalid(fmt::format("{} has rows of {} elements, must be a multiple of {} for {}",
                               what.text(),
                               tensor.dims[0],
                               type->block_elements,
                               type->name));
  }
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : tensor.dims) {
    if (dim == 0) return invalid(fmt::format("{} has a dimension of 0, must be at least 1", what.text()));
    if (elements > kGgufDataMaxBytes / dim) {
      return invalid(fmt::format("{} has dimensions {} × {} × {} × {}, must have at most {} elements",
                                 what.text(),
                                 tensor.dims[0],
                                 tensor.dims[1],
                                 tensor.dims[2],
                                 tensor.dims[3],
                                 kGgufDataMaxBytes));
    }
    elements *= dim;
  }
  tensor.elements = elements;
  // No overflow: at most 2^50 blocks of at most 292 bytes.
  tensor.bytes = elements / type->block_elements * type->block_bytes;
  if (tensor.bytes > kGgufDataMaxBytes) {
    return invalid(fmt::format("{} has {} bytes, must have at most {}", what.text(), tensor.bytes, kGgufDataMaxBytes));
  }
  return {};
}

Result<void> read_tensor(ByteReader& reader, std::uint64_t index, GgufFile& file) {
  const Part where("tensor", index);
  TRY(const auto name, read_text(reader, kGgufTensorNameMaxBytes, where));
  if (name.empty()) return invalid(where.text() + " has no name");
  const Part what("tensor", index, name);
  TRY(const auto dim_count, reader.number<std::uint32_t>(what));
  if (dim_count < 1 || dim_count > kGgufDimsMax) {
    return invalid(fmt::format("{} has {} dimensions, must have 1 to {}", what.text(), dim_count, kGgufDimsMax));
  }
  GgufTensor tensor;
  tensor.name = name;
  for (std::uint32_t i = 0; i < dim_count; ++i) {
    TRY(tensor.dims[i], reader.number<std::uint64_t>(what));
  }
  TRY(tensor.type, reader.number<std::uint32_t>(what));
  TRY(tensor.offset, reader.number<std::uint64_t>(what));
  TRY_VOID(measure(tensor, what));
  file.tensors.push_back(std::move(tensor));
  return {};
}

Result<void> check_names(const GgufFile& file) {
  std::vector<std::string_view> names;
  names.reserve(file.tensors.size());
  for (const GgufTensor& tensor : file.tensors) names.push_back(tensor.name);
  std::ranges::sort(names);
  const auto twin = std::ranges::adjacent_find(names);
  if (twin != names.end()) return invalid(fmt::format("tensor {} occurs twice", quoted(*twin)));
  return {};
}

/// Tensors follow each other in the order of the index, each padded to the alignment; llama.cpp loads nothing else.
Result<void> check_data(const GgufFile& file, std::uint64_t file_bytes, bool metadata_only) {
  if (!file.tensors.empty() && file.data_offset > file_bytes) {
    return invalid(fmt::format(
        "tensor data starts at {} but the file has {} bytes: the file is truncated", file.data_offset, file_bytes));
  }
  std::uint64_t expected = 0;
  for (std::uint64_t i = 0; i < file.tensors.size(); ++i) {
    const GgufTensor& tensor = file.tensors[i];
    if (tensor.offset != expected) {
      return invalid(fmt::format("{} has offset {}, must be {}, the end of the one before it aligned to {}",
                                 Part("tensor", i, tensor.name).text(),
                                 tensor.offset,
                                 expected,
                                 file.alignment));
    }
    // No overflow: both are at most 2^50.
    const std::uint64_t data_end = tensor.offset + tensor.bytes;
    if (data_end > kGgufDataMaxBytes) {
      return invalid(fmt::format("{} ends at {} of the tensor data, which may have at most {} bytes",
                                 Part("tensor", i, tensor.name).text(),
                                 data_end,
                                 kGgufDataMaxBytes));
    }
    const std::uint64_t end = file.data_offset + data_end;
    if (!metadata_only && end > file_bytes) {
      const bool bare = file_bytes <= file.data_offset;
      return invalid(fmt::format("{} ends at {} but the file has {} bytes: {}",
                                 Part("tensor", i, tensor.name).text(),
                                 end,
                                 file_bytes,
                                 bare ? "it holds the header and no weights" : "the file is truncated"));
    }
    expected = round_up(data_end, file.alignment);
  }
  return {};
}

Result<std::uint32_t> read_version(ByteReader& reader) {
  TRY(const auto magic, reader.take(4, "magic"));
  if (magic != "GGUF") return invalid(fmt::format("file starts with {}, must start with \"GGUF\"", quoted(magic)));
  TRY(const auto version, reader.number<std::uint32_t>("version"));
  if (version != 0 && (version & 0xFFFFU) == 0) return invalid("file is big endian, only little endian is supported");
  if (version != 2 && version != 3) return invalid(fmt::format("version is {}, must be 2 or 3", version));
  return version;
}

Result<std::uint64_t> read_count(ByteReader& reader, const Part& what, std::uint64_t max) {
  TRY(const auto count, reader.number<std::uint64_t>(what));
  if (count > max) return invalid(fmt::format("{} is {}, must be at most {}", what.text(), count, max));
  return count;
}

Result<void> check_count(const ByteReader& reader, const Part& what, std::uint64_t count, std::uint64_t min_bytes) {
  const std::uint64_t most = reader.remaining() / min_bytes;
  if (count <= most) return {};
  return invalid(fmt::format("{} is {}, but the {} bytes that follow hold at most {}: truncated or damaged",
                             what.text(),
                             count,
                             reader.remaining(),
                             most));
}

Result<GgufFile> read_all(ByteReader& reader, std::uint64_t file_bytes, bool metadata_only) {
  GgufFile file;
  TRY(file.version, read_version(reader));
  TRY(const auto tensors, read_count(reader, "tensor count", kGgufTensorsMax));
  TRY(const auto keys, read_count(reader, "key count", kGgufKeysMax));
  TRY_VOID(check_count(reader, "key count", keys, kKeyEntryMinBytes));
  TRY_VOID(check_count(reader, "tensor count", tensors, kTensorEntryMinBytes));
  for (std::uint64_t i = 0; i < keys; ++i) TRY_VOID(read_key_value(reader, i, file));
  TRY_VOID(read_alignment(file));
  TRY_VOID(check_count(reader, "tensor count", tensors, kTensorEntryMinBytes));
  for (std::uint64_t i = 0; i < tensors; ++i) TRY_VOID(read_tensor(reader, i, file));
  file.data_offset = round_up(reader.position(), file.alignment);
  TRY_VOID(check_names(file));
  TRY_VOID(check_data(file, file_bytes, metadata_only));
  return file;
}

}  // namespace

Result<GgufPrefix> read_gguf_prefix(std::span<const std::byte> bytes, const GgufOptions& options) {
  constexpr std::uint64_t kFirstPrefixBytes = 64 * kKiB;
  const std::uint64_t file_bytes = options.file_bytes.value_or(bytes.size());
  if (file_bytes < bytes.size()) {
    return invalid(fmt::format("file size is {}, but {} bytes are at hand", file_bytes, bytes.size()));
  }
  ByteReader reader(bytes, {.file_bytes = file_bytes, .header_bytes = kGgufHeaderMaxBytes});
  auto file = read_all(reader, file_bytes, options.metadata_only);
  if (file) return GgufPrefix{.file = std::move(*file), .need_bytes = 0};
  if (reader.needed() == 0) return std::move(file).error();
  const std::uint64_t wanted = std::max({reader.needed(), std::uint64_t(bytes.size()) * 2, kFirstPrefixBytes});
  return GgufPrefix{.file = std::nullopt, .need_bytes = std::min({wanted, file_bytes, kGgufHeaderMaxBytes})};
}

Result<GgufFile> read_gguf(std::span<const std::byte> bytes, const GgufOptions& options) {
  TRY(GgufPrefix prefix, read_gguf_prefix(bytes, options));
  if (prefix.file) return std::move(*prefix.file);
  return fail(
      Code::kUnavailable,
      fmt::format(
          "the header needs at least the first {} bytes of the file, {} are at hand", prefix.need_bytes, bytes.size()));
}

}  // namespace berth::metadata
