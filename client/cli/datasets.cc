// vernier datasets check, preview, put, list, get, rm.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/cli.h"
#include "client/cli/data_report.h"
#include "client/job_file.h"
#include "client/model_files.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/check.h"
#include "worker/data/preview.h"

namespace vernier::cli {
namespace {

using v1::DatasetService;

// How rows are read and tokenised, as a job would say it.
struct RowFlags {
  std::string model;
  std::string loss_on;
  std::string turns;
  std::string reasoning;
  std::vector<std::string> columns;
  std::string format;
  std::string chat_template;

  void AddTo(CLI::App& command, bool model_required) {
    command.add_option("--model,-m", model, "Model in the service, Hugging Face folder or GGUF file")
        ->required(model_required);
    command.add_option("--loss-on", loss_on, "assistant, completion, all or prompt")
        ->check(CLI::IsMember({"assistant", "completion", "all", "prompt"}));
    command
        .add_option("--turns", turns,
                    "Which assistant turns are trained: all, last, or each in a row (expand)")
        ->check(CLI::IsMember({"all", "last", "expand"}));
    command.add_option("--reasoning", reasoning, "The reasoning of answers: train, mask or drop")
        ->check(CLI::IsMember({"train", "mask", "drop"}));
    command.add_option("--chat-template", chat_template,
                       "File with a Jinja template to use instead of the model's");
    command.add_option("--columns", columns,
                       "field=column: which column holds a field, as data.columns; may repeat");
    command.add_option("--format", format, "Forces what the file is, as data.format; default: recognised");
  }

  data::EncodeOptions Encode() const {
    data::EncodeOptions encode;
    v1::LossOn_Parse("LOSS_ON_" + absl::AsciiStrToUpper(loss_on.empty() ? "unspecified" : loss_on),
                     &encode.loss_on);
    v1::Turns_Parse("TURNS_" + absl::AsciiStrToUpper(turns.empty() ? "unspecified" : turns), &encode.turns);
    v1::Reasoning_Parse("REASONING_" + absl::AsciiStrToUpper(reasoning.empty() ? "unspecified" : reasoning),
                        &encode.reasoning);
    return encode;
  }

  absl::StatusOr<data::RowOptions> Rows() const {
    std::map<std::string, std::string> mapped;
    for (const std::string& text : columns) {
      const std::pair<std::string, std::string> pair = absl::StrSplit(text, absl::MaxSplits('=', 1));
      if (pair.first.empty() || pair.second.empty())
        return absl::InvalidArgumentError(absl::StrCat("--columns ", text, ": write field=column"));
      if (!mapped.insert(pair).second)
        return absl::InvalidArgumentError(
            absl::StrCat("--columns ", text, ": ", pair.first, " is there twice"));
    }
    return data::MakeRowOptions(mapped, format);
  }

