// vernier completion: scripts for shells, made from the commands themselves.
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/cli.h"

namespace vernier::cli {
namespace {

std::vector<std::string> WordsOf(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    words.push_back(command->get_name());
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

// "path of commands" -> words, for every command.
void Collect(const CLI::App& app, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& all) {
  all.emplace_back(path, absl::StrJoin(WordsOf(app), " "));
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    Collect(*command, absl::StrCat(path, path.empty() ? "" : " ", command->get_name()), all);
  }
}

std::string Bash(const CLI::App& app) {
  std::vector<std::pair<std::string, std::string>> all;
  Collect(app, "", all);
  std::string script =
      "# bash completion of vernier: eval \"$(vernier completion bash)\"\n"
      "_vernier() {\n"
      "  local word path='' i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    case \"$word\" in -*) ;; *) case \"${path:+$path }$word\" in\n";
  for (const auto& [path, words] : all) {
    if (!path.empty()) absl::StrAppend(&script, "      '", path, "') path='", path, "' ;;\n");
  }
  absl::StrAppend(&script, "    esac ;; esac\n  done\n  local words=''\n  case \"$path\" in\n");
  for (const auto& [path, words] : all)
    absl::StrAppend(&script, "    '", path, "') words='", words, "' ;;\n");
  absl::StrAppend(&script,
                  "  esac\n"
                  "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
                  "}\n"
                  "complete -o default -F _vernier vernier\n");
  return script;
}

std::string Fish(const CLI::App& app) {
  std::vector<std::pair<std::string, std::string>> all;
  Collect(app, "", all);
  std::string script =
      "# fish completion of vernier: vernier completion fish | source\ncomplete -c vernier -f\n";
  for (const auto& [path, words] : all) {
    const std::string condition =
        path.empty() ? "__fish_use_subcommand"
                     : absl::StrCat("__fish_seen_subcommand_from ", path.substr(path.rfind(' ') + 1));
    absl::StrAppend(&script, "complete -c vernier -n '", condition, "' -a '", words, "'\n");
  }
  return script;
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand("completion", "Completion script for a shell");
  const auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, &cli, shell] {
    cli.run = [&app, shell] {
      if (*shell == "fish") {
        std::cout << Fish(app);
      } else {
        if (*shell == "zsh")
          std::cout << "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n";
        std::cout << Bash(app);
      }
      return absl::OkStatus();
    };
  });
}

}  // namespace vernier::cli
