// What turns one word into tokens: the model of a tokenizer.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/cpu_budget.h"

namespace vernier::data {

struct WordToken {
  int32_t id = 0;
  uint32_t begin = 0;  // byte of the word
};

// Thread-safe; immutable but for caches.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the tokens of `word`, which is not empty, below 4 GiB, and valid UTF-8 unless the model reads
  // bytes. InvalidArgument: the budget is spent, or the word has parts that the vocabulary lacks and no
  // unknown token stands for.
  virtual absl::Status Encode(absl::string_view word, CpuBudget& budget,
                              std::vector<WordToken>* tokens) const = 0;
};

}  // namespace vernier::data
