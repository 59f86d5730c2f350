#include "server/dispatch/generations.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "server/validate/field_check.h"
#include "server/validate/stage_defaults.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

constexpr int kMaxPrompts = 256;
constexpr size_t kMaxPromptBytes = size_t{1} << 20;
constexpr size_t kMaxAllPromptsBytes = size_t{3} << 20;  // a gRPC message has 4 MiB
constexpr uint64_t kDefaultSeed = 17;

absl::Status CheckPrompts(const v1::GenerateRequest& request) {
  if (request.prompts().empty() || request.prompts_size() > kMaxPrompts) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompts: ", request.prompts_size(), " of them; give 1 to ", kMaxPrompts));
  }
  size_t total = 0;
  for (int i = 0; i < request.prompts_size(); ++i) {
    const size_t size = request.prompts(i).size();
    total += size;
    if (size == 0 || size > kMaxPromptBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("prompts[", i, "]: has ", size, " bytes; give 1 byte to 1 MiB"));
    }
  }
  if (total > kMaxAllPromptsBytes) {
    return absl::InvalidArgumentError(absl::StrCat("prompts: ", HumanBytes(static_cast<int64_t>(total)),
                                                   " in all are more than 3 MiB; ask in several requests"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::GenerateTask> ResolveGenerate(const v1::GenerateRequest& request, const Catalog& catalog,
                                                 absl::string_view tenant) {
  VN_RETURN_IF_ERROR(CheckPrompts(request));
  AdapterFacts adapter;
  if (request.has_adapter()) {
    const v1::AdapterRef& ref = request.adapter();
    if (!ref.has_job() && !ref.has_adapter()) {
      return absl::InvalidArgumentError("adapter: name a job or an imported adapter, e.g. jobs/ID");
    }
    VN_ASSIGN_OR_RETURN(adapter, catalog.FindAdapter(ref));
  }
  if (request.model().empty() && adapter.model_digest.empty()) {
    return absl::InvalidArgumentError("model: name an imported model, or the adapter of a job");
  }
  VN_ASSIGN_OR_RETURN(const v1::Model model,
                      catalog.FindModel(request.model().empty() ? adapter.model_digest : request.model()));
  if (!adapter.model_digest.empty() && adapter.model_digest != model.digest()) {
    return absl::InvalidArgumentError(absl::StrCat("adapter: it was trained on model \"", adapter.model_name,
                                                   "\", not on \"", request.model(),
                                                   "\"; leave model empty"));
  }
  v1::GenerateTask task;
  task.set_model_key(storage::ModelFolder(tenant, model.digest()));
  task.set_adapter_key(adapter.key);
  *task.mutable_prompts() = request.prompts();
  *task.mutable_decoding() = request.decoding();
  task.set_precision(v1::PRECISION_AUTO);
  FieldErrors errors;
  FillDecoding(FieldCheck(errors, "", "decoding."), kDefaultSeed, *task.mutable_decoding());
  VN_RETURN_IF_ERROR(errors.ToStatus());
  if (model.context_length() > 0 && task.decoding().max_new_tokens() >= model.context_length()) {
    return absl::InvalidArgumentError(
        absl::StrCat("decoding.max_new_tokens = ", task.decoding().max_new_tokens(),
                     " leaves no room for the prompt in the ", model.context_length(), " tokens of model \"",
                     model.name(), "\"; use less"));
  }
  return task;
}

absl::StatusOr<v1::GenerateTask> ResolveFurther(const v1::GenerateRequest& request,
                                                const v1::GenerateTask& first) {
  if (!request.model().empty() || request.has_adapter()) {
    return absl::InvalidArgumentError(
        "model, adapter: a conversation keeps those of its first request; converse anew for others");
  }
  VN_RETURN_IF_ERROR(CheckPrompts(request));
  v1::GenerateTask task = first;
  *task.mutable_prompts() = request.prompts();
  if (request.has_decoding()) {
    *task.mutable_decoding() = request.decoding();
    FieldErrors errors;
    FillDecoding(FieldCheck(errors, "", "decoding."), kDefaultSeed, *task.mutable_decoding());
    VN_RETURN_IF_ERROR(errors.ToStatus());
  }
  return task;
}

absl::StatusOr<uint64_t> Generations::Start(absl::string_view tenant, v1::GenerateTask task, absl::Time now) {
  if (static_cast<int>(generations_.size()) >= max_generations_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        max_generations_, " generate requests are under way, which is the limit; try again soon"));
  }
  const uint64_t id = ++last_id_;
  const int open_prompts = task.prompts_size();
  generations_[id] = {.id = id,
                      .tenant = std::string(tenant),
                      .task = std::move(task),
                      .start_time = now,
                      .open_prompts = open_prompts};
  return id;
}

Generation* Generations::Find(uint64_t id) {
  const auto it = generations_.find(id);
  return it == generations_.end() ? nullptr : &it->second;
}

Generation* Generations::FindLease(absl::string_view lease) {
  for (auto& [id, generation] : generations_) {
    if (!lease.empty() && generation.lease == lease) return &generation;
  }
  return nullptr;
}

std::string Generations::KeyOf(uint64_t id) { return absl::StrCat("generations/", id); }

scheduler::PendingView Generations::PendingOf(const Generation& generation) {
  // Order 0: somebody sits and waits; only preparing data competes with it.
  return {.key = KeyOf(generation.id), .order = 0, .kind = scheduler::WorkKind::kSide};
}

v1::Task Generations::TaskOf(const Generation& generation, absl::string_view incarnation,
                             absl::string_view store_uri) {
  v1::Task task;
  task.set_job(KeyOf(generation.id));
  task.set_stage("generate");
  task.set_attempt(1);
  task.set_token(generation.token);
  task.set_incarnation(std::string(incarnation));
  task.set_store(std::string(store_uri));
  task.set_tenant(generation.tenant);
  task.set_seed(generation.task.decoding().seed());
  task.set_threads(generation.threads);
  *task.mutable_generate() = generation.task;
  return task;
}

}  // namespace vernier::server
