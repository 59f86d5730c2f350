#include "server/validate/exports.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/validate/stage_defaults.h"
#include "storage/gguf_description.h"

namespace vernier::server {

void FillFromPublished(const PublishedFacts& published, StageRecord& record) {
  record.set_model_name(published.model_name);
  record.set_model_digest(published.model_digest);
  record.set_model_key(published.is_adapter ? published.model_key : published.key);
  if (published.is_adapter) record.set_adapter_key(published.key);
  record.set_source_is_adapter(published.is_adapter);
  record.set_source_prepared_key(published.prepared_key);
  record.set_chat_template(published.chat_template);
  record.set_source(published.source);
}

void CheckExportProfiles(const FieldCheck& at, const v1::ExportStage& stage, const StageRecord& record,
                         bool stacked, absl::string_view architecture) {
  const auto check = [&](bool wants_adapter, absl::string_view field, absl::string_view what) {
    if (!wants_adapter) return;
    if (!record.source_is_adapter()) {
      at.Error(field, absl::StrCat(": ", what, " holds an adapter, and ", record.source(),
                                   " has none, but whole weights; use merged or gguf"));
    } else if (stacked) {
      at.Error(field, absl::StrCat(": ", what, " cannot hold the adapter of ", record.source(),
                                   ", which lies on top of another one; use merged or gguf"));
    }
  };
  check(HasProfile(stage, "peft"), "profiles", "peft");
  check(HasProfile(stage, "serving"), "profiles", "serving");
  check(stage.gguf().lora(), "gguf.lora", "a GGUF file of an adapter");
  const std::vector<std::string> written = storage::KnownGgufModelTypes();
  if (HasProfile(stage, "gguf") && !absl::c_linear_search(written, architecture)) {
    at.Error("profiles",
             absl::StrCat(": gguf files of ", architecture, " models are not written; written are those of ",
                          absl::StrJoin(written, ", "), "; use merged"));
  }
}

}  // namespace vernier::server
