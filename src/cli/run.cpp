// berth run MODEL [PROMPT]: deploy, wait until it answers, ask.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/inputs.h"
#include "cli/objects.h"
#include "cli/render.h"
#include "net/sse.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

constexpr Duration kPoll{500};
constexpr Duration kReadyMax{30 * 60 * 1000};  // loading a large model from a slow disk
constexpr int kForGoodPolls = 2;               // an instance that was just taken up again says nothing for a moment
constexpr std::size_t kPromptMaxBytes = 1UL << 20;

struct RunFlags {
  std::string model, prompt, name, engine, worker, task;
  std::vector<std::string> devices;
  std::optional<std::uint32_t> context, replicas;
  bool verbose = false;
  ServerFlags server;

  void declare(Arguments& a) {
    a.positional("MODEL", model, "A .gguf file, a folder with config.json, or the name of a deployment");
    a.positional("PROMPT", prompt, "What to ask; read from standard input when that is a pipe", false);
    a.option("--name", name, "Name of the deployment (from the file's name)");
    a.option("--context", context, "Context in tokens");
    a.option("--replicas", replicas, "How many instances");
    a.option("--engine", engine, "Engine to use");
    a.option("--worker", worker, "Worker to use");
    a.option("--device", devices, "Device to use, WORKER/DEVICE; may be repeated");
    a.choice("--task", task, {"generate", "embed"}, "What the model is for");
    a.flag("-v,--verbose", verbose, "Show tokens per second");
    server.declare(a);
  }

  [[nodiscard]] bool shapes() const {
    return !name.empty() || !engine.empty() || !worker.empty() || !task.empty() || !devices.empty() || context ||
           replicas;
  }
};

/// One line that is rewritten on a terminal, and printed when it changes otherwise.
class Progress {
 public:
  explicit Progress(const Context& context) : context_(context) {}
  ~Progress() { clear(); }

  void show(const std::string& text) {
    if (text == last_) return;
    last_ = text;
    if (context_.environment.err_is_terminal)
      context_.err("\r\x1b[K" + text);
    else
      context_.err(text + "\n");
  }
  void clear() {
    if (!last_.empty() && context_.environment.err_is_terminal) context_.err("\r\x1b[K");
    last_.clear();
  }

 private:
  const Context& context_;
  std::string last_;
};

bool is_path(const std::string& model) {
  std::error_code error;
  return model.ends_with(".gguf") || std::filesystem::exists(model, error);
}

Result<NewDeployment> from_path(const RunFlags& flags) {
  auto read = deployment_for_path(flags.model, false);
  if (!read) {
    // The hint how to accept a bare header is for `check`: nothing can be served from one.
    Error error = std::move(read).error();
    if (const auto hint = error.message.find("; if only its header is meant"); hint != std::string::npos)
      error.message.resize(hint);
    return error;
  }
  auto file = std::move(*read);
  if (!flags.name.empty()) file.name = flags.name;
  if (!is_name(file.name))
    return invalid(fmt::format("--name is \"{}\", must be 1 to 63 of a-z, 0-9, '-', '.', '_'", printable(file.name)));
  if (!flags.task.empty()) file.task = flags.task;
  file.settings.context = flags.context;
  file.replicas = flags.replicas.value_or(1);
  if (!flags.engine.empty()) file.restriction.engine = flags.engine;
  if (!flags.worker.empty()) file.restriction.workers = {flags.worker};
  file.restriction.devices = flags.devices;
  NewDeployment out{.name = file.name, .spec = {.request = {}, .route = file.name}};
  TRY(out.spec.request, request_from(std::move(file), {}));
  return out;
}

/// Failed, and no restart is waited for.
bool failed_for_good(const InstanceView& i) {
  return i.status.state == fleet::InstanceState::kFailed && !i.status.waiting && !i.deleting;
}

Error gave_up(const DeploymentView& d, const InstanceView& i) {
  return fail(Code::kNotSupported,
              fmt::format("{0} {1}\n"
                          "What to do: change what the reason names, then run this again; `berth logs {2}` shows the "
                          "engine's log, `berth delete deployment {2}` ends the deployment",
                          i.name,
                          printable(i.status.message),
                          d.name));
}

