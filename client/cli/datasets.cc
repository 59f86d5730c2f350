// vernier datasets check, preview, put, list, get, rm.
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/cli.h"
#include "client/model_files.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/check.h"
#include "worker/data/preview.h"

namespace vernier::cli {
namespace {

using v1::DatasetService;

struct CodecOptions {
  std::string model;
  std::string loss_on;
  std::string turns;
  int max_tokens = 0;

  void AddTo(CLI::App& command, bool required) {
    command.add_option("--model,-m", model, "Model in the service, Hugging Face folder or GGUF file")
        ->required(required);
    command.add_option("--loss-on", loss_on, "assistant, completion or all")
        ->check(CLI::IsMember({"assistant", "completion", "all"}));
    command.add_option("--turns", turns, "Which assistant turns are trained: all or last")
        ->check(CLI::IsMember({"all", "last"}));
  }

  data::EncodeOptions Encode() const {
    data::EncodeOptions encode;
    v1::LossOn_Parse("LOSS_ON_" + absl::AsciiStrToUpper(loss_on.empty() ? "unspecified" : loss_on),
                     &encode.loss_on);
    v1::Turns_Parse("TURNS_" + absl::AsciiStrToUpper(turns.empty() ? "unspecified" : turns), &encode.turns);
    return encode;
  }

  absl::StatusOr<std::unique_ptr<data::Codec>> Open(Cli& cli) const {
    client::CodecRequest request;
    request.model = model;
    request.turns = Encode().turns;
    return client::OpenCodec(request, [&cli] { return cli.client(); });
  }
};

absl::Status Check(Cli& cli, const std::string& path, const CodecOptions& options) {
  std::unique_ptr<data::Codec> codec;
  if (!options.model.empty()) {
    VN_ASSIGN_OR_RETURN(codec, options.Open(cli));
  }
  data::PrepareOptions prepare;
  prepare.encode = options.Encode();
  prepare.max_tokens = options.max_tokens > 0 ? options.max_tokens : INT32_MAX;
  VN_ASSIGN_OR_RETURN(const data::CheckResult result, data::CheckFile(path, codec.get(), prepare));
  const v1::DataReport& report = result.report;
  if (cli.json()) {
    PrintJson(report);
  } else {
    std::cout << path << "\n  format          " << (result.format.empty() ? "none" : result.format)
              << "\n  good rows       " << report.num_rows() << "\n  bad rows        "
              << report.num_bad_rows() << "\n  duplicates      " << report.num_duplicate_rows() << "\n";
    if (codec != nullptr) {
      std::cout << "  tokens          " << report.num_tokens() << "\n  trained tokens  "
                << report.num_trained_tokens() << "\n  longest row     " << report.max_row_tokens()
                << " tokens\n  overlong rows   " << report.num_overlong_rows() << "\n";
    }
    for (const std::string& note : report.notes()) std::cout << "  note: " << note << "\n";
    for (const v1::RowProblem& problem : report.problems()) {
      std::cout << "  line " << problem.line() << ": " << problem.reason() << "\n";
    }
  }
  if (report.num_bad_rows() > 0 || report.num_overlong_rows() > 0) cli.exit_code = 2;
  return absl::OkStatus();
}

// Row `wanted` (from 1) that is not blank.
absl::StatusOr<std::string> LineOf(const std::string& path, int64_t wanted) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  std::string line;
  int64_t rows = 0;
  while (std::getline(file, line)) {
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    if (++rows == wanted) return line;
  }
  return absl::InvalidArgumentError(absl::StrCat("--row ", wanted, ": ", path, " has ", rows, " rows"));
}

absl::Status ShowPreview(Cli& cli, const std::string& path, int64_t row, const CodecOptions& options) {
  VN_ASSIGN_OR_RETURN(const auto codec, options.Open(cli));
  VN_ASSIGN_OR_RETURN(const std::string line, LineOf(path, row));
  auto preview = data::RenderPreview(line, *codec, options.Encode());
  if (!preview.ok()) return Annotate(preview.status(), absl::StrCat(path, " row ", row));
  if (cli.json()) {
    nlohmann::json out;
    out["num_tokens"] = preview->num_tokens;
    out["num_trained_tokens"] = preview->num_trained_tokens;
    out["prompt_length"] = preview->prompt_length;
    out["implicit_system_prompt"] = preview->implicit_system_prompt;
    out["adds_bos"] = preview->adds_bos;
    out["adds_eos"] = preview->adds_eos;
    out["segments"] = nlohmann::json::array();
    for (const data::PreviewSegment& segment : preview->segments) {
      out["segments"].push_back({{"text", segment.text}, {"weight", segment.weight}});
    }
    std::cout << out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return absl::OkStatus();
  }
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const std::string begin = terminal ? "\033[1;30;42m" : "[[";
  const std::string end = terminal ? "\033[0m" : "]]";
  for (const data::PreviewSegment& segment : preview->segments) {
    std::cout << (segment.trained() ? begin : "") << segment.text << (segment.trained() ? end : "");
  }
  if (preview->adds_eos) std::cout << begin << "<end of text>" << end;
  std::cout << "\n---\n"
            << preview->num_tokens << " tokens, " << preview->num_trained_tokens << " trained"
            << (terminal ? " (highlighted)" : " (between [[ and ]])") << "\n";
  if (preview->adds_bos) std::cout << "a beginning-of-text token goes before it\n";
  if (!preview->implicit_system_prompt.empty()) {
    std::cout << "the template adds a system prompt that the row does not have: \""
              << Excerpt(preview->implicit_system_prompt, 400) << "\"\n";
  }
  return absl::OkStatus();
}

absl::Status Put(Cli& cli, const std::string& path, const std::string& name) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  LiveLine live;
  const auto response = client->UploadDataset(path, name, [&](int64_t done, int64_t total) {
    live.Show(absl::StrCat("uploading ", path, "  ", HumanBytes(done), " of ", HumanBytes(total)));
  });
  live.Clear();
  VN_RETURN_IF_ERROR(response.status());
  if (cli.json()) {
    PrintJson(*response);
  } else {
    const v1::Dataset& dataset = response->dataset();
    std::cout << dataset.name() << "  " << dataset.num_rows() << " rows  " << HumanBytes(dataset.size_bytes())
              << "  " << dataset.digest().substr(0, 12) << (response->existed() ? "  (known already)" : "")
              << "\n";
  }
  return absl::OkStatus();
}

