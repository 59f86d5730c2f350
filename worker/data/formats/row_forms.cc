#include "worker/data/formats/row_forms.h"

#include <algorithm>
#include <array>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {
namespace {

using Names = absl::Span<const absl::string_view>;

constexpr absl::string_view kMessagesSign[] = {"messages"};
constexpr absl::string_view kConversationsSign[] = {"conversations"};
constexpr absl::string_view kPreferenceSign[] = {"chosen", "rejected"};
constexpr absl::string_view kOpenAiPreferenceSign[] = {"preferred_output", "non_preferred_output"};
constexpr absl::string_view kAlpacaSign[] = {"instruction", "output"};
constexpr absl::string_view kPairSign[] = {"prompt", "completion"};
constexpr absl::string_view kTextSign[] = {"text"};

// In the order in which they count.
struct Sign {
  RowForm form;
  Names fields;
};
const Sign kSigns[] = {
    {RowForm::kMessages, kMessagesSign},
    {RowForm::kShareGpt, kConversationsSign},
    {RowForm::kPreference, kPreferenceSign},
    {RowForm::kPreference, kOpenAiPreferenceSign},
    {RowForm::kAlpaca, kAlpacaSign},
    {RowForm::kPromptCompletion, kPairSign},
    {RowForm::kText, kTextSign},
};

constexpr absl::string_view kConversationExtras[] = {"id", "system", "tools", "functions"};
constexpr absl::string_view kPreferenceExtras[] = {"id", "prompt", "input", "system", "tools", "functions"};
constexpr absl::string_view kAlpacaExtras[] = {"id", "input", "system", "history"};
constexpr absl::string_view kPairExtras[] = {"id", "tools", "functions"};
constexpr absl::string_view kTextExtras[] = {"id"};

constexpr absl::string_view kFields[] = {"messages",
                                         "conversations",
                                         "prompt",
                                         "completion",
                                         "text",
                                         "instruction",
                                         "input",
                                         "output",
                                         "system",
                                         "history",
                                         "chosen",
                                         "rejected",
                                         "tools",
                                         "functions",
                                         "id",
                                         "preferred_output",
                                         "non_preferred_output"};

constexpr absl::string_view kFormNames[] = {"messages", "sharegpt",          "preference",
                                            "alpaca",   "prompt_completion", "text"};
constexpr absl::string_view kFileNames[] = {"jsonl", "json", "csv", "tsv", "parquet", "lines"};

// Names that datasets out there use: what each most likely is. Only to word a mapping worth trying.
struct Synonym {
  absl::string_view column, field;
};
constexpr Synonym kSynonyms[] = {
    {"question", "prompt"},
    {"query", "prompt"},
    {"source", "prompt"},
    {"user", "prompt"},
    {"answer", "completion"},
    {"response", "completion"},
    {"target", "completion"},
    {"summary", "completion"},
    {"assistant", "completion"},
    {"label", "completion"},
    {"dialogue", "messages"},
    {"dialog", "messages"},
    {"conversation", "messages"},
    {"chat", "messages"},
    {"turns", "messages"},
    {"content", "text"},
    {"document", "text"},
    {"body", "text"},
    {"story", "text"},
    {"context", "input"},
};

// Lower case, letters and digits only: "Prompts", "prompt_" and "prompt" are near each other.
std::string Bare(absl::string_view name) {
  std::string bare;
  for (const char c : name) {
    if (absl::ascii_isalnum(c)) bare.push_back(absl::ascii_tolower(c));
  }
  return bare;
}

bool IsIn(absl::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string Listed(absl::Span<const std::string> columns) {
  constexpr size_t kMaxListed = 8;
  std::vector<std::string> shown;
  for (const std::string& column : columns) {
    if (shown.size() == kMaxListed) {
      shown.push_back("...");
      break;
    }
    shown.push_back(Excerpt(column, 40));
  }
  return shown.empty() ? "none" : absl::StrJoin(shown, ", ");
}

// "; map them, e.g. columns: {prompt: question, completion: answer}", when names that we know make a form.
std::string MappingToTry(absl::Span<const std::string> columns) {
  const auto has = [&](absl::string_view name) {
    return std::find(columns.begin(), columns.end(), name) != columns.end();
  };
  for (const Sign& sign : kSigns) {
    // An instruction takes its answer under any name.
    const bool alpaca = sign.form == RowForm::kAlpaca;
    std::vector<std::string> pairs;
    bool complete = true;
    for (const absl::string_view field : sign.fields) {
      if (has(field)) continue;
      const auto fits = [&](const Synonym& synonym) {
        const bool same =
            synonym.field == field || (alpaca && field == "output" && synonym.field == "completion");
        return same && has(synonym.column);
      };
      const auto* const it = std::find_if(std::begin(kSynonyms), std::end(kSynonyms), fits);
      if (it == std::end(kSynonyms)) {
        complete = false;
        break;
      }
      pairs.push_back(absl::StrCat(field, ": ", it->column));
    }
    if (!complete || pairs.empty()) continue;
    if (alpaca && !has("input") && has("context")) pairs.push_back("input: context");
    return absl::StrCat("; say which is which, e.g. data.columns: {", absl::StrJoin(pairs, ", "), "}");
  }
  return "";
}

// The columns fit no form: the likeliest reason.
absl::Status NoForm(absl::Span<const std::string> columns, const RowOptions& options) {
  const absl::flat_hash_set<absl::string_view> present(columns.begin(), columns.end());
  for (const std::string& column : columns) {
    if (IsIn(column, kFields)) continue;
    for (const absl::string_view field : kFields) {
      if (!present.contains(field) && LooksLikeSlip(column, field)) {
        return absl::InvalidArgumentError(
            absl::StrCat("unknown column \"", Excerpt(column, 40), "\"; did you mean \"", field, "\"?"));
      }
    }
  }
  const auto has = [&](absl::string_view field) {
    const absl::string_view column = ColumnOf(options, field);
    return !column.empty() && present.contains(column);
  };
  std::string half;
  for (const Sign& sign : kSigns) {
    if (sign.fields.size() < 2 || !half.empty()) continue;
    for (size_t i = 0; i < 2; ++i) {
      // "input" and "output" alone say little; the other fields name their form.
      if (has(sign.fields[i]) && !has(sign.fields[1 - i]) && sign.fields[i] != "output") {
        half = absl::StrCat("the row has ", sign.fields[i], " but no ", sign.fields[1 - i]);
        break;
      }
    }
  }
  const std::string mapping = MappingToTry(columns);
  if (!half.empty())
    return absl::InvalidArgumentError(absl::StrCat(half, "; its columns: ", Listed(columns), mapping));
  return absl::InvalidArgumentError(
      absl::StrCat("the row has none of messages, conversations, chosen + rejected, instruction + output, "
                   "prompt + completion, "
                   "text; its columns: ",
                   Listed(columns), mapping.empty() ? "; data.columns says which holds what" : mapping));
}

}  // namespace

absl::string_view RowFormName(RowForm form) { return kFormNames[static_cast<size_t>(form)]; }

absl::string_view RowFormSign(RowForm form) {
  constexpr absl::string_view kWords[] = {"messages",
                                          "conversations",
                                          "chosen and rejected answers",
                                          "instruction and output",
                                          "prompt and completion",
                                          "text"};
  return kWords[static_cast<size_t>(form)];
}

absl::string_view FileFormatName(FileFormat format) { return kFileNames[static_cast<size_t>(format)]; }

absl::StatusOr<FormatChoice> ParseFormatChoice(absl::string_view text) {
  FormatChoice choice;
  if (text.empty()) return choice;
  const std::vector<absl::string_view> words = absl::StrSplit(text, absl::MaxSplits('/', 1));
  for (const absl::string_view word : words) {
    const auto* const file = std::find(std::begin(kFileNames), std::end(kFileNames), word);
    const auto* const form = std::find(std::begin(kFormNames), std::end(kFormNames), word);
    if (file != std::end(kFileNames) && !choice.file.has_value() && !choice.form.has_value()) {
      choice.file = static_cast<FileFormat>(file - std::begin(kFileNames));
    } else if (form != std::end(kFormNames) && !choice.form.has_value()) {
      choice.form = static_cast<RowForm>(form - std::begin(kFormNames));
    } else {
      std::vector<std::string> known(std::begin(kFileNames), std::end(kFileNames));
      for (const absl::string_view name : kFormNames) known.emplace_back(name);
      return absl::InvalidArgumentError(
          absl::StrCat("format = \"", Excerpt(text, 60), "\" is not known", DidYouMean(word, known),
                       "; write a file format (", absl::StrJoin(kFileNames, ", "), "), a form of rows (",
                       absl::StrJoin(kFormNames, ", "), ") or both, e.g. csv/alpaca"));
    }
  }
  return choice;
}

absl::StatusOr<RowOptions> MakeRowOptions(const std::map<std::string, std::string>& columns,
                                          absl::string_view format) {
  RowOptions options;
  VN_ASSIGN_OR_RETURN(options.format, ParseFormatChoice(format));
  if (columns.size() > kMaxMappedColumns) {
    return absl::InvalidArgumentError(
        absl::StrCat("columns: ", columns.size(), " entries are more than ", kMaxMappedColumns));
  }
  std::map<std::string, std::string> fields;  // by column
  for (const auto& [field, column] : columns) {
    if (!IsIn(field, kFields)) {
      const std::vector<std::string> known(std::begin(kFields), std::end(kFields));
      const bool reversed = IsIn(column, kFields);
      return absl::InvalidArgumentError(absl::StrCat(
          "columns.", Excerpt(field, 40), " is no field of a row",
          reversed ? absl::StrCat("; the field comes first: {", column, ": ", Excerpt(field, 40), "}")
                   : DidYouMean(field, known),
          "; known: ", absl::StrJoin(kFields, ", ")));
    }
    if (column.empty() || column.size() > kMaxColumnNameBytes ||
        FirstInvalidUtf8(column) != absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("columns.", field, " is no column's name: write 1 to ",
                                                     kMaxColumnNameBytes, " bytes of UTF-8"));
    }
    const auto [it, inserted] = fields.try_emplace(column, field);
    if (!inserted) {
      return absl::InvalidArgumentError(absl::StrCat("columns.", field, " and columns.", it->second,
                                                     " both name the column \"", Excerpt(column, 40),
                                                     "\"; remove one of them"));
    }
  }
  options.columns = columns;
  return options;
}

