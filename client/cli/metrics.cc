// vernier metrics.
#include <algorithm>
#include <iostream>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/chart.h"
#include "client/cli/cli.h"
#include "client/results.h"
#include "client/tfevents.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

// NotFound: the job has no such stage.
absl::Status CheckStage(const v1::Job& job, const std::string& stage) {
  if (stage.empty()) return absl::OkStatus();
  std::vector<std::string> ids;
  for (const v1::StageStatus& status : job.stages()) ids.push_back(status.id());
  if (std::find(ids.begin(), ids.end(), stage) != ids.end()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("--stage ", stage, ": is no stage of ", job.name(),
                                          DidYouMean(stage, ids), "; it has ", absl::StrJoin(ids, ", ")));
}

void PrintCsv(const std::vector<v1::MetricPoint>& points) {
  std::set<std::string> names;
  for (const v1::MetricPoint& point : points) {
    for (const auto& [name, value] : point.values()) names.insert(name);
  }
  std::cout << "stage,step" << (names.empty() ? "" : ",") << absl::StrJoin(names, ",") << "\n";
  for (const v1::MetricPoint& point : points) {
    std::string line = absl::StrCat(point.stage(), ",", point.step());
    for (const std::string& name : names) {
      const auto it = point.values().find(name);
      absl::StrAppend(&line, ",", it == point.values().end() ? "" : absl::StrFormat("%.9g", it->second));
    }
    std::cout << line << "\n";
  }
}

struct Options {
  std::string job, stage, svg, tensorboard;
  bool csv = false, follow = false;
};

absl::Status ShowMetrics(Cli& cli, const Options& options) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(const v1::Job job, client::GetJob(*client, options.job));
  VN_RETURN_IF_ERROR(CheckStage(job, options.stage));
  if (options.follow) {
    v1::StreamMetricsRequest request;
    request.set_name(job.name());
    request.set_stage(options.stage);
    request.set_follow(true);
    return client->StreamMetrics(request, [](const v1::MetricPoint& point) {
      PrintJson(point);
      return true;
    });
  }
  VN_ASSIGN_OR_RETURN(const std::vector<v1::MetricPoint> points,
                      client::GetPoints(*client, job.name(), options.stage));
  if (!options.tensorboard.empty()) {
    VN_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                        client::WriteTensorBoard(points, ShortId(job.name()), options.tensorboard));
    for (const std::string& path : paths) std::cerr << "wrote " << path << "\n";
    if (paths.empty()) std::cerr << job.name() << " has no metrics yet; nothing was written\n";
    return absl::OkStatus();
  }
  if (!options.svg.empty()) {
    VN_RETURN_IF_ERROR(WriteFileAtomic(
        options.svg, SvgChart(LossSeries(points), options.job, "step", "loss per trained token")));
    std::cerr << "wrote " << options.svg << "\n";
    return absl::OkStatus();
  }
  if (options.csv) {
    PrintCsv(points);
  } else if (cli.json()) {
    for (const v1::MetricPoint& point : points) PrintJson(point);
  } else {
    std::cout << TextChart(LossSeries(points), 78, 16);
    std::cout << points.size()
              << " points; --csv prints them, --svg FILE draws them, --tensorboard DIR exports them\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddMetricsCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand("metrics", "Loss and other curves of a job");
  const auto options = std::make_shared<Options>();
  command->add_option("job", options->job, kJobHelp)->required();
  command->add_option("--stage", options->stage, "Only this stage");
  command->add_flag("--csv", options->csv, "All points as CSV");
  command->add_flag("--follow,-f", options->follow, "Points as JSON lines, as they come");
  command->add_option("--svg", options->svg, "Write the loss curve as a picture");
  command->add_option("--tensorboard", options->tensorboard,
                      "Write event files below this folder, for `tensorboard --logdir`");
  command->callback(
      [&cli, options] { cli.run = [&cli, options] { return ShowMetrics(cli, *options); }; });
}

}  // namespace vernier::cli
