#include "worker/data/formats/recognise.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"
#include "worker/data/formats/csv_reader.h"

namespace vernier::data {
namespace {

// Broken rows may be dropped later (`on_bad_row: drop`), so the first one alone does not decide.
constexpr int kMaxSniffedRows = 20;
constexpr absl::string_view kDelimiters = ",\t;|";
constexpr absl::string_view kUtf8Mark = "\xEF\xBB\xBF";

struct Magic {
  size_t offset;
  absl::string_view bytes, kind;
};
constexpr Magic kForeign[] = {
    {0, "\xFF\xFE", "UTF-16 text; save it as UTF-8"},
    {0, "\xFE\xFF", "UTF-16 text; save it as UTF-8"},
    {0, "PK\x03\x04", "a zip archive; unpack it first"},
    {0, "PARE", "an encrypted Parquet file; decrypt it first"},
    {0, "ARROW1", "an Arrow file; write it as Parquet"},
    {0, "BZh", "bzip2-compressed; use gzip or zstd"},
    {0,
     "\xFD"
     "7zXZ",
     "xz-compressed; use gzip or zstd"},
    {0, "7z\xBC\xAF", "a 7z archive; unpack it first"},
    {0, "Rar!", "a RAR archive; unpack it first"},
    {257, "ustar", "a tar archive; unpack it first"},
    {0, "SQLite format 3", "an SQLite database; export a table as CSV"},
    {0, "\x89HDF", "an HDF5 file; write it as Parquet"},
    {0, "Obj\x01", "an Avro file; write it as Parquet"},
    {0, "ORC", "an ORC file; write it as Parquet"},
    {0, "%PDF", "a PDF"},
    {0, "\x80\x02", "a Python pickle; write it as JSON lines"},
    {0, "\x80\x03", "a Python pickle; write it as JSON lines"},
    {0, "\x80\x04", "a Python pickle; write it as JSON lines"},
    {0, "\x80\x05", "a Python pickle; write it as JSON lines"},
    {0, "GGUF", "a GGUF model, not rows; import it with vernier models import"},
};

std::optional<RowForm> FormOfObject(const nlohmann::json& row, const RowOptions& options) {
  if (!row.is_object()) return std::nullopt;
  return RecogniseForm([&](absl::string_view column) { return row.contains(std::string(column)); }, options);
}

// Of the first rows of JSON lines that lie in `text` whole.
std::optional<RowForm> FormOfLines(absl::string_view text, bool whole, const RowOptions& options) {
  int rows = 0;
  while (!text.empty() && rows < kMaxSniffedRows) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos && !whole) break;
    const absl::string_view line = absl::StripAsciiWhitespace(text.substr(0, end));
    text.remove_prefix(end == absl::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    ++rows;
    const auto row =
        storage::ParseJson(line, "row", {.max_bytes = static_cast<int64_t>(kHeadBytes), .max_depth = 64});
    if (!row.ok()) continue;
    if (const std::optional<RowForm> form = FormOfObject(*row, options); form.has_value()) return form;
  }
  return std::nullopt;
}

// The first element of a JSON array, when it lies in `text` whole.
std::optional<RowForm> FormOfArray(absl::string_view text, const RowOptions& options) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth <= 0) {
      if (depth < 0) return std::nullopt;
      const auto row = storage::ParseJson(text.substr(1, i), "row",
                                          {.max_bytes = static_cast<int64_t>(kHeadBytes), .max_depth = 64});
      return row.ok() ? FormOfObject(*row, options) : std::nullopt;
    }
  }
  return std::nullopt;
}

std::vector<CsvRecord> FirstRecords(absl::string_view text, char delimiter) {
  bool given = false;
  CsvReader reader(
      [&]() -> absl::StatusOr<std::string> {
        if (given) return std::string();
        given = true;
        return std::string(text);
      },
      delimiter, static_cast<int64_t>(kHeadBytes));
  std::vector<CsvRecord> records;
  CsvRecord record;
  while (records.size() < 2) {
    const absl::StatusOr<bool> more = reader.Next(&record);
    if (!more.ok() || !*more) break;
    if (!record.blank) records.push_back(record);
  }
  return records;
}