absl::Span<const absl::string_view> KnownFields() { return kFields; }

absl::Span<const absl::string_view> OptionalFields(RowForm form) {
  switch (form) {
    case RowForm::kMessages:
    case RowForm::kShareGpt:
      return kConversationExtras;
    case RowForm::kPreference:
      return kPreferenceExtras;
    case RowForm::kAlpaca:
      return kAlpacaExtras;
    case RowForm::kPromptCompletion:
      return kPairExtras;
    case RowForm::kText:
      return kTextExtras;
  }
  return {};
}

absl::string_view ColumnOf(const RowOptions& options, absl::string_view field) {
  const auto it = options.columns.find(std::string(field));
  if (it != options.columns.end()) return it->second;
  for (const auto& [other, column] : options.columns) {
    if (column == field) return "";
  }
  return field;
}

std::optional<RowForm> RecogniseForm(HasColumnFn has_column, const RowOptions& options) {
  if (options.format.form.has_value()) return options.format.form;
  for (const Sign& sign : kSigns) {
    const bool fits = std::all_of(sign.fields.begin(), sign.fields.end(), [&](absl::string_view field) {
      const absl::string_view column = ColumnOf(options, field);
      return !column.empty() && has_column(column);
    });
    if (fits) return sign.form;
  }
  return std::nullopt;
}

