#include "worker/data/prepare.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "storage/layout.h"
#include "worker/data/chunk_keeper.h"
#include "worker/data/contamination.h"
#include "worker/data/prepare_task.h"
#include "worker/data/prepared_manifest.h"
#include "worker/data/prepared_writer.h"
#include "worker/data/report_notes.h"
#include "worker/data/row_selection.h"
#include "worker/data/store_io.h"

namespace vernier::data {
namespace {

constexpr int64_t kReadBytes = int64_t{4} << 20;
constexpr int64_t kMaxTokenizerBytes = int64_t{256} << 20;
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
// A run starts over when another one, which finished the same chunks first, deleted them under its hands.
constexpr int kMaxRuns = 3;

// The digest in the key of an uploaded dataset (storage/layout.h); "" = another key.
std::string DigestInKey(absl::string_view key) {
  const std::vector<absl::string_view> parts = absl::StrSplit(key, '/');
  const size_t n = parts.size();
  const bool uploaded =
      n >= 3 && parts[n - 1] == "data" && parts[n - 3] == "datasets" && parts[n - 2].size() == 64;
  return uploaded ? std::string(parts[n - 2]) : std::string();
}

// A dataset on its way in.
struct Input {
  std::string key;
  std::string
      where;  // in findings: "", "validation ", or the name of a mixture's dataset with a blank behind
  bool held_out = false;
  RowOptions rows;
  std::string digest;
  int64_t size_bytes = 0;
};

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
    VN_RETURN_IF_ERROR(ListInputs());
    Address();
    for (int run = 1;; ++run) {
      VN_ASSIGN_OR_RETURN(std::optional<v1::PreparedData> cached, FromCache());
      if (cached.has_value()) return *std::move(cached);
      VN_RETURN_IF_ERROR(CheckInputs());
      absl::StatusOr<v1::PreparedData> made = Make();
      if (!chunk_gone_ || run == kMaxRuns) return made;
      VN_LOG(INFO) << "prepared chunks were deleted by a run that finished first, starting over key=" << key_;
    }
  }

 private:
  absl::Status Tell(const PrepareProgress& progress) {
    if (stop_ != nullptr && stop_->load()) return absl::CancelledError("preparing was stopped");
    if (progress_) progress_(progress);
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
    files.reasoning = prepare_.data().reasoning();
    std::string template_text;
    VN_ASSIGN_OR_RETURN(codec_, create_codec_(files, &template_text));
    facts_.tokenizer_digest = Sha256Hex(
        absl::StrCat(files.tokenizer_json.size(), ":", files.tokenizer_json, files.tokenizer_config_json));
    facts_.template_digest = Sha256Hex(template_text);
    uses_time_ = absl::StrContains(template_text, "strftime_now");
    facts_.eos_id = codec_->eos_id().value_or(-1);
    return absl::OkStatus();
  }