// How well `delimiter` explains the text.
struct Split {
  char delimiter = ',';
  size_t num_columns = 0;
  std::optional<RowForm> form;
  bool even = true;  // the second record has as many fields
};

Split TrySplit(absl::string_view text, char delimiter, const RowOptions& options) {
  Split split;
  split.delimiter = delimiter;
  const std::vector<CsvRecord> records = FirstRecords(text, delimiter);
  if (records.empty()) return split;
  const CsvRecord& header = records[0];
  split.num_columns = header.fields.size();
  split.even =
      records.size() < 2 || !records[1].problem.empty() || records[1].fields.size() == split.num_columns;
  RowOptions unforced = options;
  unforced.format = {};
  split.form = RecogniseForm(
      [&](absl::string_view column) {
        for (size_t i = 0; i < header.fields.size(); ++i) {
          if (absl::StripAsciiWhitespace(header.field(i)) == column) return true;
        }
        return false;
      },
      unforced);
  return split;
}

// The best split, if the text can be a table at all.
std::optional<Split> BestSplit(absl::string_view text, absl::string_view delimiters, bool forced,
                               const RowOptions& options) {
  std::optional<Split> best;
  const auto rank = [](const Split& split) {
    return std::array<size_t, 3>{split.form.has_value() ? size_t{1} : 0, split.even ? size_t{1} : 0,
                                 split.num_columns};
  };
  for (const char delimiter : delimiters) {
    const Split split = TrySplit(text, delimiter, options);
    const bool possible = split.form.has_value() || (split.num_columns >= 2 && split.even) || forced;
    if (possible && (!best.has_value() || rank(split) > rank(*best))) best = split;
  }
  return best;
}

absl::StatusOr<Recognition> RecogniseText(absl::string_view text, bool whole, const RowOptions& options) {
  Recognition out;
  const std::optional<FileFormat> forced = options.format.file;
  if (absl::StartsWith(text, "PAR1")) {
    out.file = FileFormat::kParquet;
    out.why = "it starts with \"PAR1\"";
  } else {
    for (const Magic& magic : kForeign) {
      if (text.size() >= magic.offset && absl::StartsWith(text.substr(magic.offset), magic.bytes)) {
        return absl::InvalidArgumentError(absl::StrCat("the file is ", magic.kind));
      }
    }
    if (absl::StartsWith(text, kUtf8Mark)) text.remove_prefix(kUtf8Mark.size());
    text = absl::StripLeadingAsciiWhitespace(text);
  }
  if (forced.has_value()) {
    if ((*forced == FileFormat::kParquet) != (out.file == FileFormat::kParquet)) {
      return absl::InvalidArgumentError(
          absl::StrCat("data.format says ", FileFormatName(*forced), ", and the file ",
                       out.file == FileFormat::kParquet ? "is Parquet" : "does not start with \"PAR1\"",
                       "; remove data.format or change it"));
    }
    out.file = *forced;
    out.why = "data.format says so";
  }
  if (out.file == FileFormat::kParquet) {
    out.form = options.format.form;
    return out;
  }
  if (!forced.has_value()) {
    if (text.empty()) {
      out.why = "it is blank";
      return out;
    }
    if (text.front() == '{') {
      if (absl::StripAsciiWhitespace(text.substr(0, text.find('\n'))) == "{") {
        return absl::InvalidArgumentError(
            "the file is one JSON object spread over lines; JSON lines have one object a line (jq -c writes "
            "them)");
      }
      out.why = "it starts with \"{\"";
    } else if (text.front() == '[') {
      out.file = FileFormat::kJson;
      out.why = "it starts with \"[\"";
    }
  }
  if (out.file == FileFormat::kJsonl && !out.why.empty()) {
    out.form = FormOfLines(text, whole, options);
    return out;
  }
  if (out.file == FileFormat::kJson) {
    out.form = text.empty() || text.front() != '[' ? std::nullopt : FormOfArray(text, options);
    return out;
  }
  if (out.file == FileFormat::kLines) {
    out.form = RowForm::kText;
    return out;
  }
  const absl::string_view first_line = text.substr(0, text.find('\n'));
  if (first_line.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("the file holds NUL bytes and is no Parquet: it is no file of rows");
  }
  // What is cut off at the end of the head may be half a character.
  constexpr size_t kLongestCharacter = 4;
  if (const size_t at = FirstInvalidUtf8(first_line);
      at != absl::string_view::npos && at + kLongestCharacter < first_line.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file is not UTF-8 (byte ", at,
                     " begins no character) and of no binary format of rows; convert it to UTF-8"));
  }
  const absl::string_view delimiters = forced == FileFormat::kTsv ? "\t" : kDelimiters;
  const std::optional<Split> split = BestSplit(text, delimiters, forced.has_value(), options);
  if (!split.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the file is not recognised: it starts with \"", Excerpt(first_line, 40),
        "\", which starts neither JSON lines nor a JSON array, and is no header of CSV or TSV; for one "
        "text a line set data.format: lines"));
  }
  if (!forced.has_value()) {
    out.file = split->delimiter == '\t' ? FileFormat::kTsv : FileFormat::kCsv;
    out.why = absl::StrCat("its first line is a header of ", Counted(split->num_columns, "column"));
  }
  out.delimiter = split->delimiter;
  out.form = options.format.form.has_value() ? options.format.form : split->form;
  return out;
}

