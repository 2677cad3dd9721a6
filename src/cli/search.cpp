// berth search: models of the embedded catalog, offline.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/output.h"
#include "wire/json.h"
#include "wire/model_catalog.h"

namespace berth::cli {
namespace {

using fleet::CatalogModel;

constexpr std::uint32_t kLimit = 20;

struct SearchFlags {
  std::vector<std::string> words;
  std::string category, task, output = "table";
  std::optional<std::uint32_t> limit;
};

/// "32.8B", "596M"; nothing when it is not known.
std::string count_text(std::optional<std::uint64_t> count) {
  if (!count) return "-";
  constexpr double kMillion = 1e6;
  constexpr double kBillion = 1e9;
  const auto v = static_cast<double>(*count);
  if (v >= 999.5 * kBillion) return fmt::format("{:.2f}T", v / (1000 * kBillion));
  if (v >= 99.95 * kBillion) return fmt::format("{:.0f}B", v / kBillion);
  if (v >= 0.9995 * kBillion) return fmt::format("{:.1f}B", v / kBillion);
  return fmt::format("{:.0f}M", v / kMillion);
}

std::string parameters_text(const CatalogModel& model) {
  const auto all = count_text(model.facts.parameters);
  return model.active_parameters ? fmt::format("{} ({} active)", all, count_text(model.active_parameters)) : all;
}

std::string context_text(std::optional<std::uint32_t> tokens) {
  if (!tokens) return "-";
  constexpr std::uint32_t kThousand = 1024;
  return *tokens % kThousand == 0 ? fmt::format("{}K", *tokens / kThousand) : std::to_string(*tokens);
}

/// "~" before what is computed rather than read.
std::string size_text(const std::optional<Bytes>& bytes, const std::vector<fleet::FigureSource>& sources) {
  if (!bytes) return "-";
  const auto named = [](const auto& s) {
    return std::find(s.figures.begin(), s.figures.end(), "weight_bytes") != s.figures.end();
  };
  auto source = std::find_if(sources.begin(), sources.end(), named);
  if (source == sources.end())
    source = std::find_if(sources.begin(), sources.end(), [](const auto& s) { return s.figures.empty(); });
  return (source != sources.end() && source->computed ? "~" : "") + human(*bytes);
}

/// "bf16, fp8, awq; GGUF Q4_K_M": what the entry and its other files store, in their order.
std::string stored_text(const CatalogModel& model) {
  std::vector<std::string> others;
  std::vector<std::string> gguf;
  const auto add = [&](const fleet::ModelFacts& facts) {
    std::string name = facts.quantization.value_or(facts.dtype.value_or(""));
    for (const auto& [from, to] : {std::pair("bfloat16", "bf16"),
                                   std::pair("float16", "fp16"),
                                   std::pair("float32", "fp32"),
                                   std::pair("compressed-tensors", "int4")})
      if (name == from) name = to;
    auto& list = facts.format == "gguf" ? gguf : others;
    if (!name.empty() && std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
  };
  add(model.facts);
  for (const auto& variant : model.variants) add(variant.facts);
  std::vector<std::string> parts;
  if (!others.empty()) parts.push_back(join(others, ", "));
  if (!gguf.empty()) parts.push_back("GGUF " + join(gguf, ", "));
  return parts.empty() ? "-" : join(parts, "; ");
}

Table list_of(const std::vector<const CatalogModel*>& found, std::size_t count) {
  Table table({"NAME", "PARAMETERS", "CONTEXT", "SIZE", "STORED AS", "LICENCE", "KIND"});
  for (std::size_t i = 0; i < count; ++i) {
    const auto& m = *found[i];
    table.add({m.id,
               parameters_text(m),
               context_text(m.facts.max_context),
               size_text(m.facts.weight_bytes, m.figures),
               stored_text(m),
               m.licence.value_or("-"),
               join(m.categories, ", ")});
  }
  table.align_right({2, 3});
  return table;
}

constexpr std::size_t kWidth = 100;

std::string sources_text(const CatalogModel& m) {
  std::string text;
  for (const auto& s : m.figures)
    text +=
        wrapped(
            fmt::format("{}: {}", s.figures.empty() ? "other figures" : join(s.figures, ", "), s.text), kWidth, 2, 4) +
        "\n";
  std::set<std::string> files;
  for (const auto& variant : m.variants)
    for (const auto& s : variant.figures) files.insert(s.text);
  for (const auto& file : files) text += wrapped("other files: " + file, kWidth, 2, 4) + "\n";
  return text;
}

/// Everything about one model: what it is, its files, and where each figure is from.
std::string page_of(const Terminal& terminal, const CatalogModel& m) {
  std::string text = terminal.paint(Ink::kBold, m.title) + "  " + m.source.repo + "\n";
  Table about({"parameters", parameters_text(m)});
  about.add({"context", context_text(m.facts.max_context)});
  about.add({"licence", m.licence.value_or("not known")});
  about.add({"kind", join(m.categories, ", ")});
  if (!m.capabilities.empty()) about.add({"can", join(m.capabilities, ", ")});
  if (m.released) about.add({"released", *m.released});
  about.add({"names", m.id + ", " + join(m.aliases, ", ")});
  text += about.text("  ") + "\n";
  Table files({"FILE", "FORMAT", "STORED AS", "SIZE", "REPOSITORY"});
  const auto add =
      [&](const std::string& name, const fleet::ModelFacts& f, const fleet::ModelSource& s, const auto& figures) {
        files.add({name,
                   f.format.empty() ? "-" : f.format,
                   f.quantization.value_or(f.dtype.value_or("-")),
                   size_text(f.weight_bytes, figures),
                   s.repo + (s.file.empty() ? "" : " " + s.file)});
      };
  add(m.id, m.facts, m.source, m.figures);
  for (const auto& v : m.variants) add(m.id + ":" + v.name, facts_of(m, &v), v.source, v.figures);
  files.align_right({3});
  text += files.text() + "\nWhere the figures are from\n" + sources_text(m);
  return text;
}

std::string document(const std::vector<const CatalogModel*>& found, std::size_t count) {
  std::string json = R"({"items":[)";
  for (std::size_t i = 0; i < count; ++i) json += (i == 0 ? "" : ",") + wire::to_json(*found[i]);
  return json + fmt::format(R"(],"total":{}}})", found.size());
}

Result<void> check_word(std::string_view flag, const std::string& value, const std::set<std::string>& known) {
  if (value.empty() || known.contains(to_lower(value))) return {};
  const std::vector<std::string> all(known.begin(), known.end());
  const auto near = nearest(to_lower(value), all);
  return invalid(fmt::format("{} is \"{}\", must be one of {}{}",
                             flag,
                             printable(value),
                             join(all, ", "),
                             near ? fmt::format("; did you mean \"{}\"?", *near) : ""));
}

Result<void> check_words(const fleet::ModelCatalog& catalog, const SearchFlags& flags) {
  std::set<std::string> categories;
  std::set<std::string> tasks;
  for (const auto& m : catalog.models) {
    categories.insert(m.categories.begin(), m.categories.end());
    tasks.insert(m.facts.task);
  }
  TRY_VOID(check_word("--category", flags.category, categories));
  TRY_VOID(check_word("--task", flags.task, tasks));
  if (flags.limit && *flags.limit == 0) return invalid("--limit is 0, must be at least 1");
  return {};
}

int nothing(const Context& context,
            const fleet::ModelCatalog& catalog,
            const SearchFlags& flags,
            const std::string& text) {
  if (flags.output != "table") {
    if (const auto empty = formatted(document({}, 0), flags.output)) context.out(*empty);
  }
  constexpr std::size_t kNear = 3;
  const auto near = fleet::near_names(catalog, text, kNear);
  std::string where;
  if (!flags.category.empty()) where += " in category " + printable(flags.category);
  if (!flags.task.empty()) where += " for task " + printable(flags.task);
  return context.failed(fail(Code::kNotFound,
                             fmt::format("no model of the catalog matches \"{}\"{}{}",
                                         printable(text),
                                         where,
                                         near.empty() ? "" : "; did you mean " + join(near, ", ") + "?")));
}

int search_in(const Context& context, const fleet::ModelCatalog& catalog, const SearchFlags& flags) {
  const std::string text = join(flags.words, " ");
  const auto found = fleet::search(catalog, {.text = text, .category = flags.category, .task = flags.task});
  if (found.empty()) return nothing(context, catalog, flags, text);
  const std::size_t count = std::min<std::size_t>(found.size(), flags.limit.value_or(kLimit));
  if (flags.output != "table") {
    const auto out = formatted(document(found, count), flags.output);
    if (!out) return context.failed(out.error());
    context.out(*out);
    return kExitOk;
  }
  // A name alone asks for that model, though others bear it as a part of theirs.
  const auto named = text.find(' ') == std::string::npos ? fleet::find_model(catalog, text) : invalid("several words");
  if (found.size() == 1 || (named && named->model == found.front())) {
    context.out(context.terminal.plain(page_of(context.terminal, *found.front())));
    return kExitOk;
  }
  context.out(list_of(found, count).text());
  if (count < found.size())
    context.err(fmt::format("{} more; --limit {} shows them all\n", found.size() - count, found.size()));
  return kExitOk;
}

}  // namespace

int search_command(Context& context, const std::vector<std::string>& args) {
  SearchFlags flags;
  Arguments a("search",
              "List models of the catalog that comes with berth: what they need is known without a network. One alone "
              "is shown in full, with its other files and where each figure is from.",
              {"berth search qwen3 coder", "berth search --category embedding", "berth search qwen3-32b -o yaml"});
  a.positionals("TEXT", flags.words, "Words that must all be found: name, family, licence, format …", false);
  a.option("--category", flags.category, "llm, embedding, reranker, image, ocr, …");
  a.option("--task", flags.task, "generate, embed, rerank, transcribe, speech, image");
  a.option("--limit", flags.limit, "Models to show, 20 unless given");
  a.choice("-o,--output", flags.output, {"table", "json", "yaml"}, "Form of the list");
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  const auto catalog = wire::embedded_models();
  if (!catalog) return context.failed(catalog.error());
  if (const auto ok = check_words(*catalog, flags); !ok) return context.misused(ok.error());
  return search_in(context, *catalog, flags);
}

}  // namespace berth::cli
