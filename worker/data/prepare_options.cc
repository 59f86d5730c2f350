#include "worker/data/prepare_options.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/prepare_task.h"

namespace vernier::data {
namespace {

constexpr int64_t kMaxTokens = 1048576;
constexpr double kMaxWeight = 1e6;

absl::Status Bad(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }

// A digest is no name for people.
std::string NameOf(const v1::DataSource& source) {
  if (!source.name().empty()) return source.name();
  const bool digest = source.source().size() == 64 &&
                      std::all_of(source.source().begin(), source.source().end(), absl::ascii_isxdigit);
  return digest ? source.source().substr(0, 12) : source.source();
}

// `field` is "data." or "data.mix[0].".
absl::StatusOr<RowOptions> RowsOf(absl::string_view field,
                                  const google::protobuf::Map<std::string, std::string>& columns,
                                  const std::string& format) {
  absl::StatusOr<RowOptions> rows = MakeRowOptions({columns.begin(), columns.end()}, format);
  if (!rows.ok()) return absl::Status(rows.status().code(), absl::StrCat(field, rows.status().message()));
  return rows;
}

absl::Status ReadMixture(const v1::PrepareTask& prepare, PrepareOptions& options) {
  const v1::Data& data = prepare.data();
  if (data.mix_size() != prepare.mix_dataset_keys_size())
    return Bad("prepare.mix_dataset_keys: ", prepare.mix_dataset_keys_size(), " keys for ", data.mix_size(),
               " datasets of data.mix");
  if (data.mix_size() == 0) return absl::OkStatus();
  if (data.mix_size() > kMaxMixtureSources)
    return Bad("data.mix has ", data.mix_size(), " datasets; the limit is ", kMaxMixtureSources);
  if (!prepare.dataset_key().empty()) return Bad("data: source and mix are both given; choose one");
  if (data.has_max_rows())
    return Bad("data.max_rows does not go with data.mix; set max_rows of its datasets instead");
  int num_weights = 0;
  for (int i = 0; i < data.mix_size(); ++i) {
    const v1::DataSource& source = data.mix(i);
    MixtureSource& out = options.mixture.emplace_back();
    out.name = NameOf(source);
    if (source.has_weight()) {
      ++num_weights;
      out.weight = source.weight();
      if (!(std::isfinite(out.weight) && out.weight > 0 && out.weight <= kMaxWeight))
        return Bad("data.mix[", i, "].weight = ", out.weight, " is outside (0, ", kMaxWeight, "]");
    }
    if (source.has_max_rows()) {
      out.max_rows = source.max_rows();
      if (out.max_rows < 1) return Bad("data.mix[", i, "].max_rows = ", out.max_rows, " is below 1");
    }
    VN_ASSIGN_OR_RETURN(out.rows,
                        RowsOf(absl::StrCat("data.mix[", i, "]."),
                               source.columns().empty() ? data.columns() : source.columns(), data.format()));
  }
  if (num_weights != 0 && num_weights != data.mix_size()) {
    return Bad("data.mix: ", num_weights, " of ", data.mix_size(),
               " datasets have a weight; give one to each, or to none");
  }
  return absl::OkStatus();
}

absl::Status ReadDeduplicate(const v1::Deduplicate& deduplicate, PrepareOptions& options) {
  if (deduplicate.kind() != v1::DUPLICATE_KIND_UNSPECIFIED) options.deduplicate = deduplicate.kind();
  if (deduplicate.has_threshold()) options.near.threshold = deduplicate.threshold();
  if (deduplicate.has_ngram_words()) options.near.ngram_words = deduplicate.ngram_words();
  if (!(options.near.threshold >= 0.5 && options.near.threshold <= 0.99))
    return Bad("data.deduplicate.threshold = ", options.near.threshold, " is outside [0.5, 0.99]");
  if (options.near.ngram_words < 1 || options.near.ngram_words > 32)
    return Bad("data.deduplicate.ngram_words = ", options.near.ngram_words, " is outside [1, 32]");
  return absl::OkStatus();
}

absl::Status ReadValidation(const v1::PrepareTask& prepare, PrepareOptions& options) {
  const v1::Data& data = prepare.data();
  if (data.validation().has_max_rows()) options.max_validation_rows = data.validation().max_rows();
  if (options.max_validation_rows < 1)
    return Bad("data.validation.max_rows = ", options.max_validation_rows, " is below 1");
  options.validation_fraction = prepare.validation_fraction();
  if (!(options.validation_fraction >= 0 && options.validation_fraction < 1))
    return Bad("data.validation: a share of ", options.validation_fraction * 100, "% is outside [0%, 100%)");
  if (options.validation_fraction > 0 && !prepare.validation_dataset_key().empty())
    return Bad("data.validation: a share and a dataset are both given; choose one");
  if (data.on_contamination() != v1::ON_CONTAMINATION_UNSPECIFIED)
    options.on_contamination = data.on_contamination();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PrepareOptions> OptionsOf(const v1::Task& task) {
  if (!task.has_prepare()) return Bad("task: it is not a prepare task");
  const v1::PrepareTask& prepare = task.prepare();
  const v1::Data& data = prepare.data();
  if (prepare.dataset_key().empty() && data.mix_size() == 0) return Bad("prepare.dataset_key is empty");
  if (prepare.model_key().empty()) return Bad("prepare.model_key is empty");
  for (const char c : task.tenant()) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_')
      return Bad("tenant: only letters, digits, - and _ are allowed");
  }
  PrepareOptions options;
  VN_ASSIGN_OR_RETURN(options.rows, RowsOf("data.", data.columns(), data.format()));
  options.encode = {.loss_on = prepare.loss_on(), .turns = data.turns(), .reasoning = data.reasoning()};
  const int64_t context = prepare.context_length() > 0 ? prepare.context_length() : kMaxTokens;
  options.max_tokens = data.has_max_tokens() ? data.max_tokens() : std::min(context, kMaxTokens);
  if (data.has_max_tokens() && (data.max_tokens() < 8 || data.max_tokens() > kMaxTokens))
    return Bad("data.max_tokens = ", data.max_tokens(), " is outside [8, ", kMaxTokens, "]");
  if (options.max_tokens > context) {
    return Bad("data.max_tokens = ", options.max_tokens, " is more than the model's context length ", context,
               "; use at most that, or remove the field");
  }
  if (data.has_chat_template() && data.chat_template().size() > (size_t{1} << 20))
    return Bad("data.chat_template has ", data.chat_template().size(), " bytes; the limit is 1 MiB");
  if (data.on_overlong() != v1::ON_OVERLONG_UNSPECIFIED) options.on_overlong = data.on_overlong();
  if (data.on_bad_row() != v1::ON_BAD_ROW_UNSPECIFIED) options.on_bad_row = data.on_bad_row();
  if (data.has_max_rows()) options.max_rows = data.max_rows();
  if (options.max_rows < 1) return Bad("data.max_rows = ", options.max_rows, " is below 1");
  VN_RETURN_IF_ERROR(ReadMixture(prepare, options));
  VN_RETURN_IF_ERROR(ReadDeduplicate(data.deduplicate(), options));
  VN_RETURN_IF_ERROR(ReadValidation(prepare, options));
  options.threads = std::clamp(task.threads(), 1, 256);
  return options;
}

}  // namespace vernier::data
