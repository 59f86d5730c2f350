// vernier metrics.
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/chart.h"
#include "client/cli/cli.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

using v1::JobService;

absl::StatusOr<std::vector<v1::MetricPoint>> Points(Cli& cli, const std::string& job,
                                                    const std::string& stage) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::StreamMetricsRequest request;
  request.set_name(job);
  request.set_stage(stage);
  // A step that was measured again after a resume replaces the old one.
  std::map<std::pair<std::string, int64_t>, v1::MetricPoint> points;
  VN_RETURN_IF_ERROR(client->StreamMetrics(request, [&](const v1::MetricPoint& point) {
    auto [it, fresh] = points.try_emplace({point.stage(), point.step()}, point);
    if (!fresh) {
      for (const auto& [name, value] : point.values()) (*it->second.mutable_values())[name] = value;
    }
    return true;
  }));
  std::vector<v1::MetricPoint> sorted;
  for (auto& [key, point] : points) sorted.push_back(std::move(point));
  return sorted;
}

// NotFound: the job has no such stage.
absl::Status CheckStage(Cli& cli, const std::string& job, const std::string& stage) {
  if (stage.empty()) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::GetJobRequest request;
  request.set_name(job);
  VN_ASSIGN_OR_RETURN(const v1::GetJobResponse response, client->Call(&JobService::Stub::GetJob, request));
  std::vector<std::string> ids;
  for (const v1::StageStatus& status : response.job().stages()) ids.push_back(status.id());
  if (std::find(ids.begin(), ids.end(), stage) != ids.end()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("--stage ", stage, ": is no stage of ", response.job().name(),
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

absl::Status ShowMetrics(Cli& cli, const std::string& job, const std::string& stage, bool csv, bool follow,
                         const std::string& svg) {
  VN_RETURN_IF_ERROR(CheckStage(cli, job, stage));
  if (follow) {
    VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
    v1::StreamMetricsRequest request;
    request.set_name(job);
    request.set_stage(stage);
    request.set_follow(true);
    return client->StreamMetrics(request, [](const v1::MetricPoint& point) {
      PrintJson(point);
      return true;
    });
  }
  VN_ASSIGN_OR_RETURN(const std::vector<v1::MetricPoint> points, Points(cli, job, stage));
  if (!svg.empty()) {
    VN_RETURN_IF_ERROR(
        WriteFileAtomic(svg, SvgChart(LossSeries(points), job, "step", "loss per trained token")));
    std::cerr << "wrote " << svg << "\n";
    return absl::OkStatus();
  }
  if (csv) {
    PrintCsv(points);
  } else if (cli.json()) {
    for (const v1::MetricPoint& point : points) PrintJson(point);
  } else {
    std::cout << TextChart(LossSeries(points), 78, 16);
    std::cout << points.size() << " points; --csv prints them, --svg FILE draws them\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddMetricsCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand("metrics", "Loss and other curves of a job");
  struct Options {
    std::string job, stage, svg;
    bool csv = false, follow = false;
  };
  const auto options = std::make_shared<Options>();
  command->add_option("job", options->job, kJobHelp)->required();
  command->add_option("--stage", options->stage, "Only this stage");
  command->add_flag("--csv", options->csv, "All points as CSV");
  command->add_flag("--follow,-f", options->follow, "Points as JSON lines, as they come");
  command->add_option("--svg", options->svg, "Write the loss curve as a picture");
  command->callback([&cli, options] {
    cli.run = [&cli, options] {
      return ShowMetrics(cli, options->job, options->stage, options->csv, options->follow, options->svg);
    };
  });
}

}  // namespace vernier::cli
