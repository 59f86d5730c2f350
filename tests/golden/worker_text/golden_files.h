// Reads the files of this folder. Made by tests/golden/make/make_tokenizer_goldens.py.
#pragma once

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/check.h"
#include "common/file.h"

namespace vernier::data {

inline std::string GoldenText(absl::string_view name) {
  const absl::StatusOr<std::string> text =
      ReadFile(absl::StrCat(VERNIER_SOURCE_DIR, "/tests/golden/worker_text/", name));
  VN_CHECK_OK(text.status());
  return *text;
}

inline nlohmann::json GoldenJson(absl::string_view name) { return nlohmann::json::parse(GoldenText(name)); }

// The folder that tools/setup downloads into.
inline std::string CacheFolder() {
  if (const char* cache = std::getenv("VERNIER_CACHE")) return cache;
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) return absl::StrCat(cache, "/vernier");
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "" : home, "/.cache/vernier");
}

}  // namespace vernier::data
