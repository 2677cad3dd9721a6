#pragma once
// How text looks: colours only where they are wanted, marks that fall back to ASCII.

#include <string>
#include <string_view>
#include <vector>

#include "cli/environment.h"

namespace berth::cli {

enum class Ink { kPlain, kBold, kDim, kRed, kGreen, kYellow };

struct Marks {
  std::string_view yes, no, warn, unknown, skipped, dot;
};

class Terminal {
 public:
  /// Colours: stdout is a terminal or CLICOLOR_FORCE is set and not "0", and neither NO_COLOR (any value) nor TERM=dumb
  /// is set. Marks beyond ASCII: the first of LC_ALL, LC_CTYPE, LANG that is set names UTF-8.
  static Terminal of(const Environment& environment);
  Terminal(bool colour, bool utf8) : colour_(colour), utf8_(utf8) {}

  [[nodiscard]] std::string paint(Ink ink, std::string_view text) const;
  [[nodiscard]] const Marks& marks() const;
  [[nodiscard]] bool colour() const { return colour_; }
  [[nodiscard]] bool utf8() const { return utf8_; }
  /// Replaces what the locale cannot show: "×" by "x", "…" by "...".
  [[nodiscard]] std::string plain(std::string text) const;

 private:
  bool colour_;
  bool utf8_;
};

/// Columns that `text` takes: code points, East Asian wide ones twice, without escape sequences.
std::size_t columns(std::string_view text);
/// Breaks at spaces so that lines stay within `width`; the first line starts with `first` spaces, the others with
/// `others`.
std::string wrapped(std::string_view text, std::size_t width, std::size_t first = 0, std::size_t others = 0);

/// Left-aligned columns two spaces apart; no space after the last.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) : rows_{std::move(titles)} {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// Columns to align right, counted from 0.
  void align_right(std::vector<std::size_t> list) { right_ = std::move(list); }
  [[nodiscard]] std::string text(std::string_view indent = "") const;
  [[nodiscard]] bool empty() const { return rows_.size() < 2; }
  /// Of every row below the titles.
  [[nodiscard]] std::vector<std::string> first_cells() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> right_;
};

}  // namespace berth::cli
