#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <deque>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::cli {

namespace {

struct Choice {
  std::string name;
  const std::string* value;
  std::vector<std::string> allowed;
};

}  // namespace

struct Arguments::Impl {
  CLI::App app;
  std::string command;
  std::vector<std::string> examples;
  std::vector<Choice> choices;
  std::vector<std::string> names;  // every spelling of every flag
  std::vector<std::string> required;

  Impl(std::string_view name, std::string_view summary, std::vector<std::string> list)
      : app(std::string(summary), "berth " + std::string(name)), command(name), examples(std::move(list)) {
    app.allow_extras();
    app.set_help_flag("-h,--help", "Show this help");
    names = {"-h", "--help"};
  }

  void remember(std::string_view spellings) {
    for (const auto& name : split(spellings, ',')) names.push_back(name);
  }

  [[nodiscard]] std::string help() const {
    std::string text;
    if (!examples.empty()) text += "Examples:\n";
    for (const auto& line : examples) text += "  " + line + "\n";
    if (!examples.empty()) text += "\n";
    return text + app.help();
  }

  [[nodiscard]] Error usage(const std::string& what) const {
    return invalid(fmt::format("{}; see `berth {} --help`", what, command));
  }

  [[nodiscard]] Result<void> check_extras() const {
    for (const auto& extra : app.remaining()) {
      if (extra.size() < 2 || extra.front() != '-') continue;
      const std::string name = extra.substr(0, extra.find('='));
      const auto near = nearest(name, names);
      return usage(near ? fmt::format("unknown flag \"{}\"; did you mean \"{}\"?", printable(name), *near)
                        : fmt::format("unknown flag \"{}\"", printable(name)));
    }
    if (!app.remaining().empty())
      return usage(fmt::format("unexpected argument \"{}\"", printable(app.remaining().front())));
    return {};
  }

  [[nodiscard]] Result<void> check_choices() const {
    for (const auto& c : choices) {
      if (c.value->empty() || std::find(c.allowed.begin(), c.allowed.end(), *c.value) != c.allowed.end()) continue;
      const auto near = nearest(*c.value, c.allowed);
      return usage(fmt::format("{} is \"{}\", must be one of {}{}",
                               c.name,
                               printable(*c.value),
                               join(c.allowed, ", "),
                               near ? fmt::format("; did you mean \"{}\"?", *near) : ""));
    }
    return {};
  }

  [[nodiscard]] Result<void> check_required() const {
    for (const auto& name : required)
      if (app.get_option(name)->empty()) return usage(fmt::format("{} is missing", name));
    return {};
  }
};

Arguments::Arguments(std::string_view command, std::string_view summary, std::vector<std::string> examples)
    : impl_(std::make_unique<Impl>(command, summary, std::move(examples))) {}
Arguments::~Arguments() = default;

void Arguments::flag(std::string_view names, bool& into, std::string_view help) {
  impl_->remember(names);
  impl_->app.add_flag(std::string(names), into, std::string(help));
}

void Arguments::option(std::string_view names, std::string& into, std::string_view help) {
  impl_->remember(names);
  impl_->app.add_option(std::string(names), into, std::string(help));
}

void Arguments::option(std::string_view names, std::optional<std::uint32_t>& into, std::string_view help) {
  impl_->remember(names);
  impl_->app.add_option(std::string(names), into, std::string(help));
}

void Arguments::option(std::string_view names, std::vector<std::string>& into, std::string_view help) {
  impl_->remember(names);
  impl_->app.add_option(std::string(names), into, std::string(help))->allow_extra_args(false);
}

void Arguments::choice(std::string_view names,
                       std::string& into,
                       std::vector<std::string> allowed,
                       std::string_view help) {
  impl_->remember(names);
  impl_->app.add_option(std::string(names), into, fmt::format("{} ({})", help, join(allowed, ", ")));
  impl_->choices.push_back({split(names, ',').back(), &into, std::move(allowed)});
}

void Arguments::positional(std::string_view name, std::string& into, std::string_view help, bool required) {
  impl_->app.add_option(std::string(name), into, std::string(help));
  if (required) impl_->required.emplace_back(name);
}

void Arguments::positionals(std::string_view name,
                            std::vector<std::string>& into,
                            std::string_view help,
                            bool required) {
  impl_->app.add_option(std::string(name), into, std::string(help));
  if (required) impl_->required.emplace_back(name);
}

void Arguments::positional_choice(std::string_view name,
                                  std::string& into,
                                  std::vector<std::string> allowed,
                                  std::string_view help) {
  positional(name, into, fmt::format("{} ({})", help, join(allowed, ", ")));
  impl_->choices.push_back({std::string(name), &into, std::move(allowed)});
}

Result<std::optional<std::string>> Arguments::parse(const std::vector<std::string>& args) {
  std::vector<std::string> reversed(args.rbegin(), args.rend());  // the library takes them from the back
  try {
    impl_->app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return std::optional<std::string>(impl_->help());
  } catch (const CLI::ParseError& e) {
    return impl_->usage(printable(e.what()));
  }
  TRY_VOID(impl_->check_extras());
  TRY_VOID(impl_->check_required());
  TRY_VOID(impl_->check_choices());
  return std::optional<std::string>();
}

}  // namespace berth::cli
