#include "client/serving_commands.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace vernier::client {
namespace {

using nlohmann::json;

// What vLLM's --max-lora-rank takes.
constexpr int kVllmRanks[] = {8, 16, 32, 64, 128, 256, 320, 512};

// The highest rank of an adapter, and whether all servers read its scales alike.
struct AdapterShape {
  int rank = 0;
  bool uniform = true;
};

AdapterShape ShapeOf(const std::string& adapter_config) {
  AdapterShape shape;
  const json config = json::parse(adapter_config, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return shape;
  shape.rank = config.value("r", json(0)).is_number() ? config.value("r", 0) : 0;
  const json ranks = config.value("rank_pattern", json::object());
  const json alphas = config.value("alpha_pattern", json::object());
  for (const auto& [module, rank] : ranks.items()) {
    if (rank.is_number()) shape.rank = std::max(shape.rank, rank.get<int>());
  }
  shape.uniform = ranks.empty() && alphas.empty() && config.value("use_rslora", json(false)) != json(true);
  return shape;
}

int VllmRank(int rank) {
  const auto* const fits = std::lower_bound(std::begin(kVllmRanks), std::end(kVllmRanks), rank);
  return fits == std::end(kVllmRanks) ? rank : *fits;
}

// A path inside a Python string inside a shell's single quotes.
std::string PythonText(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string Python(absl::string_view code) { return absl::StrCat("python -c ", ShellWord(code)); }

constexpr char kAsk[] =
    "m = t.apply_chat_template([{\"role\": \"user\", \"content\": \"Hello!\"}], add_generation_prompt=True, "
    "return_tensors=\"pt\", return_dict=True); print(t.decode(model.generate(**m, max_new_tokens=64)[0]))";

std::vector<ServingCommand> AdapterCommands(const Exported& exported) {
  const AdapterShape shape = ShapeOf(exported.adapter_config);
  const std::string base = absl::StrCat(exported.folder, "/base");
  std::vector<ServingCommand> commands;
  commands.push_back(
      {"first",
       absl::StrCat("vernier export ", ShellWord(exported.base), " --profile merged --to ", ShellWord(base)),
       "the base model as a folder, once"});
  if (shape.uniform) {
    commands.push_back(
        {"vLLM",
         absl::StrCat("vllm serve ", ShellWord(base), " --enable-lora --max-lora-rank ", VllmRank(shape.rank),
                      " --lora-modules ", ShellWord(absl::StrCat(exported.name, "=", exported.folder))),
         ""});
  } else {
    commands.push_back(
        {"vLLM", "", "reads no rank_pattern, alpha_pattern or rslora; export with --profile serving"});
  }
  commands.push_back(
      {"transformers",
       Python(absl::StrCat("from peft import PeftModel; from transformers import AutoModelForCausalLM as M, "
                           "AutoTokenizer as T; t = T.from_pretrained(",
                           PythonText(base), "); model = PeftModel.from_pretrained(M.from_pretrained(",
                           PythonText(base), "), ", PythonText(exported.folder), "); ", kAsk)),
       "needs the packages transformers and peft"});
  commands.push_back({"llama.cpp", "", "reads GGUF files; export with --profile gguf --lora"});
  return commands;
}

std::vector<ServingCommand> MergedCommands(const Exported& exported) {
  return {{"vLLM",
           absl::StrCat("vllm serve ", ShellWord(exported.folder), " --served-model-name ",
                        ShellWord(exported.name)),
           ""},
          {"transformers",
           Python(absl::StrCat("from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; t = "
                               "T.from_pretrained(",
                               PythonText(exported.folder), "); model = M.from_pretrained(",
                               PythonText(exported.folder), "); ", kAsk)),
           ""},
          {"llama.cpp", "", "reads GGUF files; export with --profile gguf"}};
}

// What llama.cpp does otherwise than the model was trained.
std::string GgufNote(const Exported& exported) {
  if (exported.ignored_window == 0) return "";
  return absl::StrCat("has no window for phi3 models: beyond ", exported.ignored_window,
                      " tokens it attends to more than the model was trained to");
}

std::vector<ServingCommand> GgufCommands(const Exported& exported) {
  const auto file = [&](absl::string_view name) {
    return ShellWord(absl::StrCat(exported.folder, "/", name));
  };
  std::vector<ServingCommand> commands;
  std::string model = file("model.gguf");
  if (exported.lora) {
    model = file("base/model.gguf");
    commands.push_back(
        {"first",
         absl::StrCat("vernier export ", ShellWord(exported.base), " --profile gguf --to ", file("base")),
         "the base model as a GGUF file, once"});
  }
  commands.push_back({"llama.cpp",
                      absl::StrCat("llama-server -m ", model,
                                   exported.lora ? absl::StrCat(" --lora ", file("adapter.gguf")) : "",
                                   " --alias ", ShellWord(exported.name), " --jinja"),
                      GgufNote(exported)});
  commands.push_back({"Ollama",
                      absl::StrCat("ollama create ", ShellWord(exported.name), " -f ", file("Modelfile"),
                                   " && ollama run ", ShellWord(exported.name)),
                      GgufNote(exported)});
  if (!exported.lora) {
    commands.push_back(
        {"transformers",
         Python(absl::StrCat(
             "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; d, f = ",
             PythonText(exported.folder),
             ", \"model.gguf\"; t = T.from_pretrained(d, gguf_file=f); model = M.from_pretrained(d, "
             "gguf_file=f); ",
             kAsk)),
         "needs the package gguf; takes the values apart to fp32"});
  }
  return commands;
}

}  // namespace

std::string ShellWord(absl::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("-_./=:@%+,", absl::string_view(&c, 1));
  });
  if (plain) return std::string(text);
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

int64_t IgnoredWindow(const storage::Gguf& gguf) {
  const auto architecture = gguf.GetString("general.architecture");
  const auto window = gguf.GetInt("phi3.attention.sliding_window");
  const auto context = gguf.GetInt("phi3.context_length");
  if (!architecture.ok() || *architecture != "phi3" || !window.ok() || !context.ok()) return 0;
  return *window < *context ? *window : 0;
}

std::vector<ServingCommand> ServingCommands(const Exported& exported) {
  if (exported.profile == "merged") return MergedCommands(exported);
  if (exported.profile == "gguf") return GgufCommands(exported);
  return AdapterCommands(exported);
}

}  // namespace vernier::client