  absl::StatusOr<std::unique_ptr<data::Codec>> Open(Cli& cli) const {
    client::CodecRequest request;
    request.model = model;
    request.turns = Encode().turns;
    request.reasoning = Encode().reasoning;
    if (!chat_template.empty()) {
      VN_ASSIGN_OR_RETURN(request.chat_template, ReadFile(chat_template, data::kMaxTemplateBytes));
    }
    return client::OpenCodec(request, [&cli] { return cli.client(); });
  }
};

struct CheckFlags {
  std::string path;
  std::string validation;
  RowFlags rows;
  int max_tokens = 0;
  double threshold = data::NearOptions().threshold;
  int threads = 0;
  bool json = false;
};

absl::Status Check(Cli& cli, const CheckFlags& flags) {
  std::unique_ptr<data::Codec> codec;
  if (!flags.rows.model.empty()) {
    VN_ASSIGN_OR_RETURN(codec, flags.rows.Open(cli));
  }
  data::CheckRequest request;
  request.codec = codec.get();
  VN_ASSIGN_OR_RETURN(request.rows, data::CheckInputOf(flags.path));
  if (!flags.validation.empty()) {
    VN_ASSIGN_OR_RETURN(request.validation, data::CheckInputOf(flags.validation));
  }
  VN_ASSIGN_OR_RETURN(request.options.rows, flags.rows.Rows());
  request.options.encode = flags.rows.Encode();
  request.options.max_tokens = flags.max_tokens > 0 ? flags.max_tokens : INT32_MAX;
  request.options.near.threshold = flags.threshold;
  request.options.threads =
      flags.threads > 0 ? flags.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  LiveLine live;
  const auto report = data::CheckData(request, [&](const data::PrepareProgress& now) {
    live.Show(
        absl::StrCat(now.phase, " ", flags.path, "  ", Grouped(now.rows), " ", Noun(now.rows, "row"), "  ",
                     HumanBytes(now.bytes), " of ", HumanBytes(now.total_bytes),
                     now.eta_seconds > 0 ? absl::StrCat("  ETA ", HumanDuration(now.eta_seconds)) : ""));
  });
  live.Clear();
  if (!report.ok()) return Annotate(report.status(), flags.path);
  if (cli.json() || flags.json) {
    PrintJson(*report);
  } else {
    std::cout << DataReportText(*report, {.path = flags.path,
                                          .validation = flags.validation,
                                          .tokenised = codec != nullptr,
                                          .max_tokens = flags.max_tokens,
                                          .color = ::isatty(STDOUT_FILENO) == 1});
  }
  if (report->num_bad_rows() > 0 || report->num_overlong_rows() > 0) cli.exit_code = 2;
  return absl::OkStatus();
}

// `num_rows` are made of the row together.
void PrintPreviewJson(const data::Preview& preview, size_t num_rows) {
  nlohmann::json out;
  out["num_tokens"] = preview.num_tokens;
  out["num_trained_tokens"] = preview.num_trained_tokens;
  out["prompt_length"] = preview.prompt_length;
  out["implicit_system_prompt"] = preview.implicit_system_prompt;
  out["adds_bos"] = preview.adds_bos;
  out["adds_eos"] = preview.adds_eos;
  out["trains_eos"] = preview.trains_eos;
  out["hides_reasoning"] = preview.hides_reasoning;
  if (preview.message.has_value()) {
    out["message"] = *preview.message;
    out["num_rows"] = num_rows;
  }
  out["segments"] = nlohmann::json::array();
  for (const data::PreviewSegment& segment : preview.segments) {
    out["segments"].push_back({{"text", segment.text}, {"weight", segment.weight}});
  }
  std::cout << out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

void PrintPreview(const data::Preview& preview) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const absl::string_view begin = TrainedBegin(terminal), end = TrainedEnd(terminal);
  for (const data::PreviewSegment& segment : preview.segments) {
    std::cout << (segment.trained() ? begin : "") << segment.text << (segment.trained() ? end : "");
  }
  if (preview.adds_eos) {
    std::cout << (preview.trains_eos ? begin : "") << "<end of text>" << (preview.trains_eos ? end : "");
  }
  std::cout << "\n---\n"
            << Counted(preview.num_tokens, "token") << ", " << preview.num_trained_tokens << " trained"
            << (terminal ? " (highlighted)" : " (between [[ and ]])") << "\n";
  if (preview.adds_bos) std::cout << "a beginning-of-text token goes before it\n";
  if (preview.hides_reasoning) std::cout << "the template leaves out reasoning of the row\n";
  if (!preview.implicit_system_prompt.empty()) {
    std::cout << "the template adds a system prompt that the row does not have: \""
              << Excerpt(preview.implicit_system_prompt, 400) << "\"\n";
  }
}

absl::Status ShowPreview(Cli& cli, const std::string& path, int64_t row, const RowFlags& flags) {
  VN_ASSIGN_OR_RETURN(const auto codec, flags.Open(cli));
  VN_ASSIGN_OR_RETURN(const data::RowOptions rows, flags.Rows());
  VN_ASSIGN_OR_RETURN(const data::CheckInput input, data::CheckInputOf(path));
  const auto source = data::OpenSource(input.read, input.size_bytes, rows);
  if (!source.ok()) return Annotate(source.status(), path);
  const auto previews = data::PreviewRow(**source, row, rows, *codec, flags.Encode());
  if (!previews.ok()) return Annotate(previews.status(), path);
  bool first = true;
  for (const data::Preview& preview : previews->rows) {
    if (cli.json()) {
      PrintPreviewJson(preview, previews->num_rows);
      continue;
    }
    if (preview.message.has_value() && previews->num_rows > 1) {
      std::cout << (std::exchange(first, false) ? "" : "\n") << "=== row made of messages["
                << *preview.message << "]\n";
    }
    PrintPreview(preview);
  }
  const size_t num_hidden = previews->num_rows - previews->rows.size();
  if (num_hidden > 0 && !cli.json()) std::cout << "\n" << num_hidden << " more not shown\n";
  return absl::OkStatus();
}

absl::Status Put(Cli& cli, const std::string& path, const std::string& name) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  LiveLine live;
  const std::string wanted = name.empty() ? client::DatasetNameOf(path) : name;
  const auto response = client->UploadDataset(path, wanted, [&](int64_t done, int64_t total) {
    live.Show(absl::StrCat("uploading ", path, "  ", HumanBytes(done), " of ", HumanBytes(total)));
  });
  live.Clear();
  VN_RETURN_IF_ERROR(response.status());
  if (cli.json()) {
    PrintJson(*response);
  } else {
    const v1::Dataset& dataset = response->dataset();
    std::cout << dataset.name() << "  " << client::CountOf(dataset) << "  "
              << HumanBytes(dataset.size_bytes()) << "  " << dataset.digest().substr(0, 12)
              << (response->existed() ? "  (known already)" : "") << "\n";
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
    table.Add({dataset.name(), dataset.num_rows() > 0 ? absl::StrCat(dataset.num_rows()) : "-",
               HumanBytes(dataset.size_bytes()), dataset.format(), dataset.digest().substr(0, 12),
               HumanTime(dataset.create_time())});
  }
  table.Print("no datasets yet; `vernier datasets put FILE` uploads one, and so does `vernier submit`");
  return absl::OkStatus();
}

absl::Status Get(Cli& cli, const std::string& name) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::GetDatasetRequest request;
  request.set_name(name);
  VN_ASSIGN_OR_RETURN(const auto response, client->Call(&DatasetService::Stub::GetDataset, request));
  const v1::Dataset& dataset = response.dataset();
  if (cli.json()) {
    PrintJson(dataset);
    return absl::OkStatus();
  }
  PrintFields({{"name", dataset.name()},
               {"rows", dataset.num_rows() > 0 ? Grouped(dataset.num_rows()) : "not counted in this format"},
               {"format", dataset.format()},
               {"size", HumanBytes(dataset.size_bytes())},
               {"digest", dataset.digest()},
               {"uploaded", HumanTime(dataset.create_time())}});
  return absl::OkStatus();
}

}  // namespace

