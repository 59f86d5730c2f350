// vernier: the command line of the service.
#include <signal.h>

#include <iostream>
#include <string>

#include "client/cli/cli.h"
#include "common/exit_code.h"
#include "common/log.h"
#include "common/version.h"

int main(int argc, char** argv) {
  using namespace vernier;  // NOLINT: the program's own names
  InitLogging("vernier");
  signal(SIGPIPE, SIG_IGN);
  cli::Cli state;
  state.data_dir = client::DefaultDataDir();
  CLI::App app("Fine-tunes models on your own machines. Start with: vernier up --detach", "vernier");
  app.set_version_flag("--version", std::string(Version()));
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--data-dir", state.data_dir, "Data dir of the service ($VERNIER_DATA_DIR)")
      ->capture_default_str();
  app.add_option("--output", state.output, "text or json")->check(CLI::IsMember({"text", "json"}));
  cli::AddServiceCommands(app, state);
  cli::AddJobCommands(app, state);
  cli::AddPlanCommand(app, state);
  cli::AddMetricsCommand(app, state);
  cli::AddDatasetCommands(app, state);
  cli::AddModelCommands(app, state);
  cli::AddAdapterCommands(app, state);
  cli::AddExportCommand(app, state);
  cli::AddGenerateCommand(app, state);
  cli::AddCompareCommand(app, state);
  cli::AddReportCommand(app, state);
  cli::AddLedgerCommand(app, state);
  cli::AddCompletionCommand(app, state);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::cerr << "vernier: " << cli::UsageError(app, error.what()) << "\n";
    return ExitCodeOf(absl::InvalidArgumentError(""));
  }
  const absl::Status status = state.run();
  if (!status.ok()) {
    std::cerr << "vernier: " << status.message() << "\n";
    return ExitCodeOf(status);
  }
  return state.exit_code;
}
