#include "adapters/module_names.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text.h"

namespace vernier::adapters {
namespace {

// Module paths are short: an honest expression needs hundreds of steps.
constexpr uint32_t kMatchLimit = 100000;

}  // namespace

bool NamesModule(absl::string_view name, absl::string_view module_path) {
  if (name.empty() || !absl::EndsWith(module_path, name)) return false;
  return name.size() == module_path.size() || module_path[module_path.size() - name.size() - 1] == '.';
}

std::string NearestAndAllLinearLayers(const models::CausalLm& model, absl::string_view name) {
  std::vector<std::string> leaves;
  std::vector<std::string> candidates;
  for (const models::LinearSite& site : model.linear_sites()) {
    if (std::find(leaves.begin(), leaves.end(), site.leaf) == leaves.end()) leaves.push_back(site.leaf);
    candidates.push_back(site.name);
  }
  // Leaves first: of two equally near names the short one is meant.
  candidates.insert(candidates.begin(), leaves.begin(), leaves.end());
  return absl::StrCat(DidYouMean(name, candidates), "; linear layers: ", absl::StrJoin(leaves, ", "));
}

struct ModuleRegex::Code {
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
};

ModuleRegex::ModuleRegex(std::string expression, std::shared_ptr<const Code> code)
    : expression_(std::move(expression)), code_(std::move(code)) {}

absl::StatusOr<ModuleRegex> ModuleRegex::Create(absl::string_view expression) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                             PCRE2_ANCHORED | PCRE2_ENDANCHORED, &error, &offset, nullptr);
  if (code->code == nullptr) {
    PCRE2_UCHAR reason[256];
    pcre2_get_error_message(error, reason, sizeof(reason));
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Excerpt(expression), "\" is no regular expression: ", reinterpret_cast<const char*>(reason),
        " at offset ", offset));
  }
  code->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(code->context, kMatchLimit);
  pcre2_set_depth_limit(code->context, kMatchLimit);
  return ModuleRegex(std::string(expression), std::move(code));
}

absl::StatusOr<bool> ModuleRegex::MatchesWhole(absl::string_view module_path) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code_->code, nullptr), pcre2_match_data_free);
  const int result = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(module_path.data()),
                                 module_path.size(), 0, 0, match.get(), code_->context);
  if (result >= 0) return true;
  if (result == PCRE2_ERROR_NOMATCH) return false;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", Excerpt(expression_), "\" takes too long to match; write a simpler expression"));
}

}  // namespace vernier::adapters
