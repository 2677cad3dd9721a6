#include <fmt/format.h>

#include "base/text.h"
#include "metadata/detail/byte_reader.h"
#include "metadata/detail/json_events.h"
#include "metadata/safetensors.h"

namespace berth::metadata {

namespace {

constexpr std::size_t kFileNameMaxBytes = 255;

/// {"metadata": {"total_size": n}, "weight_map": {"tensor": "file", …}}; other members are passed over.
class IndexEvents final : public detail::JsonEvents {
 public:
  Result<void> begin(bool object) override {
    if (depth_ == 0 && !object) return invalid("index must be an object");
    if (is_total_size()) return not_bytes(object ? "an object" : "an array");
    ++depth_;
    return {};
  }
  Result<void> end() override {
    --depth_;
    return {};
  }
  Result<void> key(std::string_view name) override {
    if (depth_ == 1) section_ = name;
    if (depth_ == 2) field_ = name;
    return {};
  }
  Result<void> text(std::string_view value) override {
    if (is_total_size()) return not_bytes(detail::quoted(value));
    if (depth_ != 2 || section_ != "weight_map") return {};
    const bool plain = !value.empty() && value.size() <= kFileNameMaxBytes && value != "." && value != ".." &&
                       value.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
    if (!plain) {
      return invalid(fmt::format("weight_map names the file \"{}\", must be a name without a path",
                                 printable(value.substr(0, kFileNameMaxBytes))));
    }
    if (index_.files.contains(std::string(value))) return {};
    if (index_.files.size() == kSafetensorsFilesMax) {
      return invalid(fmt::format("weight_map names more than {} files", kSafetensorsFilesMax));
    }
    index_.files.emplace(value);
    return {};
  }
  Result<void> unsigned_integer(std::uint64_t value) override {
    if (depth_ != 2 || section_ != "metadata") return {};
    if (field_ == "total_parameters") return parameters(value);
    if (field_ != "total_size") return {};
    if (value == 0 || value > kSafetensorsDataMaxBytes) {
      return invalid(fmt::format("metadata.total_size is {}, must be from 1 to {}", value, kSafetensorsDataMaxBytes));
    }
    index_.total_size = value;
    return {};
  }
  Result<void> other(std::string_view value) override {
    if (is_total_size()) return not_bytes(value);
    return {};
  }

  Result<SafetensorsIndex> finish() {
    if (index_.total_size == Bytes(0)) return invalid("metadata.total_size is missing");
    return std::move(index_);
  }

 private:
  [[nodiscard]] bool is_total_size() const { return depth_ == 2 && section_ == "metadata" && field_ == "total_size"; }
  static Error not_bytes(std::string_view value) {
    return invalid(
        fmt::format("metadata.total_size is {}, must be a whole number from 1 to {}", value, kSafetensorsDataMaxBytes));
  }

  Result<void> parameters(std::uint64_t value) {
    if (value == 0 || value > kSafetensorsParametersMax) {
      return invalid(
          fmt::format("metadata.total_parameters is {}, must be from 1 to {}", value, kSafetensorsParametersMax));
    }
    index_.parameters = value;
    return {};
  }

  SafetensorsIndex index_;
  std::string section_;
  std::string field_;
  int depth_ = 0;
};

}  // namespace

Result<SafetensorsIndex> read_safetensors_index(std::string_view json) {
  IndexEvents events;
  TRY_VOID(detail::read_json(json, kSafetensorsIndexMaxBytes, events));
  return events.finish();
}

fleet::ModelFacts with_weights(fleet::ModelFacts facts, const SafetensorsIndex& index) {
  facts.format = "safetensors";
  facts.weight_bytes = index.total_size;
  if (index.parameters) facts.parameters = index.parameters;
  return facts;
}

}  // namespace berth::metadata
