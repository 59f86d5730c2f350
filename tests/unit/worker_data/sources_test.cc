// Files of every format give the same rows; damaged and hostile ones are refused in one sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <chrono>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/temp_folder.h"
#include "worker/data/check.h"
#include "worker/data/formats/csv_reader.h"
#include "worker/data/rows.h"
#include "worker/data/sources/source.h"

namespace vernier::data {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Everything a file gives. `error` ends it.
struct Read {
  std::vector<std::string> rows;  // the records' bytes, "!" and the problem for those without
  std::vector<int64_t> lines;
  std::vector<std::string> notes, unused;
  std::string format, unit, error;
};

Read ReadAll(absl::string_view bytes, const RowOptions& options = {}) {
  Read out;
  auto source = OpenSource(ReadFromMemory(bytes), static_cast<int64_t>(bytes.size()), options);
  if (!source.ok()) {
    EXPECT_EQ(source.status().code(), absl::StatusCode::kInvalidArgument) << source.status();
    out.error = std::string(source.status().message());
    return out;
  }
  Record record;
  while (true) {
    const auto more = (*source)->Next(&record);
    if (!more.ok()) {
      EXPECT_EQ(more.status().code(), absl::StatusCode::kInvalidArgument) << more.status();
      out.error = std::string(more.status().message());
      return out;
    }
    if (!*more) break;
    out.rows.push_back(record.problem.empty() ? std::string(record.bytes) : "!" + record.problem);
    out.lines.push_back(record.line);
  }
  EXPECT_EQ((*source)->offset(), static_cast<int64_t>(bytes.size()));
  out.notes = (*source)->Notes();
  out.unused = (*source)->unused_columns();
  out.format = (*source)->format();
  out.unit = std::string((*source)->unit());
  return out;
}

std::string Gzip(absl::string_view text, int level = 6) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(absl::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

RowOptions Options(const std::map<std::string, std::string>& columns, absl::string_view format = "") {
  const auto options = MakeRowOptions(columns, format);
  EXPECT_TRUE(options.ok()) << options.status();
  return *options;
}

// --- recognition ---

struct FormatCase {
  std::string name, bytes, format;
  std::vector<std::string> rows;
  std::vector<int64_t> lines;
};
void PrintTo(const FormatCase& c, std::ostream* out) { *out << c.name; }
class FormatTest : public testing::TestWithParam<FormatCase> {};

TEST_P(FormatTest, IsRecognisedAndSaid) {
  const Read plain = ReadAll(GetParam().bytes);
  EXPECT_EQ(plain.error, "");
  EXPECT_EQ(plain.rows, GetParam().rows);
  EXPECT_EQ(plain.lines, GetParam().lines);
  EXPECT_EQ(plain.format, GetParam().format);
  ASSERT_FALSE(plain.notes.empty());
  EXPECT_THAT(plain.notes[0], HasSubstr(absl::StrCat("the file is ", GetParam().format, ": ")));
}

TEST_P(FormatTest, GivesTheSameRowsCompressed) {
  for (const auto& [bytes, kind] :
       {std::pair{Gzip(GetParam().bytes), "gzip"}, std::pair{Zstd(GetParam().bytes), "zstd"}}) {
    const Read read = ReadAll(bytes);
    EXPECT_EQ(read.error, "");
    EXPECT_EQ(read.rows, GetParam().rows);
    EXPECT_EQ(read.lines, GetParam().lines);
    EXPECT_EQ(read.format, absl::StrCat(kind, "-compressed ", GetParam().format));
  }
}

const char kPair[] = R"({"prompt":"a","completion":"b"})";

INSTANTIATE_TEST_SUITE_P(
    Cases, FormatTest,
    testing::ValuesIn<FormatCase>({
        {"JsonLines",
         "{\"text\":\"a\"}\n\n{\"text\":\"b\"}",
         "JSON lines",
         {R"({"text":"a"})", R"({"text":"b"})"},
         {1, 3}},
        {"JsonLinesWithMarkAndCrlf",
         "\xEF\xBB\xBF{\"text\":\"a\"}\r\n",
         "JSON lines",
         {R"({"text":"a"})"},
         {1}},
        {"Blank", "\n \r\n", "JSON lines", {}, {}},
        {"JsonArray",
         "\n[{\"text\": \"a, ]}\\\"\"},\n {\"text\":\n[1]}\n]\n",
         "a JSON array",
         {R"({"text": "a, ]}\""})", "{\"text\":\n[1]}"},
         {1, 2}},
        {"EmptyJsonArray", "[ ]", "a JSON array", {}, {}},
        {"Csv", "prompt,completion\na,b\n", "CSV", {kPair}, {2}},
        {"CsvWithMarkAndCrlf", "\xEF\xBB\xBFprompt,completion\r\na,b\r\n", "CSV", {kPair}, {2}},
        {"CsvWithoutLastBreak", "prompt,completion\na,b", "CSV", {kPair}, {2}},
        {"CsvQuotes",
         "prompt,completion\n\"a, \"\"q\"\"\nline two\",b\n\nc,\"\"\n",
         "CSV",
         {R"({"prompt":"a, \"q\"\nline two","completion":"b"})", R"({"prompt":"c","completion":""})"},
         {2, 5}},
        {"CsvEmptyFieldIsNotThere", "prompt,completion,id\na,b,\n", "CSV", {kPair}, {2}},
        {"CsvQuoteInsideAField", "text\nit is 5\" long\n", "CSV", {R"({"text":"it is 5\" long"})"}, {2}},
        {"CsvControlBytes", "text\na\tb\x01\n", "CSV", {R"({"text":"a\u0009b\u0001"})"}, {2}},
        {"CsvSemicolon", "prompt;completion\na;b\n", "CSV, delimiter ';'", {kPair}, {2}},
        {"CsvSemicolonInCommaText", "prompt;completion\n\"a\";b\n", "CSV, delimiter ';'", {kPair}, {2}},
        {"CsvPipe", "prompt|completion\na|b\n", "CSV, delimiter '|'", {kPair}, {2}},
        {"Tsv", "prompt\tcompletion\na\tb\n", "TSV", {kPair}, {2}},
        {"TsvWithCommas",
         "prompt\tcompletion\na, b\tc, d\n",
         "TSV",
         {R"({"prompt":"a, b","completion":"c, d"})"},
         {2}},
        {"HeaderWithBlanks", "prompt, completion\na,b\n", "CSV", {kPair}, {2}},
    }),
    [](const auto& info) { return info.param.name; });

