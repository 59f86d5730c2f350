// vernier up, down, agents, gc, du, version.
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/cli.h"
#include "client/supervisor.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/version.h"

namespace vernier::cli {
namespace {

using v1::AdminService;

std::string OwnFolder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

void SayReady(const Cli& cli, const client::Started& started, bool detached) {
  if (cli.json()) {
    nlohmann::ordered_json out;
    out["endpoint"] = started.endpoint;
    out["token_file"] = absl::StrCat(cli.data_dir, "/token");
    out["data_dir"] = cli.data_dir;
    out["pid"] = started.pid;
    out["version"] = std::string(Version());
    std::cout << out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    return;
  }
  std::cout << "Vernier " << Version() << " is ready at " << started.endpoint << "\n  data dir  "
            << cli.data_dir << "\n  stop it   "
            << (detached ? absl::StrCat("vernier down --data-dir ", cli.data_dir) : "Ctrl-C") << std::endl;
}

absl::Status Up(Cli& cli, client::SupervisorOptions options, bool detach) {
  options.data_dir = cli.data_dir;
  options.binary_folder = OwnFolder();
  if (detach) {
    VN_ASSIGN_OR_RETURN(const client::Started started, client::SuperviseDetached(options));
    SayReady(cli, started, /*detached=*/true);
    return absl::OkStatus();
  }
  return client::Supervise(
      options, [&cli](const client::Started& started) { SayReady(cli, started, /*detached=*/false); });
}

absl::Status Agents(Cli& cli) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(const v1::ListAgentsResponse response,
                      client->Call(&AdminService::Stub::ListAgents, v1::ListAgentsRequest()));
  if (cli.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"AGENT", "HOST", "CONNECTED", "DEVICES", "HOLDS", "VERSION"});
  for (const v1::Agent& agent : response.agents()) {
    std::string devices;
    for (const v1::Device& device : agent.devices()) {
      absl::StrAppend(&devices, devices.empty() ? "" : " ", device.id(), ":", device.threads(), "x",
                      HumanBytes(device.memory_bytes()), device.bf16() ? ":bf16" : "");
    }
    table.Add({agent.id(), agent.host(), agent.connected() ? "yes" : "no", devices,
               absl::StrJoin(agent.leases(), ", "), agent.version()});
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status CollectGarbage(Cli& cli, bool dry_run) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::CollectGarbageRequest request;
  request.set_dry_run(dry_run);
  VN_ASSIGN_OR_RETURN(const v1::CollectGarbageResponse response,
                      client->Call(&AdminService::Stub::CollectGarbage, request, absl::Minutes(30)));
  if (cli.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"SIZE", "REASON", "OBJECT"});
  for (const v1::GarbageObject& object : response.objects()) {
    table.Add({HumanBytes(object.size_bytes()), object.reason(), object.key()});
  }
  table.Print();
  std::cout << (dry_run ? "would delete " : "deleted ") << Counted(response.objects_size(), "object") << ", "
            << HumanBytes(response.total_bytes()) << "\n";
  return absl::OkStatus();
}

absl::Status DiskUsage(Cli& cli) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(
      const v1::GetDiskUsageResponse response,
      client->Call(&AdminService::Stub::GetDiskUsage, v1::GetDiskUsageRequest(), absl::Minutes(10)));
  if (cli.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"KIND", "NAME", "OBJECTS", "SIZE"});
  for (const v1::DiskUsageRow& row : response.rows()) {
    table.Add({row.kind(), row.name(), absl::StrCat(row.objects()), HumanBytes(row.size_bytes())});
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status ShowVersions(Cli& cli) {
  if (!cli.json()) std::cout << "vernier " << Version() << "\n";
  const auto client = cli.client();
  // Without a service the client's own version is the answer; as JSON there is none.
  if (!client.ok()) return cli.json() ? client.status() : absl::OkStatus();
  const auto info =
      (*client)->Call(&AdminService::Stub::GetServerInfo, v1::GetServerInfoRequest(), absl::Seconds(2));
  if (cli.json()) {
    VN_RETURN_IF_ERROR(info.status());
    PrintJson(*info);
    return absl::OkStatus();
  }
  if (info.ok()) {
    std::cout << "service " << info->version() << "  store " << info->store() << "  data dir "
              << info->data_dir() << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddServiceCommands(CLI::App& app, Cli& cli) {
  {
    CLI::App* const command = app.add_subcommand("up", "Start the service and an agent on this machine");
    const auto options = std::make_shared<client::SupervisorOptions>();
    const auto detach = std::make_shared<bool>(false);
    command->add_flag("--detach,-d", *detach, "Run in the background; returns when it is ready");
    command->add_option("--listen", options->listen, "Address of the gRPC API; port 0 = pick")
        ->capture_default_str();
    command->add_option("--metrics-listen", options->metrics_listen, "Address of vernierd's /metrics")
        ->capture_default_str();
    command->add_option("--import-root", options->import_roots,
                        "Folder that models may be imported from (repeatable)");
    command->add_option("--threads", options->threads, "CPU threads for training; 0 = all")
        ->check(CLI::Range(0, 1024));
    command
        ->add_option("--server-flag", options->server_flags,
                     "A further flag of vernierd, e.g. --lease-ttl=30s")
        ->allow_extra_args(false);
    command->callback([&cli, options, detach] {
      cli.run = [&cli, options, detach] { return Up(cli, *options, *detach); };
    });
  }
  app.add_subcommand("down", "Stop the service of this data dir; running jobs checkpoint first")
      ->callback([&cli] {
        cli.run = [&cli]() -> absl::Status {
          VN_RETURN_IF_ERROR(client::StopSupervisor(cli.data_dir, absl::Minutes(2)));
          if (!cli.json()) std::cout << "stopped\n";
          return absl::OkStatus();
        };
      });
  app.add_subcommand("agents", "Machines that offer devices")->callback([&cli] {
    cli.run = [&cli] { return Agents(cli); };
  });
  {
    CLI::App* const command = app.add_subcommand("gc", "Delete objects that nothing refers to");
    const auto dry_run = std::make_shared<bool>(false);
    command->add_flag("--dry-run", *dry_run, "Only list them");
    command->callback(
        [&cli, dry_run] { cli.run = [&cli, dry_run] { return CollectGarbage(cli, *dry_run); }; });
  }
  app.add_subcommand("du", "Bytes in the object store, by kind")->callback([&cli] {
    cli.run = [&cli] { return DiskUsage(cli); };
  });
  app.add_subcommand("version", "Versions of this client and of the service")->callback([&cli] {
    cli.run = [&cli] { return ShowVersions(cli); };
  });
}

}  // namespace vernier::cli
