// vernier generate: text from a model, or from a job's adapter on its base.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/chat.h"
#include "client/cli/cli.h"
#include "client/model_files.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace vernier::cli {
namespace {

struct GenerateOptions {
  std::string model, adapter, system;
  std::vector<std::string> prompts;
  bool raw = false;
  bool interactive = false;
  int max_new_tokens = 128;
  double temperature = 0, top_p = 1;
  int top_k = 0;
  uint64_t seed = 0;
};

// The base that a job trained: the prompt is rendered with its template.
absl::StatusOr<std::string> BaseOf(client::Client& client, const std::string& job) {
  v1::GetJobRequest request;
  request.set_name(job);
  VN_ASSIGN_OR_RETURN(const v1::GetJobResponse response, client.Call(&v1::JobService::Stub::GetJob, request));
  const v1::JobSpec& spec = response.job().spec();
  if (!spec.model().base().empty()) return spec.model().base();
  for (const v1::Stage& stage : spec.stages()) {
    if (stage.has_train() && !stage.train().model().base().empty()) return stage.train().model().base();
  }
  return absl::InvalidArgumentError(absl::StrCat(job, " names no base model; say which with --model"));
}

// What to generate with: model, adapter and decoding. `model` is the base, whose template renders prompts.
absl::StatusOr<v1::GenerateRequest> RequestOf(client::Client& client, const GenerateOptions& options) {
  v1::GenerateRequest request;
  std::string model = options.model;
  if (!options.adapter.empty()) {
    if (absl::StartsWith(options.adapter, "adapters/")) {
      request.mutable_adapter()->set_adapter(options.adapter);
      if (model.empty())
        return absl::InvalidArgumentError("--adapter adapters/...: say its base with --model");
    } else {
      request.mutable_adapter()->set_job(options.adapter);
      if (model.empty()) {
        VN_ASSIGN_OR_RETURN(model,
                            BaseOf(client, options.adapter.substr(0, options.adapter.find("/stages/"))));
      }
    }
  }
  if (model.empty())
    return absl::InvalidArgumentError("say what to generate with: --model, or --adapter JOB");
  request.set_model(model);
  v1::Decoding& decoding = *request.mutable_decoding();
  decoding.set_max_new_tokens(options.max_new_tokens);
  decoding.set_temperature(options.temperature);
  decoding.set_top_p(options.top_p);
  decoding.set_top_k(options.top_k);
  decoding.set_seed(options.seed);
  return request;
}

absl::StatusOr<std::unique_ptr<data::Codec>> CodecOf(Cli& cli, const std::string& model) {
  client::CodecRequest request;
  request.model = model;
  return client::OpenCodec(request, [&cli] { return cli.client(); });
}

absl::Status Run(Cli& cli, const GenerateOptions& options) {
  if (options.prompts.empty()) {
    return absl::InvalidArgumentError("say something: a prompt, or --interactive for a conversation");
  }
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(v1::GenerateRequest request, RequestOf(*client, options));
  std::unique_ptr<data::Codec> codec;
  if (!options.raw) {
    VN_ASSIGN_OR_RETURN(codec, CodecOf(cli, request.model()));
  }
  for (const std::string& prompt : options.prompts) {
    if (options.raw) {
      request.add_prompts(prompt);
      continue;
    }
    data::Json messages = data::Json::array();
    if (!options.system.empty()) messages.push_back({{"role", "system"}, {"content", options.system}});
    messages.push_back({{"role", "user"}, {"content", prompt}});
    VN_ASSIGN_OR_RETURN(std::string rendered, codec->RenderPrompt(messages));
    request.add_prompts(std::move(rendered));
  }
  return client->Generate(request, [&](const v1::GenerateResponse& piece) {
    if (cli.json()) {
      PrintJson(piece);
      return;
    }
    std::cout << piece.text() << std::flush;
    if (piece.done()) std::cout << "\n";
  });
}

// Delivers Ctrl-C to a function instead of ending the process. Made before any other thread begins.
class InterruptThread {
 public:
  explicit InterruptThread(std::function<void()> on_interrupt) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);  // ends the thread
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    thread_ = std::jthread([on_interrupt = std::move(on_interrupt), signals] {
      int number = 0;
      while (sigwait(&signals, &number) == 0 && number != SIGUSR1) on_interrupt();
    });
  }
  ~InterruptThread() { pthread_kill(thread_.native_handle(), SIGUSR1); }

 private:
  std::jthread thread_;
};

// One conversation after the other, where the service had to end one: the caller sees a single one.
// Ask: one thread; Interrupt: any.
class Talker {
 public:
  Talker(client::Client& client, v1::GenerateRequest first) : client_(client), first_(std::move(first)) {}

