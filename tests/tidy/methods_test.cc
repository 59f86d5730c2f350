// docs/methods.md knows every building block: the entries of the registries and the members of the schema's
// choices have a row each, and the rows name files that exist.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "vernier/v1/stage.pb.h"

namespace {

namespace fs = std::filesystem;
namespace v1 = vernier::v1;

const fs::path kRoot = VERNIER_SOURCE_DIR;
using Names = std::set<std::string>;

std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream file(kRoot / path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return absl::StrSplit(text.str(), '\n');
}

// Of the tables of a registry.cc: `    {"lora", ...},`, several a line where they are short.
Names EntriesOf(const std::string& path) {
  static const std::regex kEntry("(?:^    |\\}, +)\\{\"([^\"]*)\"");
  Names names;
  for (const std::string& line : LinesOf(path)) {
    for (std::sregex_iterator it(line.begin(), line.end(), kEntry), end; it != end; ++it) {
      if (absl::StartsWith(line, "    {\"")) names.insert((*it)[1]);
    }
  }
  return names;
}

Names MembersOf(const google::protobuf::Descriptor* message, const std::string& choice) {
  Names names;
  const google::protobuf::OneofDescriptor* oneof = message->FindOneofByName(choice);
  for (int i = 0; i < oneof->field_count(); ++i) names.emplace(oneof->field(i)->name());
  return names;
}

struct Row {
  std::string name, what, source, file, suite;
};

std::string WithoutTicks(absl::string_view cell) {
  absl::ConsumePrefix(&cell, "`");
  absl::ConsumeSuffix(&cell, "`");
  return std::string(cell);
}

// The tables of building blocks by the title in front of them, "Metrics (...)" as "Metrics".
std::map<std::string, std::vector<Row>> Tables() {
  std::map<std::string, std::vector<Row>> tables;
  std::string title;
  for (absl::string_view line : LinesOf("docs/methods.md")) {
    if (absl::StartsWith(line, "#")) title.clear();
    if (absl::ConsumePrefix(&line, "### ")) title = std::string(line.substr(0, line.find(" (")));
    if (title.empty() || !absl::StartsWith(line, "| `")) continue;
    std::vector<std::string> cells = absl::StrSplit(line, '|');
    EXPECT_EQ(cells.size(), 7u) << line;
    if (cells.size() != 7) continue;
    for (std::string& cell : cells) cell = std::string(absl::StripAsciiWhitespace(cell));
    tables[title].push_back(
        {WithoutTicks(cells[1]), cells[2], cells[3], WithoutTicks(cells[4]), WithoutTicks(cells[5])});
  }
  return tables;
}

Names NamesOf(const std::vector<Row>& rows) {
  Names names;
  for (const Row& row : rows) EXPECT_TRUE(names.insert(row.name).second) << row.name << " has two rows";
  return names;
}

TEST(MethodsTest, EveryRegistryEntryHasARowAndEveryRowAnEntry) {
  const auto tables = Tables();
  const auto rows = [&tables](const std::string& title) {
    EXPECT_TRUE(tables.contains(title)) << "docs/methods.md has no table \"" << title << "\"";
    return tables.contains(title) ? NamesOf(tables.at(title)) : Names();
  };
  EXPECT_EQ(rows("Tuning methods"), EntriesOf("adapters/registry.cc"));
  EXPECT_EQ(rows("Objectives"), EntriesOf("worker/objectives/registry.cc"));
  EXPECT_EQ(rows("Optimisers"), EntriesOf("worker/optim/registry.cc"));
  EXPECT_EQ(rows("Metrics"), EntriesOf("worker/stages/evaluate/registry.cc"));
  EXPECT_EQ(rows("Model families"), EntriesOf("worker/models/registry.cc"));
  // `generate` is the trainer's task behind GenerateService, no stage of a job.
  Names tasks = EntriesOf("worker/stages/registry.cc");
  EXPECT_EQ(tasks.erase("generate"), 1u);
  EXPECT_EQ(rows("Stage kinds"), tasks);
  Names hidden = EntriesOf("scheduler/registry.cc");
  hidden.merge(EntriesOf("storage/registry.cc"));
  hidden.merge(EntriesOf("worker/data/sources/registry.cc"));
  EXPECT_EQ(rows("Behind the scenes"), hidden);
  EXPECT_EQ(rows("Schedules"), MembersOf(v1::Schedule::descriptor(), "shape"));
}

TEST(MethodsTest, WhatAJobMayNameIsWhatTheRegistriesHave) {
  EXPECT_EQ(MembersOf(v1::Tuning::descriptor(), "method"), EntriesOf("adapters/registry.cc"));
  EXPECT_EQ(MembersOf(v1::Objective::descriptor(), "loss"), EntriesOf("worker/objectives/registry.cc"));
  EXPECT_EQ(MembersOf(v1::Optimizer::descriptor(), "rule"), EntriesOf("worker/optim/registry.cc"));
  Names tasks = EntriesOf("worker/stages/registry.cc");
  tasks.erase("generate");
  EXPECT_EQ(MembersOf(v1::Stage::descriptor(), "kind"), tasks);
}

TEST(MethodsTest, RowsSayWhatAndNameFilesThatExist) {
  for (const auto& [title, rows] : Tables()) {
    for (const Row& row : rows) {
      EXPECT_NE(row.what, "") << row.name;
      EXPECT_TRUE(fs::is_regular_file(kRoot / row.file)) << row.name << ": " << row.file;
      EXPECT_TRUE(fs::is_regular_file(kRoot / row.suite)) << row.name << ": " << row.suite;
    }
  }
}

// A published method either has a recipe or says what is missing.
TEST(MethodsTest, PublishedMethodsAreNumberedAndNumberedRecipesAreListed) {
  int number = 0;
  std::string all;
  for (const std::string& line : LinesOf("docs/methods.md")) {
    absl::StrAppend(&all, line, "\n");
    if (absl::StartsWith(line, absl::StrCat("| ", number + 1 < 10 ? "0" : "", number + 1, " | "))) ++number;
  }
  EXPECT_EQ(number, 81);
  for (const auto& entry : fs::directory_iterator(kRoot / "recipes")) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(absl::StrContains(all, name) || entry.is_directory()) << name << " is not in docs/methods.md";
  }
}

}  // namespace
