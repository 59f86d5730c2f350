// Every source, one line each.
#include "common/registry.h"

#include <memory>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "worker/data/sources/csv.h"
#include "worker/data/sources/json_array.h"
#include "worker/data/sources/jsonl.h"
#include "worker/data/sources/parquet.h"
#include "worker/data/sources/source.h"

namespace vernier::data {
namespace {

constexpr SourceEntry kSources[] = {
    {"jsonl", &CreateJsonlSource}, {"json", &CreateJsonArraySource},  {"csv", &CreateCsvSource},
    {"tsv", &CreateCsvSource},     {"parquet", &CreateParquetSource}, {"lines", &CreateLinesSource},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> CreateSource(absl::string_view name, SourceInput input) {
  VN_ASSIGN_OR_RETURN(const SourceEntry* entry, FindEntry(absl::MakeConstSpan(kSources), "source", name));
  return entry->create(std::move(input));
}

absl::StatusOr<std::unique_ptr<Source>> CreateSource(absl::string_view name, ReadAtFn read) {
  SourceInput input;
  input.read = std::move(read);
  return CreateSource(name, std::move(input));
}

std::vector<std::string> KnownSources() {
  std::vector<std::string> names;
  for (const SourceEntry& entry : kSources) names.emplace_back(entry.name);
  return names;
}

ReadAtFn ReadFromMemory(absl::string_view bytes) {
  return [bytes](int64_t offset, int64_t max_bytes) -> absl::StatusOr<std::string> {
    if (offset >= static_cast<int64_t>(bytes.size())) return std::string();
    return std::string(bytes.substr(static_cast<size_t>(offset), static_cast<size_t>(max_bytes)));
  };
}

absl::StatusOr<ReadAtFn> ReadFromFile(const std::string& path, int64_t* size_bytes) {
  // Shared with the copies that std::function makes of the reader.
  VN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  auto shared = std::make_shared<MappedFile>(std::move(file));
  if (size_bytes != nullptr) *size_bytes = static_cast<int64_t>(shared->bytes().size());
  return ReadAtFn([shared](int64_t offset, int64_t max_bytes) -> absl::StatusOr<std::string> {
    return ReadFromMemory(shared->bytes())(offset, max_bytes);
  });
}

}  // namespace vernier::data
