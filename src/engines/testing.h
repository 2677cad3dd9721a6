#pragma once
// A small engine for tests of this module, written by hand: the real catalog is data and belongs to the decoder's
// tests.

#include <string>
#include <vector>

#include "engines/catalog.h"

namespace berth::engines::testing {

inline Flag flag(std::string name, std::vector<std::string> aliases, FlagType type, std::string setting = "") {
  Flag f;
  f.name = std::move(name);
  f.aliases = std::move(aliases);
  f.type = type;
  f.setting = std::move(setting);
  return f;
}

inline Flag owned(std::string name, std::vector<std::string> aliases, std::string doc) {
  Flag f = flag(std::move(name), std::move(aliases), FlagType::kText);
  f.kind = FlagClass::kOwned;
  f.doc = std::move(doc);
  return f;
}

inline std::vector<Flag> toy_flags() {
  Flag context = flag("--ctx-size", {"-c"}, FlagType::kInteger, "context");
  context.min = 1;
  context.max = 16 * 1024 * 1024;
  Flag temperature = flag("--temp", {"--temperature"}, FlagType::kNumber);
  temperature.min = -1;
  temperature.max = 10;
  Flag key_type = flag("--cache-type-k", {"-ctk"}, FlagType::kChoice, "kv_type");
  key_type.choices = {"f16", "q8_0", "auto"};
  Flag value_type = flag("--cache-type-v", {"-ctv"}, FlagType::kChoice, "kv_type");
  value_type.choices = {"f16", "q8_0", "auto"};
  Flag attention = flag("--flash-attn", {"-fa"}, FlagType::kChoice, "flash_attention");
  attention.choices = {"on", "off", "auto"};
  Flag layers = flag("--n-gpu-layers", {"-ngl"}, FlagType::kInteger, "offload_layers");
  layers.min = 0;
  layers.choices = {"auto", "all"};
  Flag mmap = flag("--mmap", {}, FlagType::kBool);
  mmap.negation = "--no-mmap";
  Flag lora = flag("--lora", {}, FlagType::kText);
  lora.kind = FlagClass::kPath;
  return {context,
          flag("--parallel", {"-np"}, FlagType::kInteger, "sequences"),
          temperature,
          key_type,
          value_type,
          attention,
          layers,
          mmap,
          flag("--mlock", {}, FlagType::kBool),
          lora,
          flag("--chat-template", {}, FlagType::kText),
          flag("--threads", {"-t"}, FlagType::kInteger),
          owned("--output", {"-o"}, "engines write no files"),
          owned("--host", {}, "engines listen on 127.0.0.1 only"),
          owned("--port", {}, "the worker picks a free one"),
          owned("--api-key", {}, "each instance has its own key"),
          owned("--log-file", {}, "berth keeps the log"),
          owned("--rpc", {}, "berth decides which machines take part")};
}

/// Valid, with one flag of each type, arguments under conditions, and a key by file and by environment.
inline Engine toy_engine() {
  Engine e;
  e.id = "toy";
  e.title = "Toy";
  e.formats = {"gguf"};
  e.tasks = {"generate", "embed"};
  e.layouts = {"cpu", "single_device"};
  e.versions = {"2.10", "2.9"};
  e.architectures.any = true;
  SupportRow row;
  row.os = {"linux"};
  row.arch = {"amd64"};
  row.vendor = "nvidia";
  row.framework = "cuda";
  row.runtime_version = "12.8";
  row.runtime_version_min = "12.0";
  row.install = "package";
  row.source = "made up";
  e.rows = {row};
  e.flags = toy_flags();
  e.recipe.programs = {"toy-server"};
  e.recipe.arguments = {{"", {"--model", "{model_path}"}},
                        {"", {"--host", "{host}"}},
                        {"", {"--port", "{port}"}},
                        {"", {"--api-key-file", "{secret_file}"}},
                        {"", {"--ctx-size", "{context}"}},
                        {"", {"--threads", "{threads}"}},
                        {"", {"--cache", "{kv_type}"}},
                        {"several_devices", {"--tensor-split", "{tensor_split}"}},
                        {"cpu", {"--device", "none"}},
                        {"embed", {"--embeddings", "--pooling", "{pooling}"}}};
  e.recipe.environment = {{"TOY_KEY", "{secret}"}};
  e.recipe.visible_devices = {{"cuda", "CUDA_VISIBLE_DEVICES"}};
  e.recipe.spellings = {{"kv_type", {{"f16", "half"}}}};
  e.recipe.health.path = "/health";
  e.recipe.user_environment = {"TOY_*", "OMP_NUM_THREADS"};
  return e;
}

}  // namespace berth::engines::testing