struct RefusedCase {
  std::string name, bytes, want;
};
void PrintTo(const RefusedCase& c, std::ostream* out) { *out << c.name; }
class RefusedFileTest : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedFileTest, SaysWhat) {
  EXPECT_THAT(ReadAll(GetParam().bytes).error, HasSubstr(GetParam().want));
}

// The checksum is before the length, at the end.
std::string Damaged(std::string gzip) {
  gzip[gzip.size() - 6] = static_cast<char>(gzip[gzip.size() - 6] ^ 1);
  return gzip;
}

std::string Columns(int count, char delimiter) {
  std::string header;
  for (int i = 0; i < count; ++i) absl::StrAppend(&header, "c", i, std::string(1, delimiter));
  return header;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RefusedFileTest,
    testing::ValuesIn<RefusedCase>({
        {"Utf16", std::string("\xFF\xFE{\0", 4), "UTF-16 text; save it as UTF-8"},
        {"Zip", "PK\x03\x04rest", "a zip archive; unpack it first"},
        {"Xz",
         "\xFD"
         "7zXZ",
         "xz-compressed; use gzip or zstd"},
        {"Tar", std::string(257, '\0') + "ustar", "a tar archive"},
        {"TarInGzip", Gzip(std::string(257, '\0') + "ustar"),
         "inside the gzip stream: the file is a tar archive"},
        {"Pickle", "\x80\x04\x95", "a Python pickle"},
        {"Gguf", "GGUF\x03", "a GGUF model, not rows"},
        {"Nul", std::string("a\0b", 3), "NUL bytes"},
        {"Latin1", "nom,pr\xE9nom,ville\n", "the file is not UTF-8 (byte 6 begins no character)"},
        {"Prose", "Once upon a time\nthere was\n", "for one text a line set data.format: lines"},
        {"PrettyJson", "{\n  \"text\": \"a\"\n}\n", "one JSON object spread over lines"},
        {"ArrayCutOff", "[{\"text\":\"a\"},{\"te", "the JSON array ends in line 1 without its ]"},
        {"ArrayCutOffBetween", "[{\"text\":\"a\"}\n", "the JSON array ends in line 2 without its ]"},
        {"ArrayThenMore", "[{\"text\":\"a\"}]\n{\"text\":\"b\"}", "the array is closed, and \"{\" follows"},
        {"ArrayTwoOpen", "[}]", "a } without its {"},
        {"GzipCutOff", Gzip(R"({"text":"a"})").substr(0, 20), "the gzip stream ends in the middle"},
        {"GzipDamaged", Damaged(Gzip(R"({"text":"a"})")),
         "the gzip stream is damaged (incorrect data check)"},
        {"GzipThenMore", absl::StrCat(Gzip(R"({"text":"a"})"), "more"), "other bytes follow the gzip stream"},
        {"ZstdCutOff", Zstd(R"({"text":"a"})").substr(0, 15), "the zstd stream ends in the middle"},
        {"ZstdDamaged", absl::StrCat("\x28\xB5\x2F\xFD", std::string(30, '\xFF')),
         "the zstd stream is damaged"},
        {"CompressedTwice", Gzip(Zstd(R"({"text":"a"})")), "compressed twice (zstd within gzip)"},
        {"CsvUnknownColumns", "question,answer\na,b\n",
         "data.columns: {prompt: question, completion: answer}"},
        {"CsvNearMiss", "prompt,completions\na,b\n",
         "unknown column \"completions\"; did you mean \"completion\"?"},
        {"CsvHalfAForm", "prompt,note\na,b\n",
         "the row has prompt but no completion; its columns: prompt, note"},
        {"CsvHeaderTwice", "text,text\na,b\n", "the column \"text\" is there twice"},
        {"CsvHeaderNameless", "text,,x\na,b,c\n", "column 2 has no name"},
        {"CsvHeaderNotUtf8", "text,\xFF\na,b\n", "column 2 is not UTF-8"},
        {"CsvMillionColumns", Columns(1'000'000, ','), "the record has more than 1024 fields"},
        {"ParquetCutOff", "PAR1 and so on", "does not end with \"PAR1\": it is cut off"},
        {"ParquetMagicAlone", "PAR1PAR1", "the file is cut off"},
        {"ParquetFooterTooLong", absl::StrCat("PAR1", std::string("\xFF\xFF\xFF\x7F", 4), "PAR1"),
         "more than the file has"},
        {"ParquetFooterOfNoise",
         absl::StrCat("PAR1", std::string(64, '\x5A'), std::string("\x40\0\0\0", 4), "PAR1"),
         "Parquet: the footer: "},
        {"EncryptedParquet", "PAREabc", "an encrypted Parquet file"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(CsvSourceTest, BadRecordsAreProblemsAndReadingGoesOn) {
  const Read read =
      ReadAll(absl::StrCat("prompt,completion\n", "a\n", "a,b,c\n", "\"a\"x,b\n", std::string("a\0,b\n", 5),
                           "\xFF,b\n", "a,b\n", "\"never closed,b\na,b\n"));
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(
      read.rows,
      ElementsAre(HasSubstr("the row has 1 field, the header has 2"), HasSubstr("the row has 3 fields"),
                  HasSubstr("field 1 goes on after its closing quote"), HasSubstr("holds a NUL byte"),
                  HasSubstr("column \"prompt\" is not UTF-8"), kPair,
                  HasSubstr("the quote that opens in line 8 is never closed")));
  EXPECT_THAT(read.lines, ElementsAre(2, 3, 4, 5, 6, 7, 8));
}

TEST(CsvSourceTest, RowAboveTheLimitIsAProblemAndReadingGoesOn) {
  const Read read = ReadAll(absl::StrCat("text\n\"", std::string(10 << 20, 'x'), "\n\"\nb\n"));
  EXPECT_THAT(read.rows,
              ElementsAre(AllOf(HasSubstr("the row is 10.0 MiB; the limit is 8.0 MiB"), HasSubstr("line 2")),
                          R"({"text":"b"})"));
  EXPECT_THAT(read.lines, ElementsAre(2, 4));
}

TEST(CsvSourceTest, RecordsDoNotDependOnWhereReadsEnd) {
  const std::string text = "a,\"b\n\"\"c\"\r\n\r\nd,e\r\n\"f\",\n";
  const auto records = [&](size_t piece) {
    size_t at = 0;
    CsvReader reader(
        [&]() -> absl::StatusOr<std::string> {
          const std::string bytes = text.substr(std::min(at, text.size()), piece);
          at += piece;
          return bytes;
        },
        ',', 1000);
    std::vector<std::string> out;
    CsvRecord record;
    while (*reader.Next(&record)) {
      std::vector<std::string> fields = {
          absl::StrCat(record.line, record.blank ? "blank" : "", record.crlf ? "crlf" : "")};
      for (size_t i = 0; i < record.fields.size(); ++i) fields.emplace_back(record.field(i));
      out.push_back(absl::StrJoin(fields, "|"));
    }
    return out;
  };
  const std::vector<std::string> whole = records(1000);
  EXPECT_THAT(whole, ElementsAre("1crlf|a|b\n\"c", "3blankcrlf", "4crlf|d|e", "5|f|"));
  for (size_t piece = 1; piece < text.size(); ++piece) EXPECT_EQ(records(piece), whole) << piece;
}

TEST(CsvSourceTest, UnusedColumnsStayOutOfTheRows) {
  const Read read = ReadAll("id,prompt,note,completion\n1,a,x,b\n");
  EXPECT_THAT(read.rows, ElementsAre(R"({"id":"1","prompt":"a","completion":"b"})"));
  EXPECT_THAT(read.unused, ElementsAre("note"));
}

TEST(CsvSourceTest, ColumnsMapAndFormatForces) {
  EXPECT_THAT(ReadAll("q;a\n1;2\n", Options({{"prompt", "q"}, {"completion", "a"}})).rows,
              ElementsAre(R"({"q":"1","a":"2"})"));
  EXPECT_THAT(ReadAll("a question,b\n1,2\n", Options({{"text", "b"}}, "csv")).rows,
              ElementsAre(R"({"b":"2"})"));
  EXPECT_THAT(
      ReadAll("prompt,completion\n1,2\n", Options({{"prompt", "promt"}})).error,
      HasSubstr(
          "data.columns.prompt names the column \"promt\", which is not there; did you mean \"prompt\"?"));
  EXPECT_THAT(
      ReadAll("text,b\n1,2\n", Options({{"id", "key"}})).error,
      HasSubstr("data.columns.id names the column \"key\", which is not there; its columns: text, b"));
  EXPECT_THAT(ReadAll("a,b\nc\n", Options({}, "lines")).rows,
              ElementsAre(R"({"text":"a,b"})", R"({"text":"c"})"));
  EXPECT_THAT(ReadAll("{\"a\":1}\n", Options({}, "parquet")).error,
              HasSubstr("does not start with \"PAR1\""));
  EXPECT_THAT(ReadAll("a\n", Options({{"text", "x"}}, "lines")).error, HasSubstr("have no columns"));
}

TEST(JsonArrayTest, ElementAboveTheLimitIsAProblemAndReadingGoesOn) {
  const Read read =
      ReadAll(absl::StrCat("[{\"text\":\"", std::string(10 << 20, 'x'), "\"},\n{\"text\":\"b\"}]"));
  EXPECT_THAT(read.rows, ElementsAre(HasSubstr("the limit is 8.0 MiB"), R"({"text":"b"})"));
  EXPECT_EQ(read.unit, "row");
}

TEST(CompressionTest, SeveralStreamsAndPaddingAreOneFile) {
  const std::string a = "{\"text\":\"a\"}\n", b = "{\"text\":\"b\"}\n";
  EXPECT_EQ(ReadAll(Gzip(a) + Gzip(b) + std::string(100, '\0')).rows.size(), 2u);
  EXPECT_EQ(ReadAll(Zstd(a) + Zstd(b)).rows.size(), 2u);
}

TEST(CompressionTest, BombsAreRefusedBeforeTheyGrow) {
  const std::string zeros(100 << 20, ' ');
  for (const std::string& bomb : {Gzip(zeros, 9), Zstd(zeros)}) {
    ASSERT_LT(bomb.size(), 200u << 10);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(ReadAll(bomb).error, HasSubstr("refused as a bomb"));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  }
}

TEST(CompressionTest, LargeRowsOfRealTextPass) {
  std::string text;
  uint32_t state = 1;
  for (int i = 0; i < 200000; ++i) {
    state = state * 1664525 + 1013904223;
    absl::StrAppend(&text, "{\"text\":\"row ", state, "\"}\n");
  }
  EXPECT_EQ(ReadAll(Gzip(text)).rows.size(), 200000u);
  EXPECT_EQ(ReadAll(Zstd(text)).rows.size(), 200000u);
}

// Cutting a file anywhere ends in rows or in a sentence, never in a crash, and never silently in fewer rows
// for formats that know their end.
TEST(TruncationTest, EveryPrefixIsReadOrRefused) {
  const std::string lines = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
  const std::string array = "[{\"text\":\"a\"},{\"text\":\"b\"}]";
  const std::string csv = "text,id\n\"a\nb\",1\nc,2\n";
  for (const std::string& whole : {lines, array, csv, Gzip(lines), Zstd(lines), Gzip(array), Zstd(csv)}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const Read read = ReadAll(absl::string_view(whole).substr(0, size));
      const bool framed = whole[0] != '{' && whole[0] != 't';
      if (framed && size > 3) {
        EXPECT_NE(read.error, "") << size << " of " << whole.size();
      }
    }
  }
}

TEST(SourceTest, UnknownSourceNamesTheKnown) {
  const auto source = CreateSource("xml", ReadFromMemory(""));
  EXPECT_THAT(std::string(source.status().message()),
              HasSubstr("known: jsonl, json, csv, tsv, parquet, lines"));
}

// --- names ---

TEST(RowOptionsTest, MistakesAreNamed) {
  const auto message = [](const std::map<std::string, std::string>& columns, absl::string_view format = "") {
    return std::string(MakeRowOptions(columns, format).status().message());
  };
  EXPECT_EQ(message({{"prompt", "question"}}, "csv/alpaca"), "");
  EXPECT_EQ(message({}, "sharegpt"), "");
  EXPECT_THAT(message({{"promt", "x"}}),
              HasSubstr("columns.promt is no field of a row; did you mean \"prompt\"?"));
  EXPECT_THAT(message({{"question", "prompt"}}), HasSubstr("the field comes first: {prompt: question}"));
  EXPECT_THAT(message({{"prompt", ""}}), HasSubstr("columns.prompt is no column's name"));
  EXPECT_THAT(message({{"prompt", "x"}, {"completion", "x"}}), HasSubstr("both name the column \"x\""));
  EXPECT_THAT(message({}, "cvs"), HasSubstr("did you mean \"csv\"?"));
  EXPECT_THAT(message({}, "alpaca/csv"), HasSubstr("format = \"alpaca/csv\" is not known"));
  std::map<std::string, std::string> many;
  for (int i = 0; i < 33; ++i) many[absl::StrCat("c", i)] = "x";
  EXPECT_THAT(message(many), HasSubstr("33 entries are more than 32"));
}

TEST(RecogniseTest, DatasetFormatsNameFileAndForm) {
  const auto format = [](absl::string_view bytes) {
    const auto recognised = Recognise(bytes, true, {});
    EXPECT_TRUE(recognised.ok()) << recognised.status();
    return recognised.ok() ? recognised->DatasetFormat() : "";
  };
  EXPECT_EQ(format("{\"text\":\"a\"}\n"), "text");
  EXPECT_EQ(format("{broken\n{\"conversations\":[]}\n"), "sharegpt");
  EXPECT_EQ(format("{\"a\":1}\n"), "jsonl");
  EXPECT_EQ(format("[{\"instruction\":\"]\",\"output\":\"\\\"\"}]"), "json/alpaca");
  EXPECT_EQ(format("chosen,rejected\na,b\n"), "csv/preference");
  EXPECT_EQ(format("a\tb\nc\td\n"), "tsv");
  EXPECT_EQ(format(Gzip("{\"messages\":[]}\n")), "jsonl.gz/messages");
  EXPECT_EQ(format(Zstd("PAR1")), "parquet.zst");
  EXPECT_EQ(FormOfDatasetFormat("csv/preference"), "preference");
  EXPECT_EQ(FormOfDatasetFormat("text"), "text");
  EXPECT_EQ(FormOfDatasetFormat("parquet"), "");
}

// A pipe without a writer would be waited for, for ever.
TEST(CheckInputTest, OnlyRegularFilesAreRead) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo(folder.File("pipe.jsonl").c_str(), 0600), 0);
  for (const std::string& path : {folder.File("pipe.jsonl"), folder.path(), std::string("/dev/zero")}) {
    const absl::Status status = CheckInputOf(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(path), HasSubstr("not a regular file")));
  }
  EXPECT_EQ(CheckInputOf(folder.File("nothing")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace vernier::data