bool LooksLikeSlip(absl::string_view name, absl::string_view known) {
  if (name.size() > known.size() + 8) return false;
  const std::string a = Bare(name), b = Bare(known);
  if (a.empty()) return false;
  if (a == b || a == b + "s" || a + "s" == b) return true;
  const int allowed = b.size() >= 8 ? 2 : b.size() >= 6 ? 1 : 0;
  return allowed > 0 && EditDistance(a, b) <= allowed;
}

absl::StatusOr<std::vector<std::string>> JudgeColumns(absl::Span<const std::string> columns,
                                                      const RowOptions& options,
                                                      std::optional<RowForm> form) {
  const absl::flat_hash_set<absl::string_view> present(columns.begin(), columns.end());
  for (const auto& [field, column] : options.columns) {
    if (present.contains(column)) continue;
    for (const std::string& other : columns) {
      if (!LooksLikeSlip(column, other)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("data.columns.", field, " names the column \"", Excerpt(column, 40),
                       "\", which is not there; did you mean \"", Excerpt(other, 40), "\"?"));
    }
  }
  if (!form.has_value()) return NoForm(columns, options);
  absl::flat_hash_set<absl::string_view> taken;
  std::vector<absl::string_view> missing;
  for (const Sign& sign : kSigns) {
    if (sign.form != *form) continue;
    for (const absl::string_view field : sign.fields) taken.insert(ColumnOf(options, field));
  }
  for (const absl::string_view field : OptionalFields(*form)) {
    const absl::string_view column = ColumnOf(options, field);
    taken.insert(column);
    if (column == field && !present.contains(field)) missing.push_back(field);
  }
  std::vector<std::string> unused;
  for (const std::string& column : columns) {
    if (taken.contains(column)) continue;
    for (const absl::string_view field : missing) {
      if (LooksLikeSlip(column, field)) {
        return absl::InvalidArgumentError(
            absl::StrCat("unknown column \"", Excerpt(column, 40), "\"; did you mean \"", field, "\"?"));
      }
    }
    unused.push_back(column);
  }
  return unused;
}

absl::StatusOr<std::vector<std::string>> JudgeHeader(absl::Span<const std::string> columns,
                                                     const RowOptions& options) {
  const absl::flat_hash_set<absl::string_view> present(columns.begin(), columns.end());
  const std::optional<RowForm> form =
      RecogniseForm([&](absl::string_view column) { return present.contains(column); }, options);
  VN_ASSIGN_OR_RETURN(std::vector<std::string> unused, JudgeColumns(columns, options, form));
  for (const auto& [field, column] : options.columns) {
    if (present.contains(column)) continue;
    return absl::InvalidArgumentError(absl::StrCat("data.columns.", field, " names the column \"",
                                                   Excerpt(column, 40),
                                                   "\", which is not there; its columns: ", Listed(columns)));
  }
  return unused;
}

}  // namespace vernier::data
