#pragma once
// The pieces of a rendered decision; each adds its paragraph to one text.

#include <string>
#include <string_view>
#include <vector>

#include "cli/render.h"

namespace berth::cli::detail {

class Page {
 public:
  Page(const Terminal& terminal, Figures figures, const RenderOptions& options)
      : terminal_(terminal), figures_(std::move(figures)), options_(options) {}

  void verdict(const fleet::Decision& decision);
  void plans(const fleet::Decision& decision);
  void holders(const fleet::Decision& decision);
  void lines(const fleet::Decision& decision);
  void counts(const fleet::Report& report);
  void pages(const fleet::Report& report);
  void remarks(const fleet::Decision& decision);
  void fixes(const fleet::Decision& decision, const std::optional<std::vector<fleet::Fix>>& fixes);

  [[nodiscard]] std::string take() { return terminal_.plain(std::move(text_)); }

 private:
  [[nodiscard]] std::string_view say(std::string_view english, std::string_view chinese) const {
    return options_.language == placement::Language::kChinese ? chinese : english;
  }
  void blank() { text_ += "\n"; }
  void title(std::string_view english, std::string_view chinese);
  /// A wrapped line; what follows a break starts `hang` columns to the right of `indent`.
  void line(std::string_view text, std::size_t indent = 0, std::size_t hang = 2);

  void plan(const fleet::Plan& plan, std::size_t number, std::size_t of);
  void claims(const fleet::Plan& plan, const fleet::PlanWorker& part);
  void claim_line(const std::string& worker, const std::string& device, Bytes claim, const std::string& sum);
  void parts(const fleet::Plan& plan);
  void fix(const fleet::Fix& fix, std::size_t number);
  /// `same`: other engines of which the same is said.
  void line_block(const fleet::WorkerLine& line, const std::vector<std::string>& same);
  void result(const fleet::RuleResult& r);

  const Terminal& terminal_;
  Figures figures_;
  const RenderOptions& options_;
  std::string text_;
};

/// "weights 61.02 + KV cache 2.00 + compute 0.31 = 63.33 GiB" for one device of a plan, "host" for RAM; empty without
/// parts. Highs, as they are what is claimed.
std::string sum_of(const fleet::Plan& plan, const std::string& worker, const std::string& device);
/// Σ high of the same parts.
Bytes need_of(const fleet::Plan& plan, const std::string& worker, const std::string& device);
std::string engine_text(const std::string& engine, const std::string& version);
std::string layout_text(const fleet::Plan& plan);

}  // namespace berth::cli::detail
