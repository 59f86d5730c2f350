// The repository tests itself: who may include whom (design 0001, section 6), no file that no target builds,
// and long files say why they are one file.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace {

namespace fs = std::filesystem;

const std::string kRoot = VERNIER_SOURCE_DIR;

// Folder -> folders it may include besides itself. The longest matching folder counts.
const std::map<std::string, std::set<std::string>> kWalls = {
    {"common", {}},
    {"proto", {"common"}},
    {"storage", {"common", "proto"}},
    {"scheduler", {"common", "proto"}},
    {"worker/data/text", {"common", "proto", "storage"}},
    {"worker/data/formats", {"common", "proto", "storage"}},
    {"worker/data", {"common", "proto", "storage", "worker/data/text", "worker/data/formats"}},
    {"worker/optim", {"common", "proto", "storage"}},
    {"worker/plan", {"common", "proto", "storage", "worker/data"}},
    {"worker/models", {"common", "proto", "storage"}},
    {"worker/objectives", {"common", "proto", "storage", "worker/models"}},
    {"adapters", {"common", "proto", "storage", "worker/models"}},
    {"worker/stages",
     {"common", "proto", "storage", "worker/data", "worker/data/text", "worker/models", "worker/objectives",
      "worker/optim", "adapters", "worker/trainer"}},
    {"worker/trainer",
     {"common", "proto", "storage", "worker/data", "worker/data/text", "worker/models", "worker/objectives",
      "worker/optim", "adapters", "worker/stages"}},
    {"worker/agent", {"common", "proto", "storage", "worker/data"}},
    {"server",
     {"common", "proto", "storage", "scheduler", "worker/data/text", "worker/data/formats", "worker/plan"}},
    {"client", {"common", "proto", "storage", "worker/data", "worker/data/text", "worker/data/formats"}},
};

const std::set<std::string> kMayUseTorch = {"worker/models", "worker/objectives", "adapters", "worker/stages",
                                            "worker/trainer"};
const std::set<std::string> kMayUseGrpc = {"proto", "server", "client", "worker/agent", "worker/trainer"};

// The longest folder of kWalls that `path` (relative) lies in; "" = none.
std::string RoomOf(const std::string& path) {
  std::string best;
  for (const auto& [folder, allowed] : kWalls) {
    if (absl::StartsWith(path, folder + "/") && folder.size() > best.size()) best = folder;
  }
  return best;
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Relative paths of the C++ files of the product and its tests.
std::vector<std::string> Sources(const std::vector<std::string>& folders) {
  std::vector<std::string> files;
  for (const std::string& folder : folders) {
    if (!fs::exists(fs::path(kRoot) / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(kRoot) / folder)) {
      const std::string extension = entry.path().extension();
      if (entry.is_regular_file() && (extension == ".h" || extension == ".cc")) {
        files.push_back(fs::relative(entry.path(), kRoot).string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

const std::vector<std::string> kProduct = {"common", "proto",    "storage", "scheduler",
                                           "worker", "adapters", "server",  "client"};

std::vector<std::string> IncludesOf(const std::string& text) {
  std::vector<std::string> includes;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, "#include ")) continue;
    const size_t begin = line.find_first_of("\"<");
    const size_t end = line.find_last_of("\">");
    if (begin != absl::string_view::npos && end > begin)
      includes.emplace_back(line.substr(begin, end - begin + 1));
  }
  return includes;
}

TEST(TidyTest, ThereIsSomethingToCheck) { EXPECT_GT(Sources(kProduct).size(), 100u); }

TEST(TidyTest, IncludesFollowTheWalls) {
  for (const std::string& file : Sources(kProduct)) {
    const std::string room = RoomOf(file);
    ASSERT_NE(room, "") << file << " lies in no folder of the walls";
    for (const std::string& include : IncludesOf(ReadAll(fs::path(kRoot) / file))) {
      if (include[0] != '"') continue;
      const std::string target = RoomOf(include.substr(1, include.size() - 2));
      if (target.empty() || target == room) continue;
      EXPECT_TRUE(kWalls.at(room).contains(target))
          << file << " includes " << include << ": " << room << " may not include " << target;
    }
  }
}

TEST(TidyTest, TorchAndGrpcStayInTheirFolders) {
  for (const std::string& file : Sources(kProduct)) {
    const std::string room = RoomOf(file);
    for (const std::string& include : IncludesOf(ReadAll(fs::path(kRoot) / file))) {
      const absl::string_view name = absl::string_view(include).substr(1);
      if (absl::StartsWith(name, "torch/") || absl::StartsWith(name, "ATen/") ||
          absl::StartsWith(name, "c10/")) {
        EXPECT_TRUE(kMayUseTorch.contains(room)) << file << " includes " << include;
      }
      if (absl::StartsWith(name, "grpc/") || absl::StartsWith(name, "grpcpp/") ||
          absl::StrContains(name, ".grpc.pb.h")) {
        EXPECT_TRUE(kMayUseGrpc.contains(room)) << file << " includes " << include;
      }
    }
  }
}

TEST(TidyTest, TorchsBigHeadersStayHidden) {
  for (const std::string& file : Sources({"common", "storage", "worker", "adapters", "tests", "bench"})) {
    for (const std::string& include : IncludesOf(ReadAll(fs::path(kRoot) / file))) {
      EXPECT_NE(include, "<torch/torch.h>") << file << ": include \"worker/models/torch.h\", it says why";
      if (absl::StartsWith(file, "tests/") || !absl::EndsWith(file, ".h")) continue;
      EXPECT_NE(include, "\"worker/models/torch.h\"")
          << file << ": parsing it takes 6 CPU-seconds a file; <ATen/core/Tensor.h> declares tensors";
    }
  }
}

TEST(TidyTest, EveryFileIsListedByATarget) {
  std::vector<std::string> folders = kProduct;
  folders.push_back("tests");
  for (const std::string& file : Sources(folders)) {
    // The nearest CMakeLists.txt above the file names it relative to itself.
    fs::path folder = fs::path(file).parent_path();
    while (!folder.empty() && !fs::exists(fs::path(kRoot) / folder / "CMakeLists.txt"))
      folder = folder.parent_path();
    const std::string name = fs::relative(fs::path(kRoot) / file, fs::path(kRoot) / folder).string();
    const std::string lists = ReadAll(fs::path(kRoot) / folder / "CMakeLists.txt");
    // A header beside the test that uses it needs no line of its own.
    if (absl::StartsWith(file, "tests/") && absl::EndsWith(file, ".h")) continue;
    const std::vector<std::string> words =
        absl::StrSplit(lists, absl::ByAnyChar(" \n()\t"), absl::SkipEmpty());
    EXPECT_TRUE(std::find(words.begin(), words.end(), name) != words.end())
        << file << " is in no target of " << (folder / "CMakeLists.txt").string();
  }
}

TEST(TidyTest, LongFilesSayWhyTheyAreOne) {
  constexpr int kMaxLines = 500;
  for (const std::string& file : Sources(kProduct)) {
    const std::string text = ReadAll(fs::path(kRoot) / file);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    if (lines <= kMaxLines) continue;
    const std::vector<std::string> all = absl::StrSplit(text, '\n');
    const std::string top = absl::StrJoin(all.begin(), all.begin() + 15, "\n");
    EXPECT_TRUE(absl::StrContains(top, "one file"))
        << file << " has " << lines << " lines: say in its first 15 why it "
        << "is one file, or split it";
  }
}

}  // namespace
