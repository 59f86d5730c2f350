// Which linear layers a name means. Names of modules are Hugging Face's dotted paths.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/models/model.h"

namespace vernier::adapters {

// True where `name` is the module's path or ends it after a dot: "q_proj", "self_attn.q_proj" and
// "model.layers.0.self_attn.q_proj" all mean the last one. PEFT reads the entries of a target list the same
// way.
bool NamesModule(absl::string_view name, absl::string_view module_path);

// "; did you mean "q_proj"?; linear layers: q_proj, k_proj, ...": the end of a message about a name that
// means none.
std::string NearestAndAllLinearLayers(const models::CausalLm& model, absl::string_view name);

// A regular expression of an adapter_config.json (Python's dialect, read as PCRE2 does). Matching is bounded,
// so that a hostile expression cannot hang the process. Thread-compatible.
class ModuleRegex {
 public:
  // InvalidArgument: the expression does not compile; says where and why.
  static absl::StatusOr<ModuleRegex> Create(absl::string_view expression);
  // InvalidArgument: matching took more steps than allowed.
  absl::StatusOr<bool> MatchesWhole(absl::string_view module_path) const;

 private:
  struct Code;
  explicit ModuleRegex(std::string expression, std::shared_ptr<const Code> code);
  std::string expression_;
  std::shared_ptr<const Code> code_;  // shared by copies
};

}  // namespace vernier::adapters