  absl::StatusOr<ChatAnswer> Ask(const std::string& prompt,
                                 const std::function<void(const v1::GenerateResponse&)>& on_piece) {
    for (bool again = false;; again = true) {
      const std::shared_ptr<client::Conversation> known = current();
      const std::shared_ptr<client::Conversation> talk = known != nullptr ? known : Begin();
      v1::GenerateRequest request;
      if (known == nullptr) request = first_;
      *request.mutable_decoding() = first_.decoding();
      // Every turn draws anew, and the same conversation draws the same.
      request.mutable_decoding()->set_seed(first_.decoding().seed() + num_asked_);
      request.add_prompts(prompt);
      ChatAnswer answer;
      const absl::Status status = talk->Ask(request, [&](const v1::GenerateResponse& piece) {
        answer.text += piece.text();
        if (piece.done()) {
          answer.stop_reason = piece.stop_reason();
          answer.error = piece.error();
        }
        on_piece(piece);
      });
      if (status.ok()) {
        ++num_asked_;
        return answer;
      }
      Set(nullptr);
      // A conversation that rested was unloaded: the same question, to another one.
      if (again || known == nullptr || !answer.text.empty() || !absl::IsUnavailable(status)) return status;
    }
  }
  // False: no answer is under way.
  bool Interrupt() {
    const std::shared_ptr<client::Conversation> talk = current();
    return talk != nullptr && talk->Interrupt();
  }

 private:
  std::shared_ptr<client::Conversation> current() {
    const MutexLock lock(mutex_);
    return talk_;
  }
  void Set(std::shared_ptr<client::Conversation> talk) {
    const MutexLock lock(mutex_);
    talk_ = std::move(talk);
  }
  std::shared_ptr<client::Conversation> Begin() {
    std::shared_ptr<client::Conversation> talk = client_.Converse();
    Set(talk);
    return talk;
  }

  client::Client& client_;
  const v1::GenerateRequest first_;
  uint64_t num_asked_ = 0;
  Mutex mutex_;
  std::shared_ptr<client::Conversation> talk_ VN_GUARDED_BY(mutex_);
};

absl::Status Converse(Cli& cli, const GenerateOptions& options) {
  if (options.raw)
    return absl::InvalidArgumentError("--raw: a conversation needs the chat template; leave it away");
  if (options.prompts.size() > 1) {
    return absl::InvalidArgumentError("--interactive: give at most one prompt, the first thing to say");
  }
  const bool prompting = ::isatty(STDIN_FILENO) == 1 && !cli.json();
  Talker* listener = nullptr;
  std::atomic<bool> pressed = false;  // once, with no answer under way
  Mutex mutex;                        // of `listener`
  // Over a pipe nobody types: Ctrl-C ends the command, as everywhere.
  std::unique_ptr<InterruptThread> interrupts;
  if (prompting) {
    interrupts = std::make_unique<InterruptThread>([&] {
      const MutexLock lock(mutex);
      if (listener != nullptr && listener->Interrupt()) return;
      if (pressed.exchange(true)) std::_Exit(130);
      std::cerr << "\n(Ctrl-C once more, or /quit, leaves)\n> " << std::flush;
    });
  }
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(const v1::GenerateRequest first, RequestOf(*client, options));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<data::Codec> codec, CodecOf(cli, first.model()));
  Talker talker(*client, first);
  {
    const MutexLock lock(mutex);
    listener = &talker;
  }
  LiveLine live;
  bool loaded = false;
  const ChatCallbacks callbacks = {
      .render = [&](const data::Json& messages) { return codec->RenderPrompt(messages); },
      .ask =
          [&](const std::string& prompt, const std::function<void(absl::string_view)>& on_piece) {
            pressed = false;
            if (prompting && !loaded) live.Show("loading the model ...");
            return talker.Ask(prompt, [&](const v1::GenerateResponse& piece) {
              if (!std::exchange(loaded, true)) live.Clear();
              if (cli.json()) {
                PrintJson(piece);
                std::cout << std::flush;
              } else {
                on_piece(piece.text());
              }
            });
          }};
  std::ostream nowhere(nullptr);
  const absl::Status status = RunChat({.system = options.system,
                                       .first = options.prompts.empty() ? "" : options.prompts[0],
                                       .prompting = prompting},
                                      callbacks, std::cin, cli.json() ? nowhere : std::cout, std::cerr);
  const MutexLock lock(mutex);
  listener = nullptr;
  return status;
}

}  // namespace

void AddGenerateCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand("generate", "Ask a model, or the adapter that a job trained");
  const auto options = std::make_shared<GenerateOptions>();
  command->add_option("prompt", options->prompts, "What to say to it (several: one answer each)");
  command->add_flag("--interactive,-i", options->interactive,
                    "A conversation: lines from the terminal or a pipe, /help lists its commands");
  command->add_option("--model,-m", options->model, "Base model in the service");
  command->add_option("--adapter,-a", options->adapter, "Job (or jobs/ID/stages/STAGE, or adapters/DIGEST)");
  command->add_option("--system", options->system, "System prompt");
  command->add_flag("--raw", options->raw, "Continue the text as it is, without the chat template");
  command->add_option("--max-new-tokens", options->max_new_tokens, "At most so many")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")->check(CLI::Range(0.0, 10.0));
  command->add_option("--top-p", options->top_p, "Nucleus")->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", options->top_k, "0 = off")->check(CLI::Range(0, 1 << 30));
  command->add_option("--seed", options->seed, "Same seed, same text");
  command->callback([&cli, options] {
    cli.run = [&cli, options] { return options->interactive ? Converse(cli, *options) : Run(cli, *options); };
  });
}

}  // namespace vernier::cli