  absl::Status ListInputs() {
    for (int i = 0; i < prepare_.mix_dataset_keys_size(); ++i) {
      const MixtureSource& source = options_.mixture[static_cast<size_t>(i)];
      inputs_.push_back({.key = prepare_.mix_dataset_keys(i),
                         .where = absl::StrCat(source.name, " "),
                         .rows = source.rows});
    }
    if (inputs_.empty()) inputs_.push_back({.key = prepare_.dataset_key(), .rows = options_.rows});
    if (has_validation_dataset()) {
      inputs_.push_back({.key = prepare_.validation_dataset_key(),
                         .where = "validation ",
                         .held_out = true,
                         .rows = options_.rows});
    }
    for (Input& input : inputs_) {
      absl::StatusOr<int64_t> size = blobs_.Size(input.key);
      if (absl::IsNotFound(size.status()))
        return absl::NotFoundError(absl::StrCat(size.status().message(), "; upload it again"));
      VN_ASSIGN_OR_RETURN(input.size_bytes, std::move(size));
      total_bytes_ += input.size_bytes;
    }
    // Keys of uploaded datasets hold their digest: what was prepared before is found without reading them.
    for (Input& input : inputs_) {
      input.digest = DigestInKey(input.key);
      if (!input.digest.empty()) continue;
      VN_ASSIGN_OR_RETURN(input.digest, DigestOf(input));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> DigestOf(const Input& input) {
    Sha256 digest;
    for (int64_t offset = 0; offset < input.size_bytes;) {
      VN_ASSIGN_OR_RETURN(const std::string bytes, blobs_.ReadAt(input.key, offset, kReadBytes));
      if (bytes.empty()) {
        return absl::DataLossError(
            absl::StrCat(input.key, ": ended at byte ", offset, " of ", input.size_bytes));
      }
      digest.Update(bytes);
      offset += static_cast<int64_t>(bytes.size());
      digested_bytes_ += static_cast<int64_t>(bytes.size());
      VN_RETURN_IF_ERROR(Tell({.phase = "reading",
                               .fraction = Share(digested_bytes_, total_bytes_),
                               .bytes = digested_bytes_,
                               .total_bytes = total_bytes_}));
    }
    return digest.FinishHex();
  }

  // DataLoss: a dataset is not what its key says. Before rows are read: damaged bytes must not become rows.
  absl::Status CheckInputs() {
    digested_bytes_ = 0;
    for (const Input& input : inputs_) {
      if (DigestInKey(input.key).empty()) continue;  // read and digested already
      VN_ASSIGN_OR_RETURN(const std::string digest, DigestOf(input));
      if (digest != input.digest) {
        return absl::DataLossError(
            absl::StrCat(input.key, ": the SHA-256 of its bytes is ", digest, "; upload it again"));
      }
    }
    return absl::OkStatus();
  }

  static Json JsonOf(const RowOptions& rows) {
    Json json;
    json["columns"] = rows.columns;
    json["file"] =
        rows.format.file.has_value() ? std::string(FileFormatName(*rows.format.file)) : std::string();
    json["form"] = rows.format.form.has_value() ? std::string(RowFormName(*rows.format.form)) : std::string();
    return json;
  }

  // All that a chunk depends on besides its records and its dataset's row options.
  Json ChunkContext() const {
    Json context;
    context["version"] = kPreparedVersion;
    context["tokenizer"] = facts_.tokenizer_digest;
    context["template"] = facts_.template_digest;
    // Only a template that asks for the time depends on it.
    if (uses_time_) context["template_time"] = prepare_.data().template_time();
    context["loss_on"] = v1::LossOn_Name(options_.encode.loss_on);
    context["turns"] = v1::Turns_Name(options_.encode.turns);
    context["reasoning"] = v1::Reasoning_Name(prepare_.data().reasoning());
    context["max_tokens"] = options_.max_tokens;
    context["on_overlong"] = v1::OnOverlong_Name(options_.on_overlong);
    context["ngram_words"] = signs() ? options_.near.ngram_words : 0;
    return context;
  }

  // The content address: everything the result depends on, as one JSON text.
  void Address() {
    Json inputs = ChunkContext();
    inputs["datasets"] = Json::array();
    for (const Input& input : inputs_)
      inputs["datasets"].push_back({{"sha256", input.digest}, {"rows", JsonOf(input.rows)}});
    inputs["mixture"] = Json::array();
    for (const MixtureSource& source : options_.mixture) {
      inputs["mixture"].push_back(
          {{"name", source.name}, {"weight", source.weight}, {"max_rows", source.max_rows}});
    }
    inputs["has_validation_dataset"] = has_validation_dataset();
    inputs["on_bad_row"] = v1::OnBadRow_Name(options_.on_bad_row);
    inputs["max_rows"] = options_.max_rows;
    inputs["max_validation_rows"] = options_.max_validation_rows;
    inputs["validation_fraction"] = options_.validation_fraction;
    inputs["deduplicate"] = v1::DuplicateKind_Name(options_.deduplicate);
    inputs["near_threshold"] = signs() ? options_.near.threshold : 0;
    inputs["on_contamination"] = v1::OnContamination_Name(options_.on_contamination);
    facts_.digest = Sha256Hex(inputs.dump());
    const std::string tenant = task_.tenant().empty() ? "default" : task_.tenant();
    key_ = storage::PreparedFolder(tenant, facts_.digest);
    chunk_folder_ =
        storage::PreparedFolder(tenant, Sha256Hex(absl::StrCat("chunks of ", ChunkContext().dump())));
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

  absl::StatusOr<v1::PreparedData> Make() {
    chunk_gone_ = false;
    chunk_keys_.clear();
    file_format_.clear();
    RowSelection selection(options_, {.find_near = options_.deduplicate == v1::DUPLICATE_KIND_NEAR});
    VN_RETURN_IF_ERROR(Tokenise(selection));
    selection.Settle();
    const absl::StatusOr<std::vector<ChunkSections>> chunks = OpenChunks();
    if (!chunks.ok()) return MindChunks(chunks.status());
    VN_RETURN_IF_ERROR(MindChunks(Compare(selection, *chunks)));
    VN_RETURN_IF_ERROR(selection.Judge(has_validation_dataset()));
    v1::DataReport report = selection.Report();
    report.set_num_bytes_read(total_bytes_);
    report.set_file_format(file_format_);
    for (std::string& note : FormatNotes(selection.format(), options_.encode, *codec_))
      report.add_notes(std::move(note));
    return Write(selection, *chunks, std::move(report));
  }

  // Remembers whether an error means that another run deleted our chunks.
  absl::Status MindChunks(const absl::Status& status) {
    chunk_gone_ = chunk_gone_ || absl::IsNotFound(status);
    return status;
  }

  absl::Status Tokenise(RowSelection& selection) {
    const absl::Time start = absl::Now();
    int64_t bytes_before = 0, fresh_bytes = 0, bytes = 0, last_offset = 0;
    const auto tick = [&]() -> absl::Status {
      const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
      const double eta = fresh_bytes > 0 ? seconds * static_cast<double>(total_bytes_ - bytes) /
                                               static_cast<double>(fresh_bytes)
                                         : 0;
      return Tell({.phase = "tokenising",
                   .fraction = Share(bytes, total_bytes_),
                   .rows = selection.num_rows_read(),
                   .bytes = bytes,
                   .total_bytes = total_bytes_,
                   .eta_seconds = eta});
    };
    for (const Input& input : inputs_) {
      VN_ASSIGN_OR_RETURN(const std::unique_ptr<Source> source, OpenInput(input));
      const ChunkOptions chunk_options = {.rows = input.rows,
                                          .encode = options_.encode,
                                          .max_tokens = options_.max_tokens,
                                          .on_overlong = options_.on_overlong,
                                          .sign = signs(),
                                          .ngram_words = options_.near.ngram_words};
      const ChunkKeeper keeper(blobs_, chunk_folder_,
                               absl::StrCat(ChunkContext().dump(), JsonOf(input.rows).dump()), chunk_options,
                               *codec_);
      selection.StartSource(input.where, source->unit(), input.held_out);
      AddFileFormat(*source);
      last_offset = 0;
      const ChunkSteps steps = {.work = [&](const RawChunk& raw, const StopFn& stop,
                                            DoneChunk& done) { return keeper.Work(raw, stop, done); },
                                .take = [&](DoneChunk done) -> absl::StatusOr<bool> {
                                  // Of what was found finished no rate can be learnt.
                                  if (done.fresh) fresh_bytes += done.source_offset - last_offset;
                                  last_offset = done.source_offset;
                                  bytes = bytes_before + done.source_offset;
                                  chunk_keys_.push_back(keeper.KeyOf(done.digest));
                                  return selection.Add(done.encoded, done.first_line);
                                },
                                .tick = tick};
      const absl::StatusOr<bool> whole = RunChunks(*source, options_.threads, steps);
      if (!whole.ok()) return AnnotateInput(whole.status(), input);
      VN_RETURN_IF_ERROR(selection.EndSource(*source));
      bytes_before += input.size_bytes;
    }
    return absl::OkStatus();
  }

  // Errors about lines say which dataset's.
  static absl::Status AnnotateInput(const absl::Status& status, const Input& input) {
    if (!absl::StartsWith(status.message(), "line ")) return status;
    return absl::Status(status.code(), absl::StrCat("data: ", input.where, status.message()));
  }

  absl::StatusOr<std::unique_ptr<Source>> OpenInput(const Input& input) {
    const ReadAtFn read = [this, key = input.key](int64_t offset, int64_t max_bytes) {
      return blobs_.ReadAt(key, offset, max_bytes);
    };
    absl::StatusOr<std::unique_ptr<Source>> source = OpenSource(read, input.size_bytes, input.rows);
    if (!source.ok() && absl::IsInvalidArgument(source.status()))
      return Annotate(source.status(),
                      absl::StrCat("data: ", input.where.empty() ? "the dataset" : input.where));
    return source;
  }

  // How the datasets are stored, each way once.
  void AddFileFormat(const Source& source) {
    const std::string format = source.format();
    if (format.empty() || absl::StrContains(file_format_, format)) return;
    absl::StrAppend(&file_format_, file_format_.empty() ? "" : ", ", format);
  }

  absl::StatusOr<std::vector<ChunkSections>> OpenChunks() {
    std::vector<ChunkSections> chunks;
    chunks.reserve(chunk_keys_.size());
    for (const std::string& key : chunk_keys_) {
      VN_ASSIGN_OR_RETURN(ChunkSections chunk, ChunkSections::Open(blobs_, key));
      chunks.push_back(std::move(chunk));
    }
    return chunks;
  }

  // Looks for validation rows among the training rows.
  absl::Status Compare(RowSelection& selection, const std::vector<ChunkSections>& chunks) {
    if (selection.num_validation_rows() == 0) return absl::OkStatus();
    Contamination contamination(options_.near.threshold);
    for (const RowUse use : {RowUse::kValidation, RowUse::kTrain}) {
      for (size_t c = 0; c < chunks.size(); ++c) {
        const auto index = static_cast<int64_t>(c);
        VN_RETURN_IF_ERROR(
            Tell({.phase = "comparing",
                  .fraction = Share(index + (use == RowUse::kTrain ? selection.num_chunks() : 0),
                                    2 * selection.num_chunks()),
                  .rows = selection.num_rows_read()}));
        VN_ASSIGN_OR_RETURN(const std::vector<RowFacts> rows, chunks[c].Rows());
        VN_ASSIGN_OR_RETURN(const std::vector<MinHashSignature> signatures, chunks[c].Signatures());
        size_t next = 0;
        for (int64_t i = 0; i < selection.num_rows(index); ++i) {
          const MinHashSignature* const signature =
              rows[i].Has(RowFacts::kSigned) ? &signatures[next++] : nullptr;
          const uint32_t row = selection.first_row(index) + static_cast<uint32_t>(i);
          if (selection.use(row) != use) continue;
          if (use == RowUse::kValidation) {
            contamination.AddValidationRow(row, selection.content(row), signature);
          } else {
            contamination.SeeTrainingRow(row, selection.content(row), signature);
          }
        }
      }
    }
    return selection.TakeContaminations(contamination.Hits());
  }

  absl::StatusOr<v1::PreparedData> Write(const RowSelection& selection,
                                         const std::vector<ChunkSections>& chunks, v1::DataReport report) {
    if (selection.format().has_value()) facts_.format = std::string(RowFormatName(*selection.format()));
    facts_.mixture = MixtureOf(selection);
    PreparedManifest manifest;
    manifest.facts = facts_;
    const auto write = [&](const char* name, RowUse use, double from, double to) -> absl::Status {
      const auto tick = [&](double share) {
        return Tell(
            {.phase = "writing", .fraction = from + share * (to - from), .rows = selection.num_rows_read()});
      };
      const absl::StatusOr<WrittenSplit> written =
          WriteSplit(blobs_, absl::StrCat(key_, "/", name), selection, chunks, use, tick);
      if (!written.ok()) return MindChunks(written.status());
      manifest.files[name] = {.size_bytes = written->digest.size_bytes, .sha256 = written->digest.sha256};
      return absl::OkStatus();
    };
    const double train_share =
        Share(report.num_tokens(), report.num_tokens() + report.num_validation_tokens());
    VN_RETURN_IF_ERROR(write(kTrainFile, RowUse::kTrain, 0, train_share));
    VN_RETURN_IF_ERROR(write(kValidationFile, RowUse::kValidation, train_share, 1));
    VN_ASSIGN_OR_RETURN(const std::string text, ReportToJson(report));
    VN_RETURN_IF_ERROR(blobs_.Put(absl::StrCat(key_, "/", kReportFile), text));
    manifest.files[kReportFile] = {.size_bytes = static_cast<int64_t>(text.size()),
                                   .sha256 = Sha256Hex(text)};
    // Last: the data exists when this does. Another task may have made the same meanwhile; its bytes are
    // equal.
    VN_RETURN_IF_ERROR(blobs_.PutOnce(absl::StrCat(key_, "/", kManifestFile), ManifestToJson(manifest)));
    for (const std::string& key : chunk_keys_) {
      if (const absl::Status deleted = blobs_.Delete(key); !deleted.ok())
        VN_LOG(WARNING) << "chunk was not deleted, vernier gc will key=" << key << " why=" << deleted;
    }
    VN_RETURN_IF_ERROR(Tell({.phase = "writing", .fraction = 1, .rows = selection.num_rows_read()}));
    v1::PreparedData prepared;
    prepared.set_key(key_);
    *prepared.mutable_report() = std::move(report);
    return prepared;
  }

  // Empty when the datasets have no weights: then every row is seen once an epoch.
  std::vector<MixturePart> MixtureOf(const RowSelection& selection) const {
    std::vector<MixturePart> parts;
    const std::vector<int64_t> rows = selection.TrainingRowsBySource();
    for (size_t i = 0; i < options_.mixture.size() && options_.mixture[i].weight > 0; ++i)
      parts.push_back({.num_rows = rows[i], .weight = options_.mixture[i].weight});
    return parts;
  }

  bool has_validation_dataset() const { return !prepare_.validation_dataset_key().empty(); }
  bool has_validation() const { return has_validation_dataset() || options_.validation_fraction > 0; }
  // Whether rows are compared by similarity.
  bool signs() const { return has_validation() || options_.deduplicate == v1::DUPLICATE_KIND_NEAR; }

  static double Share(int64_t part, int64_t whole) {
    return whole > 0 ? std::clamp(static_cast<double>(part) / static_cast<double>(whole), 0.0, 1.0) : 1.0;
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
  std::vector<Input> inputs_;  // training datasets, then the validation dataset
  int64_t total_bytes_ = 0, digested_bytes_ = 0;
  std::string key_;
  std::string chunk_folder_;
  std::string file_format_;
  std::vector<std::string> chunk_keys_;  // in order of the rows
  bool chunk_gone_ = false;
};

}  // namespace

absl::StatusOr<v1::PreparedData> RunPrepareOn(const v1::Task& task, Blobs& blobs,
                                              const CodecFactory& create_codec, const ProgressFn& progress,
                                              const std::atomic<bool>* stop) {
  return Preparation(task, blobs, create_codec, progress, stop).Run();
}

}  // namespace vernier::data
