// A folder that is empty when a test starts and gone when it ends.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/digest.h"

namespace vernier {

class TempFolder {
 public:
  TempFolder() : path_(absl::StrCat(::testing::TempDir(), "vernier_test_", RandomHex(8))) {
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    if (error) ADD_FAILURE() << path_ << ": " << error.message();
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const { return absl::StrCat(path_, "/", name); }
  // Creates folders on the way; returns the path.
  std::string Write(absl::string_view name, absl::string_view bytes) const {
    const std::string path = File(name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.good()) ADD_FAILURE() << "cannot write " << path;
    return path;
  }

 private:
  const std::string path_;
};

}  // namespace vernier