void AddDatasetCommands(CLI::App& app, Cli& cli) {
  CLI::App* const group = app.add_subcommand("datasets", "Check, look at and upload rows");
  group->require_subcommand(1);
  struct Options {
    std::string path, name;
    int64_t row = 1;
    RowFlags rows;
  };
  {
    CLI::App* const command =
        group->add_subcommand("check", "What a file holds and what is wrong with it, without uploading it");
    const auto flags = std::make_shared<CheckFlags>();
    command->add_option("file", flags->path, "Rows in any format")->required();
    flags->rows.AddTo(*command, /*model_required=*/false);
    command->add_option("--max-tokens", flags->max_tokens, "Rows longer than this are overlong")
        ->check(CLI::Range(8, 1048576));
    command->add_option("--validation", flags->validation, "Rows to validate on: are they among the others?");
    command
        ->add_option("--near-threshold", flags->threshold, "Similarity from which rows are near duplicates")
        ->check(CLI::Range(0.5, 0.99));
    command->add_option("--threads", flags->threads, "Default: one a core")->check(CLI::Range(1, 256));
    command->add_flag("--json", flags->json, "The report as JSON, as --output json");
    command->callback([&cli, flags] { cli.run = [&cli, flags] { return Check(cli, *flags); }; });
  }
  {
    CLI::App* const command =
        group->add_subcommand("preview", "One row as the model sees it, trained tokens marked");
    const auto options = std::make_shared<Options>();
    command->add_option("file", options->path, "Rows in any format")->required();
    command->add_option("--row,-n", options->row, "Which row, from 1")
        ->check(CLI::Range(int64_t{1}, INT64_MAX));
    options->rows.AddTo(*command, /*model_required=*/true);
    command->callback([&cli, options] {
      cli.run = [&cli, options] { return ShowPreview(cli, options->path, options->row, options->rows); };
    });
  }
  {
    CLI::App* const command = group->add_subcommand("put", "Upload a file");
    const auto options = std::make_shared<Options>();
    command->add_option("file", options->path, "Rows in any format")->required();
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
    command->callback([&cli, options] { cli.run = [&cli, options] { return Get(cli, options->name); }; });
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
