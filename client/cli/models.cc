// vernier models import, list, get, rm; vernier tokenize.
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/cli.h"
#include "client/cli/data_report.h"
#include "client/model_files.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

using v1::ModelService;

constexpr size_t kMaxLineBytes = size_t{64} << 20;  // of --jsonl

absl::Status Import(Cli& cli, const std::string& path, const std::string& name) {
  std::error_code error;
  // The service reads the file itself: it needs the whole path.
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  LiveLine live;
  const auto model =
      client->ImportModel(absolute.string(), name, [&](double fraction, const std::string& phase) {
        live.Show(absl::StrFormat("importing %s  %s %.0f %%", path, phase, 100 * fraction));
      });
  live.Clear();
  VN_RETURN_IF_ERROR(model.status());
  if (cli.json()) {
    PrintJson(*model);
  } else {
    std::cout << model->name() << "  " << model->architecture() << "  "
              << absl::StrFormat("%.1f M parameters", static_cast<double>(model->num_parameters()) / 1e6)
              << "  context " << model->context_length() << "  " << HumanBytes(model->size_bytes()) << "  "
              << model->digest().substr(0, 12) << "\n";
  }
  return absl::OkStatus();
}

absl::Status List(Cli& cli) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::ListModelsRequest request;
  v1::ListModelsResponse all;
  do {
    VN_ASSIGN_OR_RETURN(const v1::ListModelsResponse page,
                        client->Call(&ModelService::Stub::ListModels, request));
    all.mutable_models()->MergeFrom(page.models());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (cli.json()) {
    PrintJson(all);
    return absl::OkStatus();
  }
  Table table({"NAME", "ARCHITECTURE", "PARAMETERS", "CONTEXT", "SIZE", "CHAT TEMPLATE", "DIGEST"});
  for (const v1::Model& model : all.models()) {
    table.Add({model.name(), model.architecture(),
               absl::StrFormat("%.1f M", static_cast<double>(model.num_parameters()) / 1e6),
               absl::StrCat(model.context_length()), HumanBytes(model.size_bytes()),
               model.has_chat_template() ? "yes" : "no", model.digest().substr(0, 12)});
  }
  table.Print("no models yet; `vernier models import PATH` brings one in");
  return absl::OkStatus();
}

absl::Status Get(Cli& cli, const std::string& name) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::GetModelRequest request;
  request.set_name(name);
  VN_ASSIGN_OR_RETURN(const auto response, client->Call(&ModelService::Stub::GetModel, request));
  const v1::Model& model = response.model();
  if (cli.json()) {
    PrintJson(model);
    return absl::OkStatus();
  }
  PrintFields({{"name", model.name()},
               {"architecture", model.architecture()},
               {"parameters", Grouped(model.num_parameters())},
               {"vocabulary", Counted(model.vocab_size(), "token")},
               {"context", Counted(model.context_length(), "token")},
               {"chat template", model.has_chat_template() ? "yes" : "no"},
               {"size", HumanBytes(model.size_bytes())},
               {"digest", model.digest()},
               {"imported", HumanTime(model.create_time())}});
  return absl::OkStatus();
}

// One line without its end. False: there are no more.
absl::StatusOr<bool> ReadLine(FILE* file, std::string& line) {
  line.clear();
  int c = 0;
  while ((c = getc_unlocked(file)) != EOF && c != '\n') {
    if (line.size() == kMaxLineBytes)
      return absl::InvalidArgumentError(absl::StrCat(
          "the line is longer than ", HumanBytes(static_cast<int64_t>(kMaxLineBytes)), ", the limit"));
    line += static_cast<char>(c);
  }
  if (c == EOF && std::ferror(file) != 0) return ErrnoStatus(errno, "cannot be read");
  return c != EOF || !line.empty();
}

// The text of a line of --jsonl. A blank line is an empty text: what comes out has as many lines as what went
// in, so that they can be put side by side.
absl::StatusOr<std::string> TextOf(absl::string_view line) {
  if (absl::StripAsciiWhitespace(line).empty()) return "";
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (value.is_string()) return value.get<std::string>();
  return absl::InvalidArgumentError(
      absl::StrCat("not a JSON string: ", Excerpt(line), "; write one \"text in quotes\" a line"));
}