/// The sentence of the deployment or of the instance that is farthest along.
Result<std::string> waiting_text(const Server& server, const DeploymentView& d, int& for_good) {
  TRY(const auto json, server.call("GET", "/api/v1/instances?deployment=" + segment(d.name)));
  TRY(const auto list, wire::from_json<Items<InstanceView>>(json, wire::Strictness::kLenient));
  const bool over = !list.items.empty() && std::all_of(list.items.begin(), list.items.end(), failed_for_good);
  for_good = over ? for_good + 1 : 0;
  if (for_good >= kForGoodPolls) return gave_up(d, list.items.front());
  for (const auto& i : list.items) {
    if (i.status.state == fleet::InstanceState::kSimulated)
      return fail(
          Code::kNotSupported,
          fmt::format("{} was placed on the simulated worker {}, which starts nothing: there is no answer to wait for",
                      i.name,
                      i.spec.plan.workers.empty() ? "?" : i.spec.plan.workers.front().worker_name));
    const std::string state = wire::enum_name(i.status.state);
    if (i.status.waiting) return fmt::format("{}: {}", i.name, printable(i.status.waiting->text));
    if (!i.status.message.empty()) return fmt::format("{}: {}, {}", i.name, state, printable(i.status.message));
    return fmt::format("{}: {}", i.name, state);
  }
  if (d.status.waiting) return printable(d.status.waiting->text);
  return d.status.summary.empty() ? std::string("waiting for a decision") : printable(d.status.summary);
}

bool cannot_be_placed(const DeploymentView& d) {
  return d.status.verdict && *d.status.verdict != fleet::Verdict::kFits && d.status.fit_count == 0 &&
         d.status.ready_replicas == 0;
}

/// Shows why the deployment has no place; it stays and is placed when the fleet changes.
Result<int> show_no_place(const Context& context, const Server& server, const DeploymentView& d) {
  const std::string& name = d.name;
  TRY(const auto json, server.call("GET", "/api/v1/deployments/" + segment(name) + "/decision"));
  TRY(const auto decision, read_decision(json));
  context.err(
      render(context.terminal, decision, fixes_now(server, d.spec.request, decision), Figures::of(decision.report)));
  context.err(fmt::format(
      "\nThe deployment {0} stays and starts when the fleet changes; `berth delete deployment {0}` ends it.\n", name));
  return exit_code(decision);
}

/// The deployment once an instance answers; a status to exit with when it has no place.
Result<std::optional<int>> wait_ready(const Context& context, const Server& server, const std::string& name) {
  Progress progress(context);
  const Time end = context.environment.now() + kReadyMax;
  const std::string path = "/api/v1/deployments/" + segment(name);
  int for_good = 0;
  while (context.environment.now() < end) {
    TRY(const auto json, server.call("GET", path));
    TRY(const auto d, wire::from_json<DeploymentView>(json, wire::Strictness::kLenient));
    if (d.status.ready_replicas > 0) return std::optional<int>();
    if (cannot_be_placed(d)) {
      progress.clear();
      TRY(const int status, show_no_place(context, server, d));
      return std::optional<int>(status);
    }
    TRY(const auto text, waiting_text(server, d, for_good));
    progress.show(text);
    context.environment.sleep(kPoll);
  }
  return fail(Code::kTimeout,
              fmt::format("{0} is not ready after {1}; `berth describe deployment {0}` says why, `berth logs {0}` "
                          "shows the engine's log",
                          name,
                          human(kReadyMax)));
}

struct Chat {
  std::size_t pieces = 0;
  std::optional<ChatUsage> usage;
  std::optional<Time> first;
  std::string error;
  bool line_ended = true;
};

void take(const Context& context, Chat& chat, const std::string& data) {
  if (data == "[DONE]") return;
  const auto chunk = wire::from_json<ChatChunk>(data, wire::Strictness::kLenient);
  if (!chunk) {
    chat.error = "the server's stream is not understood: " + chunk.error().message;
    return;
  }
  if (const auto& error = chunk->error) chat.error = error->message;
  if (chunk->usage) chat.usage = chunk->usage;
  for (const auto& choice : chunk->choices) {
    if (!choice.delta.content || choice.delta.content->empty()) continue;
    if (!chat.first) chat.first = context.environment.now();
    ++chat.pieces;
    chat.line_ended = choice.delta.content->ends_with("\n");
    context.out(*choice.delta.content);
  }
}

/// Tokens as the server counts them; pieces of text where it does not tell.
void tell_speed(const Context& context, const Chat& chat, Time start) {
  const Time end = context.environment.now(), first = chat.first.value_or(end);
  const double seconds = std::max(0.001, std::chrono::duration<double>(end - first).count());
  const std::uint64_t count = chat.usage ? chat.usage->completion_tokens : chat.pieces;
  context.err(fmt::format("{} {}, {:.1f} a second after the first; the first after {:.2f} s\n",
                          count,
                          chat.usage ? "tokens" : "pieces of text (the server did not count tokens)",
                          count == 0 ? 0.0 : static_cast<double>(count - 1) / seconds,
                          std::chrono::duration<double>(first - start).count()));
}