// What the first bytes decompress to, up to kHeadBytes.
absl::StatusOr<std::string> InflateHead(absl::string_view head, bool whole, Compression compression,
                                        bool* all) {
  const std::unique_ptr<Inflater> inflater = Inflater::Create(compression);
  std::string out;
  while (out.size() < kHeadBytes) {
    const size_t before = out.size();
    VN_RETURN_IF_ERROR(inflater->Step(&head, kHeadBytes - out.size(), &out));
    if (out.size() == before && head.empty()) break;
  }
  if (whole && out.size() < kHeadBytes) VN_RETURN_IF_ERROR(inflater->CheckEnd());
  *all = whole && out.size() < kHeadBytes;
  return out;
}

}  // namespace

std::string Recognition::ToString() const {
  constexpr absl::string_view kNames[] = {"JSON lines", "a JSON array", "CSV",
                                          "TSV",        "Parquet",      "lines of text"};
  std::string text =
      compression == Compression::kNone ? "" : absl::StrCat(CompressionName(compression), "-compressed ");
  absl::StrAppend(&text, kNames[static_cast<size_t>(file)]);
  if (file == FileFormat::kCsv && delimiter != ',') {
    absl::StrAppend(&text, ", delimiter ",
                    delimiter == '\t' ? "tab" : absl::StrCat("'", std::string(1, delimiter), "'"));
  }
  return text;
}

std::string Recognition::DatasetFormat() const {
  const absl::string_view form_name = form.has_value() ? RowFormName(*form) : "";
  if (file == FileFormat::kJsonl && compression == Compression::kNone && form.has_value())
    return std::string(form_name);
  return absl::StrCat(FileFormatName(file),
                      compression == Compression::kGzip   ? ".gz"
                      : compression == Compression::kZstd ? ".zst"
                                                          : "",
                      form.has_value() ? "/" : "", form_name);
}

absl::StatusOr<Recognition> Recognise(absl::string_view head, bool whole, const RowOptions& options) {
  const Compression compression = RecogniseCompression(head);
  if (compression == Compression::kNone) return RecogniseText(head, whole, options);
  bool all = false;
  VN_ASSIGN_OR_RETURN(const std::string text, InflateHead(head, whole, compression, &all));
  if (RecogniseCompression(text) != Compression::kNone) {
    return absl::InvalidArgumentError(absl::StrCat("the file is compressed twice (",
                                                   CompressionName(RecogniseCompression(text)), " within ",
                                                   CompressionName(compression), "); decompress it once"));
  }
  absl::StatusOr<Recognition> out = RecogniseText(text, all, options);
  if (!out.ok())
    return Annotate(out.status(), absl::StrCat("inside the ", CompressionName(compression), " stream"));
  out->compression = compression;
  return out;
}

absl::string_view FormOfDatasetFormat(absl::string_view format) {
  const size_t slash = format.rfind('/');
  if (slash != absl::string_view::npos) return format.substr(slash + 1);
  // JSON lines are named by their form alone.
  const absl::StatusOr<FormatChoice> choice = ParseFormatChoice(format);
  return choice.ok() && choice->form.has_value() ? format : "";
}

}  // namespace vernier::data
