#include "worker/data/prepare.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "storage/layout.h"
#include "worker/data/prepare_task.h"
#include "worker/data/prepared_file.h"
#include "worker/data/prepared_manifest.h"
#include "worker/data/store_io.h"

namespace vernier::data {
namespace {

constexpr int64_t kReadBytes = int64_t{4} << 20;
constexpr int64_t kMaxTokenizerBytes = int64_t{256} << 20;
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;

class Preparation {
 public:
  Preparation(const v1::Task& task, Blobs& blobs, const CodecFactory& create_codec,
              const ProgressFn& progress, const std::atomic<bool>* stop)
      : task_(task),
        prepare_(task.prepare()),
        blobs_(blobs),
        create_codec_(create_codec),
        progress_(progress),
        stop_(stop) {}

  absl::StatusOr<v1::PreparedData> Run() {
    VN_ASSIGN_OR_RETURN(options_, OptionsOf(task_));
    VN_RETURN_IF_ERROR(LoadModel());
    VN_RETURN_IF_ERROR(Address());
    VN_ASSIGN_OR_RETURN(std::optional<v1::PreparedData> cached, FromCache());
    if (cached.has_value()) return *std::move(cached);
    VN_ASSIGN_OR_RETURN(const PreparedSet set, Tokenise());
    return Write(set);
  }

 private:
  absl::Status Tell(absl::string_view phase, double fraction, int64_t rows) {
    if (stop_ != nullptr && stop_->load()) return absl::CancelledError("preparing was stopped");
    if (progress_) progress_(phase, std::clamp(fraction, 0.0, 1.0), rows);
    return absl::OkStatus();
  }