Result<void> ask(const Context& context,
                 const Server& server,
                 const std::string& route,
                 const RunFlags& flags,
                 const std::string& prompt) {
  const ChatRequest request{.model = route, .messages = {{"user", prompt}}, .stream = true, .stream_options = {}};
  Chat chat;
  net::SseReader reader;
  const Time start = context.environment.now();
  TRY_VOID(server.stream("POST", "/v1/chat/completions", wire::to_json(request), [&](std::string_view piece) {
    if (const auto fed = reader.feed(piece); !fed) {
      chat.error = fed.error().message;
      return false;
    }
    while (auto item = reader.next())
      if (item->has_data) take(context, chat, item->data);
    return chat.error.empty();
  }));
  if (!chat.line_ended || chat.pieces == 0) context.out("\n");
  if (!chat.error.empty()) return fail(Code::kInternal, chat.error);
  if (!flags.verbose || !chat.first) return {};
  tell_speed(context, chat, start);
  return {};
}

/// How to ask a model that does not chat.
std::string curl_for(const Server& server, const std::string& route, const std::string& task) {
  const std::string body = task == "rerank"
                               ? fmt::format(R"({{"model":"{}","query":"Hello","documents":["Hi","Bye"]}})", route)
                               : fmt::format(R"({{"model":"{}","input":"Hello"}})", route);
  return fmt::format(
      "curl {}/v1/{} -H \"Authorization: Bearer $BERTH_API_KEY\" -H 'Content-Type: application/json' "
      "-d '{}'",
      server.address(),
      task == "rerank" ? "rerank" : "embeddings",
      body);
}

Result<int> run_model(const Context& context, const RunFlags& flags) {
  TRY(const auto server, Server::find(context, flags.server));
  std::string name = flags.model, route = flags.model, task;
  if (is_path(flags.model)) {
    TRY(const auto wanted, from_path(flags));
    TRY(const auto applied, apply_deployment(server, wanted));
    context.err(fmt::format("deployment {} {}\n", wanted.name, applied.created ? "created" : "updated"));
    name = wanted.name;
    route = wanted.spec.route;
    task = wanted.spec.request.task;
  } else {
    if (flags.shapes())
      return invalid("flags that shape a deployment go with a model file; edit an existing one with `berth deploy`");
    auto json = server.call("GET", "/api/v1/deployments/" + segment(name));
    if (!json && json.error().code == Code::kNotFound)
      return fail(Code::kNotFound,
                  fmt::format("\"{}\" is neither a file nor a deployment; `berth get deployments` lists them",
                              printable(name)));
    if (!json) return std::move(json).error();
    TRY(const auto d, wire::from_json<DeploymentView>(*json, wire::Strictness::kLenient));
    if (!d.spec.route.empty()) route = d.spec.route;
    task = d.spec.request.task;
  }
  TRY(const auto status, wait_ready(context, server, name));
  if (status) return *status;
  if (task == "embed" || task == "rerank") {
    const std::string curl = curl_for(server, route, task);
    if (!flags.prompt.empty())
      return fail(Code::kNotSupported,
                  fmt::format("{} does not chat, it is for task {}: ask it with\n  {}", name, task, curl));
    context.err(fmt::format("{} is ready: {}\n", name, curl));
    return kExitOk;
  }
  std::string prompt = flags.prompt;
  if (prompt.empty() && !context.environment.in_is_terminal) prompt = context.environment.read_input(kPromptMaxBytes);
  if (trim(prompt).empty()) {
    context.err(fmt::format("{} is ready: berth run {} \"Hello\"\n", name, name));
    return kExitOk;
  }
  TRY_VOID(ask(context, server, route, flags, prompt));
  return kExitOk;
}

}  // namespace

int run_command(Context& context, const std::vector<std::string>& args) {
  RunFlags flags;
  Arguments a("run",
              "Serve a model and, with a prompt, ask it.",
              {"berth run ./smollm2.gguf \"Why is the sea salt?\"", "cat question.txt | berth run smollm2"});
  flags.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  const auto status = run_model(context, flags);
  return status ? *status : context.failed(status.error());
}

}  // namespace berth::cli