absl::Status List(Cli& cli) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::ListDatasetsRequest request;
  v1::ListDatasetsResponse all;
  do {
    VN_ASSIGN_OR_RETURN(const v1::ListDatasetsResponse page,
                        client->Call(&DatasetService::Stub::ListDatasets, request));
    all.mutable_datasets()->MergeFrom(page.datasets());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (cli.json()) {
    PrintJson(all);
    return absl::OkStatus();
  }
  Table table({"NAME", "ROWS", "SIZE", "FORMAT", "DIGEST", "CREATED"});
  for (const v1::Dataset& dataset : all.datasets()) {
    table.Add({dataset.name(), absl::StrCat(dataset.num_rows()), HumanBytes(dataset.size_bytes()),
               dataset.format(), dataset.digest().substr(0, 12), HumanTime(dataset.create_time())});
  }
  table.Print();
  return absl::OkStatus();
}

}  // namespace

void AddDatasetCommands(CLI::App& app, Cli& cli) {
  CLI::App* const group = app.add_subcommand("datasets", "Check, look at and upload rows");
  group->require_subcommand(1);
  struct Options {
    std::string path, name;
    int64_t row = 1;
    CodecOptions codec;
  };
  {
    CLI::App* const command = group->add_subcommand("check", "Validate a file without uploading it");
    const auto options = std::make_shared<Options>();
    command->add_option("file", options->path, "JSON lines")->required();
    options->codec.AddTo(*command, /*required=*/false);
    command->add_option("--max-tokens", options->codec.max_tokens, "Rows longer than this are overlong")
        ->check(CLI::Range(8, 1048576));
    command->callback(
        [&cli, options] { cli.run = [&cli, options] { return Check(cli, options->path, options->codec); }; });
  }
  {
    CLI::App* const command =
        group->add_subcommand("preview", "One row as the model sees it, trained tokens marked");
    const auto options = std::make_shared<Options>();
    command->add_option("file", options->path, "JSON lines")->required();
    command->add_option("--row,-n", options->row, "Which row, from 1")
        ->check(CLI::Range(int64_t{1}, INT64_MAX));
    options->codec.AddTo(*command, /*required=*/true);
    command->callback([&cli, options] {
      cli.run = [&cli, options] { return ShowPreview(cli, options->path, options->row, options->codec); };
    });
  }
  {
    CLI::App* const command = group->add_subcommand("put", "Upload a file");
    const auto options = std::make_shared<Options>();
    command->add_option("file", options->path, "JSON lines")->required();
    command->add_option("--name", options->name, "Name in the service; default: the file's");
    command->callback(
        [&cli, options] { cli.run = [&cli, options] { return Put(cli, options->path, options->name); }; });
  }
  group->add_subcommand("list", "Datasets in the service")->callback([&cli] {
    cli.run = [&cli] { return List(cli); };
  });
  {
    CLI::App* const command = group->add_subcommand("get", "Show a dataset");
    const auto options = std::make_shared<Options>();
    command->add_option("dataset", options->name, "Name or digest")->required();
    command->callback([&cli, options] {
      cli.run = [&cli, options]() -> absl::Status {
        VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
        v1::GetDatasetRequest request;
        request.set_name(options->name);
        VN_ASSIGN_OR_RETURN(const auto response, client->Call(&DatasetService::Stub::GetDataset, request));
        PrintJson(response.dataset());
        return absl::OkStatus();
      };
    });
  }
  {
    CLI::App* const command = group->add_subcommand("rm", "Delete a dataset that no unfinished job uses");
    const auto options = std::make_shared<Options>();
    command->add_option("dataset", options->name, "Name or digest")->required();
    command->callback([&cli, options] {
      cli.run = [&cli, options]() -> absl::Status {
        VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
        v1::DeleteDatasetRequest request;
        request.set_name(options->name);
        return client->Call(&DatasetService::Stub::DeleteDataset, request).status();
      };
    });
  }
}

}  // namespace vernier::cli