  absl::Status LoadModel() {
    CodecFiles files;
    const std::string& model = prepare_.model_key();
    absl::StatusOr<std::string> tokenizer =
        ReadWhole(blobs_, absl::StrCat(model, "/tokenizer.json"), kMaxTokenizerBytes);
    if (absl::IsNotFound(tokenizer.status())) {
      return absl::FailedPreconditionError(
          absl::StrCat(tokenizer.status().message(), "; import the model again"));
    }
    VN_ASSIGN_OR_RETURN(files.tokenizer_json, std::move(tokenizer));
    absl::StatusOr<std::string> config =
        ReadWhole(blobs_, absl::StrCat(model, "/tokenizer_config.json"), kMaxConfigBytes);
    if (config.ok()) {
      files.tokenizer_config_json = *std::move(config);
    } else if (!absl::IsNotFound(config.status())) {
      return config.status();
    }
    absl::StatusOr<std::string> jinja =
        ReadWhole(blobs_, absl::StrCat(model, "/chat_template.jinja"), kMaxConfigBytes);
    if (prepare_.data().has_chat_template()) {
      files.chat_template_override = prepare_.data().chat_template();
    } else if (jinja.ok()) {
      files.chat_template_override = *std::move(jinja);
    } else if (!absl::IsNotFound(jinja.status())) {
      return jinja.status();
    }
    if (prepare_.data().has_template_time()) files.template_time = prepare_.data().template_time();
    files.turns = prepare_.data().turns();
    std::string template_text;
    VN_ASSIGN_OR_RETURN(codec_, create_codec_(files, &template_text));
    facts_.tokenizer_digest = Sha256Hex(
        absl::StrCat(files.tokenizer_json.size(), ":", files.tokenizer_json, files.tokenizer_config_json));
    facts_.template_digest = Sha256Hex(template_text);
    uses_time_ = absl::StrContains(template_text, "strftime_now");
    facts_.eos_id = codec_->eos_id().value_or(-1);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> DigestOf(const std::string& key, int64_t* size) {
    VN_ASSIGN_OR_RETURN(*size, blobs_.Size(key));
    Sha256 digest;
    for (int64_t offset = 0; offset < *size;) {
      VN_ASSIGN_OR_RETURN(const std::string bytes, blobs_.ReadAt(key, offset, kReadBytes));
      if (bytes.empty())
        return absl::DataLossError(absl::StrCat(key, ": ended at byte ", offset, " of ", *size));
      digest.Update(bytes);
      offset += static_cast<int64_t>(bytes.size());
      VN_RETURN_IF_ERROR(Tell("reading", static_cast<double>(offset) / static_cast<double>(*size), 0));
    }
    return digest.FinishHex();
  }

  // The content address: everything the result depends on, as one JSON text.
  absl::Status Address() {
    Json inputs;
    inputs["version"] = kPreparedVersion;
    VN_ASSIGN_OR_RETURN(inputs["dataset"], DigestOf(prepare_.dataset_key(), &train_bytes_));
    if (!prepare_.validation_dataset_key().empty()) {
      VN_ASSIGN_OR_RETURN(inputs["validation"],
                          DigestOf(prepare_.validation_dataset_key(), &validation_bytes_));
    }
    inputs["tokenizer"] = facts_.tokenizer_digest;
    inputs["template"] = facts_.template_digest;
    // Only a template that asks for the time depends on it.
    if (uses_time_) inputs["template_time"] = prepare_.data().template_time();
    inputs["loss_on"] = v1::LossOn_Name(options_.encode.loss_on);
    inputs["turns"] = v1::Turns_Name(options_.encode.turns);
    inputs["max_tokens"] = options_.max_tokens;
    inputs["on_overlong"] = v1::OnOverlong_Name(options_.on_overlong);
    inputs["on_bad_row"] = v1::OnBadRow_Name(options_.on_bad_row);
    inputs["max_rows"] = options_.max_rows;
    inputs["max_validation_rows"] = options_.max_validation_rows;
    inputs["validation_fraction"] = options_.validation_fraction;
    facts_.digest = Sha256Hex(inputs.dump());
    key_ = storage::PreparedFolder(task_.tenant().empty() ? "default" : task_.tenant(), facts_.digest);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<v1::PreparedData>> FromCache() {
    absl::StatusOr<PreparedManifest> manifest = ReadManifest(blobs_, key_);
    if (absl::IsNotFound(manifest.status())) return std::optional<v1::PreparedData>();
    VN_RETURN_IF_ERROR(manifest.status());
    // Damaged files are written anew: the manifest says what they must be.
    const auto damaged = [&](const absl::Status& why) {
      VN_LOG(WARNING) << "prepared data was damaged, preparing again key=" << key_ << " why=" << why;
      return std::optional<v1::PreparedData>();
    };
    for (const auto& [name, file] : manifest->files) {
      absl::StatusOr<int64_t> size = blobs_.Size(absl::StrCat(key_, "/", name));
      if (absl::IsNotFound(size.status())) return damaged(size.status());
      VN_RETURN_IF_ERROR(size.status());
      if (*size != file.size_bytes)
        return damaged(absl::DataLossError(absl::StrCat(name, " has ", *size, " bytes")));
    }
    absl::StatusOr<std::string> report = ReadListed(blobs_, key_, *manifest, kReportFile, kMaxReportBytes);
    if (absl::IsDataLoss(report.status())) return damaged(report.status());
    VN_RETURN_IF_ERROR(report.status());
    v1::PreparedData prepared;
    prepared.set_key(key_);
    prepared.set_from_cache(true);
    VN_ASSIGN_OR_RETURN(*prepared.mutable_report(), ReportFromJson(*report));
    return std::optional<v1::PreparedData>(std::move(prepared));
  }

  ReadAtFn Reader(const std::string& key) {
    return [this, key](int64_t offset, int64_t max_bytes) { return blobs_.ReadAt(key, offset, max_bytes); };
  }

  absl::StatusOr<PreparedSet> Tokenise() {
    PrepareInputs inputs;
    VN_ASSIGN_OR_RETURN(const std::unique_ptr<Source> train,
                        CreateSource("jsonl", Reader(prepare_.dataset_key())));
    inputs.train = train.get();
    std::unique_ptr<Source> validation;
    if (!prepare_.validation_dataset_key().empty()) {
      VN_ASSIGN_OR_RETURN(validation, CreateSource("jsonl", Reader(prepare_.validation_dataset_key())));
      inputs.validation = validation.get();
    }
    const double total = std::max<double>(1.0, static_cast<double>(train_bytes_ + validation_bytes_));
    const RowProgressFn tell = [&](int64_t, int64_t rows) {
      const int64_t done = train->offset() + (validation == nullptr ? 0 : validation->offset());
      return Tell("tokenising", static_cast<double>(done) / total, rows).ok();
    };
    return PrepareRows(inputs, options_, *codec_, tell);
  }

  absl::StatusOr<v1::PreparedData> Write(const PreparedSet& set) {
    facts_.format = set.format;
    PreparedManifest manifest;
    manifest.facts = facts_;
    const auto write = [&](const char* name, const std::string& bytes, double fraction) -> absl::Status {
      VN_RETURN_IF_ERROR(Tell("writing", fraction, set.report.num_rows()));
      VN_RETURN_IF_ERROR(blobs_.Put(absl::StrCat(key_, "/", name), bytes));
      manifest.files[name] = {.size_bytes = static_cast<int64_t>(bytes.size()), .sha256 = Sha256Hex(bytes)};
      return absl::OkStatus();
    };
    VN_RETURN_IF_ERROR(write(kTrainFile, EncodePreparedFile(set.train), 0.0));
    VN_RETURN_IF_ERROR(write(kValidationFile, EncodePreparedFile(set.validation), 0.6));
    VN_ASSIGN_OR_RETURN(const std::string report, ReportToJson(set.report));
    VN_RETURN_IF_ERROR(write(kReportFile, report, 0.9));
    // Last: the data exists when this does. Another task may have made the same meanwhile; its bytes are
    // equal.
    VN_RETURN_IF_ERROR(blobs_.PutOnce(absl::StrCat(key_, "/", kManifestFile), ManifestToJson(manifest)));
    VN_RETURN_IF_ERROR(Tell("writing", 1.0, set.report.num_rows()));
    v1::PreparedData prepared;
    prepared.set_key(key_);
    *prepared.mutable_report() = set.report;
    return prepared;
  }

  const v1::Task& task_;
  const v1::PrepareTask& prepare_;
  Blobs& blobs_;
  const CodecFactory& create_codec_;
  const ProgressFn& progress_;
  const std::atomic<bool>* const stop_;
  PrepareOptions options_;
  std::unique_ptr<Codec> codec_;
  PreparedFacts facts_;
  bool uses_time_ = false;
  int64_t train_bytes_ = 0, validation_bytes_ = 0;
  std::string key_;
};

}  // namespace

absl::StatusOr<PrepareOptions> OptionsOf(const v1::Task& task) {
  const auto bad = [](auto&&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); };
  if (!task.has_prepare()) return bad("task: it is not a prepare task");
  const v1::PrepareTask& prepare = task.prepare();
  const v1::Data& data = prepare.data();
  if (prepare.dataset_key().empty()) return bad("prepare.dataset_key is empty");
  if (prepare.model_key().empty()) return bad("prepare.model_key is empty");
  for (const char c : task.tenant()) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_')
      return bad("tenant: only letters, digits, - and _ are allowed");
  }
  PrepareOptions options;
  options.encode = {.loss_on = prepare.loss_on(), .turns = data.turns()};
  constexpr int64_t kMaxTokens = 1048576;
  const int64_t context = prepare.context_length() > 0 ? prepare.context_length() : kMaxTokens;
  options.max_tokens = data.has_max_tokens() ? data.max_tokens() : std::min(context, kMaxTokens);
  if (data.has_max_tokens() && (data.max_tokens() < 8 || data.max_tokens() > kMaxTokens)) {
    return bad("data.max_tokens = ", data.max_tokens(), " is outside [8, ", kMaxTokens, "]");
  }
  if (options.max_tokens > context) {
    return bad("data.max_tokens = ", options.max_tokens, " is more than the model's context length ", context,
               "; use at most that, or remove the field");
  }
  if (data.has_chat_template() && data.chat_template().size() > (size_t{1} << 20)) {
    return bad("data.chat_template has ", data.chat_template().size(), " bytes; the limit is 1 MiB");
  }
  if (data.on_overlong() != v1::ON_OVERLONG_UNSPECIFIED) options.on_overlong = data.on_overlong();
  if (data.on_bad_row() != v1::ON_BAD_ROW_UNSPECIFIED) options.on_bad_row = data.on_bad_row();
  if (data.has_max_rows()) options.max_rows = data.max_rows();
  if (data.validation().has_max_rows()) options.max_validation_rows = data.validation().max_rows();
  if (options.max_rows < 1) return bad("data.max_rows = ", options.max_rows, " is below 1");
  if (options.max_validation_rows < 1) {
    return bad("data.validation.max_rows = ", options.max_validation_rows, " is below 1");
  }
  options.validation_fraction = prepare.validation_fraction();
  if (!(options.validation_fraction >= 0 && options.validation_fraction < 1)) {
    return bad("data.validation: a share of ", options.validation_fraction * 100, "% is outside [0%, 100%)");
  }
  if (options.validation_fraction > 0 && !prepare.validation_dataset_key().empty()) {
    return bad("data.validation: a share and a dataset are both given; choose one");
  }
  options.threads = std::clamp(task.threads(), 1, 256);
  return options;
}

absl::StatusOr<v1::PreparedData> RunPrepareOn(const v1::Task& task, Blobs& blobs,
                                              const CodecFactory& create_codec, const ProgressFn& progress,
                                              const std::atomic<bool>* stop) {
  return Preparation(task, blobs, create_codec, progress, stop).Run();
}

}  // namespace vernier::data