// One JSON string a line in, one JSON array of ids a line out.
absl::Status Tokenize(Cli& cli, const std::string& model, const std::string& path, const std::string& text) {
  client::CodecRequest request;
  request.model = model;
  VN_ASSIGN_OR_RETURN(const auto codec, client::OpenCodec(request, [&cli] { return cli.client(); }));
  const auto print = [&](const std::string& input) -> absl::Status {
    VN_ASSIGN_OR_RETURN(const data::TokenizedText tokens, codec->Tokenize(input));
    std::cout << nlohmann::json(tokens.ids).dump() << "\n";
    return absl::OkStatus();
  };
  if (path.empty()) return print(text);
  const std::string where = path == "-" ? "standard input" : path;
  std::unique_ptr<FILE, int (*)(FILE*)> opened(nullptr, &std::fclose);
  if (path != "-") {
    opened.reset(std::fopen(path.c_str(), "rbe"));
    if (opened == nullptr) return ErrnoStatus(errno, path);
  }
  FILE* const file = path == "-" ? stdin : opened.get();
  std::string line;
  for (int64_t number = 1;; ++number) {
    const absl::StatusOr<bool> more = ReadLine(file, line);
    if (more.ok() && !*more) return absl::OkStatus();
    const absl::StatusOr<std::string> input =
        more.ok() ? TextOf(line) : absl::StatusOr<std::string>(more.status());
    const absl::Status status = input.ok() ? print(*input) : input.status();
    if (!status.ok()) return Annotate(status, absl::StrCat(where, " line ", number));
  }
}

}  // namespace

void AddModelCommands(CLI::App& app, Cli& cli) {
  CLI::App* const group = app.add_subcommand("models", "Base models");
  group->require_subcommand(1);
  struct Options {
    std::string path, name;
  };
  {
    CLI::App* const command =
        group->add_subcommand("import", "Import a Hugging Face folder or GGUF file that lies on the server");
    const auto options = std::make_shared<Options>();
    command->add_option("path", options->path, "Folder or .gguf file, below the server's --import-root")
        ->required();
    command->add_option("--name", options->name, "Name in the service; default: the file's");
    command->callback(
        [&cli, options] { cli.run = [&cli, options] { return Import(cli, options->path, options->name); }; });
  }
  group->add_subcommand("list", "Models in the service")->callback([&cli] {
    cli.run = [&cli] { return List(cli); };
  });
  {
    CLI::App* const command = group->add_subcommand("get", "Show a model");
    const auto options = std::make_shared<Options>();
    command->add_option("model", options->name, "Name or digest")->required();
    command->callback([&cli, options] { cli.run = [&cli, options] { return Get(cli, options->name); }; });
  }
  {
    CLI::App* const command = group->add_subcommand("rm", "Delete a model that no unfinished job uses");
    const auto options = std::make_shared<Options>();
    command->add_option("model", options->name, "Name or digest")->required();
    command->callback([&cli, options] {
      cli.run = [&cli, options]() -> absl::Status {
        VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
        v1::DeleteModelRequest request;
        request.set_name(options->name);
        return client->Call(&ModelService::Stub::DeleteModel, request).status();
      };
    });
  }
  {
    CLI::App* const command =
        app.add_subcommand("tokenize", "Token ids of texts; special tokens parsed, none added");
    struct TokenizeOptions {
      std::string model, path, text;
    };
    const auto options = std::make_shared<TokenizeOptions>();
    command
        ->add_option("--model,-m", options->model, "Model in the service, Hugging Face folder or GGUF file")
        ->required();
    CLI::Option* const file = command->add_option(
        "--jsonl", options->path,
        "File with one JSON string a line, - = standard input; a blank line is an empty text");
    CLI::Option* const text = command->add_option("text", options->text, "One text");
    text->excludes(file);
    command->callback([&cli, options, file, text] {
      if (file->count() + text->count() == 0) throw CLI::RequiredError("text or --jsonl");
      cli.run = [&cli, options] { return Tokenize(cli, options->model, options->path, options->text); };
    });
  }
}

}  // namespace vernier::cli
