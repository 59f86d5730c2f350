#include "server/api/model_service.h"

#include <memory>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/api/keep.h"
#include "server/api/object_download.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/source_path.h"
#include "worker/plan/model_shape.h"

namespace vernier::server {
namespace {

using ImportStream = ServerStream<v1::ImportModelResponse>;

constexpr int64_t kMaxModelFileBytes = int64_t{64} << 20;

// Blocks for as long as it takes to read and write the model. What was begun is finished, whether or not the
// client still listens: importing again then costs nothing.
absl::StatusOr<v1::Model> Import(ApiContext& api, const v1::ImportModelRequest& request,
                                 const storage::ImportOptions& options) {
  v1::Model model;
  model.set_name(request.name());
  // Only the import itself finds out the content address: deletions are looked for under all models.
  const std::string prefix = absl::StrCat(storage::ModelsFolder(kDefaultTenant), "/");
  const auto store = [&]() -> absl::Status {
    VN_ASSIGN_OR_RETURN(const storage::ImportedModel imported,
                        storage::ImportModel(request.path(), api.store, kDefaultTenant, options));
    model.set_digest(imported.digest);
    model.set_architecture(imported.architecture);
    model.set_num_parameters(imported.num_parameters);
    model.set_size_bytes(imported.size_bytes);
    model.set_context_length(static_cast<int32_t>(imported.context_length));
    model.set_has_chat_template(imported.has_chat_template);
    model.set_vocab_size(static_cast<int32_t>(imported.vocab_size));
    // Planning alone needs it: a model whose layers cannot be told is as good as any other.
    if (auto shape = plan::ReadModelShape(api.store, storage::ModelFolder(kDefaultTenant, imported.digest));
        shape.ok()) {
      *model.mutable_shape() = *std::move(shape);
    } else {
      VN_LOG(WARNING) << "model without a plan digest=" << imported.digest << " why=" << shape.status();
    }
    return absl::OkStatus();
  };
  const auto add = [&](Core& core, absl::Time now) { return core.RegisterModel(kDefaultTenant, model, now); };
  const auto key = [&] {
    return absl::StrCat(storage::ModelFolder(kDefaultTenant, model.digest()), "/", storage::kManifestName);
  };
  VN_ASSIGN_OR_RETURN(v1::Model registered, Keep(api, prefix, store, add, key));
  VN_LOG(INFO) << "model imported name=" << registered.name() << " digest=" << registered.digest()
               << " size=" << HumanBytes(registered.size_bytes());
  return registered;
}

// Files that went, or were damaged, behind the service's back.
absl::Status ExplainLoss(const std::string& model, const absl::Status& status) {
  if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("model \"", model, "\": ", status.message(), "; import the model again"));
}

}  // namespace

absl::StatusOr<std::string> ImportRootOf(const std::string& path, const std::vector<std::string>& roots) {
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat(
        "path \"", Excerpt(path), "\" is not absolute; name the model's folder or file on the server"));
  }
  for (const std::string& root : roots) {
    const absl::StatusOr<std::string> resolved = storage::ResolvePath(path, root);
    if (resolved.ok()) return root;
    if (!absl::IsPermissionDenied(resolved.status())) return resolved.status();
  }
  return absl::PermissionDeniedError(
      roots.empty() ? absl::StrCat(Excerpt(path, 200),
                                   ": this vernierd imports nothing from its machine; start it with "
                                   "--import-root FOLDER to allow what lies below a folder")
                    : absl::StrCat(Excerpt(path, 200), ": does not lie below ", absl::StrJoin(roots, " or "),
                                   "; move it there, or start vernierd with another --import-root"));
}

grpc::ServerWriteReactor<v1::ImportModelResponse>* ModelService::ImportModel(
    grpc::CallbackServerContext*, const v1::ImportModelRequest* request) {
  auto stream = std::make_shared<ImportStream>();
  const absl::Status started = [&]() -> absl::Status {
    VN_RETURN_IF_ERROR(CheckSize(*request, kMaxNamingBytes));
    if (!request->name().empty()) VN_RETURN_IF_ERROR(storage::CheckId("model name", request->name()));
    VN_ASSIGN_OR_RETURN(std::shared_ptr<void> slot, imports_.Take());
    return api_.pool.Post([this, stream, slot = std::move(slot), request = *request] {
      storage::ImportOptions options;
      options.tokenizer_from_gguf = options_.tokenizer_from_gguf;
      options.tokenizer_from_folder = options_.tokenizer_from_folder;
      options.progress = [&stream](double fraction, absl::string_view phase) {
        if (!stream->idle()) return;  // a slow reader sees fewer steps
        v1::ImportModelResponse response;
        response.set_fraction(fraction);
        response.set_phase(std::string(phase));
        stream->Write(std::move(response));
      };
      absl::StatusOr<std::string> root = ImportRootOf(request.path(), options_.import_roots);
      if (!root.ok()) return stream->End(root.status());
      options.root = *std::move(root);
      absl::StatusOr<v1::Model> model = Import(api_, request, options);
      if (!model.ok()) return stream->End(model.status());
      v1::ImportModelResponse last;
      last.set_fraction(1);
      last.set_phase("done");
      *last.mutable_model() = *std::move(model);
      stream->Write(std::move(last));
      stream->End(absl::OkStatus());
    });
  }();
  if (!started.ok()) stream->End(started);
  return ImportStream::Launch(std::move(stream));
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::GetModelResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) {
                    return Store(core.GetModel(kDefaultTenant, request.name()), response.mutable_model());
                  });
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) {
                    return Store(core.ListModels(kDefaultTenant, request), &response);
                  });
}

grpc::ServerUnaryReactor* ModelService::DeleteModel(grpc::CallbackServerContext* context,
                                                    const v1::DeleteModelRequest* request,
                                                    v1::DeleteModelResponse* response) {
  return OnStrand(api_, context, request, response, [](Core& core, absl::Time, const auto& request, auto&) {
    return core.DeleteModel(kDefaultTenant, request.name());
  });
}

grpc::ServerWriteReactor<v1::GetModelFileResponse>* ModelService::GetModelFile(
    grpc::CallbackServerContext*, const v1::GetModelFileRequest* request) {
  using Download = ObjectDownload<v1::GetModelFileResponse>;
  auto download = std::make_shared<Download>(api_.store, api_.pool);
  grpc::ServerWriteReactor<v1::GetModelFileResponse>* const reactor = download->Launch();
  const absl::Status posted = api_.pool.Post([this, download, request = *request] {
    const absl::Status begun = [&]() -> absl::Status {
      VN_RETURN_IF_ERROR(CheckSize(request, kMaxNamingBytes));
      VN_ASSIGN_OR_RETURN(const v1::Model model, api_.strand.Call([&](Core& core, absl::Time) {
        return core.GetModel(kDefaultTenant, request.name());
      }));
      const std::string folder = storage::ModelFolder(kDefaultTenant, model.digest());
      const auto explain = [name = model.name()](const absl::Status& status) {
        return ExplainLoss(name, status);
      };
      absl::StatusOr<storage::Manifest> read =
          storage::ReadManifest(api_.store, folder, storage::kModelFormat);
      if (!read.ok()) return explain(read.status());
      const storage::Manifest& manifest = *read;
      const storage::ManifestPart* part = manifest.Find(request.file());
      if (part == nullptr) {
        std::vector<std::string> names;
        for (const storage::ManifestPart& p : manifest.parts) names.push_back(p.name);
        return absl::NotFoundError(absl::StrCat("model \"", model.name(), "\" has no file \"",
                                                Excerpt(request.file()), "\"; it has ",
                                                absl::StrJoin(names, ", ")));
      }
      if (part->size_bytes > kMaxModelFileBytes) {
        return absl::InvalidArgumentError(
            absl::StrCat("model \"", model.name(), "\": ", part->name, " has ", HumanBytes(part->size_bytes),
                         ", more than the limit of ", HumanBytes(kMaxModelFileBytes)));
      }
      download->Begin(folder, *part, explain);
      return absl::OkStatus();
    }();
    if (!begun.ok()) download->Fail(begun);
  });
  if (!posted.ok()) download->Fail(posted);
  return reactor;
}

}  // namespace vernier::server
